"""Examples of one surface of a simulated world, where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec

from streamapp.signals import Example, Labels
from streamapp.simulate import Ranker, Surface, World
from tests.unit.learning.examples import BASE


def examples(
    world: World, surface: Surface, ranker: Ranker, slates: int, *, keep: float = 1.0
) -> Iterator[Example]:
    """Yield what so many slates give, one a second; of what is not clicked a share is kept."""
    draw = Random(f"{world.seed}:examples")
    pool = world.pool(surface)
    for number in range(slates):
        viewer = world.viewer(draw.randrange(world.viewers))
        for position, (item, _, propensity, _) in enumerate(
            ranker(world, viewer, surface, pool, 0, draw), 1
        ):
            truth = world.click_probability(viewer, item, surface, position, 0)
            clicked = draw.random() < truth
            if clicked or draw.random() < keep:
                yield msgspec.structs.replace(
                    BASE,
                    example_id=f"r{number}:{position}",
                    item_id=item.item_id,
                    surface=surface.name,
                    position=position,
                    propensity=propensity,
                    features={"category": item.category},
                    labels=Labels(clicked=clicked),
                    weight=1.0 if clicked else 1.0 / keep,
                    labelled_at_ms=number * 1_000,
                )
