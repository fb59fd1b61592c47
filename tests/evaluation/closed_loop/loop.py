"""One arm's whole system, and the viewers who use it.

::

    viewers ──▶ events ──▶ ingest ▶ signals ▶ learn ──▶ what is published ──▶ the arm's reader
       ▲                                                                            │
       └──────────────────────────── slates ranked ◀────────────────────────────────┘

Time is event time. When a viewer asks for a slate, what happened up to `LAG_MS` before has been
processed and published; what the slate brings about is sent as it happens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random
from typing import NamedTuple

from streamapp.demo.arms import Arm
from streamapp.demo.tally import Tally
from streamapp.replay.cascade import Stages
from streamapp.replay.files import CATALOG, Line
from streamapp.settings import Settings
from streamapp.simulate import (
    Delivery,
    Human,
    Item,
    Placed,
    Sent,
    Surface,
    Viewer,
    World,
    audience,
    catalog,
)
from tests.evaluation.closed_loop.scenario import START_MS, Scenario

LAG_MS = 1_000
"""From an event to what a fresh reader knows of it."""

PUNCTUAL = Delivery(late_rate=0.0, duplicate_rate=0.0)
RECORDS = 10_000


class Outcome(NamedTuple):
    """What the visits measured came to.

    Attributes:
        visits: measured, with their `clicks` and `watched_ms`.
        events: sent in all, the warm-up included.
    """

    visits: int
    clicks: int
    watched_ms: int
    events: int


class Loop:
    """The viewers of a scenario, shown what one arm ranks.

    Attributes:
        rejected: events that were refused, by reason.
    """

    def __init__(
        self, scenario: Scenario, world: World, arm: Arm, settings: Settings | None = None
    ) -> None:
        self._scenario = scenario
        self._world = world
        self._arm = arm
        self._stages = Stages(settings or Settings(), arm.take, uses_estimates=True)
        self.rejected = self._stages.rejected
        for source in self._stages.front.inputs.values():
            source.at_end = True  # whenever it is driven, nothing earlier is still to come
        self._sent: defaultdict[str, list[Line]] = defaultdict(list)
        self._offsets: Counter[str] = Counter()

    def run(self, seed: int) -> Outcome:
        """Run the scenario to its end."""
        for sent in catalog(self._world, START_MS):
            line = _line(0, sent)
            self._arm.take(CATALOG, line.key, line.value)
            self._stages.learn_of(CATALOG, line)
        tally, visits = Tally(self._scenario.measured_from_ms), self._scenario.visits(seed)
        human = Human(ranker=self._slate, next_slate=self._scenario.next_slate, empty_searches=0.0)
        for sent in audience(self._world, visits, lambda _: human, PUNCTUAL):
            tally.take(sent)
            self._offsets[sent.topic] += 1
            self._sent[sent.topic].append(_line(self._offsets[sent.topic], sent))
        return Outcome(tally.visits, tally.clicks, tally.watched_ms, self._offsets.total())

    def _slate(
        self,
        world: World,
        viewer: Viewer,
        surface: Surface,
        pool: tuple[Item, ...],
        at_ms: int,
        draw: Random,
    ) -> list[Placed]:
        """Let the arm read what has been published by now, and rank."""
        self._arm.turn(at_ms)
        self._process(at_ms - LAG_MS)
        return self._arm.rank(world, viewer, surface, pool, at_ms, draw)

    def _process(self, until_ms: int) -> None:
        """Process what happened up to a time, and publish what came of it."""
        front = self._stages.front
        for topic, lines in self._sent.items():
            front.offer(topic, lines)
            lines.clear()
        while front.drive(RECORDS, until_ms):
            pass
        front.advance(until_ms)
        self._stages.cut()


def _line(offset: int, sent: Sent) -> Line:
    return Line(offset, sent.timestamp_ms, sent.key.encode(), sent.value)
