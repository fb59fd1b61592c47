"""What the simulation knows of an example: the probability that it was clicked."""

from __future__ import annotations

from streamapp.demo.board import Truth
from streamapp.signals import Example
from streamapp.simulate import World


def truth_of(world: World) -> Truth:
    """Return the click probability of an example whose viewer and item are of this world."""
    items = {item.item_id: item for item in world.catalog}
    surfaces = {surface.name: surface for surface in world.surfaces}

    def truth(example: Example) -> float | None:
        item, surface = items.get(example.item_id), surfaces.get(example.surface)
        number = example.viewer_id.removeprefix("v")
        if item is None or surface is None or not number.isdecimal():
            return None
        viewer = world.viewer(int(number))
        return world.click_probability(
            viewer, item, surface, example.position, example.served_at_ms
        )

    return truth
