"""The viewers of one partition: found, kept in rows, expired and restored.

A viewer is two kinds of rows. Each step is one as it is taken, and every so many steps the whole
viewer is one, which takes the place of the steps before it:

====  ==================  ==================================================================
kind  then                row
====  ==================  ==================================================================
v     the viewer id       the viewer
w     place, 2 bytes,     more of a viewer's row that is longer than `PIECE` bytes: the first piece
      and the viewer id   of it is the row of kind v, the others are these, from 1
s     slot, 1 byte, and   one step; the slots are counted from 1 since the viewer's row, and
      the viewer id       so written anew
====  ==================  ==================================================================

So an event writes one small row, and a long history is written once in many events. A restore
reads rows only: all viewers are asleep, and one takes those steps again when next needed. A viewer
who has done nothing for an hour is laid to rest, see `streamapp.features.viewer_rest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from streamapp.features import erasures, item_names
from streamapp.features.decay import HOUR_MS
from streamapp.features.erasures import Erasures
from streamapp.features.expiry import Expiry
from streamapp.features.item_names import ItemNames
from streamapp.features.steps import Step, decode_step, encode_step
from streamapp.features.viewer import FEWEST_STEPS, Viewer
from streamapp.features.viewer_rest import get_up, lay_to_rest
from streamapp.features.viewer_row import decode_viewer, encode_viewer

MOST_STEPS = 200
"""Between two rows of a viewer; the slot is one byte."""

BYTES_A_STEP = 256
"""What a step may cost on average for the viewer's row being written."""

PIECE = 256 * 1024
"""Bytes of a row, of which brokers take a megabyte."""

REST_MS = HOUR_MS
"""How long a viewer is up after their latest event: by then what they watched has closed."""

REST_STEP_MS = 2_000
"""Stream time from one look at who is to rest to the next: few are looked at together."""

_Row = tuple[bytes, bytes | None]


class _Asleep:
    """The rows of a viewer who has not been needed since a restore."""

    __slots__ = ("more", "steps", "viewer")

    def __init__(self) -> None:
        self.viewer: bytes | None = None
        self.more: dict[int, bytes] | None = None
        self.steps: dict[int, bytes] = {}

    def wake(self, viewer_id: str) -> tuple[Viewer, list[Step]]:
        """Return the viewer as they were in their row, and the steps since."""
        row, more = self.viewer, self.more or {}
        if row is not None and more:
            row = b"".join([row, *[more[place] for place in sorted(more)]])
        viewer = Viewer(viewer_id) if row is None else decode_viewer(row)
        viewer.pieces = len(more)
        steps = [decode_step(row) for row in self.steps.values()]
        since = sorted([s for s in steps if s.number > viewer.number], key=lambda s: s.number)
        viewer.since = len(since)
        viewer.steps = max(viewer.steps, 0, *self.steps)
        return viewer, since

    def latest(self) -> tuple[int, int]:
        """Return newest event time and stream time of the latest row, read from its beginning."""
        rows = [*self.steps.values(), *([] if self.viewer is None else [self.viewer])]
        _, newest_ms, stream_ms = max([int(n) for n in row.split(b",", 4)[1:4]] for row in rows)
        return newest_ms, stream_ms


class ViewerStore:
    """Viewers by id, and the changelog rows that have changed since they were last taken.

    Args:
        take_again: lets a viewer take steps again, up to a stream time.
        idle_ms: a viewer without events for so long (to the hour) expires.
        grace_ms: how late an event may be.

    Attributes:
        erased_ms: by viewer, events up to when must not come back.
        stream_ms: stream time, which the owner keeps.
        due_ms: before this stream time `expire` has nothing to look at.
        rest_due_ms: nor `lay_to_rest`.
    """

    def __init__(
        self,
        names: ItemNames,
        take_again: Callable[[Viewer, list[Step], int], None],
        idle_ms: int,
        grace_ms: int,
    ) -> None:
        self._names = names
        self._take_again = take_again
        self._viewers: dict[str, Viewer] = {}
        self._asleep: dict[str, _Asleep] = {}
        self._expiry = Expiry(idle_ms)
        self._up = Expiry(REST_MS, REST_STEP_MS)
        self._erasures = Erasures(grace_ms)
        self.erased_ms = self._erasures.requested_ms
        self.stream_ms = 0
        self.due_ms = 0
        self.rest_due_ms = 0
        self._rows: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._viewers) + len(self._asleep)

    def __iter__(self) -> Iterator[Viewer]:
        """Iterate over the viewers who are awake."""
        return iter(self._viewers.values())

    def get(self, viewer_id: str) -> Viewer | None:
        """Return a viewer, None if there is none."""
        viewer = self._viewers.get(viewer_id)
        if viewer is None:
            return self._wake(viewer_id) if viewer_id in self._asleep else None
        if viewer.rest:
            get_up(viewer)
            self._up.add(viewer_id, self.stream_ms)
        return viewer

    def _wake(self, viewer_id: str) -> Viewer:
        viewer, steps = self._asleep.pop(viewer_id).wake(viewer_id)
        self._take_again(viewer, steps, self.stream_ms)
        self._viewers[viewer_id] = viewer
        self._up.add(viewer_id, self.stream_ms)
        return viewer

    def begin(self, viewer_id: str, time_ms: int) -> Viewer:
        """Begin a viewer whose first event is of this time."""
        viewer = self._viewers[viewer_id] = Viewer(viewer_id)
        self._expiry.add(viewer_id, time_ms)
        self._up.add(viewer_id, self.stream_ms)
        return viewer

    def write(self, viewer: Viewer, step: Step) -> None:
        """Write a step that was taken, or in its stead the viewer."""
        viewer.since += 1
        key = viewer.viewer_id.encode()
        if viewer.since < viewer.every:
            self._rows[b"s" + bytes([viewer.since]) + key] = encode_step(step)
            return
        viewer.steps = max(viewer.steps, viewer.since - 1)
        viewer.since = 0
        row = encode_viewer(viewer)
        self._rows[b"v" + key] = row[:PIECE]
        if len(row) > PIECE or viewer.pieces > 0:
            self._write_more(viewer, key, row)
        viewer.every = min(max(FEWEST_STEPS, len(row) // BYTES_A_STEP), MOST_STEPS)

    def _write_more(self, viewer: Viewer, key: bytes, row: bytes) -> None:
        """Write a long row from the second piece on, and delete what it is shorter by."""
        pieces = (len(row) - 1) // PIECE
        for place in range(1, max(pieces, viewer.pieces) + 1):
            piece = row[place * PIECE : (place + 1) * PIECE]
            self._rows[b"w" + place.to_bytes(2, "big") + key] = piece or None
        viewer.pieces = pieces

    def erase(self, viewer_id: str, requested_ms: int) -> None:
        """Forget a viewer with all their rows, and refuse what is from before the request."""
        viewer = self.get(viewer_id)
        if viewer is not None:
            self._delete(viewer)
        key, row = self._erasures.add(viewer_id, requested_ms)
        self._rows[key] = row

    def _delete(self, viewer: Viewer) -> None:
        """Delete a viewer's rows, the whole viewer first: what comes after it is a new one's."""
        del self._viewers[viewer.viewer_id]
        key = viewer.viewer_id.encode()
        steps = range(1, max(viewer.steps, viewer.since) + 1)
        places = range(1, viewer.pieces + 1)
        more = [b"w" + place.to_bytes(2, "big") + key for place in places]
        for row in (b"v" + key, *more, *[b"s%c%b" % (slot, key) for slot in steps]):
            self._rows.pop(row, None)
            self._rows[row] = None

    def take_rows(self) -> list[_Row]:
        """Return the rows written since the last call, each once."""
        rows, self._rows = self._rows, {}
        return [*self._names.take(), *rows.items()]

    def expire(self, stream_time_ms: int) -> Iterator[str]:
        """Forget viewers that have been idle for long, with all their rows; yield their ids.

        All that expires does so at full hours.
        """
        self.due_ms = (stream_time_ms // HOUR_MS + 1) * HOUR_MS
        self._names.expire(stream_time_ms)
        self._rows.update(self._erasures.expire(stream_time_ms))
        for viewer_id in self._expiry.take(stream_time_ms):
            viewer = self._viewers.get(viewer_id)  # who is at rest need not get up for this
            if viewer is None:
                viewer = self.get(viewer_id)
            if viewer is None:
                continue  # erased
            if self._expiry.due_ms(viewer.newest_ms) > stream_time_ms:
                self._expiry.add(viewer_id, viewer.newest_ms)
                continue
            self._delete(viewer)
            yield viewer_id

    def lay_to_rest(self, stream_time_ms: int) -> None:
        """Lay those to rest who have done nothing for long, and of whom nothing is awaited."""
        for viewer_id in self._up.take(stream_time_ms):
            viewer = self._viewers.get(viewer_id)
            if viewer is None or viewer.rest:
                continue  # erased
            if self._up.due_ms(viewer.stream_ms) > stream_time_ms:
                self._up.add(viewer_id, viewer.stream_ms)
            elif viewer.slates is not None or viewer.owed:
                self._up.add(viewer_id, stream_time_ms)
            else:
                lay_to_rest(viewer)
        self.rest_due_ms = self._up.next_ms(stream_time_ms + REST_MS)

    def restore(self, rows: Iterable[_Row]) -> None:
        """Take rows of the changelog."""
        asleep = self._asleep
        for key, value in rows:
            kind = key[:1]
            if kind == erasures.KIND:
                self._erasures.restore(key, value)
            elif kind == item_names.KIND:
                self._names.restore(key, value)
            elif kind == b"v":
                viewer_id = key[1:].decode()
                if value is None:
                    asleep.pop(viewer_id, None)
                else:
                    _rows_of(asleep, viewer_id).viewer = value
            elif kind == b"w":
                _take_more(asleep, key, value)
            elif value is not None:
                _rows_of(asleep, key[2:].decode()).steps[key[1]] = value

    def ready(self, since_ms: int) -> Iterator[Viewer]:
        """All rows are in, and the stream time is known.

        Yields:
            The viewers who took a step at this stream time or later; the others sleep on.
        """
        for viewer_id, rows in list(self._asleep.items()):
            newest_ms, stream_ms = rows.latest()
            self._expiry.add(viewer_id, newest_ms)
            if stream_ms >= since_ms:
                yield self._wake(viewer_id)


def _rows_of(asleep: dict[str, _Asleep], viewer_id: str) -> _Asleep:
    rows = asleep.get(viewer_id)
    if rows is None:
        rows = asleep[viewer_id] = _Asleep()
    return rows


def _take_more(asleep: dict[str, _Asleep], key: bytes, value: bytes | None) -> None:
    """Take a piece of a long row; one that is deleted may be of a viewer who is."""
    viewer_id, place = key[3:].decode(), int.from_bytes(key[1:3], "big")
    if value is None:
        rows = asleep.get(viewer_id)
        if rows is not None and rows.more is not None:
            rows.more.pop(place, None)
            if rows.viewer is None and not rows.steps and not rows.more:
                del asleep[viewer_id]
        return
    rows = _rows_of(asleep, viewer_id)
    if rows.more is None:
        rows.more = {}
    rows.more[place] = value
