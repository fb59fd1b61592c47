"""What the events since the last cut add to the counters of items, aggregated by item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from streamapp.events import Impression
from streamapp.features.decay import SPAN_MS, growth
from streamapp.features.digest import DIGEST_BYTES
from streamapp.features.distinct import pack
from streamapp.signals import SCHEMA

MAX_VIEWERS = 1_000
"""Viewers in one delta, so that no record grows with the length of a backlog."""

_encode = msgspec.json.Encoder().encode


class _Delta(msgspec.Struct, gc=False):
    """An `ItemDelta` in the making: the sums are forward decayed, as in `DecayedCounters`."""

    item_id: str
    as_of_ms: int
    first_ms: int
    deltas: dict[str, list[float]]
    viewers: bytes | msgspec.UnsetType = msgspec.UNSET
    schema: int = SCHEMA


class ItemDeltas:
    """Adds up what is counted between two cuts.

    All items share one landmark, so that what an event weighs is computed once for all its
    slots. An event too far from it closes these deltas and begins others.
    """

    def __init__(self) -> None:
        self._landmark_ms = 0
        self._pending: dict[str, _Delta] = {}
        self._closed: list[_Delta] = []
        self._viewers: dict[str, dict[str, None]] = {}
        self._weighed_ms = 0
        self._weights = (1.0, 1.0, 1.0)

    def _weigh(self, time_ms: int) -> tuple[float, float, float]:
        """Return what an event of this time weighs at the landmark, by half-life."""
        if time_ms != self._weighed_ms or not self._pending:
            if not self._pending:
                self._landmark_ms = time_ms
            elif not -SPAN_MS < time_ms - self._landmark_ms < SPAN_MS:
                self._closed += self._close()
                self._landmark_ms = time_ms
            self._weighed_ms = time_ms
            self._weights = growth(time_ms - self._landmark_ms)
        return self._weights

    def _item(self, item_id: str, time_ms: int) -> dict[str, list[float]]:
        """Return the sums of an item by counter."""
        delta = self._pending.get(item_id)
        if delta is None:
            delta = self._pending[item_id] = _Delta(item_id, time_ms, time_ms, {})
        elif time_ms > delta.as_of_ms:
            delta.as_of_ms = time_ms
        elif time_ms < delta.first_ms:
            delta.first_ms = time_ms
        return delta.deltas

    def add(
        self,
        item_id: str,
        time_ms: int,
        amounts: Iterable[tuple[str, float]],
        viewer_id: str | None = None,
    ) -> None:
        """Count amounts by counter for an item, all at one event time.

        Args:
            viewer_id: who acted or began to watch, to be among the item's distinct viewers.
        """
        f0, f1, f2 = self._weigh(time_ms)
        sums = self._item(item_id, time_ms)
        if viewer_id is not None:
            self._viewers.setdefault(item_id, {})[viewer_id] = None
        for counter, amount in amounts:
            known = sums.get(counter)
            if known is None:
                sums[counter] = [amount, amount * f0, amount * f1, amount * f2]
            else:
                known[0] += amount
                known[1] += amount * f0
                known[2] += amount * f1
                known[3] += amount * f2

    def add_slate(self, slate: Impression, click_rate: Callable[[int], float]) -> None:
        """Count an impression, and the clicks expected of its position, for each slot."""
        time_ms = slate.occurred_at_ms
        f0, f1, f2 = self._weigh(time_ms)
        item = self._item
        for slot in slate.items:
            sums = item(slot.item_id, time_ms)
            rate = click_rate(slot.position)
            known = sums.get("impressions")
            if known is None:
                sums["impressions"] = [1.0, f0, f1, f2]
                sums["expected_clicks"] = [rate, rate * f0, rate * f1, rate * f2]
                continue
            expected = sums["expected_clicks"]
            known[0] += 1.0
            known[1] += f0
            known[2] += f1
            known[3] += f2
            expected[0] += rate
            expected[1] += rate * f0
            expected[2] += rate * f1
            expected[3] += rate * f2

    def take(self) -> Iterator[tuple[str, bytes]]:
        """Yield the deltas since the last call: item id and encoded `ItemDelta`."""
        closed, self._closed = self._closed, []
        for delta in closed:
            yield delta.item_id, _encode(delta)
        for delta in self._close():
            yield delta.item_id, _encode(delta)

    def _close(self) -> Iterator[_Delta]:
        """Yield the pending deltas with their sums as at their own time."""
        pending, self._pending = self._pending, {}
        acted, self._viewers = self._viewers, {}
        as_of_ms, (f0, f1, f2) = self._landmark_ms, growth(0)
        for delta in pending.values():
            if delta.as_of_ms != as_of_ms:  # items of one slate come together
                as_of_ms = delta.as_of_ms
                f0, f1, f2 = growth(self._landmark_ms - as_of_ms)
            for sums in delta.deltas.values():
                sums[1] *= f0
                sums[2] *= f1
                sums[3] *= f2
            viewers = acted.get(delta.item_id)
            if viewers is not None:
                yield from _crowd(delta, pack(viewers))
            yield delta


def _crowd(delta: _Delta, viewers: bytes) -> Iterator[_Delta]:
    """Put viewers into a delta; yield others to go before it for those it cannot take."""
    most = MAX_VIEWERS * DIGEST_BYTES
    while len(viewers) > most:
        yield _Delta(delta.item_id, delta.as_of_ms, delta.first_ms, {}, viewers[:most])
        viewers = viewers[most:]
    delta.viewers = viewers
