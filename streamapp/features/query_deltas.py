"""What the events since the last cut add to queries, aggregated by normalised query."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamapp.events import Impression
from streamapp.features.decay import SPAN_MS, growth
from streamapp.signals import SCHEMA

MAX_ITEMS = 500
"""Items from which on a delta goes out and another begins: a record must stay below 1 MB."""

_IMPRESSIONS, _EXPECTED, _CLICKS = 0, 1, 2

_encode = msgspec.json.Encoder().encode


class _Delta(msgspec.Struct, gc=False):
    """A `QueryDelta` in the making: the sums are forward decayed, as in `DecayedCounters`."""

    query: str
    as_of_ms: int
    first_ms: int
    deltas: dict[str, list[float]]
    items: dict[str, list[float]]
    schema: int = SCHEMA


class QueryDeltas:
    """Adds up what is counted between two cuts.

    All queries share one landmark; an event too far from it closes these deltas and begins
    others.
    """

    def __init__(self) -> None:
        self._landmark_ms = 0
        self._pending: dict[str, _Delta] = {}
        self._closed: list[_Delta] = []

    def touch(self, query: str, time_ms: int) -> None:
        """An event concerned a query, whether or not it counts."""
        self._delta(query, time_ms)

    def add(self, query: str, time_ms: int, counter: str, amount: float) -> None:
        """Count an amount for a query."""
        sums = self._delta(query, time_ms).deltas.setdefault(counter, [0.0] * 4)
        f0, f1, f2 = growth(time_ms - self._landmark_ms)
        sums[0] += amount
        sums[1] += amount * f0
        sums[2] += amount * f1
        sums[3] += amount * f2

    def add_search(self, query: str, slate: Impression, rates: list[float]) -> None:
        """Count a search: its items as shown at their positions, or that it found nothing."""
        time_ms = slate.occurred_at_ms
        self.add(query, time_ms, "searches", 1.0)
        if not slate.items:
            self.add(query, time_ms, "zero_results", 1.0)
            return
        _, weight, _ = growth(time_ms - self._landmark_ms)
        items = self._pending[query].items
        for slot, rate in zip(slate.items, rates, strict=True):
            sums = items.get(slot.item_id)
            if sums is None:
                sums = items[slot.item_id] = [0.0, 0.0, 0.0]
            sums[_IMPRESSIONS] += weight
            sums[_EXPECTED] += weight * rate

    def add_click(self, query: str, time_ms: int, item_id: str, amount: float) -> None:
        """Count a click on an item a search of the query showed, or take one back."""
        delta = self._delta(query, time_ms)
        _, weight, _ = growth(time_ms - self._landmark_ms)
        delta.items.setdefault(item_id, [0.0, 0.0, 0.0])[_CLICKS] += amount * weight

    def _delta(self, query: str, time_ms: int) -> _Delta:
        if not self._pending:
            self._landmark_ms = time_ms
        elif not -SPAN_MS < time_ms - self._landmark_ms < SPAN_MS:
            self._closed += self._close()
            self._landmark_ms = time_ms
        delta = self._pending.get(query)
        if delta is not None and len(delta.items) >= MAX_ITEMS:
            self._closed.append(self._finished(self._pending.pop(query)))
            delta = None
        if delta is None:
            delta = self._pending[query] = _Delta(query, time_ms, time_ms, {}, {})
        delta.as_of_ms = max(delta.as_of_ms, time_ms)
        delta.first_ms = min(delta.first_ms, time_ms)
        return delta

    def take(self) -> Iterator[tuple[str, bytes]]:
        """Yield the deltas since the last call: query and encoded `QueryDelta`."""
        closed, self._closed = [*self._closed, *self._close()], []
        for delta in closed:
            yield delta.query, _encode(delta)

    def _close(self) -> list[_Delta]:
        pending, self._pending = self._pending, {}
        return [self._finished(delta) for delta in pending.values()]

    def _finished(self, delta: _Delta) -> _Delta:
        """Bring a delta's sums to its own time."""
        f0, f1, f2 = growth(self._landmark_ms - delta.as_of_ms)
        for sums in delta.deltas.values():
            sums[1] *= f0
            sums[2] *= f1
            sums[3] *= f2
        for item in delta.items.values():
            item[:] = [value * f1 for value in item]
        return delta
