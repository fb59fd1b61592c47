"""When nothing is accepted any more: which is wrong, the turns, or what they are tried on?

The guard takes the examples held for true. If the world changed at one blow, or what a model
learned first was wrong itself (a flood of bots on its first day), each turn that tells the truth is
undone, and what it would be tried on next stays what it was: without end.

A **stalemate** begins with a turn that is undone, and is over once more than a tenth of the
examples since then were accepted. It is *lasting* when it is an hour old, `LEAST_HELD` examples of
either outcome were undone in it, and

- as many were undone as the champion had learned from: their word against its own; or
- it is a day old.

Then the examples held are given up and the contest warms anew: its weights learn on from where they
are, unjudged and with nobody scoring by them, until enough of either outcome is held again. Labels
of one kind alone never get there: a flood of them stays undone for as long as it comes.

*Example*: 3,000 clicks of bots are all that a model knows. Of the honest examples that follow, 30
clicks among 1,000, all are undone; after 3,000 of them, an hour having passed, it warms anew.
"""

from __future__ import annotations

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.learning.guard import LEAST_HELD
from streamapp.learning.states import StalemateState

ACCEPTED = 0.1


class Stalemate:
    """Counts what is undone and accepted since a turn was undone, in stream time.

    Attributes:
        state: to be kept, and put back for a restore.
    """

    def __init__(self) -> None:
        self.state = StalemateState()

    def undo(self, without: int, having: int, at_ms: int) -> None:
        """Count a turn that was undone: examples without the outcome, and having it."""
        state = self.state
        if state.since_ms is None:
            state.since_ms = at_ms
        state.without += without
        state.having += having

    def accept(self, examples: int) -> None:
        """Count a turn that was accepted."""
        state = self.state
        state.accepted += examples
        if state.accepted > ACCEPTED * (state.accepted + self.undone):
            self.end()

    def end(self) -> None:
        """Forget what was counted."""
        self.state = StalemateState()

    @property
    def undone(self) -> int:
        """Examples undone in it."""
        return self.state.without + self.state.having

    def is_lasting(self, learned: int, at_ms: int) -> bool:
        """Return whether it is; `learned` are the examples that the champion learned from."""
        state = self.state
        if state.since_ms is None or min(state.without, state.having) < LEAST_HELD:
            return False
        age_ms = at_ms - state.since_ms
        return age_ms >= DAY_MS or (age_ms >= HOUR_MS and self.undone >= learned)
