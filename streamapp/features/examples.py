"""Labelled examples: the slots of a slate with their features and what came of them.

A slate of ten becomes ten records, so this is where a worker spends the most of its time.
`Example` in `streamapp.signals` is the contract; here it is written from parts that are each
encoded once: what is the same for a slate, and what the catalog says of an item.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamapp.features.digest import fraction
from streamapp.features.slates import Slate
from streamapp.features.steps import ShownStep
from streamapp.signals import SCHEMA

SEGMENT = "all"
"""The model segment an example is for."""

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


_SLOT = (
    b'%b"example_id":%b:%d","item_id":%b,"position":%d,"propensity":%b,'
    b'"labels":{"clicked":%b},"weight":%b,"features":%b}'
)
"""An example: after the fields all of a slate have in common, the other ones."""


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
    viewer_id: str, slate: Slate, said: list[str], keep_rate: float, computed_at_ms: int
) -> list[bytes]:
    """Return the examples of a slate as JSON: all that were clicked, a share of the others.

    Args:
        said: for each slot, what the catalog said of its item when it was shown, as JSON.
    """
    shown, clicked = slate.shown, slate.clicked
    slots, request_id = shown.event.items, shown.event.request_id
    kept = [
        index
        for index, slot in enumerate(slots)
        if keep_rate >= 1.0
        or index in clicked
        or fraction(f"{request_id}:{slot.position}") < keep_rate
    ]
    if not kept:
        return []
    common, request = _common(viewer_id, shown, computed_at_ms), _encode(request_id)[:-1]
    start, last = _shared_features(shown)
    ignored_weight = _encode(1.0 / keep_rate) if keep_rate else b""
    made = []
    for index in kept:
        slot = slots[index]
        label, weight = (b"true", b"1.0") if index in clicked else (b"false", ignored_weight)
        if slot.features is None:
            features = _of_item(start, said[index].encode(), last)
        else:
            features = _served(slot.features)
        item, position = _encode(slot.item_id), slot.position
        propensity = b"null" if slot.propensity is None else _encode(slot.propensity)
        made.append(
            _SLOT % (common, request, position, item, position, propensity, label, weight, features)
        )
    return made


def _common(viewer_id: str, shown: ShownStep, computed_at_ms: int) -> bytes:
    """Return the beginning of all examples of a slate, up to and with a comma."""
    part = _SlatePart(
        SCHEMA,
        SEGMENT,
        shown.event.request_id,
        viewer_id,
        shown.event.surface,
        shown.event.occurred_at_ms,
        shown.due_ms,
        shown.due_ms,
        computed_at_ms,
    )
    return _encode(part)[:-1] + b","


def _shared_features(shown: ShownStep) -> tuple[bytes, bytes | None]:
    """Return the features all slots have in common, but for the end, and the last category.

    Item, surface and position are fields of the example itself.
    """
    impression, category = shown.event, shown.last_category
    shared = _SharedFeatures(
        shown.clicks,
        shown.watches,
        shown.completes,
        impression.device,
        impression.country,
        category,
    )
    last = None if category is None else b'"category":' + _encode(category)
    return _encode(shared)[:-1], last


def _of_item(start: bytes, item: bytes, last: bytes | None) -> bytes:
    """Return what is known of the viewer and of an item, and whether they clicked its like last."""
    if item == b"{}":
        return start + b"}"
    if last is None:
        return start + b"," + item[1:]
    same = b',"same_category":1,' if last in item else b',"same_category":0,'
    return start + same + item[1:]


def _served(features: Mapping[str, float | str | bool | None]) -> bytes:
    """Return features as they were served, as numbers and strings."""
    return _encode(
        {
            name: float(value) if isinstance(value, bool) else value
            for name, value in features.items()
            if value is not None
        }
    )
