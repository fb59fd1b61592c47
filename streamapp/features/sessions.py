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
_MOST = 1 << 62


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


def add(packed: bytes, event: Session, since_ms: int) -> bytes:
    """Add an event, as a session of its own, to packed sessions.

    Args:
        since_ms: no event older than this will come: stream time less grace.
    """
    time_ms = event.started_at_ms
    if packed:
        newest = Session._make(_RECORD.unpack_from(packed))
        if newest.started_at_ms <= time_ms < newest.last_ms + GAP_MS:
            return _RECORD.pack(*_merged(newest, event)) + packed[_SIZE:]
        if time_ms < newest.started_at_ms:
            return _add_late(packed, event, since_ms)
    return _RECORD.pack(*event) + _reachable(packed, since_ms)


def _merged(one: Session, other: Session) -> Session:
    start_ms, start2_ms = one[0], other[0]
    last_ms, last2_ms = one[1], other[1]
    return Session(
        min(start2_ms, start_ms),
        max(last2_ms, last_ms),
        one[2] + other[2],
        one[3] + other[3],
        one[4] + other[4],
        min(one[5] + other[5], _MOST),  # whatever a client claims to have watched
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


def newest(packed: bytes) -> Session:
    """Return the newest session."""
    return Session._make(_RECORD.unpack_from(packed))
