"""Which items viewers engage together, since the last cut.

What counts, and why, says `streamapp.features.similarity`. An item's numbers are kept by the task
that owns its *shard*, one of 64: so a cut hands on one record a shard and minute, not one an item,
and how many partitions there are makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from streamapp.features.decay import MINUTE_MS
from streamapp.features.digest import digest
from streamapp.features.recent import RecentActions, escaped
from streamapp.features.sessions import Sessions
from streamapp.signals import SCHEMA

LAST = 5
"""Items that an engagement is paired with at most."""

SHARDS = 64

MAX_ENTRIES = 300
"""Engagements in one record, so that none grows with the length of a backlog."""

_encode = msgspec.json.Encoder().encode


class _Delta(msgspec.Struct, gc=False, omit_defaults=True):
    """A `PairDelta` in the making."""

    shard: str
    as_of_ms: int
    schema: int
    engaged: list[msgspec.Raw] = []
    retracted: list[msgspec.Raw] = []


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
            delta = self._pending[key] = _Delta(str(shard), time_ms, SCHEMA)
        elif time_ms > delta.as_of_ms:
            delta.as_of_ms = time_ms
        before.insert(0, item)
        entries = delta.retracted if retracts else delta.engaged
        entries.append(msgspec.Raw(b'["%b"]' % b'","'.join(before)))
        if len(entries) == MAX_ENTRIES:
            self._closed.append(self._pending.pop(key))

    def take(self) -> Iterator[tuple[str, bytes]]:
        """Yield the engagements since the last call: shard and encoded `PairDelta`."""
        closed, self._closed = self._closed, []
        pending, self._pending = self._pending, {}
        for delta in (*closed, *pending.values()):
            yield delta.shard, _encode(delta)


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
