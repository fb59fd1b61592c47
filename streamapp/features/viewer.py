"""One viewer: everything kept about them, packed, and the changelog rows it is kept in.

One event touches few rows, so a viewer is many small ones. A row's key is its kind, a part of
fixed form in hexadecimal, and the viewer id, which may be any text:

====  ===============================  =============================================
kind  part                             row
====  ===============================  =============================================
h     none                             head: times, whether a signal is owed, the
                                       latest event ids, the sessions, the trust
d     first record, 16 bytes           eight event ids, never written again
r     slot, 1 byte                     one recent action
p     digest of the playback, 8 bytes  one playback
s     digest of the event id, 8 bytes  one slate as shown, never written again
c     the same                         its clicks
j     slot, 2 bytes                    one impression, for the searches
m     slot, 2 bytes                    one click, for the searches
vxakwq  8 bytes                        the viewer's profile, see
                                       `streamapp.features.profile`
====  ===============================  =============================================
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamapp.features import profile
from streamapp.features.decay import DAY_MS
from streamapp.features.dedupe import EventIds
from streamapp.features.journal import Journal
from streamapp.features.playbacks import Playback, Playbacks
from streamapp.features.profile import Profile
from streamapp.features.recent import Action, RecentActions
from streamapp.features.slates import Slate

_ROW_VERSION = 1

_NEVER = -DAY_MS


class _HeadRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    newest_ms: int
    published_ms: int
    owed: bool
    ids: bytes
    sessions: bytes
    trust: bytes


class _BlockRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    ids: bytes


class _RecentRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    occurred_at_ms: int
    event_id: str
    action: int
    item_id: str


class _PlaybackRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """With the item, which memory knows from the playback's timer."""

    version: int
    item_id: str
    start_ms: int
    last_ms: int
    watched_ms: int
    duration_ms: int
    closed: bool
    timed_out: bool
    completed: bool
    kept_out: bool

    def playback(self) -> Playback:
        return Playback(
            self.start_ms,
            self.last_ms,
            self.watched_ms,
            self.duration_ms,
            self.closed,
            self.timed_out,
            self.completed,
            self.kept_out,
        )


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_HeadRow).decode
_decode_block = msgspec.json.Decoder(_BlockRow).decode
_decode_recent = msgspec.json.Decoder(_RecentRow).decode
_decode_playback = msgspec.json.Decoder(_PlaybackRow).decode

_PART_BYTES = {
    b"h": 0,
    b"d": 16,
    b"r": 1,
    b"p": 8,
    b"s": 8,
    b"c": 8,
    b"j": 2,
    b"m": 2,
    **profile.PART_BYTES,
}


class Viewer(msgspec.Struct, gc=False):
    """One viewer in memory: some 3 KB with 50 actions and 40 event ids, without the profile.

    Attributes:
        newest_ms: newest event time.
        published_ms: stream time of the last signal.
        owed: the signal has changed since.
        slates: those still needed by request, oldest first.
        trust: packed, see `streamapp.features.trust`.
    """

    viewer_id: str
    newest_ms: int = -1
    published_ms: int = _NEVER
    owed: bool = False
    ids: EventIds = msgspec.field(default_factory=EventIds)
    recent: RecentActions = msgspec.field(default_factory=RecentActions)
    playbacks: Playbacks = msgspec.field(default_factory=Playbacks)
    slates: dict[str, tuple[Slate, ...]] = msgspec.field(default_factory=dict)
    journal: Journal = msgspec.field(default_factory=Journal)
    profile: Profile = msgspec.field(default_factory=Profile)
    trust: bytes = b""

    def add_slate(self, slate: Slate) -> None:
        """Keep a slate."""
        request_id = slate.shown.request_id
        self.slates[request_id] = (*self.slates.get(request_id, ()), slate)

    def drop_slate(self, slate: Slate) -> None:
        """Forget a slate."""
        request_id = slate.shown.request_id
        others = tuple([other for other in self.slates[request_id] if other is not slate])
        if others:
            self.slates[request_id] = others
        else:
            del self.slates[request_id]

    def slate(self, request_id: str, key: bytes) -> Slate | None:
        """Return a slate."""
        for slate in self.slates.get(request_id, ()):
            if slate.key == key:
                return slate
        return None

    def all_slates(self) -> list[Slate]:
        """Return the slates of all requests."""
        return [slate for slates in self.slates.values() for slate in slates]

    def row_key(self, kind: bytes, part: bytes = b"") -> bytes:
        """Return the key of one of the viewer's rows."""
        return kind + part + self.viewer_id.encode()

    def row_keys(self) -> Iterator[bytes]:
        """Yield the keys of all rows of the viewer."""
        yield self.row_key(b"h")
        for name in self.ids.names():
            yield self.row_key(b"d", name)
        for slot in range(self.recent.held):
            yield self.row_key(b"r", bytes([slot]))
        for key in self.playbacks.all_keys():
            yield self.row_key(b"p", key)
        for slate in self.all_slates():
            yield self.row_key(b"s", slate.key)
            yield self.row_key(b"c", slate.key)
        for part in self.journal.shown_parts():
            yield self.row_key(b"j", part)
        for part in self.journal.click_parts():
            yield self.row_key(b"m", part)
        for key in self.profile.row_keys():
            yield self.row_key(key)

    def head(self) -> bytes:
        """Return the head row."""
        return _encode(
            _HeadRow(
                _ROW_VERSION,
                self.newest_ms,
                self.published_ms,
                self.owed,
                self.ids.tail,
                self.profile.sessions,
                self.trust,
            )
        )


_JOURNAL = {b"j": Journal.restore_shown, b"m": Journal.restore_click}


def block_row(block: bytes) -> bytes:
    """Return the row of eight event ids."""
    return _encode(_BlockRow(_ROW_VERSION, block))


def recent_row(entry: Action) -> bytes:
    """Return the row of a recent action."""
    return _encode(_RecentRow(_ROW_VERSION, *entry))


def playback_row(item_id: str, playback: Playback) -> bytes:
    """Return the row of a playback."""
    return _encode(_PlaybackRow(_ROW_VERSION, item_id, *msgspec.structs.astuple(playback)))


def split_key(key: bytes) -> tuple[bytes, bytes, str]:
    """Return the kind, the part and the viewer id of a row's key."""
    kind = key[:1]
    end = 1 + _PART_BYTES[kind]
    return kind, key[1:end], key[end:].decode()


def restore_row(viewer: Viewer, kind: bytes, part: bytes, value: bytes | None) -> str | None:
    """Take one row back into a viewer, None for one that was deleted.

    Returns:
        The item of a playback that is open: the viewer itself does not keep it.
    """
    if kind == b"d":
        viewer.ids.restore(part, None if value is None else _decode_block(value).ids)
    elif kind == b"p":
        return _restore_playback(viewer, part, value)
    elif kind == b"s":
        _restore_slate(viewer, part, value)
    elif kind == b"r":
        _restore_recent(viewer, part[0], value)
    elif kind in _JOURNAL:
        if value is not None:
            _JOURNAL[kind](viewer.journal, value)
    elif kind == b"c":
        _restore_clicks(viewer, part, value)
    elif kind in profile.PART_BYTES:
        viewer.profile.restore(kind, part, value)
    elif value is not None:
        head = _decode_head(value)
        viewer.newest_ms, viewer.published_ms = head.newest_ms, head.published_ms
        viewer.owed, viewer.ids.tail = head.owed, head.ids
        viewer.profile.sessions, viewer.trust = head.sessions, head.trust
    return None


def _restore_playback(viewer: Viewer, key: bytes, value: bytes | None) -> str | None:
    if value is None:
        viewer.playbacks.remove(key)
        return None
    row = _decode_playback(value)
    viewer.playbacks.put(key, row.playback())
    return None if row.closed else row.item_id


def _restore_recent(viewer: Viewer, slot: int, value: bytes | None) -> None:
    if value is None:
        viewer.recent.remove(slot)
        return
    row = _decode_recent(value)
    viewer.recent.put(slot, Action(row.occurred_at_ms, row.event_id, row.action, row.item_id))


def _restore_slate(viewer: Viewer, key: bytes, value: bytes | None) -> None:
    slate = _find_slate(viewer, key)
    if slate is not None:
        viewer.drop_slate(slate)
    if value is not None:
        viewer.add_slate(Slate.from_row(key, value))


def _restore_clicks(viewer: Viewer, key: bytes, value: bytes | None) -> None:
    slate = _find_slate(viewer, key)
    if slate is not None and value is not None:
        slate.restore(value)


def _find_slate(viewer: Viewer, key: bytes) -> Slate | None:
    return next((slate for slate in viewer.all_slates() if slate.key == key), None)
