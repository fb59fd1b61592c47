"""Examples to learn from, with click probabilities that are known."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamapp.signals import Example, Labels

BASE = Example(
    example_id="r0:1",
    request_id="r0",
    viewer_id="v0",
    item_id="i0",
    surface="home",
    position=1,
    propensity=None,
    features={},
    labels=Labels(clicked=False),
    weight=1.0,
    served_at_ms=0,
    labelled_at_ms=0,
    as_of_ms=0,
    computed_at_ms=0,
)


def example(at_ms: int = 0, *, clicked: bool = False, **fields: Any) -> Example:
    """Return an example labelled at a time; fields not given are those of `BASE`."""
    return msgspec.structs.replace(
        BASE, labelled_at_ms=at_ms, labels=Labels(clicked=clicked), **fields
    )


@dataclass
class World:
    """Viewers with tastes, items with appeal, places that are seen more or less often.

    The log-odds of a click are additive: base + appeal of the item + the viewer's taste for the
    item's category − (position − 1)·0.3.
    """

    seed: int
    base: float = -2.0
    viewers: int = 60
    items: int = 40
    categories: int = 4
    appeal: dict[int, float] = field(default_factory=dict)
    taste: dict[tuple[int, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.appeal = {i: self.random.gauss(0.0, 0.7) for i in range(self.items)}
        self.taste = {
            (v, c): self.random.gauss(0.0, 1.0)
            for v in range(self.viewers)
            for c in range(self.categories)
        }

    def probability(self, viewer: int, item: int, position: int) -> float:
        """Return the true click probability."""
        score = self.base + self.appeal[item] - 0.3 * (position - 1)
        return 1 / (1 + math.exp(-score - self.taste[viewer, item % self.categories]))

    def shown(self, count: int, interval_ms: int = 100) -> Iterator[tuple[Example, float]]:
        """Yield examples and the true probability of each."""
        for number in range(count):
            viewer = self.random.randrange(self.viewers)
            item = self.random.randrange(self.items)
            position = self.random.randrange(1, 6)
            truth = self.probability(viewer, item, position)
            yield (
                example(
                    number * interval_ms,
                    clicked=self.random.random() < truth,
                    example_id=f"r{number}:1",
                    viewer_id=f"v{viewer}",
                    item_id=f"i{item}",
                    position=position,
                    features={"category": f"c{item % self.categories}"},
                ),
                truth,
            )


def sampled(
    shown: Iterator[tuple[Example, float]], rate: float, rng: random.Random
) -> Iterator[tuple[Example, float]]:
    """Keep all clicks and a share of the rest, with the weight that says so."""
    for one, truth in shown:
        if one.labels.clicked:
            yield one, truth
        elif rng.random() < rate:
            yield msgspec.structs.replace(one, weight=1 / rate), truth
