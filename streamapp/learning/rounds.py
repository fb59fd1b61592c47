"""Duels one after another, kept in rows: when one is over, the next begins afresh.

**Risk.** Each duel decides falsely with the probability that it is allowed. If every one were
allowed α, some challenger that is no better would be promoted in the end. So α is spent over the
duels, the k-th (k = 1, 2, …) is allowed

    αₖ = α/(k·(k + 1)),   Σ αₖ = α

and the probability that any of them ever promotes falsely is at most α. A duel begun anew before
a block was counted has risked nothing, and k stays. Later duels need more evidence, but not much
more: capital grows exponentially, so the 20th takes about twice the blocks of the first.

*Example*: α = 0.05. The first duel is decided at a capital of 2/0.05 = 40, the second at 120, the
third at 240.

An open block of a duel is a row, by viewer; the rest of the duel is in the row of its contest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from streamapp.learning.duel import BlockState, Duel, DuelSettings, DuelState, Winner


class Rounds:
    """The present duel of one kind.

    Attributes:
        number: of the duel, from 1.

    Args:
        spends: share alpha out over all duels; else each has all of it.
    """

    def __init__(self, settings: DuelSettings, *, spends: bool = True) -> None:
        self.number = 1
        self._settings = settings
        self._spends = spends
        self._duel = self._begin()
        self._held: set[str] = set()  # viewers with a row
        self._gone: set[str] = set()  # of those, viewers whose row belongs to a duel that is over
        self._blocks: dict[str, BlockState] = {}

    def _begin(self) -> Duel:
        settings, k = self._settings, self.number
        if self._spends:
            settings = replace(settings, alpha=settings.alpha / (k * (k + 1)))
        return Duel(settings)

    @property
    def decided(self) -> Winner | None:
        """Who has won; None while that is open."""
        return self._duel.decided

    @property
    def evidence(self) -> float:
        """Capital of those who bet on the challenger; see `streamapp.learning.duel`."""
        return self._duel.evidence[0]

    @property
    def blocks(self) -> int:
        """Viewer-blocks counted in this duel."""
        return self._duel.blocks

    @property
    def lead(self) -> float:
        """Mean over blocks of what the challenger lost less, nats."""
        return self._duel.lead or 0.0

    def update(self, viewer_id: str, difference: float, at_ms: int, weight: float) -> None:
        """Take the champion's loss less the challenger's, mean of `weight` examples."""
        self._duel.update(viewer_id, difference, 0.0, at_ms, weight)

    def forget(self, viewer_id: str) -> bool:
        """Drop the open block of a viewer; return whether there was one."""
        return self._duel.forget(viewer_id)

    def restart(self) -> None:
        """Begin the next duel."""
        for _ in self._duel.changed():
            pass
        self._gone |= self._held
        if self._duel.blocks:
            self.number += 1
        self._duel = self._begin()

    def __len__(self) -> int:
        """Rows held."""
        return len(self._held)

    def changed(self) -> Iterator[tuple[str, BlockState | None]]:
        """Yield the open blocks that changed, or closed (None), since this was last called."""
        changed = dict(self._duel.changed())
        for viewer in sorted(self._gone - changed.keys()):
            self._held.discard(viewer)
            yield viewer, None
        self._gone.clear()
        for viewer, block in changed.items():
            if block is None:
                self._held.discard(viewer)
            else:
                self._held.add(viewer)
            yield viewer, block

    def snapshot(self) -> DuelState:
        """Return all but the open blocks."""
        return self._duel.snapshot()

    def restore(self, state: DuelState, number: int) -> None:
        """Go on exactly with a duel, with the blocks taken by `restore_block`."""
        self.number = number
        self._duel = self._begin()
        self._duel.restore(state, self._blocks)
        self._held = set(self._blocks)
        self._blocks = {}

    def restore_block(self, viewer: str, block: BlockState | None) -> None:
        """Take what `changed` gave; a later one replaces an earlier."""
        self._blocks.pop(viewer, None)
        if block is not None:
            self._blocks[viewer] = block
