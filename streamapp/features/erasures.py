"""Erasures: what viewers have asked to be deleted stays deleted.

An erasure takes everything that is held about a viewer when its turn comes in the stream. Events
from before the request may still come, as late as the grace allows; they are dropped, or the viewer
would be back with them. So a request is remembered, the time and the viewer's id, until none of
these can be accepted any more (to the hour), and no longer.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamapp.features.expiry import Expiry

KIND = b"e"
"""First byte of the changelog key of a request; the viewer id follows."""

_ROW_VERSION = 1

_Change = tuple[bytes, bytes | None]


class _ErasureRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    requested_at_ms: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_ErasureRow).decode


class Erasures:
    """The requests that late events may yet run up against.

    Args:
        grace_ms: how late an event may be.

    Attributes:
        requested_ms: time of the latest request by viewer.
    """

    def __init__(self, grace_ms: int) -> None:
        self.requested_ms: dict[str, int] = {}
        self._expiry = Expiry(grace_ms)

    def add(self, viewer_id: str, requested_ms: int) -> _Change:
        """Remember a request; return its changelog row."""
        latest_ms = max(requested_ms, self.requested_ms.get(viewer_id, requested_ms))
        self.requested_ms[viewer_id] = latest_ms
        self._expiry.add(viewer_id, latest_ms)
        return _key(viewer_id), _encode(_ErasureRow(_ROW_VERSION, latest_ms))

    def expire(self, stream_time_ms: int) -> Iterator[_Change]:
        """Forget requests that no event can run up against; yield the rows that go."""
        for viewer_id in self._expiry.take(stream_time_ms):
            requested_ms = self.requested_ms.get(viewer_id)
            if requested_ms is None:
                continue  # an earlier request of theirs waited too
            if self._expiry.due_ms(requested_ms) <= stream_time_ms:
                del self.requested_ms[viewer_id]
                yield _key(viewer_id), None

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a row back from the changelog."""
        viewer_id = key[1:].decode()
        if value is None:
            self.requested_ms.pop(viewer_id, None)
        else:
            self.add(viewer_id, _decode(value).requested_at_ms)


def _key(viewer_id: str) -> bytes:
    return KIND + viewer_id.encode()
