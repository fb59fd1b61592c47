"""Pairs: what is common to all that learn from what a viewer preferred to what.

A **place** adds t to the log-odds of a click: of two items liked alike the one on top is clicked
more often, and that must not be held for taste. t is learned as biases are, and begins at ln of the
shipped click rate of the position by the top's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import NamedTuple

from streamapp.features.parameters import shipped_position_ctr

LAST_POSITION = 50
"""Positions beyond it count as it."""

MAX_PLACES = 500
"""Surfaces × positions that are learned of; of further ones the shipped click rates are used."""


Traits = tuple[float | str | None, ...]
"""An item's category and creator (`streamapp.learning.factor_rows.TRAITS`), as far as known."""


class Slot(NamedTuple):
    """An item as it was shown.

    Attributes:
        place: "surface/position"; empty to leave out of account where it was shown.
        traits: what it has in common with others.
    """

    item: str
    place: str = ""
    traits: Traits = ()


def place(surface: str, position: int) -> str:
    """Return where something was shown, as `Slot` names it."""
    return f"{surface}/{min(max(position, 1), LAST_POSITION)}"


class Places:
    """t of places.

    Attributes:
        learned: by place.

    Args:
        rate: η.
        limit: the largest absolute value.
    """

    def __init__(self, rate: float, limit: float) -> None:
        self.learned: dict[str, float] = {}
        self._rate = rate
        self._limit = limit

    def get(self, place: str) -> float:
        """Return t of a place."""
        known = self.learned.get(place)
        return shipped_of_place(place) if known is None else known

    def update(self, slots: Sequence[Slot], steps: Sequence[float]) -> None:
        """Move t of each place along its step."""
        for slot, step in zip(slots, steps, strict=True):
            name = slot.place
            if name in self.learned or (name and len(self.learned) < MAX_PLACES):
                moved = self.get(name) + self._rate * step
                self.learned[name] = min(max(moved, -self._limit), self._limit)


def shipped_of_place(place: str) -> float:
    """Return t before anything was learned of a place.

    >>> round(shipped_of_place("home/3"), 4), shipped_of_place("")
    (-0.769, 0.0)
    """
    if not place:
        return 0.0
    position = int(place.rpartition("/")[2])
    return log(shipped_position_ctr(position) / shipped_position_ctr(1))


def pair_steps(scores: Sequence[float], preferred: int) -> tuple[list[float], list[float]]:
    """Return x of all pairs, and the step of each score: minus the gradient of the loss.

    Args:
        scores: of the items preferred, then of those passed over.
        preferred: how many they are, P; the N others are at least one.

    Returns:
        x_ij = s_i − s_j, P × N in this order; and by score c_i = w·Σ_j σ(−x_ij) or
        c_j = −w·Σ_i σ(−x_ij), w = 1/√N.

    >>> pair_steps([0.0, 0.0, 0.0, 0.0, 0.0], 1)
    ([0.0, 0.0, 0.0, 0.0], [1.0, -0.25, -0.25, -0.25, -0.25])
    """
    passed = scores[preferred:]
    weight = 1.0 / sqrt(len(passed))
    margins = list[float]()
    gains, losses = list[float](), [0.0] * len(passed)
    for score in scores[:preferred]:
        gain = 0.0
        for at, other in enumerate(passed):
            x = score - other
            margins.append(x)
            missed = weight / (1.0 + exp(x))
            gain += missed
            losses[at] -= missed
        gains.append(gain)
    return margins, gains + losses
