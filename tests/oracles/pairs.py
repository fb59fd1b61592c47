"""Pairwise ranking from its definition: a loss, and its gradient by finite differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Factors:
    """Everything a step can move. `viewer` is a vector, `items` are bias and vector."""

    viewer: tuple[float, ...]
    items: dict[str, tuple[float, ...]]
    places: dict[str, float]

    def score(self, item: str, place: str) -> float:
        bias, *vector = self.items[item]
        likes = sum(p * q for p, q in zip(self.viewer, vector, strict=True))
        return bias + likes + self.places[place]


Shown = tuple[str, str]
"""Item and place."""


def loss(factors: Factors, preferred: Iterable[Shown], passed: Iterable[Shown]) -> float:
    """−ln of the probability of all preferences, weighted by 1/√(number passed over)."""
    passed = list(passed)
    total = 0.0
    for liked in preferred:
        for other in passed:
            x = factors.score(*liked) - factors.score(*other)
            total += math.log(1.0 + math.exp(-x))
    return total / math.sqrt(len(passed))


def gradient(factors: Factors, preferred: list[Shown], passed: list[Shown]) -> Factors:
    """The loss's derivative by everything, in the shape of the factors."""
    h = 1e-6

    def slope(up: Factors, down: Factors) -> float:
        return (loss(up, preferred, passed) - loss(down, preferred, passed)) / (2 * h)

    def moved(numbers: tuple[float, ...], at: int, by: float) -> tuple[float, ...]:
        return tuple(n + by if k == at else n for k, n in enumerate(numbers))

    def with_viewer(at: int, by: float) -> Factors:
        return replace(factors, viewer=moved(factors.viewer, at, by))

    def with_item(item: str, at: int, by: float) -> Factors:
        return replace(factors, items=factors.items | {item: moved(factors.items[item], at, by)})

    def with_place(place: str, by: float) -> Factors:
        return replace(factors, places=factors.places | {place: factors.places[place] + by})

    return Factors(
        tuple(slope(with_viewer(k, h), with_viewer(k, -h)) for k in range(len(factors.viewer))),
        {
            item: tuple(
                slope(with_item(item, k, h), with_item(item, k, -h)) for k in range(len(numbers))
            )
            for item, numbers in factors.items.items()
        },
        {place: slope(with_place(place, h), with_place(place, -h)) for place in factors.places},
    )
