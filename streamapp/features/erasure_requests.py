"""Requests for erasure, where events of a viewer are not what a partition is keyed by.

A processor that follows privacy.erasures forgets a viewer when the request comes, and when it
begins again whatever was asked for in the meantime. What a viewer does after a request begins
anew, so it is not to be forgotten with the next start: the first example of after the request is
noted, as a row of the changelog, `!back/<viewer_id>` → [version, requested_at_ms].

::

    example   served 5    request of 7    served 6     served 9          start
    what      held        forgotten       left out     held, back: 7     stays
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decode_erasure

CAPACITY = 500_000
"""Requests held; the one of longest ago is forgotten first."""

_BACK = b"!back/"
"""What keys of rows begin with; no id of a model does."""

_VERSION = 1

_Row = tuple[bytes, bytes | None]


class _BackRow(msgspec.Struct, array_like=True):
    version: int
    requested_at_ms: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_BackRow).decode


class ErasureRequests:
    """A view of privacy.erasures, shared by all tasks of a worker: the latest of each viewer.

    Attributes:
        requested_ms: by viewer.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.requested_ms: dict[str, int] = {}
        self._capacity = capacity
        self._oldest: list[tuple[int, str]] = []

    def update(self, key: str, value: bytes | None) -> bool:
        """Take one record; return whether there is something to forget.

        A deletion tidies the topic up; it brings nothing back.

        Raises:
            Rejection: the record cannot be used.
        """
        if value is None:
            return False
        erasure = decode_erasure(value)
        viewer_id, requested_ms = erasure.viewer_id, erasure.requested_at_ms
        if viewer_id != key:
            raise Rejection("key_mismatch", f"record key {key!r}, viewer_id {viewer_id!r}")
        if requested_ms <= self.requested_ms.get(viewer_id, -1):
            return False
        self.requested_ms[viewer_id] = requested_ms
        heappush(self._oldest, (requested_ms, viewer_id))
        self._forget()
        return viewer_id in self.requested_ms

    def _forget(self) -> None:
        while len(self._oldest) > self._capacity:
            requested_ms, viewer_id = heappop(self._oldest)
            if self.requested_ms.get(viewer_id) == requested_ms:  # else a later one of theirs waits
                del self.requested_ms[viewer_id]


class Returns:
    """Who of those who were erased came back, as one processor has seen it.

    Args:
        requests: the shared view; None where nobody can ask.
    """

    def __init__(self, requests: ErasureRequests | None = None) -> None:
        self._requests = ErasureRequests() if requests is None else requests
        self._back: dict[str, int] = {}
        self._dirty: set[str] = set()

    def is_erased(self, viewer_id: str, served_ms: int) -> bool:
        """Return whether something shown at a time is to be left out; if not, the viewer is back.

        To be asked of each example, before anything of it is held.
        """
        requested_ms = self._requests.requested_ms.get(viewer_id)
        if requested_ms is None:
            return False
        if served_ms <= requested_ms:
            return True
        if self._back.get(viewer_id, -1) < requested_ms:
            self._back[viewer_id] = requested_ms
            self._dirty.add(viewer_id)
        return False

    def ready(self) -> Iterator[str]:
        """Yield whom to forget at the start: who asked for it, and was not back."""
        self._drop_outdated()
        for viewer_id, requested_ms in self._requests.requested_ms.items():
            if self._back.get(viewer_id, -1) < requested_ms:
                yield viewer_id

    def _drop_outdated(self) -> None:
        """Drop who came back after a request that is held no longer."""
        outdated = self._back.keys() - self._requests.requested_ms.keys()
        for viewer_id in outdated:
            del self._back[viewer_id]
        self._dirty |= outdated

    def rows(self) -> Iterator[_Row]:
        """Yield the rows that changed since the last call."""
        if len(self._back) > len(self._requests.requested_ms):
            self._drop_outdated()
        dirty, self._dirty = self._dirty, set()
        for viewer_id in sorted(dirty):
            requested_ms = self._back.get(viewer_id)
            value = None if requested_ms is None else _encode(_BackRow(_VERSION, requested_ms))
            yield _BACK + viewer_id.encode(), value

    def restore(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        """Take the rows that are of this kind, a later one in place of an earlier; yield others."""
        for row in rows:
            key, value = row
            if not key.startswith(_BACK):
                yield row
                continue
            viewer_id = key.removeprefix(_BACK).decode()
            self._back.pop(viewer_id, None)
            if value is not None:
                self._back[viewer_id] = _decode(value).requested_at_ms
