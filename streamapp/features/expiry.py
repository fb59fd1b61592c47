"""Expiry of what has been idle for long, by stream time, at a cost that does not grow."""

from __future__ import annotations

from heapq import heappop, heappush

from streamapp.features.decay import HOUR_MS


class Expiry:
    """Says which keys have been idle for `idle_ms`, to the hour or another step.

    A key last seen at t expires when stream time reaches the first full step after t +
    `idle_ms`. Each key waits in the bucket of one step, and only when that is due is it looked at;
    one that was seen in the meantime moves to its present bucket then. So seeing a key again
    costs nothing.
    """

    def __init__(self, idle_ms: int, step_ms: int = HOUR_MS) -> None:
        self.idle_ms = idle_ms
        self._step_ms = step_ms
        self._buckets: dict[int, list[str]] = {}
        self._dues: list[int] = []  # of the buckets, a heap

    def add(self, key: str, seen_ms: int) -> None:
        """Watch a key until `take` returns it."""
        due_ms = self.due_ms(seen_ms)
        bucket = self._buckets.get(due_ms)
        if bucket is None:
            self._buckets[due_ms] = [key]
            heappush(self._dues, due_ms)
        else:
            bucket.append(key)

    def due_ms(self, seen_ms: int) -> int:
        """Return the stream time at which a key last seen at `seen_ms` expires."""
        return ((seen_ms + self.idle_ms) // self._step_ms + 1) * self._step_ms

    def next_ms(self, most_ms: int) -> int:
        """Return the stream time from which `take` has something to do, `most_ms` at most."""
        return min(self._dues[0], most_ms) if self._dues else most_ms

    def pending(self, stream_time_ms: int) -> bool:
        """Return whether `take` has anything to do."""
        return bool(self._dues) and stream_time_ms >= self._dues[0]

    def take(self, stream_time_ms: int) -> list[str]:
        """Return the keys of the buckets that are due, sorted.

        The caller compares each key's `due_ms` with stream time, and adds those again that have
        been seen since.
        """
        keys: set[str] = set()
        while self.pending(stream_time_ms):
            keys.update(self._buckets.pop(heappop(self._dues)))
        return sorted(keys)
