"""Textbook EM for the position-based model, over single examples (Chuklin et al. 2015, ch. 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple


class Seen(NamedTuple):
    """An impression that counts `weight` times."""

    item: str
    position: int
    clicked: bool
    weight: float = 1.0


def batch_em(log: Sequence[Seen], rounds: int) -> dict[int, float]:
    """Return θ by position, as a share of the first position's."""
    theta: dict[int, float] = defaultdict(lambda: 0.5)
    alpha: dict[str, float] = defaultdict(lambda: 0.5)
    for _ in range(rounds):
        looked: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        liked: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for item, position, clicked, weight in log:
            t, a = theta[position], alpha[item]
            at_position, of_item = looked[position], liked[item]
            at_position[0] += weight * (1.0 if clicked else t * (1 - a) / (1 - t * a))
            of_item[0] += weight * (1.0 if clicked else a * (1 - t) / (1 - t * a))
            at_position[1] += weight
            of_item[1] += weight
        theta = {position: part / whole for position, (part, whole) in looked.items()}
        alpha = {item: part / whole for item, (part, whole) in liked.items()}
    return {position: value / theta[1] for position, value in theta.items()}
