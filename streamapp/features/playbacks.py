"""Playbacks: from heartbeats to what a playback contributes to its item's counters.

::

    start      progress        progress                       progress    (heartbeats)
      │───10 min───│───10 min────│── 30 min without one ──┊       │
    watches +1                             closed +1 ◀────┘       only watched_ms from here on
    └── both count at the event time of the start ──┘

A playback closes when it is complete, at state exit, or when stream time passes 30 min after its
last heartbeat. Whether that last one happens must not depend on which other events came first:
stream time may pass those 30 min before a heartbeat arrives that lies within them. So a close by
time is taken back then. What remains is a function of the heartbeats alone.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, ClassVar, Final

from mypy_extensions import mypyc_attr

from streamapp.features.decay import DAY_MS, MINUTE_MS, SPAN_MS, growth
from streamapp.features.digest import digest
from streamapp.features.packed import PackedTable, find

IDLE_MS: Final = 30 * MINUTE_MS
"""A playback closes after so long without a heartbeat."""

MEMORY_MS: Final = DAY_MS
"""A heartbeat further from the last one than this begins a new playback, whatever its id."""

MAX_KEPT: Final = 10_000
"""Playbacks kept of a viewer. When there are more the first ones of each bucket go: one that was
open is never closed, and a heartbeat that comes for it begins another. Some 4,000 are sure to stay.
No person begins a tenth of that in two days."""

COMPLETE_RATIO: Final = 0.95
MAX_RATIO: Final = 3.0

Amounts = list[tuple[str, float]]
"""What to add, by counter."""


@mypyc_attr(acyclic=True)
class Playback:
    """One playback of an item by a viewer.

    Attributes:
        item: number of the item's name.
        start_ms: event time of its first heartbeat, where its contributions count.
        last_ms: newest event time of a heartbeat.
        watched_ms: largest so far.
        duration_ms: of the item, 0 when it has none or nobody said.
        closed: it has been counted as closed.
        timed_out: it was closed by time alone, which may yet be taken back.
        completed: it was watched to the end.
        kept_out: it counts no more, see `streamapp.features.trust`.
        ratio: what it has added to ratio_sum, −1 if it has not been counted there.
        grown: by half-life, Σ of the growth of `watched_ms`, each weighed by its age at `start_ms`:
            what it has added to the counter, should it be taken back.
    """

    __slots__ = (
        "closed",
        "completed",
        "duration_ms",
        "grown",
        "item",
        "kept_out",
        "last_ms",
        "ratio",
        "start_ms",
        "timed_out",
        "watched_ms",
    )

    def __init__(self, item: int, start_ms: int, last_ms: int) -> None:
        self.item = item
        self.start_ms = start_ms
        self.last_ms = last_ms
        self.watched_ms = 0
        self.duration_ms = 0
        self.closed = False
        self.timed_out = False
        self.completed = False
        self.kept_out = False
        self.ratio = -1.0
        self.grown = (0.0, 0.0, 0.0)

    def update(
        self, time_ms: int, state: str, watched_ms: int, duration_ms: int | None
    ) -> tuple[Amounts, int]:
        """Take a heartbeat.

        Returns:
            What counts at `start_ms`, and by how many ms `watched_ms` grew, which counts at the
            time of this heartbeat.
        """
        amounts = self._resume(time_ms)
        grown = max(0, watched_ms - self.watched_ms)
        if grown:
            self.watched_ms += grown
            a, b, c = growth(min(time_ms - self.start_ms, SPAN_MS))
            x, y, z = self.grown
            self.grown = (x + grown * a, y + grown * b, z + grown * c)
        if duration_ms:
            self.duration_ms = duration_ms
        if not self.completed and (state == "complete" or self._ratio() >= COMPLETE_RATIO):
            self.completed = True
            amounts.append(("completes", 1.0))
        if not self.closed and (self.completed or state == "exit"):
            self.closed = True
            amounts += self._closing(1.0)
        return amounts, grown

    def _resume(self, time_ms: int) -> Amounts:
        """Go on after a gap; one of more than 30 min has closed the playback for good."""
        gap_ms = time_ms - self.last_ms
        self.last_ms = max(self.last_ms, time_ms)
        if gap_ms > IDLE_MS:
            amounts = self.time_out()
            self.timed_out = False
            return amounts
        if self.timed_out:
            self.closed = self.timed_out = False
            return self._closing(-1.0)
        return []

    def time_out(self) -> Amounts:
        """Close because stream time went on; return what counts at `start_ms`."""
        if self.closed:
            return []
        self.closed = self.timed_out = True
        return self._closing(1.0)

    def _closing(self, sign: float) -> Amounts:
        amounts = [("closed", sign)]
        if self.duration_ms:
            ratio = min(self._ratio(), MAX_RATIO)
            self.ratio = ratio if sign > 0 else -1.0
            amounts += [("ratio_sum", sign * ratio), ("ratio_n", sign)]
        return amounts

    def counted(self) -> Amounts:
        """Return what it has added so far, at `start_ms`."""
        amounts = [("watches", 1.0)]
        if self.completed:
            amounts.append(("completes", 1.0))
        if self.closed:
            amounts.append(("closed", 1.0))
        if self.closed and self.ratio >= 0.0:
            amounts += [("ratio_sum", self.ratio), ("ratio_n", 1.0)]
        return amounts

    def _ratio(self) -> float:
        return self.watched_ms / self.duration_ms if self.duration_ms else 0.0


def playback_key(playback_id: str, item_id: str) -> bytes:
    """Return the key of a playback among those of its viewer."""
    return digest(f"{len(playback_id)}:{playback_id}{item_id}")


_RECORD: Final = Struct("<8sIqqqq4?4d")
_LAST: Final = Struct("<20xq")
_SIZE: Final = 80


@mypyc_attr(acyclic=True)
class Playbacks(PackedTable):
    """The playbacks of a viewer by key, packed in 80 bytes each.

    All but the one that goes on: a heartbeat mostly belongs to the playback of the one before.

    Attributes:
        playing: its key; none if there is none.
        latest: the open playback that was put last.
    """

    __slots__ = ("latest", "playing")

    SIZE: ClassVar[int] = _SIZE

    def __init__(
        self,
        held: int = 0,
        buckets: tuple[bytearray, ...] = (),
        playing: bytes = b"",
        latest: Playback | None = None,
    ) -> None:
        super().__init__(held, buckets)
        self.playing = playing
        self.latest = latest

    def get(self, key: bytes) -> Playback | None:
        """Return a playback; `put` it back when it changed."""
        if key == self.playing:
            return self.latest
        bucket = self.bucket(key)
        at = find(bucket, key, _SIZE)
        return None if at < 0 else _unpacked(_RECORD.unpack_from(bucket, at))

    def put(self, key: bytes, playback: Playback) -> None:
        """Keep a playback."""
        if key != self.playing and self.latest is not None and not playback.closed:
            self._pack(self.playing, self.latest)
        if not playback.closed:
            self.playing, self.latest = key, playback
            return
        if key == self.playing:
            self.playing, self.latest = b"", None
        self._pack(key, playback)

    def _pack(self, key: bytes, playback: Playback) -> None:
        record: bytes = _RECORD.pack(
            key,
            playback.item,
            playback.start_ms,
            playback.last_ms,
            playback.watched_ms,
            playback.duration_ms,
            playback.closed,
            playback.timed_out,
            playback.completed,
            playback.kept_out,
            playback.ratio,
            *playback.grown,
        )
        bucket = self.bucket(key)
        at = find(bucket, key, _SIZE)
        if at < 0:
            self.append(bucket, record)
        else:
            bucket[at : at + _SIZE] = record

    def forget(self, key: bytes, since_ms: int) -> None:
        """Drop playbacks whose last heartbeat was before this, and those that are too many.

        Looks in the bucket of `key` only, and only at what came first: each bucket has its turn.
        """
        bucket = self.bucket(key)
        while len(bucket) > 0:
            if _LAST.unpack_from(bucket)[0] >= since_ms and self.held < MAX_KEPT:
                return
            self.drop(bucket, 0)

    def all(self) -> list[tuple[bytes, Playback]]:
        """Return the playbacks held with their keys; `put` back those that changed."""
        playing, latest = self.playing, self.latest
        found: list[tuple[bytes, Playback]] = []
        for record in self.records():
            fields = _RECORD.unpack(record)
            if fields[0] != playing:
                found.append((fields[0], _unpacked(fields)))
        if latest is not None:
            found.append((playing, latest))
        return found


def _unpacked(fields: tuple[Any, ...]) -> Playback:
    """Return a playback from the fields of its record: key, those up to `ratio`, `grown`."""
    playback = Playback(fields[1], fields[2], fields[3])
    playback.watched_ms, playback.duration_ms = fields[4], fields[5]
    playback.closed, playback.timed_out = fields[6], fields[7]
    playback.completed, playback.kept_out = fields[8], fields[9]
    playback.ratio = fields[10]
    playback.grown = (fields[11], fields[12], fields[13])
    return playback
