"""The stream-time merge: several inputs of a task become one stream, smallest time first.

```
 impressions  ── 10 ─── 40 ──▶ head 10 ┐
 clicks       ── 20 ─────────▶ head 20 ├─▶ 10 (impressions), then 20 (clicks), then wait:
 watches      (empty)          ········┘   watches is empty and may still bring an 11
```

An empty input holds the others back until it is caught up with its topic, or has been looked for
in vain for so long that waiting for it would stall the rest. Time alone says nothing of that: on
a busy worker its records may have been read already, and wait in front of the task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

AT_ONCE = -(1 << 62)
"""Merge time of a rejected record: it has no event time and goes out as soon as it is head."""

NO_BOUND = 1 << 62


class Record(Protocol):
    """What the engine reads of a Kafka record."""

    @property
    def offset(self) -> int:
        """Place in its partition."""

    @property
    def timestamp(self) -> int:
        """Epoch milliseconds at which Kafka took it; negative when there is none."""

    @property
    def key(self) -> bytes | None:
        """The key, raw."""

    @property
    def value(self) -> bytes | None:
        """The value, raw."""


Entry = tuple[int, Any, Record]
"""A record between decoding and processing: its merge time, its event (or the Rejection that
stands in its place) and the record itself."""


class Input:
    """One partition of an input topic: the records that wait to be merged.

    Attributes:
        position: offset of the next record to read, that is one past the last one offered.
        at_end: the topic has nothing more for now (position ≥ last stable offset).
        silent: seconds for which looking for its records has brought none.
    """

    __slots__ = ("at_end", "position", "queue", "silent", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.queue: deque[Entry] = deque()
        self.position = 0
        self.at_end = False
        self.silent = 0.0

    @property
    def next_offset(self) -> int:
        """Offset of the next record to process: what a cut commits."""
        return self.queue[0][2].offset if self.queue else self.position

    def holds(self, max_idle: float) -> bool:
        """Must the other inputs wait for this empty one?"""
        return not self.at_end and self.silent <= max_idle


class Merge:
    """Takes from several inputs in the order of event time; ties go to the earlier input.

    Args:
        max_idle: seconds of silence after which an empty input no longer holds the others back.
    """

    def __init__(self, inputs: Sequence[Input], max_idle: float) -> None:
        self.inputs = inputs
        self.max_idle = max_idle

    def runs(self, until_ms: int = NO_BOUND) -> Iterator[tuple[str, deque[Entry], int]]:
        """Yield (topic, queue, bound): take from the queue while its head's time is ≤ bound.

        The caller takes at least one entry of each run. Ends when an empty input holds the
        others back, or nothing is left.

        Args:
            until_ms: entries of a later time stay where they are.
        """
        while True:
            best: Input | None = None
            best_ms, bound = NO_BOUND, until_ms
            for candidate in self.inputs:
                queue = candidate.queue
                if not queue:
                    if candidate.holds(self.max_idle):
                        return
                    continue
                head_ms = queue[0][0]
                if best is None:
                    best, best_ms = candidate, head_ms
                elif head_ms < best_ms:
                    best, best_ms, bound = candidate, head_ms, min(until_ms, best_ms - 1)
                else:
                    bound = min(bound, head_ms)
            if best is None or best_ms > until_ms:
                return
            yield best.topic, best.queue, bound

    @property
    def quiet(self) -> bool:
        """All inputs are caught up and nothing waits."""
        return all(i.at_end and not i.queue for i in self.inputs)
