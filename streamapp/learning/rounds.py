"""Duels one after another, kept in rows: when one is over, the next begins afresh.

An open block of a duel is a row, by viewer; the rest of the duel is in the row of its contest.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamapp.learning.duel import BlockState, Duel, DuelSettings, DuelState, Winner


class Rounds:
    """The present duel of one kind."""

    def __init__(self, settings: DuelSettings) -> None:
        self._settings = settings
        self._duel = Duel(settings)
        self._held: set[str] = set()  # viewers with a row
        self._gone: set[str] = set()  # of those, viewers whose row belongs to a duel that is over
        self._blocks: dict[str, BlockState] = {}

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
        self._duel = Duel(self._settings)

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

    def restore(self, state: DuelState) -> None:
        """Go on exactly, with the blocks taken by `restore_block`."""
        self._duel.restore(state, self._blocks)
        self._held = set(self._blocks)
        self._blocks = {}

    def restore_block(self, viewer: str, block: BlockState | None) -> None:
        """Take what `changed` gave; a later one replaces an earlier."""
        self._blocks.pop(viewer, None)
        if block is not None:
            self._blocks[viewer] = block
