"""The viewers of one partition: found, kept in rows, expired and restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamapp.features import erasures
from streamapp.features.erasures import Erasures
from streamapp.features.expiry import Expiry
from streamapp.features.latest import Change
from streamapp.features.viewer import Viewer, restore_row, split_key


class ViewerStore:
    """Viewers by id, and the changelog rows that have changed since they were last taken.

    Args:
        idle_ms: a viewer without events for so long (to the hour) expires.
        grace_ms: how late an event may be.

    Attributes:
        erased_ms: by viewer, events up to when must not come back.
    """

    def __init__(self, idle_ms: int, grace_ms: int) -> None:
        self._viewers: dict[str, Viewer] = {}
        self._expiry = Expiry(idle_ms)
        self._erasures = Erasures(grace_ms)
        self.erased_ms = self._erasures.requested_ms
        self._rows: dict[bytes, bytes | None] = {}
        self._open: dict[tuple[str, bytes], str] = {}

    def __len__(self) -> int:
        return len(self._viewers)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(self._viewers.values())

    def get(self, viewer_id: str) -> Viewer | None:
        """Return a viewer, None if there is none."""
        return self._viewers.get(viewer_id)

    def add(self, viewer_id: str, time_ms: int) -> Viewer:
        """Begin a viewer whose first event is of this time."""
        viewer = self._viewers[viewer_id] = Viewer(viewer_id)
        self._expiry.add(viewer_id, time_ms)
        return viewer

    def write(self, viewer: Viewer, kind: bytes, part: bytes, value: bytes | None) -> None:
        """Write one of a viewer's rows, or delete it."""
        self._rows[kind + part + viewer.viewer_id.encode()] = value

    def write_profile(self, viewer: Viewer, changes: Iterable[Change]) -> None:
        """Write what has changed in a viewer's profile."""
        for key, value in changes:
            self._rows[key + viewer.viewer_id.encode()] = value

    def erase(self, viewer_id: str, requested_ms: int) -> None:
        """Forget a viewer with all their rows, and refuse what is from before the request."""
        viewer = self._viewers.pop(viewer_id, None)
        if viewer is not None:
            self._rows.update(dict.fromkeys(viewer.row_keys()))
        key, row = self._erasures.add(viewer_id, requested_ms)
        self._rows[key] = row

    def take_rows(self) -> Iterable[tuple[bytes, bytes | None]]:
        """Return the rows written since the last call, each once."""
        rows, self._rows = self._rows, {}
        return rows.items()

    def expires(self, stream_time_ms: int) -> bool:
        """Return whether `expire` has anything to look at."""
        return self._expiry.pending(stream_time_ms) or self._erasures.pending(stream_time_ms)

    def expire(self, stream_time_ms: int) -> Iterator[str]:
        """Forget viewers that have been idle for long, with all their rows; yield their ids."""
        self._rows.update(self._erasures.expire(stream_time_ms))
        for viewer_id in self._expiry.take(stream_time_ms):
            viewer = self._viewers.get(viewer_id)
            if viewer is None:
                continue  # erased
            if self._expiry.due_ms(viewer.newest_ms) > stream_time_ms:
                self._expiry.add(viewer_id, viewer.newest_ms)
                continue
            self._rows.update(dict.fromkeys(viewer.row_keys()))
            del self._viewers[viewer_id]
            yield viewer_id

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        viewers = self._viewers
        for row_key, value in rows:
            if row_key[:1] == erasures.KIND:
                self._erasures.restore(row_key, value)
                continue
            kind, part, viewer_id = split_key(row_key)
            viewer = viewers.get(viewer_id)
            if value is None and (viewer is None or kind == b"h"):
                viewers.pop(viewer_id, None)
                continue
            if viewer is None:
                viewer = viewers[viewer_id] = Viewer(viewer_id)
            item_id = restore_row(viewer, kind, part, value)
            if item_id is not None:
                self._open[viewer_id, part] = item_id
            elif kind == b"p":
                self._open.pop((viewer_id, part), None)

    def ready(self) -> Iterator[tuple[Viewer, bytes, str]]:
        """All rows are in; yield the open playbacks: viewer, key and item id."""
        for viewer in self._viewers.values():
            self._expiry.add(viewer.viewer_id, viewer.newest_ms)
        for (viewer_id, key), item_id in self._open.items():
            if viewer_id in self._viewers:  # else it has expired
                yield self._viewers[viewer_id], key, item_id
        self._open.clear()
