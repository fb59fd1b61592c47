"""Labelled examples: the slots of a slate with their features and what came of them.

A slate of ten becomes ten records, so this is where a worker spends the most of its time.
`Example` in `streamapp.signals` is the contract; here it is written in parts, each encoded once:
what is the same for a slate, what the catalog says of an item, and the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamapp.features.digest import fraction
from streamapp.features.slates import Shown, Slate
from streamapp.signals import SCHEMA, Labels

SEGMENT = "all"
"""The model segment an example is for."""

_CLICKED, _IGNORED = Labels(clicked=True), Labels(clicked=False)
_encode = msgspec.json.Encoder().encode


class _SlatePart(msgspec.Struct, frozen=True, gc=False):
    """Fields of an `Example` that all of a slate have in common."""

    schema: int
    segment: str
    request_id: str
    viewer_id: str
    surface: str
    served_at_ms: int
    labelled_at_ms: int
    as_of_ms: int
    computed_at_ms: int


class _SlotPart(msgspec.Struct, frozen=True, gc=False):
    """The other fields of an `Example`."""

    example_id: str
    item_id: str
    position: int
    propensity: float | None
    features: msgspec.Raw
    labels: Labels
    weight: float


class _SharedFeatures(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Features all slots of a slate have in common, unless they were served with their own.

    recent_clicks, recent_watches, recent_completes: among the viewer's last 50 actions.
    last_category: of the item the viewer clicked last.
    """

    recent_clicks: int
    recent_watches: int
    recent_completes: int
    device: str | None = None
    country: str | None = None
    last_category: str | None = None


def examples(
    viewer_id: str, slate: Slate, keep_rate: float, computed_at_ms: int
) -> Iterator[bytes]:
    """Yield the examples of a slate as JSON: all that were clicked, a share of the others."""
    shown = slate.shown
    common = _common(viewer_id, shown, computed_at_ms)
    features = _Features(shown)
    clicked, ignored_weight = slate.clicked, 1.0 / keep_rate if keep_rate else 0.0
    for index, item_id in enumerate(shown.item_ids):
        position = shown.positions[index]
        example_id = f"{shown.request_id}:{position}"
        if index in clicked:
            labels, weight = _CLICKED, 1.0
        elif keep_rate < 1.0 and fraction(example_id) >= keep_rate:
            continue
        else:
            labels, weight = _IGNORED, ignored_weight
        slot = _SlotPart(
            example_id,
            item_id,
            position,
            shown.propensities[index],
            features.of(index),
            labels,
            weight,
        )
        yield common + _encode(slot)[1:]


def _common(viewer_id: str, shown: Shown, computed_at_ms: int) -> bytes:
    """Return the beginning of all examples of a slate, up to and with a comma."""
    part = _SlatePart(
        SCHEMA,
        SEGMENT,
        shown.request_id,
        viewer_id,
        shown.surface,
        shown.served_ms,
        shown.due_ms,
        shown.due_ms,
        computed_at_ms,
    )
    return _encode(part)[:-1] + b","


class _Features:
    """The features of each slot: those it was served with, or else those known then.

    Item, surface and position are fields of the example itself.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        category = shown.last_category
        self._category = None if category is None else b'"category":' + _encode(category)
        shared = _SharedFeatures(
            shown.clicks,
            shown.watches,
            shown.completes,
            shown.device,
            shown.country,
            category,
        )
        self._shared = _encode(shared)[:-1]

    def of(self, index: int) -> msgspec.Raw:
        """Return the features of a slot as a JSON object."""
        known = self._shown.features[index]
        if self._shown.served[index]:
            return known
        item = bytes(known)
        if self._category is not None:
            same = b',"same_category":1' if self._category in item else b',"same_category":0'
        else:
            same = b""
        if item == b"{}":
            return msgspec.Raw(self._shared + b"}")
        return msgspec.Raw(self._shared + same + b"," + item[1:])
