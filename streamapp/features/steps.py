"""Steps: what a viewer did, one event each, with what had to be looked up for it.

A viewer is what their steps make of them, one after the other. So the changelog holds of a viewer
the whole of them as they were some steps ago, and those steps since: a restore takes them again.
What a step does must then depend on nothing that may be another thing by then. So what the catalog
said of an item, and how far stream time had come, is part of the step.
"""

from __future__ import annotations

import msgspec

from streamapp.events import Click, Impression, Watch

UNTITLED = 255
"""Of an item that has no title; a query has fewer words."""


class ShownStep(msgspec.Struct, gc=False, array_like=True, tag="shown-1"):
    """A slate as it was shown, and what was known then.

    Attributes:
        number: of the step, from 1.
        newest_ms: newest event time of the viewer, this one included.
        stream_ms: stream time.
        due_ms: when its window closes.
        last_category: of the item the viewer had clicked last.
        clicks, watches, completes: among the viewer's last 50 actions.
        features: for each slot, what the catalog said of its item, as a JSON object: the number
            of that text in `ItemNames`.
        trust: in the viewer, when the event counted or did not; set when the step is taken.
        signals: of the items, see `streamapp.features.item_signals`.
        matches: in a search, for each slot how many of the query's words are in the title of its
            item, or `UNTITLED`.
        watch_ratio, session_ctr: how eager the viewer was, as `streamapp.features.serving` says
            it; None of what was not known.

    The last four and `features` are empty if all slots were served with features of their own.
    """

    number: int
    newest_ms: int
    stream_ms: int
    event: Impression
    due_ms: int
    last_category: str | None
    clicks: int
    watches: int
    completes: int
    features: list[int]
    trust: bytes = b""
    signals: str = ""
    matches: bytes = b""
    watch_ratio: float | None = None
    session_ctr: float | None = None


class ActedStep(msgspec.Struct, gc=False, array_like=True, tag="acted-1"):
    """An action, and category and creator of its item; the other fields as in `ShownStep`."""

    number: int
    newest_ms: int
    stream_ms: int
    event: Click
    category: str | None
    creator: str | None
    trust: bytes = b""


class WatchedStep(msgspec.Struct, gc=False, array_like=True, tag="watched-1"):
    """A heartbeat, and category and creator of its item; the other fields as in `ShownStep`."""

    number: int
    newest_ms: int
    stream_ms: int
    event: Watch
    category: str | None
    creator: str | None
    trust: bytes = b""


Step = ShownStep | ActedStep | WatchedStep

encode_step = msgspec.json.Encoder().encode
decode_step = msgspec.json.Decoder(Step).decode
