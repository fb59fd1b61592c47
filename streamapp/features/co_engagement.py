"""Which items viewers engage together, since the last cut.

What counts, and why, says `streamapp.features.similarity`. An item's numbers are kept by the task
that owns its *shard*, one of 64: so a cut hands on one record a shard and minute, not one an item,
and how many partitions there are makes no difference.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from mypy_extensions import mypyc_attr

from streamapp.features.decay import MINUTE_MS
from streamapp.features.digest import digest
from streamapp.features.recent import RecentActions, escaped
from streamapp.features.sessions import Sessions
from streamapp.signals import SCHEMA

LAST: Final = 5
"""Items that an engagement is paired with at most."""

SHARDS: Final = 64

MAX_ENTRIES: Final = 300
"""Engagements in one record, so that none grows with the length of a backlog."""


@mypyc_attr(acyclic=True)
class _Delta:
    """A `PairDelta` in the making: the items of each engagement as JSON."""

    __slots__ = ("as_of_ms", "engaged", "retracted", "shard")

    def __init__(self, shard: int, as_of_ms: int) -> None:
        self.shard = shard
        self.as_of_ms = as_of_ms
        self.engaged: list[bytes] = []
        self.retracted: list[bytes] = []

    def encode(self) -> bytes:
        """Return it as JSON."""
        parts = [b'{"shard":"%d","as_of_ms":%d,"schema":%d' % (self.shard, self.as_of_ms, SCHEMA)]
        if self.engaged:
            parts += [b',"engaged":[', b",".join(self.engaged), b"]"]
        if self.retracted:
            parts += [b',"retracted":[', b",".join(self.retracted), b"]"]
        return b"".join([*parts, b"}"])


class CoEngagements:
    """Collects engagements between two cuts; nothing in them says whose they are."""

    def __init__(self) -> None:
        self._pending: dict[tuple[int, int], _Delta] = {}
        self._closed: list[_Delta] = []

    def add(
        self,
        item_id: str,
        time_ms: int,
        recent: RecentActions,
        known: Sessions,
        *,
        retracts: bool = False,
    ) -> None:
        """Take an engagement that is not yet among the viewer's recent actions and sessions.

        Args:
            known: the viewer's sessions.
            retracts: it was taken before, and is taken back.
        """
        shard, item = _named(item_id)
        from_ms, to_ms = known.span(time_ms)
        before = recent.engaged(from_ms, to_ms, LAST)
        if item in before:
            return
        key = time_ms // MINUTE_MS, shard
        delta = self._pending.get(key)
        if delta is None:
            delta = self._pending[key] = _Delta(shard, time_ms)
        elif time_ms > delta.as_of_ms:
            delta.as_of_ms = time_ms
        before.insert(0, item)
        entries = delta.retracted if retracts else delta.engaged
        entries.append(b"".join([b'["', b'","'.join(before), b'"]']))
        if len(entries) == MAX_ENTRIES:
            self._closed.append(self._pending.pop(key))

    def take(self) -> list[tuple[str, bytes]]:
        """Return the engagements since the last call: shard and encoded `PairDelta`."""
        closed, self._closed = self._closed, []
        pending, self._pending = self._pending, {}
        return [(str(delta.shard), delta.encode()) for delta in (*closed, *pending.values())]


def shard_of(item_id: str) -> int:
    """Return which shard an item is of.

    >>> shard_of("i1")
    41
    """
    return _named(item_id)[0]


@lru_cache(maxsize=1 << 16)
def _named(item_id: str) -> tuple[int, bytes]:
    """Return an item's shard, and its id escaped as in JSON."""
    return digest(item_id)[0] % SHARDS, escaped(item_id)
