"""Expiry of what has been idle for long, by stream time, at a cost that does not grow."""

from __future__ import annotations

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
        self._next_ms: float = float("inf")

    def add(self, key: str, seen_ms: int) -> None:
        """Watch a key until `take` returns it."""
        due_ms = self.due_ms(seen_ms)
        self._buckets.setdefault(due_ms, []).append(key)
        self._next_ms = min(self._next_ms, due_ms)

    def due_ms(self, seen_ms: int) -> int:
        """Return the stream time at which a key last seen at `seen_ms` expires."""
        return ((seen_ms + self.idle_ms) // self._step_ms + 1) * self._step_ms

    def pending(self, stream_time_ms: int) -> bool:
        """Return whether `take` has anything to do."""
        return stream_time_ms >= self._next_ms

    def take(self, stream_time_ms: int) -> list[str]:
        """Return the keys of the buckets that are due, sorted.

        The caller compares each key's `due_ms` with stream time, and adds those again that have
        been seen since.
        """
        due = [due_ms for due_ms in self._buckets if due_ms <= stream_time_ms]
        keys = sorted({key for due_ms in due for key in self._buckets.pop(due_ms)})
        self._next_ms = min(self._buckets, default=float("inf"))
        return keys
