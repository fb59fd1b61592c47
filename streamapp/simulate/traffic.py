"""The stream of all visits, in the order it reaches Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random

import msgspec

from streamapp.simulate.behaviour import Behaviour, Human
from streamapp.simulate.bots import BEHAVIOURS
from streamapp.simulate.delivery import Delivery, Sent
from streamapp.simulate.world import World

CATALOG = "catalog.items"
BUSY_VIEWERS = 1.5
"""Viewer number = viewers · u^1.5, u uniform: low numbers come more often."""

SAMPLED_VISITS = 500


def catalog(world: World, at_ms: int) -> Iterator[Sent]:
    """Yield the catalog.items record of every item, published at `at_ms`."""
    for item in world.catalog:
        event = {
            "item_id": item.item_id,
            "kind": item.kind,
            "creator_id": item.creator_id,
            "category": item.category,
            "title": f"{item.category} {item.kind} {item.item_id}",
            "duration_ms": item.duration_ms,
            "published_at_ms": at_ms,
            "status": "active",
        }
        yield Sent(CATALOG, item.item_id, msgspec.json.encode(event), at_ms, event)


def traffic(
    world: World,
    *,
    start_ms: int,
    rate: float,
    seed: int,
    behaviour: Behaviour | None = None,
    delivery: Delivery | None = None,
) -> Iterator[Sent]:
    """Yield records for ever, by timestamp; visits begin at random times from `start_ms` on.

    Args:
        rate: records a second, on average, once playbacks begun early have run their course.
        behaviour: of the human viewers; bots have their own.
        seed: of this stream; records of streams with different seeds have different ids.
    """
    behaviour = behaviour or Human()
    delivery = delivery or Delivery()
    gap_ms = 1_000 * events_per_visit(world, behaviour, delivery) / rate
    arrivals = Random(f"{seed}:arrivals")
    underway: list[tuple[int, int, Sent]] = []
    order = count()
    at_ms = float(start_ms)
    for visit in count():
        at_ms += arrivals.expovariate(1.0) * gap_ms
        while underway and underway[0][0] < at_ms:
            yield heappop(underway)[2]
        for sent in _visit(world, behaviour, delivery, f"{seed}.{visit}", int(at_ms)):
            heappush(underway, (sent.timestamp_ms, next(order), sent))


def events_per_visit(world: World, behaviour: Behaviour, delivery: Delivery) -> float:
    """Return how many records a visit sends on average, from a sample of visits."""
    visits = (f"sample.{number}" for number in range(SAMPLED_VISITS))
    return sum(len(_visit(world, behaviour, delivery, v, 0)) for v in visits) / SAMPLED_VISITS


def _visit(
    world: World, behaviour: Behaviour, delivery: Delivery, visit_id: str, at_ms: int
) -> list[Sent]:
    """Return what one visit sends; all of it follows from the world's seed and the visit's id."""
    draw = Random(f"{world.seed}:{visit_id}")
    viewer = world.viewer(int(world.viewers * draw.random() ** BUSY_VIEWERS))
    behaviour = BEHAVIOURS[viewer.bot] if viewer.bot else behaviour
    return delivery.deliver(behaviour.visit(world, viewer, visit_id, at_ms, draw), draw)
