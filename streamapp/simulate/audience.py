"""Viewers who are shown what a ranking layer makes of what they have done so far.

`traffic` plays a visit whole when it begins. Here the ranker is asked for each slate when its
time has come, and not before all that was sent earlier has been handed out: whoever feeds the
records to a system as they come closes the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import NamedTuple

from streamapp.simulate.behaviour import Human, Scene
from streamapp.simulate.delivery import Delivery, Sent
from streamapp.simulate.traffic import BUSY_VIEWERS
from streamapp.simulate.world import Viewer, World


class Visit(NamedTuple):
    """A viewer comes.

    Attributes:
        visit_id: session_id of all its events, and what its chances follow from.
        viewer: number of the viewer.
    """

    visit_id: str
    viewer: int
    at_ms: int


def arrivals(
    world: World, *, start_ms: int, gap_ms: float, seed: int, busy: float = BUSY_VIEWERS
) -> Iterator[Visit]:
    """Yield visits for ever, at random times from `start_ms` on.

    Args:
        gap_ms: between two visits, on average.
        busy: viewer number = viewers · u^busy, u uniform: at 1 all come as often.
    """
    draw, at_ms = Random(f"{seed}:arrivals"), float(start_ms)
    for number in count():
        at_ms += draw.expovariate(1.0) * gap_ms
        viewer = int(world.viewers * draw.random() ** busy)
        yield Visit(f"{seed}.{number}", viewer, int(at_ms))


class _Underway(NamedTuple):
    """A visit that awaits one of its slates.

    Attributes:
        number: of the slate, from 0.
        slates: of the visit, whatever they show.
    """

    visit: Visit
    scene: Scene
    human: Human
    number: int
    slates: int


def audience(
    world: World,
    visits: Iterable[Visit],
    human: Callable[[Viewer], Human],
    delivery: Delivery | None = None,
) -> Iterator[Sent]:
    """Yield the records of these visits in the order they reach Kafka.

    How many slates a visit has, their surfaces and the chances at each slate follow from its id:
    with other rankers the same viewers ask for the same slates, at times that depend on how long
    they watch.

    Args:
        visits: by time; they may go on for ever.
        human: how a viewer behaves, and who ranks for them; bots are taken for humans.
    """
    delivery = delivery or Delivery()
    happens: list[tuple[int, int, _Underway | Sent]] = []
    order, coming = count(), iter(visits)
    visit = next(coming, None)
    while happens or visit is not None:
        if visit is not None and (not happens or visit.at_ms <= happens[0][0]):
            heappush(happens, (visit.at_ms, next(order), _begin(world, visit, human)))
            visit = next(coming, None)
            continue
        at_ms, _, what = heappop(happens)
        if isinstance(what, Sent):
            yield what
            continue
        for later_ms, then in _play(what, at_ms, delivery):
            heappush(happens, (later_ms, next(order), then))


def _begin(world: World, visit: Visit, human: Callable[[Viewer], Human]) -> _Underway:
    viewer, draw = world.viewer(visit.viewer), Random(f"{world.seed}:{visit.visit_id}")
    behaviour, slates = human(viewer), 1
    while draw.random() < behaviour.next_slate:
        slates += 1
    scene = Scene(world, viewer, visit.visit_id, draw, behaviour.experiments)
    return _Underway(visit, scene, behaviour, 0, slates)


def _play(
    underway: _Underway, at_ms: int, delivery: Delivery
) -> Iterator[tuple[int, _Underway | Sent]]:
    """Play the slate that is due; yield what it sends, and the visit if it goes on, with times."""
    visit, scene, human, number, slates = underway
    scene.draw = Random(f"{scene.world.seed}:{visit.visit_id}:{number}")
    done_ms = human.slate(scene, at_ms)
    happened, scene.happened = scene.in_order(), []
    for sent in delivery.deliver(happened, scene.draw):
        yield sent.timestamp_ms, sent
    if number + 1 < slates:
        yield done_ms + scene.pause(human.slate_gap_ms), underway._replace(number=number + 1)
