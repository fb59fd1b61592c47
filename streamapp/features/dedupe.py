"""Duplicates: of records with one event_id from one viewer within 24 h, the first counts."""

from __future__ import annotations

from struct import Struct

import msgspec

from streamapp.features.decay import DAY_MS
from streamapp.features.packed import PackedTable, find

WITHIN_MS = DAY_MS
"""Two events with one id, further apart than this, are two events."""

_RECORD = Struct("<8sq")
_TIME = Struct("<q")
_SIZE = _RECORD.size
_BLOCK = 8 * _SIZE
_ENTRY = Struct("<16sq")


def _table() -> PackedTable:
    return PackedTable(_SIZE)


class EventIds(msgspec.Struct, gc=False):
    """The event ids of a viewer: 16 bytes each, a digest and the event time.

    Ids are written to the changelog in blocks of eight that never change again (`seal`), and the
    unfinished block with the viewer's head: a row every eight events instead of one each.

    Attributes:
        tail: the unfinished block.
        sealed: the ids of whole blocks.
        blocks: for each block in the changelog its name and newest event time, oldest first.
    """

    tail: bytes = b""
    sealed: PackedTable = msgspec.field(default_factory=_table)
    blocks: bytearray = msgspec.field(default_factory=bytearray)

    def add(self, key: bytes, time_ms: int, since_ms: int) -> bool:
        """Remember an id; False if it is a duplicate.

        Args:
            key: digest of the event id.
            since_ms: ids of events before this are forgotten: stream time less what is kept.
        """
        tail, bucket = self.tail, self.sealed.bucket(key)
        # Whether the bytes occur at all is quickly said, and they nearly never do.
        if key in tail and _known(tail, key, time_ms, since_ms):
            return False
        if key in bucket and _known(bucket, key, time_ms, since_ms):
            return False
        self.tail = tail + _RECORD.pack(key, time_ms)
        return True

    def seal(self, since_ms: int) -> bytes | None:
        """Return the block that has just become whole, if one has."""
        if len(self.tail) < _BLOCK:
            return None
        block, self.tail = self.tail, b""
        self._append(block, since_ms)
        return block

    def _append(self, block: bytes, since_ms: int) -> None:
        """Take a block in; in the buckets it goes to, drop what is oldest and forgotten."""
        newest_ms = max(time_ms for _, time_ms in _RECORD.iter_unpack(block))
        self.blocks += _ENTRY.pack(block[:_SIZE], newest_ms)
        for at in range(0, _BLOCK, _SIZE):
            record = block[at : at + _SIZE]
            bucket = self.sealed.bucket(record)
            while bucket and _TIME.unpack_from(bucket, 8)[0] < since_ms:
                self.sealed.drop(bucket, 0)
            self.sealed.append(record)

    def forget(self, since_ms: int) -> list[bytes]:
        """Drop the oldest blocks as far as all in them is forgotten; return their names."""
        dropped: list[bytes] = []
        while self.blocks and _ENTRY.unpack_from(self.blocks)[1] < since_ms:
            dropped.append(bytes(self.blocks[:_SIZE]))
            del self.blocks[: _ENTRY.size]
        return dropped

    def names(self) -> list[bytes]:
        """Return the names of the blocks in the changelog."""
        return [name for name, _ in _ENTRY.iter_unpack(self.blocks)]

    def restore(self, name: bytes, block: bytes | None) -> None:
        """Take a block back from the changelog, None for one that was dropped."""
        at = find(self.blocks, name, _ENTRY.size)
        if block is None:
            if at >= 0:
                del self.blocks[at : at + _ENTRY.size]
        elif at < 0:
            self._append(block, since_ms=0)


def block_name(block: bytes) -> bytes:
    """Return what identifies a block of a viewer: its first record."""
    return block[:_SIZE]


def _known(data: bytes | bytearray, key: bytes, time_ms: int, since_ms: int) -> bool:
    at = find(data, key, _SIZE)
    while at >= 0:
        known_ms = _TIME.unpack_from(data, at + 8)[0]
        if known_ms >= since_ms and abs(time_ms - known_ms) <= WITHIN_MS:
            return True
        at = find(data, key, _SIZE, at + _SIZE)
    return False
