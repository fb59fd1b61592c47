"""Labelled examples: the slots of a slate with their features and what came of them.

A slate of ten becomes ten records, so this is where a worker spends the most of its time.
`Example` in `streamapp.signals` is the contract; here it is written from parts that are each
encoded once: what is the same for a slate, and what was known of an item.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streamapp.features.completions import Awaited, Begun
from streamapp.features.digest import fraction
from streamapp.features.recent import ACTIONS
from streamapp.features.segments import segment_of
from streamapp.features.slate_features import SlateFeatures
from streamapp.features.slates import Slate
from streamapp.signals import SCHEMA

_encode = msgspec.json.Encoder().encode


class _SlatePart(msgspec.Struct, frozen=True, gc=False):
    """Fields of an `Example` that all of a slate and kind have in common."""

    schema: int
    kind: Literal["click", "completion"]
    segment: str
    request_id: str
    viewer_id: str
    surface: str
    served_at_ms: int


class _Times(msgspec.Struct, frozen=True, gc=False):
    """When labels were known: the fields of an `Example` that come last."""

    labelled_at_ms: int
    as_of_ms: int
    computed_at_ms: int


_START = b'%b,"example_id":%b:%d","item_id":%b,"position":%d,"propensity":%b,"features":%b'
_END = b',"weight":%b,"labels":%b,%b'
"""An example: what was known when its item was shown, and what came of it."""

_FEW = 3
_NOTHING = b'{"clicked":false}'


def examples(
    viewer_id: str,
    slate: Slate,
    said: list[str],
    keep_rate: float,
    computed_at_ms: int,
    segment_by: str = "",
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
    starts = _starts(viewer_id, slate, said, kept, "click", segment_by)
    weights = {True: b"1.0", False: _encode(1.0 / keep_rate) if keep_rate else b""}
    times, labels = _times(shown.due_ms, computed_at_ms), _labels(slate)
    ignored = _END % (weights[False], _NOTHING, times)
    ends = {
        index: _END % (weights[index in clicked], label, times) for index, label in labels.items()
    }
    return [start + ends.get(index, ignored) for index, start in zip(kept, starts, strict=True)]


def _labels(slate: Slate) -> dict[int, bytes]:
    """Return the labels of the slots on which something was done, as JSON."""
    labels = dict.fromkeys(slate.clicked, b'{"clicked":true}')
    for index in dict.fromkeys([index for index, _ in slate.actions]):
        actions = sorted(ACTIONS[action] for slot, action in slate.actions if slot == index)
        labels[index] = _encode({"clicked": index in labels, "actions": actions})
    return labels


def awaited(viewer_id: str, slate: Slate, said: list[str], due_ms: int, segment_by: str) -> Awaited:
    """Return the examples of the playbacks that a slate led to, but for their labels."""
    slots = [index for index, _ in slate.begun]
    starts = _starts(viewer_id, slate, said, slots, "completion", segment_by)
    begun = [
        Begun(key, start.decode(), index in slate.clicked)
        for (index, key), start in zip(slate.begun, starts, strict=True)
    ]
    return Awaited(due_ms, segment_of(slate.shown.event, segment_by), tuple(begun))


def completion(start: str, labels: bytes, labelled_at_ms: int, computed_at_ms: int) -> bytes:
    """Return an example that waited, as JSON; all that were begun are given."""
    return start.encode() + _END % (b"1.0", labels, _times(labelled_at_ms, computed_at_ms))


def _starts(
    viewer_id: str,
    slate: Slate,
    said: list[str],
    indexes: list[int],
    kind: Literal["click", "completion"],
    segment_by: str,
) -> list[bytes]:
    """Return what was known of slots when they were shown, as the beginning of JSON objects."""
    event, features = slate.shown.event, SlateFeatures(slate, said, many=len(indexes) > _FEW)
    segment, request_id = segment_of(event, segment_by), event.request_id
    surface, served_ms = event.surface, event.occurred_at_ms
    common = _encode(_SlatePart(SCHEMA, kind, segment, request_id, viewer_id, surface, served_ms))[
        :-1
    ]
    request = _encode(request_id)[:-1]
    made = []
    for index in indexes:
        slot = event.items[index]
        item, position = _encode(slot.item_id), slot.position
        propensity = b"null" if slot.propensity is None else _encode(slot.propensity)
        known = features.json(index)
        made.append(_START % (common, request, position, item, position, propensity, known))
    return made


def _times(labelled_at_ms: int, computed_at_ms: int) -> bytes:
    return _encode(_Times(labelled_at_ms, labelled_at_ms, computed_at_ms))[1:]
