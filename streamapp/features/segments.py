"""Segments: which model an example is for.

``STREAMAPP_SEGMENT_BY`` says what decides:

=================  ==============================================================
(nothing)          one model learns from all: segment ``all``
surface            that the item was shown on
country            the viewer's; ``all`` where it is not known
experiment:NAME    the viewer's variant in that experiment; ``all`` who is in none
=================  ==============================================================

Examples are keyed by their segment: one task learns of a segment, another of another.
"""

from __future__ import annotations

from streamapp.events import Impression

ALL = "all"
"""The segment of what belongs to no other."""

EXPERIMENT = "experiment:"


def segment_of(impression: Impression, by: str) -> str:
    """Return the segment of a slate's examples."""
    if not by:
        return ALL
    if by == "surface":
        return impression.surface
    if by == "country":
        return impression.country or ALL
    return (impression.experiments or {}).get(by.removeprefix(EXPERIMENT), ALL)
