"""What the runs came to: arms compared seed by seed.

The arms of one seed have the same viewers, who come at the same times with the same tastes, so
they are compared in pairs: of n seeds the differences dᵢ in clicks (or watch time) a visit have
the mean m and the standard deviation s, and m ± t·s/√n is an interval that holds the true mean
95 % of the time, with t the 97.5 % quantile of Student's distribution of n − 1 degrees of freedom.
A lift is a difference by the mean of the arm it is taken against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

from streamapp.demo.arms import ARMS

COMPARED = (("fresh", "hour_old"), ("hour_old", "popularity"), ("fresh", "popularity"))
"""Who against whom."""

MEASURES = ("clicks", "watched_s")
FEWEST_SEEDS = 4
"""Below, the quantile is not good to two digits."""


class Run(NamedTuple):
    """One arm's run of one seed at one drift.

    Attributes:
        visits: measured.
        clicks: in these visits, and `watched_ms` likewise.
        events: sent in all, the warm-up included.
    """

    drift: float
    seed: int
    arm: str
    visits: int
    clicks: int
    watched_ms: int
    events: int

    @property
    def watched_s(self) -> float:
        """Watch time in seconds."""
        return self.watched_ms / 1_000

    def a_visit(self, measure: str) -> float:
        """Return a measure by visit."""
        return float(getattr(self, measure)) / self.visits


class Difference(NamedTuple):
    """One arm less another, over seeds.

    Attributes:
        mean: by visit; `low` and `high` bound its 95 % interval.
        base: mean of the other arm.
    """

    mean: float
    low: float
    high: float
    base: float

    @property
    def lift(self) -> tuple[float, float, float]:
        """Mean and interval as shares of the other arm's mean."""
        return self.mean / self.base, self.low / self.base, self.high / self.base

    @property
    def decides(self) -> bool:
        """Say whether 0 is out of the interval."""
        return self.low > 0.0 or self.high < 0.0


class Results:
    """Runs, compared."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs: defaultdict[float, dict[tuple[str, int], Run]] = defaultdict(dict)
        for run in runs:
            self._runs[run.drift][run.arm, run.seed] = run

    @property
    def drifts(self) -> list[float]:
        """Drift rates with runs of all arms, ascending."""
        return [drift for drift in sorted(self._runs) if len(self.seeds(drift)) >= FEWEST_SEEDS]

    def seeds(self, drift: float) -> list[int]:
        """Return the seeds of which all arms have run."""
        runs = self._runs[drift]
        return sorted({seed for _, seed in runs if all((arm, seed) in runs for arm in ARMS)})

    def values(self, drift: float, arm: str, measure: str) -> list[float]:
        """Return a measure by visit of each seed."""
        return [self._runs[drift][arm, seed].a_visit(measure) for seed in self.seeds(drift)]

    def difference(self, drift: float, arm: str, other: str, measure: str) -> Difference:
        """Return by how much an arm is ahead of another."""
        ours, theirs = self.values(drift, arm, measure), self.values(drift, other, measure)
        differences = [one - two for one, two in zip(ours, theirs, strict=True)]
        mean, count = fmean(differences), len(differences)
        half = student(count - 1) * stdev(differences) / sqrt(count)
        return Difference(mean, mean - half, mean + half, fmean(theirs))


def student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's distribution.

    By the expansion of Fisher and Cornish (Abramowitz and Stegun, 26.7.5).

    >>> [round(student(n), 3) for n in (5, 9, 19, 1_000)]  # tables: 2.571, 2.262, 2.093, 1.962
    [2.57, 2.262, 2.093, 1.962]
    """
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / freedom**power for power, term in enumerate(terms, 1)))


def markdown(results: Results) -> Iterator[str]:
    """Yield the lines of two tables: what the arms came to, and how they compare."""
    yield "| drift an hour | seeds | arm | clicks a visit | watch time a visit |"
    yield "|---:|---:|---|---:|---:|"
    for drift in results.drifts:
        for arm in ARMS:
            clicks, watched = (fmean(results.values(drift, arm, m)) for m in MEASURES)
            named = f"{drift:g} | {len(results.seeds(drift))} | {arm.replace('_', '-')}"
            yield f"| {named} | {clicks:.2f} | {watched:.1f} s |"
    yield ""
    yield "| drift an hour | arms | clicks | watch time |"
    yield "|---:|---|---:|---:|"
    for drift in results.drifts:
        for arm, other in COMPARED:
            cells = (_lift(results.difference(drift, arm, other, m)) for m in MEASURES)
            named = f"{arm} against {other}".replace("_", "-")
            yield f"| {drift:g} | {named} | {' | '.join(cells)} |"


def _lift(difference: Difference) -> str:
    mean, low, high = (f"{round(100 * share, 1) + 0.0:+.1f}" for share in difference.lift)  # no −0
    text = f"{mean} % ({low} to {high})"
    return f"**{text}**" if difference.decides else text
