"""What the events since the last cut add to the counters of items, aggregated by item."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from streamapp.features.decay import growth
from streamapp.features.digest import DIGEST_BYTES
from streamapp.features.distinct import pack
from streamapp.signals import SCHEMA, Sums

MAX_VIEWERS = 1_000
"""Viewers in one delta, so that no record grows with the length of a backlog."""

_IMPRESSIONS: Final = "impressions"
_EXPECTED_CLICKS: Final = "expected_clicks"

_encode = msgspec.json.Encoder().encode


class _Delta(msgspec.Struct, gc=False):
    """An `ItemDelta` as it is sent."""

    item_id: str
    as_of_ms: int
    first_ms: int
    deltas: dict[str, Sums]
    viewers: bytes | msgspec.UnsetType = msgspec.UNSET
    schema: int = SCHEMA


@mypyc_attr(acyclic=True)
class _Counted:
    """What one counter has got: a total, and what it has decayed to by each half-life."""

    __slots__ = ("d7", "h6", "m30", "total")

    def __init__(self) -> None:
        self.total = self.m30 = self.h6 = self.d7 = 0.0

    def add(self, total: float, m30: float, h6: float, d7: float) -> None:
        """Add to the total and to each sum."""
        self.total += total
        self.m30 += m30
        self.h6 += h6
        self.d7 += d7


class _Item:
    """What one item has got, as of its newest event: most have one, and that is exact then."""

    __slots__ = ("as_of_ms", "counters", "first_ms", "viewers")

    def __init__(self, time_ms: int) -> None:
        self.as_of_ms = self.first_ms = time_ms
        self.counters: dict[str, _Counted] = {}
        self.viewers: dict[str, None] | None = None

    def move(self, time_ms: int) -> tuple[float, float, float]:
        """Take note of an event; return what it adds now, by half-life, for each that it is."""
        if time_ms == self.as_of_ms:
            return 1.0, 1.0, 1.0
        self.first_ms = min(self.first_ms, time_ms)
        if time_ms < self.as_of_ms:
            return growth(time_ms - self.as_of_ms)
        f0, f1, f2 = growth(self.as_of_ms - time_ms)
        for counted in self.counters.values():
            counted.m30 *= f0
            counted.h6 *= f1
            counted.d7 *= f2
        self.as_of_ms = time_ms
        return 1.0, 1.0, 1.0

    def counted(self, counter: str) -> _Counted:
        """Return what a counter has got."""
        counted = self.counters.get(counter)
        if counted is None:
            counted = self.counters[counter] = _Counted()
        return counted

    def delta(self, item_id: str) -> _Delta:
        """Return it all, but for the viewers."""
        deltas = {
            counter: (counted.total, counted.m30, counted.h6, counted.d7)
            for counter, counted in self.counters.items()
        }
        return _Delta(item_id, self.as_of_ms, self.first_ms, deltas)


class ItemDeltas:
    """Adds up what is counted between two cuts."""

    def __init__(self) -> None:
        self._items: dict[str, _Item] = {}

    def _item(self, item_id: str, time_ms: int) -> _Item:
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item(time_ms)
        return item

    def add(
        self,
        item_id: str,
        time_ms: int,
        amounts: Iterable[tuple[str, float]],
        viewer_id: str | None = None,
    ) -> None:
        """Count amounts by counter for an item, all at one event time.

        Args:
            viewer_id: whoever acted on it, if that makes them one of its viewers.
        """
        item = self._item(item_id, time_ms)
        f0, f1, f2 = item.move(time_ms)
        if viewer_id is not None:
            if item.viewers is None:
                item.viewers = {}
            item.viewers[viewer_id] = None
        for counter, amount in amounts:
            item.counted(counter).add(amount, amount * f0, amount * f1, amount * f2)

    def add_sums(
        self,
        item_id: str,
        time_ms: int,
        counter: str,
        total: float,
        sums: tuple[float, float, float],
    ) -> None:
        """Count a total of a counter, and its sums by half-life as at a time."""
        item = self._item(item_id, time_ms)
        f0, f1, f2 = item.move(time_ms)
        m30, h6, d7 = sums
        item.counted(counter).add(total, m30 * f0, h6 * f1, d7 * f2)

    def add_slate(self, time_ms: int, item_ids: list[str], rates: list[float]) -> None:
        """Count an impression, and the clicks expected of its position, for each slot."""
        for place, item_id in enumerate(item_ids):
            rate = rates[place]
            item = self._item(item_id, time_ms)
            f0, f1, f2 = item.move(time_ms)
            item.counted(_IMPRESSIONS).add(1.0, f0, f1, f2)
            item.counted(_EXPECTED_CLICKS).add(rate, rate * f0, rate * f1, rate * f2)

    def take(self) -> list[tuple[str, bytes]]:
        """Return the deltas since the last call: item id and encoded `ItemDelta`."""
        items, self._items = self._items, {}
        taken: list[tuple[str, bytes]] = []
        for item_id, item in items.items():
            delta = item.delta(item_id)
            if item.viewers is not None:
                taken += [(item_id, _encode(one)) for one in _crowd(delta, pack(item.viewers))]
            taken.append((item_id, _encode(delta)))
        return taken


def _crowd(delta: _Delta, viewers: bytes) -> list[_Delta]:
    """Put viewers into a delta; return others to go before it for those it cannot take."""
    most, before = MAX_VIEWERS * DIGEST_BYTES, list[_Delta]()
    while len(viewers) > most:
        before.append(_Delta(delta.item_id, delta.as_of_ms, delta.first_ms, {}, viewers[:most]))
        viewers = viewers[most:]
    delta.viewers = viewers
    return before
