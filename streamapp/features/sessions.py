"""Sessions of a viewer: events with gaps under 30 min.

::

    e ── 10 min ── e          e ── e                     two sessions
    e ── 10 min ── e ── 25 ── e ── 25 ── e ── e          one, when a late event bridges them

A session is the time from its first to its last event and what was counted within. Sessions that
come within 30 min of each other merge, and their counts add up: in the end they are a function of
the set of events. An event may come as late as the grace, so a session is kept until none that is
accepted can reach it any more; there are at most two in an hour of grace, and the newest one.

In the viewer's row all of them are packed in one `bytes`, newest first, 48 bytes each. In memory
the newest one, which nearly all events are of, is an object.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from mypy_extensions import mypyc_attr

from streamapp.features.decay import MINUTE_MS

GAP_MS: Final = 30 * MINUTE_MS
"""Two events this far apart are of two sessions."""

_RECORD: Final = Struct("<6q")
_SIZE: Final = 48
_MOST: Final = 1 << 62
"""Of watched_ms: what fits, whatever clients claim to have watched."""


class Session(NamedTuple):
    """One session.

    impressions: slate entries shown. clicks: actions `click`. watches: playbacks begun.
    watched_ms: time watched.
    """

    started_at_ms: int
    last_ms: int
    impressions: int = 0
    clicks: int = 0
    watches: int = 0
    watched_ms: int = 0


@mypyc_attr(acyclic=True)
class Sessions:
    """The sessions of a viewer, none or more.

    Attributes:
        started_at_ms, last_ms, impressions, clicks, watches, watched_ms: of the newest one, as in
            `Session`; `last_ms` is −1 when there is none.
        others: packed, those before it that an event may yet be added to.
    """

    __slots__ = (
        "clicks",
        "impressions",
        "last_ms",
        "others",
        "started_at_ms",
        "watched_ms",
        "watches",
    )

    def __init__(self, packed: bytes = b"") -> None:
        self.others = b""
        self.last_ms = -1
        self.started_at_ms = self.impressions = self.clicks = self.watches = self.watched_ms = 0
        if packed:
            self._set(Session._make(_RECORD.unpack_from(packed)), packed[_SIZE:])

    def _set(self, newest: Session, others: bytes) -> None:
        self.started_at_ms, self.last_ms = newest.started_at_ms, newest.last_ms
        self.impressions, self.clicks = newest.impressions, newest.clicks
        self.watches, self.watched_ms = newest.watches, newest.watched_ms
        self.others = others

    def add(
        self,
        time_ms: int,
        since_ms: int,
        impressions: int = 0,
        clicks: int = 0,
        watches: int = 0,
        watched_ms: int = 0,
    ) -> None:
        """Add an event, and what it counts.

        Args:
            since_ms: no event older than this will come: stream time less grace.
        """
        if self.started_at_ms <= time_ms < self.last_ms + GAP_MS and self.last_ms >= 0:
            self.last_ms = max(self.last_ms, time_ms)
            self.impressions += impressions
            self.clicks += clicks
            self.watches += watches
            self.watched_ms = min(self.watched_ms + watched_ms, _MOST)
            return
        event = Session(time_ms, time_ms, impressions, clicks, watches, watched_ms)
        if self.last_ms < 0:
            self._set(event, b"")
        elif time_ms < self.started_at_ms:
            self._add_late(event, since_ms)
        else:
            self._set(event, _reachable(self.pack(), since_ms))

    def _add_late(self, event: Session, since_ms: int) -> None:
        """Add an event that is older than the newest session."""
        sessions: list[Session] = []
        for session in sorted([*self.all(), event], reverse=True):
            if sessions and sessions[-1].started_at_ms - session.last_ms < GAP_MS:
                sessions[-1] = _merged(sessions[-1], session)
            else:
                sessions.append(session)
        others = b"".join([_RECORD.pack(*session) for session in sessions[1:]])
        self._set(sessions[0], _reachable(others, since_ms))

    def span(self, time_ms: int) -> tuple[int, int]:
        """Return from when to when the session is that an event of this time joins.

        It is at least the event's own time: both ends when it begins a session.
        """
        start_ms, last_ms = self.started_at_ms, self.last_ms
        if last_ms < 0:
            return time_ms, time_ms
        if start_ms <= time_ms < last_ms + GAP_MS:
            return start_ms, max(last_ms, time_ms)
        if time_ms < start_ms:
            return self._span_late(time_ms)
        return time_ms, time_ms

    def _span_late(self, time_ms: int) -> tuple[int, int]:
        first_ms = last_ms = time_ms
        for session in self.all():
            if session.started_at_ms - GAP_MS < time_ms < session.last_ms + GAP_MS:
                first_ms = min(first_ms, session.started_at_ms)
                last_ms = max(last_ms, session.last_ms)
        return first_ms, last_ms

    def all(self) -> list[Session]:
        """Return the sessions, newest first."""
        return [Session._make(record) for record in _RECORD.iter_unpack(self.pack())]

    def pack(self) -> bytes:
        """Return them as they are in the viewer's row."""
        if self.last_ms < 0:
            return b""
        return _RECORD.pack(*newest(self)) + self.others


def _merged(one: Session, other: Session) -> Session:
    return Session(
        min(one.started_at_ms, other.started_at_ms),
        max(one.last_ms, other.last_ms),
        one.impressions + other.impressions,
        one.clicks + other.clicks,
        one.watches + other.watches,
        min(one.watched_ms + other.watched_ms, _MOST),
    )


def _reachable(packed: bytes, since_ms: int) -> bytes:
    """Return the sessions that an event may yet be added to."""
    end = len(packed)
    while end and _RECORD.unpack_from(packed, end - _SIZE)[1] + GAP_MS <= since_ms:
        end -= _SIZE
    return packed[:end]


def newest(sessions: Sessions) -> Session:
    """Return the newest session, where there is one."""
    return Session(
        sessions.started_at_ms,
        sessions.last_ms,
        sessions.impressions,
        sessions.clicks,
        sessions.watches,
        sessions.watched_ms,
    )
