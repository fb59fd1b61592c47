"""Records as they came: the newest of each key, decoded when somebody asks.

Most viewers whose signals come by do not come back before the next one, so to decode them all
would be in vain. Each record is compressed (lz4: a viewer's 6.5 KB become 3.4 KB). Of too many
keys those that were updated the longest ago are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

import cramjam
import msgspec

from streamapp.events import decoder

T = TypeVar("T")

SMALL = 256
"""Bytes up to which compressing is not worth it."""


class _Stamp(msgspec.Struct, frozen=True, gc=False):
    as_of_ms: int


class HeldRecords(Generic[T]):
    """The newest record of each key of one topic.

    Args:
        kind: what a record is.
        topic: for messages.
        capacity: keys held.

    Attributes:
        forgotten: keys dropped because there were too many.
    """

    def __init__(self, kind: type[T], topic: str, capacity: int) -> None:
        self.forgotten = 0
        self._decode = decoder(kind, topic)
        self._stamp = decoder(_Stamp, topic)
        self._capacity = capacity
        # Oldest first; a plain dict finds its first slowly after deletions.
        self._records: OrderedDict[str, bytes] = OrderedDict()

    def update(self, key: str, value: bytes | None) -> int | None:
        """Take a record; None deletes. Return its `as_of_ms`.

        Raises:
            Rejection: the record is no JSON, or does not say as of when it is.
        """
        if value is None:
            self._records.pop(key, None)
            return None
        as_of_ms = self._stamp(value).as_of_ms
        self._records.pop(key, None)  # so that it comes last
        self._records[key] = _packed(value)
        if len(self._records) > self._capacity:
            self._records.popitem(last=False)
            self.forgotten += 1
        return as_of_ms

    def get(self, key: str) -> T | None:
        """Return what the newest record says, None if there is none.

        Raises:
            Rejection: it is not as it should be.
        """
        held = self._records.get(key)
        return None if held is None else self._decode(_unpacked(held))

    def __len__(self) -> int:
        return len(self._records)


def _packed(value: bytes) -> bytes:
    """Return a record behind a byte that says whether it is compressed."""
    if len(value) <= SMALL:
        return b"\0" + value
    return b"\1" + bytes(cramjam.lz4.compress_block(value))


def _unpacked(held: bytes) -> bytes:
    return held[1:] if held[0] == 0 else bytes(cramjam.lz4.decompress_block(held[1:]))
