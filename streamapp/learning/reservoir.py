"""Earlier examples to try a model on: some with the outcome, some without.

An outcome is rare: of a thousand examples drawn evenly some thirty would have it, too few to tell
a broken model from a good one. So as many with as without are held, with the share that had it;
means over both, weighted by that share, are those over all.

Which example is held where is a hash of its id: one whose slot is empty enters, of the others one
in `one_in` replaces what was there. What is held is so of the last `one_in` · `capacity` of its
kind, mostly, and the same in every run. An example enters when its turn is accepted, never before.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamapp.learning.states import Held, ReservoirState

HALF_LIFE = 20_000.0
"""Examples after which one counts half in the share that had the outcome."""

_HAD = 0.5


class Reservoir:
    """Holds `capacity` examples with and `capacity` without the outcome.

    Slots from `capacity` on are of examples with it; a share counts from ½ on.
    """

    def __init__(self, capacity: int, one_in: int) -> None:
        self.capacity = capacity
        self._one_in = one_in
        self._held: dict[int, Held] = {}
        self._pending: dict[int, Held] = {}
        self._accepted = [0.0, 0.0]
        self._turn = [0, 0]
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        """Slots that hold an example, or will if the turn is accepted."""
        return len(self._held.keys() | self._pending.keys())

    @property
    def turn(self) -> tuple[int, int]:
        """Examples of this turn: without the outcome, having it."""
        without, having = self._turn
        return without, having

    @property
    def share(self) -> float:
        """Share of the accepted examples that had the outcome."""
        total = sum(self._accepted)
        return self._accepted[1] / total if total else 0.0

    def offer(
        self, draw: int, coordinates: tuple[list[int], list[int]], y: float, offset: float
    ) -> None:
        """Take an example of this turn; `draw` is a hash of its id, 32 bits."""
        had = y >= _HAD
        self._turn[had] += 1
        round_, slot = divmod(draw, self.capacity)
        if had:
            slot += self.capacity
        if slot in self._held and round_ % self._one_in:
            return
        self._pending[slot] = Held(coordinates, y, offset)
        self._dirty.add(slot)

    def accept(self) -> dict[int, Held]:
        """Hold what the turn brought; return it by slot."""
        pending = self._pending
        kept = 2.0 ** (-sum(self._turn) / HALF_LIFE)
        self._accepted = [
            before * kept + now for before, now in zip(self._accepted, self._turn, strict=True)
        ]
        self._held |= pending
        self._forget()
        return pending

    def undo(self) -> None:
        """Drop what the turn brought."""
        self._forget()

    def clear(self) -> None:
        """Drop everything. Between turns only."""
        self._dirty |= self._held.keys()
        self._held = {}
        self._accepted = [0.0, 0.0]

    def _forget(self) -> None:
        self._dirty |= self._pending.keys()
        self._pending, self._turn = {}, [0, 0]

    def held(self) -> Iterator[tuple[int, Held]]:
        """Yield all that is held, by slot."""
        return iter(self._held.items())

    def changed(self) -> Iterator[tuple[int, tuple[Held | None, Held | None]]]:
        """Yield the slots that changed since this was last called: held, pending."""
        dirty, self._dirty = self._dirty, set()
        for slot in sorted(dirty):
            yield slot, (self._held.get(slot), self._pending.get(slot))

    def snapshot(self) -> ReservoirState:
        """Return the counts."""
        without, having = self._accepted
        return ReservoirState((without, having), (self._turn[0], self._turn[1]))

    def restore(self, state: ReservoirState) -> None:
        """Take the counts."""
        self._accepted, self._turn = list(state.accepted), list(state.turn)

    def restore_slot(self, slot: int, held: Held | None, pending: Held | None) -> None:
        """Take what `changed` gave of one slot."""
        for into, one in ((self._held, held), (self._pending, pending)):
            if one is None:
                into.pop(slot, None)
            else:
                into[slot] = one
