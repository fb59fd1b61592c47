"""Examples of kind completion: what came of the playbacks that slates led to.

::

    served    begins   window over    heartbeats …                   served + duration + 30 min
      │─────────│───────────┊──────────│───────│─────────────────────────────┊──▶ stream time
      features            examples of  the playback goes on                examples of kind
      frozen              kind click   (elsewhere: playbacks.py)           completion, all at once

A playback belongs to a slot as a click does, by its first heartbeat, and within the same window;
of several playbacks of a slot the first. A playback that begins later counts in signals, and gives
no example. So these examples tell what came of an item given that it was played.

All of a slate are given together, when stream time is past served + the longest duration known
then of what was begun + 30 min. Durations count up to 12 hours, and unknown ones as 0. What the
playback comes to by then are the labels; heartbeats after that count in signals only.

What waits is kept in the examples' final form, but for the labels: one changelog row a slate. Of
one viewer at most `MOST` slates wait; when there are more, further ones give no such examples,
which is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from streamapp.features.decay import HOUR_MS
from streamapp.features.playbacks import IDLE_MS, Playback

KIND = b"c"
"""First byte of the changelog key; the slate's 8-byte key and the viewer's id follow."""

MOST = 500
LONGEST_MS = 12 * HOUR_MS
"""Durations beyond it wait no longer: well below the time that playbacks are remembered for."""

_KEY = 8
_Change = tuple[bytes, bytes | None]
_encode = msgspec.json.Encoder().encode


class Begun(msgspec.Struct, gc=False, array_like=True):
    """One example that waits.

    Attributes:
        playback: key of the playback.
        start: the example, but for labels and the times they were known at, and for its end.
        clicked: whether the slot was clicked within the window.
    """

    playback: bytes
    start: str
    clicked: bool


class Awaited(msgspec.Struct, gc=False, array_like=True, tag="begun-1"):
    """The examples of one slate that wait."""

    due_ms: int
    segment: str
    begun: tuple[Begun, ...]


class DueCompletions(NamedTuple):
    """Examples that have waited: each one's start and labels."""

    segment: str
    due_ms: int
    labelled: list[tuple[str, bytes]]


class _Labels(msgspec.Struct, frozen=True, gc=False):
    clicked: bool
    watched_ms: int
    completed: bool
    watched_share: float | None


_decode = msgspec.json.Decoder(Awaited).decode


def due_ms(served_ms: int, playbacks: Iterable[Playback]) -> int:
    """Return until when the labels of a slate may change."""
    longest_ms = max((playback.duration_ms for playback in playbacks), default=0)
    return served_ms + min(longest_ms, LONGEST_MS) + IDLE_MS


def labels(playback: Playback, *, clicked: bool) -> bytes:
    """Return the labels that a playback makes by now, as JSON.

    The share watched is watched_ms / duration_ms, at most 1; there is none without a duration.
    """
    duration_ms, watched_ms = playback.duration_ms, playback.watched_ms
    share = min(watched_ms / duration_ms, 1.0) if duration_ms else None
    return _encode(_Labels(clicked, watched_ms, playback.completed, share))


class Completions:
    """The examples that wait, by viewer and slate, and the changelog rows that have changed."""

    def __init__(self) -> None:
        self._awaited: dict[str, dict[bytes, Awaited]] = {}
        self._changes: dict[bytes, bytes | None] = {}

    def add(self, viewer_id: str, key: bytes, awaited: Awaited) -> bool:
        """Let a slate's examples wait; False if too many do already."""
        mine = self._awaited.setdefault(viewer_id, {})
        if len(mine) >= MOST:
            return False
        mine[key] = awaited
        self._changes[_row_key(viewer_id, key)] = _encode(awaited)
        return True

    def pop(self, viewer_id: str, key: bytes) -> Awaited | None:
        """Return and forget what waits of a slate; None if nothing does any more."""
        awaited = self._remove(viewer_id, key)
        if awaited is not None:
            self._changes[_row_key(viewer_id, key)] = None
        return awaited

    def _remove(self, viewer_id: str, key: bytes) -> Awaited | None:
        mine = self._awaited.get(viewer_id, {})
        awaited = mine.pop(key, None)
        if awaited is not None and not mine:
            del self._awaited[viewer_id]
        return awaited

    def forget(self, viewer_id: str) -> None:
        """Forget all that waits of a viewer."""
        for key in list(self._awaited.get(viewer_id, ())):
            self.pop(viewer_id, key)

    def waiting(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield when each slate's examples are due, the viewer and the slate."""
        for viewer_id, mine in self._awaited.items():
            for key, awaited in mine.items():
                yield awaited.due_ms, viewer_id, key

    def take(self) -> Iterator[_Change]:
        """Yield the rows written since the last call."""
        changes, self._changes = self._changes, {}
        yield from changes.items()

    def restore(self, rows: Iterable[_Change]) -> Iterator[_Change]:
        """Take the rows that are of this kind; yield the others."""
        for row in rows:
            key, value = row
            if key[:1] != KIND:
                yield row
                continue
            slate, viewer_id = key[1 : 1 + _KEY], key[1 + _KEY :].decode()
            if value is not None:
                self._awaited.setdefault(viewer_id, {})[slate] = _decode(value)
            else:
                self._remove(viewer_id, slate)


def _row_key(viewer_id: str, key: bytes) -> bytes:
    return KIND + key + viewer_id.encode()
