"""What the tasks of items tell each other since the last cut.

What for, says `streamapp.processors.similar`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from streamapp.features.co_engagement import shard_of
from streamapp.signals import PairDelta, Told

MAX_ENTRIES = 1_000
"""Entries in one record, so that none grows with the length of a backlog."""

_encode = msgspec.json.Encoder().encode

Engaged = Callable[[str, int], float | None]
"""item_id, time → its sessions as at that time, None when it is no longer held."""

_Pairs = dict[tuple[str, str], int]
"""Who is told, of whom → sessions of both to count."""


class _Letters:
    """Of one full minute."""

    __slots__ = ("as_of_ms", "asked", "told")

    def __init__(self) -> None:
        self.as_of_ms = 0
        self.asked: _Pairs = {}
        self.told: _Pairs = {}


class PairLetters:
    """Collects, by minute, what goes to which shard."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Letters] = {}

    def of(self, minute_ms: int, as_of_ms: int) -> _Letters:
        """Return where to put what an event of a minute brings about."""
        letters = self._minutes.get(minute_ms)
        if letters is None:
            letters = self._minutes[minute_ms] = _Letters()
        letters.as_of_ms = max(letters.as_of_ms, as_of_ms)
        return letters

    def take(self, engaged: Engaged) -> Iterator[tuple[str, bytes]]:
        """Yield what there is since the last call: shard and encoded `PairDelta`."""
        minutes, self._minutes = self._minutes, {}
        for minute_ms, letters in minutes.items():
            by_shard: dict[int, tuple[list[Told], list[Told]]] = {}
            for column, pairs in enumerate((letters.asked, letters.told)):
                for (item_id, other_id), together in pairs.items():
                    sessions = engaged(other_id, minute_ms)
                    if sessions is not None:
                        shard = shard_of(item_id)
                        lists = by_shard.get(shard) or by_shard.setdefault(shard, ([], []))
                        lists[column].append(Told(item_id, other_id, sessions, together))
            for shard, (asked, told) in by_shard.items():
                yield from _records(str(shard), letters.as_of_ms, asked, told)


def _records(
    shard: str, as_of_ms: int, asked: list[Told], told: list[Told]
) -> Iterator[tuple[str, bytes]]:
    for at in range(0, max(len(asked), len(told)), MAX_ENTRIES):
        part = slice(at, at + MAX_ENTRIES)
        delta = PairDelta(shard=shard, as_of_ms=as_of_ms, asked=asked[part], told=told[part])
        yield shard, _encode(delta)
