"""May a challenger replace the champion? A test that is valid whenever one looks.

Evidence is counted by *viewer-blocks*. A block is all examples of one viewer within `block_ms` of
its first one (an example at exactly that distance still counts); it closes when stream time has
passed that, or when room is needed. It gives one observation, a mean of clipped differences:

    x = Σ w·clip(champion's loss − challenger's loss, ±b)/(b·Σ w)        −1 ≤ x ≤ 1

x > 0 speaks for the challenger. Examples of one viewer are no independent evidence (one taste, one
session): a test that counts them one by one takes few viewers for many and promotes falsely.

**The test** bets on x > 0, block after block, with a capital of 1. Several bettors have an equal
share of it; bettor j stakes λⱼ = 0.9/2ʲ of what it owns, j = 0 … 8:

    K = mean over j of  Π (1 + λⱼ·x)

If the challenger is no better (the mean of x, given all before, is at most 0), the bets are fair or
worse, and K ever reaches 1/α with probability at most α (Ville's inequality). So it is looked at
after each block, and the first K ≥ 1/α ends the duel. The same against −x finds the challenger
proven worse. Source: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables
by betting", JRSS B 86 (2024). Stakes by powers of two are within a factor 2 of the best stake, and
sharing the capital among nine costs ln 9 of evidence at most.

*Example*: blocks of x = 0.5, then 0.2. The boldest bettor goes from 1 to 1.45 to 1.711, the next
(λ = 0.45) to 1.225 to 1.33525, and so on. With α = 0.05 and x = 0.5 throughout, block 14 decides:

>>> duel = Duel(DuelSettings(block_ms=0))
>>> for at_ms in range(15):
...     duel.update("v1", champion_loss=0.9, challenger_loss=0.4, at_ms=at_ms)
>>> duel.decided, duel.blocks
('challenger', 14)

**Clipping** keeps one surprise from deciding; b = 1 nat is a factor e between two probabilities.
Being wrong about a rare outcome still loses: whoever promises p/k of a true p gains p·(1 − 1/k)
where nothing happens and loses p·min(ln k, 1) where it does.

**Fair** is all this as long as the viewers of the next block do not depend on how the duel stands.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Literal

import msgspec

from streamapp.errors import ConfigurationError
from streamapp.features.decay import HOUR_MS

STAKES = tuple(0.9 / 2**j for j in range(9))
"""What the bettors stake of their capital."""

_BETS = (*STAKES, *(-stake for stake in STAKES))  # on the challenger, against it

Winner = Literal["challenger", "champion"]


@dataclass(frozen=True)
class DuelSettings:
    """How a duel is fought.

    Attributes:
        alpha: how probable a false promotion may be, and a false dismissal; of several duels one
            after another see `streamapp.learning.rounds`.
        bound: b, nats.
        block_ms: length of a block, stream time.
        capacity: blocks open at a time; the oldest closes early to make room.
    """

    alpha: float = 0.05
    bound: float = 1.0
    block_ms: int = HOUR_MS
    capacity: int = 10_000

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 1 and self.bound > 0 and self.block_ms >= 0 and self.capacity > 0):
            raise ConfigurationError(
                "a duel needs alpha within (0, 1), bound and capacity above 0 and block_ms ≥ 0"
            )


class BlockState(msgspec.Struct, array_like=True):
    """An open block: Σ w and Σ w·difference, clipped; `number` counts blocks as they begin."""

    began_ms: int
    number: int
    weight: float = 0.0
    difference: float = 0.0


class DuelState(msgspec.Struct, array_like=True):
    """All of a duel but its open blocks.

    Attributes:
        at_ms: stream time.
        begun, closed: number of blocks.
        total: Σ x over closed blocks.
        capital: by bettor, of those who bet on the challenger, then of those against it.
    """

    at_ms: int
    begun: int
    closed: int
    total: float
    capital: list[float]
    decided: Winner | None


def _fresh() -> DuelState:
    return DuelState(0, 0, 0, 0.0, [1.0] * (2 * len(STAKES)), None)


class Duel:
    """A challenger against the champion, from its first example to a decision."""

    def __init__(self, settings: DuelSettings) -> None:
        self._settings = settings
        self._state = _fresh()
        # In the order they began; of a plain dict, finding the first after many deletions is slow.
        self._open: OrderedDict[str, BlockState] = OrderedDict()
        self._touched: dict[str, None] = {}

    @property
    def decided(self) -> Winner | None:
        """Who has won; None while that is open. Final: what comes later is not looked at."""
        return self._state.decided

    @property
    def blocks(self) -> int:
        """Blocks that were counted."""
        return self._state.closed

    @property
    def lead(self) -> float | None:
        """Mean over blocks of what the challenger lost less, nats; None before the first."""
        state = self._state
        return self._settings.bound * state.total / state.closed if state.closed else None

    @property
    def evidence(self) -> tuple[float, float]:
        """K for the challenger and K against it; the first at 1/alpha decides."""
        capital, count = self._state.capital, len(STAKES)
        return sum(capital[:count]) / count, sum(capital[count:]) / count

    def update(
        self,
        viewer_id: str,
        champion_loss: float,
        challenger_loss: float,
        at_ms: int,
        weight: float = 1.0,
    ) -> None:
        """Take what both lost on one example, nats; a loss that is no number counts as the worst.

        Args:
            at_ms: stream time.
            weight: how many examples it stands for.
        """
        if self.decided:
            return
        state = self._state
        state.at_ms = max(state.at_ms, at_ms)
        if not self._make_room(viewer_id):
            self._touched.update(dict.fromkeys(self._open))
            self._open.clear()
            return
        block = self._open.get(viewer_id)
        if block is None:
            block = self._open[viewer_id] = BlockState(state.at_ms, state.begun)
            state.begun += 1
        bound = self._settings.bound
        difference = champion_loss - challenger_loss
        if not -bound <= difference <= bound:
            difference = _clipped(champion_loss, challenger_loss, bound)
        block.weight += weight
        block.difference += weight * difference
        self._touched[viewer_id] = None

    def _make_room(self, viewer_id: str) -> bool:
        """Close the blocks that are over, and the oldest if the viewer's finds no place.

        Return whether the duel goes on.
        """
        blocks, settings = self._open, self._settings
        last = self._state.at_ms - settings.block_ms
        while blocks and not self.decided:
            oldest = next(iter(blocks))
            full = len(blocks) >= settings.capacity and viewer_id not in blocks
            if blocks[oldest].began_ms >= last and not full:
                break
            self._count(blocks.pop(oldest))
            self._touched[oldest] = None
        return not self.decided

    def _count(self, block: BlockState) -> None:
        state = self._state
        x = block.difference / (block.weight * self._settings.bound)
        state.closed += 1
        state.total += x
        state.capital = [
            own * (1.0 + stake * x) for own, stake in zip(state.capital, _BETS, strict=True)
        ]
        gains, losses = self.evidence
        if gains * self._settings.alpha >= 1.0:
            state.decided = "challenger"
        elif losses * self._settings.alpha >= 1.0:
            state.decided = "champion"

    def forget(self, viewer_id: str) -> bool:
        """Drop the open block of a viewer, uncounted; return whether there was one."""
        if self._open.pop(viewer_id, None) is None:
            return False
        self._touched[viewer_id] = None
        return True

    def __len__(self) -> int:
        """Blocks open."""
        return len(self._open)

    def snapshot(self) -> DuelState:
        """Return all but the open blocks, for JSON."""
        return msgspec.structs.replace(self._state)

    def changed(self) -> Iterator[tuple[str, BlockState | None]]:
        """Yield, by viewer, the blocks that changed or closed (None) since the last call."""
        touched, self._touched = self._touched, {}
        for viewer_id in touched:
            yield viewer_id, self._open.get(viewer_id)

    def restore(self, state: DuelState, blocks: Mapping[str, BlockState]) -> None:
        """Go on exactly from what `snapshot` and `changed` gave."""
        self._state = msgspec.structs.replace(state)
        self._open = OrderedDict(sorted(blocks.items(), key=lambda entry: entry[1].number))


def _clipped(champion_loss: float, challenger_loss: float, bound: float) -> float:
    difference = champion_loss - challenger_loss
    if isnan(difference):  # inf − inf as well
        return bound * (int(isnan(champion_loss)) - int(isnan(challenger_loss)))
    return max(-bound, min(bound, difference))
