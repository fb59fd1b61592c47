"""What the tasks of items tell each other since the last cut.

What for, says `streamapp.processors.similar`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from streamapp.features.co_engagement import shard_of
from streamapp.signals import SCHEMA

MAX_ENTRIES = 1_000
"""Entries in one record, so that none grows with the length of a backlog."""

_encode = msgspec.json.Encoder().encode

Engaged = Callable[[str, int], float | None]
"""item_id, time → its sessions as at that time, None when it is no longer held."""

Pairs = dict[str, dict[str, int]]
"""Of whom → who is told → sessions of both to count."""

_Told = tuple[str, str, float, int]


class _Delta(msgspec.Struct, gc=False, omit_defaults=True):
    """A `PairDelta` as it is sent."""

    shard: str
    as_of_ms: int
    asked: list[_Told] = []
    told: list[_Told] = []
    schema: int = SCHEMA


class Letters:
    """Those of one full minute.

    Attributes:
        as_of_ms: newest event time.
        asked, told: as in `PairDelta`.
    """

    __slots__ = ("as_of_ms", "asked", "told")

    def __init__(self) -> None:
        self.as_of_ms = 0
        self.asked: Pairs = {}
        self.told: Pairs = {}


class PairLetters:
    """Collects, by minute, what goes to which shard."""

    def __init__(self) -> None:
        self._minutes: dict[int, Letters] = {}

    def of(self, minute_ms: int, as_of_ms: int) -> Letters:
        """Return where to put what an event of a minute brings about."""
        letters = self._minutes.get(minute_ms)
        if letters is None:
            letters = self._minutes[minute_ms] = Letters()
        letters.as_of_ms = max(letters.as_of_ms, as_of_ms)
        return letters

    def take(self, engaged: Engaged) -> Iterator[tuple[str, bytes]]:
        """Yield what there is since the last call: shard and encoded `PairDelta`."""
        minutes, self._minutes = self._minutes, {}
        for minute_ms, letters in minutes.items():
            asked = _by_shard(letters.asked, minute_ms, engaged)
            told = _by_shard(letters.told, minute_ms, engaged)
            for shard in asked | told:
                lists = asked.get(shard, []), told.get(shard, [])
                for delta in _deltas(str(shard), letters.as_of_ms, *lists):
                    yield delta.shard, _encode(delta)


def _by_shard(pairs: Pairs, minute_ms: int, engaged: Engaged) -> dict[int, list[_Told]]:
    lists: dict[int, list[_Told]] = {}
    for other_id, to in pairs.items():
        sessions = engaged(other_id, minute_ms)
        if sessions is None:
            continue
        for item_id, together in to.items():
            shard = shard_of(item_id)
            told = lists.get(shard)
            if told is None:
                told = lists[shard] = []
            told.append((item_id, other_id, sessions, together))
    return lists


def _deltas(shard: str, as_of_ms: int, asked: list[_Told], told: list[_Told]) -> Iterator[_Delta]:
    for at in range(0, max(len(asked), len(told)), MAX_ENTRIES):
        part = slice(at, at + MAX_ENTRIES)
        yield _Delta(shard, as_of_ms, asked[part], told[part])
