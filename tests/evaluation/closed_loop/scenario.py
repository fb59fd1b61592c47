"""What is simulated: how many viewers, for how long, how fast they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from streamapp.simulate import Surface, Visit, World, arrivals
from streamapp.simulate.drift import HOUR_MS
from streamapp.simulate.world import examination

START_MS = 1_699_999_200_000
"""A full hour."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run of the loop; the same for all arms.

    Attributes:
        hours: simulated in all.
        warm_up_hours: of these, before anything is measured.
        visits_an_hour: of all viewers together, at random times.
        next_slate: probability of another slate after one.
        positions: of a slate.
        explored: share of the slates that are shuffled, in all arms alike.
    """

    viewers: int = 30
    items: int = 150
    hours: float = 10.0
    warm_up_hours: float = 6.0
    visits_an_hour: float = 120.0
    next_slate: float = 0.6
    explored: float = 0.1
    positions: int = 8

    @classmethod
    def after(cls, warm_up_hours: float) -> Scenario:
        """Return one that measures as long as any, after a warm-up of so many hours."""
        measured = cls().hours - cls().warm_up_hours
        return cls(hours=warm_up_hours + measured, warm_up_hours=warm_up_hours)

    @property
    def measured_from_ms(self) -> int:
        """End of the warm-up."""
        return START_MS + int(self.warm_up_hours * HOUR_MS)

    def world(self, seed: int, drift: float) -> World:
        """Return the viewers and items; at the start they are the same at any drift."""
        home = Surface("home", examination(0.95, 0.5, self.positions), ("short",), 1.0)
        return World(
            seed,
            self.viewers,
            self.items,
            surfaces=(home,),
            drift=drift,
            drift_from_ms=START_MS,
        )

    def visits(self, seed: int) -> Iterator[Visit]:
        """Return who comes when: the same whatever they are shown."""
        world = self.world(seed, 0.0)
        gap_ms = HOUR_MS / self.visits_an_hour
        coming = arrivals(world, start_ms=START_MS, gap_ms=gap_ms, seed=seed, busy=1.0)
        end_ms = START_MS + self.hours * HOUR_MS
        return takewhile(lambda visit: visit.at_ms < end_ms, coming)
