"""Sessions of a viewer: events with gaps under 30 min.

::

    e ── 10 min ── e          e ── e                     two sessions
    e ── 10 min ── e ── 25 ── e ── 25 ── e ── e          one, when a late event bridges them

A session is the time from its first to its last event and what was counted within. Sessions that
come within 30 min of each other merge, and their counts add up: in the end they are a function of
the set of events. An event may come as late as the grace, so a session is kept until none that is
accepted can reach it any more; there are at most two in an hour of grace, and the newest one.

All of them are packed in one `bytes`, newest first, 48 bytes each, which is kept in the viewer's
head row.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from streamapp.features.decay import MINUTE_MS

GAP_MS = 30 * MINUTE_MS
"""Two events this far apart are of two sessions."""

_RECORD = Struct("<6q")
_SIZE = _RECORD.size
_SPAN = Struct("<2q")
_COUNTED = Struct("<16x2q")
_MOST = 1 << 62
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


def add(
    packed: bytes,
    time_ms: int,
    since_ms: int,
    *,
    impressions: int = 0,
    clicks: int = 0,
    watches: int = 0,
    watched_ms: int = 0,
) -> bytes:
    """Add an event, and what it counts, to packed sessions.

    Args:
        since_ms: no event older than this will come: stream time less grace.
    """
    if not packed:
        return _RECORD.pack(time_ms, time_ms, impressions, clicks, watches, watched_ms)
    start_ms, last_ms, shown, clicked, begun, watched = _RECORD.unpack_from(packed)
    if start_ms <= time_ms < last_ms + GAP_MS:
        session = _RECORD.pack(
            start_ms,
            max(last_ms, time_ms),
            shown + impressions,
            clicked + clicks,
            begun + watches,
            min(watched + watched_ms, _MOST),
        )
        return session + packed[_SIZE:]
    event = Session(time_ms, time_ms, impressions, clicks, watches, watched_ms)
    if time_ms < start_ms:
        return _add_late(packed, event, since_ms)
    return _RECORD.pack(*event) + _reachable(packed, since_ms)


def span(packed: bytes, time_ms: int) -> tuple[int, int]:
    """Return from when to when the session is that an event of this time joins.

    It is at least the event's own time: both ends when it begins a session.
    """
    if packed:
        start_ms, last_ms = _SPAN.unpack_from(packed)
        if start_ms <= time_ms < last_ms + GAP_MS:
            return start_ms, max(last_ms, time_ms)
        if time_ms < start_ms:
            return _span_late(packed, time_ms)
    return time_ms, time_ms


def _span_late(packed: bytes, time_ms: int) -> tuple[int, int]:
    joined = [
        session
        for session in unpack(packed)
        if session.started_at_ms - GAP_MS < time_ms < session.last_ms + GAP_MS
    ]
    starts = [session.started_at_ms for session in joined]
    lasts = [session.last_ms for session in joined]
    return min([time_ms, *starts]), max([time_ms, *lasts])


def _merged(one: Session, other: Session) -> Session:
    return Session(
        min(one.started_at_ms, other.started_at_ms),
        max(one.last_ms, other.last_ms),
        one.impressions + other.impressions,
        one.clicks + other.clicks,
        one.watches + other.watches,
        min(one.watched_ms + other.watched_ms, _MOST),
    )


def _add_late(packed: bytes, event: Session, since_ms: int) -> bytes:
    """Add an event that is older than the newest session."""
    sessions: list[Session] = []
    for session in sorted([*unpack(packed), event], reverse=True):
        if sessions and sessions[-1].started_at_ms - session.last_ms < GAP_MS:
            sessions[-1] = _merged(sessions[-1], session)
        else:
            sessions.append(session)
    newest, *others = [_RECORD.pack(*session) for session in sessions]
    return newest + _reachable(b"".join(others), since_ms)


def _reachable(packed: bytes, since_ms: int) -> bytes:
    """Return the sessions that an event may yet be added to."""
    end = len(packed)
    while end and _RECORD.unpack_from(packed, end - _SIZE)[1] + GAP_MS <= since_ms:
        end -= _SIZE
    return packed[:end]


def unpack(packed: bytes) -> list[Session]:
    """Return the sessions, newest first."""
    return [Session._make(record) for record in _RECORD.iter_unpack(packed)]


def counted(packed: bytes) -> tuple[int, int]:
    """Return impressions and clicks of the newest session."""
    counts: tuple[int, int] = _COUNTED.unpack_from(packed)
    return counts


def newest(packed: bytes) -> Session:
    """Return the newest session."""
    return Session._make(_RECORD.unpack_from(packed))
