"""Which items a slate shows, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from streamapp.simulate.world import Item, Surface, Viewer, World


class Placed(NamedTuple):
    """An item in a slate.

    Attributes:
        score: what the ranker gave it, if it scores.
        propensity: the probability with which the ranker puts this item at this position.
        features: that the score was made of.
    """

    item: Item
    score: float | None
    propensity: float | None
    features: Mapping[str, float | str] | None = None


Ranker = Callable[[World, Viewer, Surface, tuple[Item, ...], int, Random], list[Placed]]
"""world, viewer, surface, the items to choose from, the time (ms), randomness → a slate."""


def shuffled(
    world: World,  # noqa: ARG001  # a ranker's signature
    viewer: Viewer,  # noqa: ARG001
    surface: Surface,
    pool: tuple[Item, ...],
    at_ms: int,  # noqa: ARG001
    draw: Random,
) -> list[Placed]:
    """Any items in any order: each is at each position with the probability 1 / pool."""
    chosen = draw.sample(pool, min(len(surface.theta), len(pool)))
    return [Placed(item, None, 1.0 / len(pool)) for item in chosen]


@dataclass(frozen=True, slots=True)
class Exploring:
    """A ranker that knows each viewer's taste, and shows a share of the slates at random.

    Attributes:
        share: of the slates, that are `shuffled` and say with what propensity; the others show
            what the viewer likes best, best first, and have no propensity.
    """

    share: float

    def __call__(
        self,
        world: World,
        viewer: Viewer,
        surface: Surface,
        pool: tuple[Item, ...],
        at_ms: int,
        draw: Random,
    ) -> list[Placed]:
        """Return a slate."""
        if draw.random() < self.share:
            return shuffled(world, viewer, surface, pool, at_ms, draw)
        scored = [(world.liking(viewer, item, at_ms), item) for item in pool]
        scored.sort(key=lambda entry: -entry[0])
        return [Placed(item, score, None) for score, item in scored[: len(surface.theta)]]
