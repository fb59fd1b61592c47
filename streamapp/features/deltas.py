"""What the events since the last cut add to the counters of items, aggregated by item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from streamapp.features.decay import SPAN_MS, growth
from streamapp.signals import ItemDelta


class _Pending(msgspec.Struct, gc=False):
    """One item's delta in the making: forward-decayed sums, as in `DecayedCounters`."""

    landmark_ms: int
    as_of_ms: int
    first_ms: int
    sums: dict[str, list[float]]

    def scale(self, landmark_ms: int) -> None:
        """Move the landmark; the sums stay what they stand for."""
        f0, f1, f2 = growth(self.landmark_ms - landmark_ms)
        self.sums = {
            counter: [total, d0 * f0, d1 * f1, d2 * f2]
            for counter, (total, d0, d1, d2) in self.sums.items()
        }
        self.landmark_ms = landmark_ms


class ItemDeltas:
    """Adds up what is counted between two cuts."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}

    def add(self, item_id: str, time_ms: int, amounts: Iterable[tuple[str, float]]) -> None:
        """Count amounts by counter for an item, all at one event time."""
        pending = self._pending.get(item_id)
        if pending is None:
            pending = self._pending[item_id] = _Pending(time_ms, time_ms, time_ms, {})
        elif time_ms > pending.as_of_ms:
            pending.as_of_ms = time_ms
            if time_ms - pending.landmark_ms > SPAN_MS:
                pending.scale(time_ms)
        elif time_ms < pending.first_ms:
            pending.first_ms = time_ms
        f0, f1, f2 = growth(time_ms - pending.landmark_ms)
        sums = pending.sums
        for counter, amount in amounts:
            known = sums.get(counter)
            if known is None:
                sums[counter] = [amount, amount * f0, amount * f1, amount * f2]
            else:
                known[0] += amount
                known[1] += amount * f0
                known[2] += amount * f1
                known[3] += amount * f2

    def take(self) -> Iterator[ItemDelta]:
        """Yield the deltas since the last call, items in the order they were first touched."""
        pending, self._pending = self._pending, {}
        for item_id, delta in pending.items():
            if delta.landmark_ms != delta.as_of_ms:
                delta.scale(delta.as_of_ms)
            yield ItemDelta(
                item_id=item_id,
                as_of_ms=delta.as_of_ms,
                first_ms=delta.first_ms,
                deltas=delta.sums,
            )
