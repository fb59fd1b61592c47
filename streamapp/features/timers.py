"""Things to look at when stream time has passed a certain time."""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush
from typing import Final, Literal

Kind = Literal["playback", "slate", "completion"]

Timer = tuple[int, str, bytes, Kind, str]
"""due_ms, viewer_id, key, what the key is of, and the request_id of a slate.

A plain tuple, so that the garbage collector need not look at the many that wait.
"""

_SECOND_MS: Final = 1_000


class Timers:
    """Timers in the order they are due; of one time, by viewer and key.

    The order does not depend on when a timer was set, so a restored task goes on the same way.
    Timers are mostly set for a time far ahead, by the second; they are put in order when stream
    time comes to it.
    """

    def __init__(self) -> None:
        self._by_second: dict[int, list[Timer]] = {}
        self._seconds: list[int] = []
        # Of the seconds stream time has come to, in order; those before the place are done.
        self._near: list[Timer] = []
        self._at = 0
        self._until_ms = 0

    def set(self, timer: Timer) -> None:
        """Add a timer."""
        due_ms = timer[0]
        if due_ms < self._until_ms:
            insort(self._near, timer, self._at)
            return
        second = due_ms // _SECOND_MS
        timers = self._by_second.get(second)
        if timers is None:
            self._by_second[second] = [timer]
            heappush(self._seconds, second)
        else:
            timers.append(timer)

    def next(self, stream_time_ms: int) -> Timer | None:
        """Remove and return the next timer due before this, None if there is none."""
        near = self._near
        if self._at == len(near):
            if not self._seconds or self._seconds[0] * _SECOND_MS >= stream_time_ms:
                return None
            second = heappop(self._seconds)
            near = self._near = self._by_second.pop(second)
            near.sort()
            self._at, self._until_ms = 0, (second + 1) * _SECOND_MS
        timer = near[self._at]
        if timer[0] >= stream_time_ms:
            return None
        self._at += 1
        return timer
