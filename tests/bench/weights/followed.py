"""Examples that are followed from their label until readers score with what it taught."""

from __future__ import annotations

from collections import deque


class Followed:
    """Examples that have been sent, in the order of their labels.

    A version of a model is of all examples labelled up to its `as_of_ms`, but for those of turns
    that were undone: these it will never be of, and they are counted apart.

    Attributes:
        cut_ms: from each label until the learner's cut that took its weights out.
        seen_ms: from each label until readers score with them.
        undone: examples of turns that were undone.
    """

    def __init__(self) -> None:
        self.cut_ms: list[int] = []
        self.seen_ms: list[int] = []
        self.undone = 0
        self._waiting: deque[int] = deque()

    def __len__(self) -> int:
        """Examples that are waited for."""
        return len(self._waiting)

    def follow(self, labelled_at_ms: int) -> None:
        """Wait for a version that is of this example."""
        self._waiting.append(labelled_at_ms)

    def apply(self, as_of_ms: int, computed_at_ms: int, now_ms: int) -> None:
        """Take note that readers score with a version now."""
        waiting = self._waiting
        while waiting and waiting[0] <= as_of_ms:
            labelled_at_ms = waiting.popleft()
            self.cut_ms.append(computed_at_ms - labelled_at_ms)
            self.seen_ms.append(now_ms - labelled_at_ms)

    def undo(self, ends_ms: int) -> None:
        """Take note that the turn that ended at a time was undone; the one before is applied."""
        while self._waiting and self._waiting[0] < ends_ms:
            self._waiting.popleft()
            self.undone += 1
