"""Duplicates: of records with one event_id from one viewer within 24 h, the first counts."""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from streamapp.features.decay import DAY_MS
from streamapp.features.packed import PackedTable, find

WITHIN_MS: Final = DAY_MS
"""Two events with one id, further apart than this, are two events."""

MAX_IDS: Final = 50_000
"""Ids kept of a viewer. When there are more the first ones of each bucket go, and what comes with
them again counts again; some 20,000 are sure to stay. No person has a tenth of that in a day."""

_RECORD: Final = Struct("<8sq")
_TIME: Final = Struct("<q")
_SIZE: Final = 16


@mypyc_attr(acyclic=True)
class EventIds(PackedTable):
    """The event ids of a viewer: 16 bytes each, a digest and the event time."""

    __slots__ = ()

    SIZE: ClassVar[int] = _SIZE

    def add(self, key: bytes, time_ms: int, since_ms: int) -> bool:
        """Remember an id; False if it is a duplicate.

        Args:
            key: digest of the event id.
            since_ms: ids of events before this are forgotten: stream time less what is kept.
        """
        bucket = self.bucket(key)
        # Whether the bytes occur at all is quickly said, and they nearly never do.
        if key in bucket and _known(bucket, key, time_ms, since_ms):
            return False
        while len(bucket) > 0 and (_time_ms(bucket, 0) < since_ms or self.held >= MAX_IDS):
            self.drop(bucket, 0)
        self.append(bucket, _RECORD.pack(key, time_ms))
        return True


def _time_ms(data: bytearray, at: int) -> int:
    """Return the time of the record at an offset."""
    time_ms: int = _TIME.unpack_from(data, at + 8)[0]
    return time_ms


def _known(data: bytearray, key: bytes, time_ms: int, since_ms: int) -> bool:
    at = find(data, key, _SIZE)
    while at >= 0:
        known_ms = _time_ms(data, at)
        if known_ms >= since_ms and abs(time_ms - known_ms) <= WITHIN_MS:
            return True
        at = find(data, key, _SIZE, at + _SIZE)
    return False
