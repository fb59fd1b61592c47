"""Things to look at when stream time has passed a certain time."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Literal

Kind = Literal["playback", "slate", "completion"]

Timer = tuple[int, str, bytes, Kind, str]
"""due_ms, viewer_id, key, what the key is of, and the request_id of a slate.

A plain tuple, so that the garbage collector need not look at the many that wait.
"""


class Timers:
    """Timers in the order they are due; of one time, by viewer and key.

    The order does not depend on when a timer was set, so a restored task goes on the same way.
    """

    def __init__(self) -> None:
        self._heap: list[Timer] = []

    def set(self, timer: Timer) -> None:
        """Add a timer."""
        heappush(self._heap, timer)

    def pending(self, stream_time_ms: int) -> bool:
        """Return whether `take` has anything to give."""
        heap = self._heap
        return bool(heap) and heap[0][0] < stream_time_ms

    def take(self, stream_time_ms: int) -> Iterator[Timer]:
        """Yield and remove the timers due before this; more may be set meanwhile."""
        heap = self._heap
        while heap and heap[0][0] < stream_time_ms:
            yield heappop(heap)
