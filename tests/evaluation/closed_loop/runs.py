"""The runs that are asked for, several at a time.

A module of its own: a process of the pool does not import the package's `__main__`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from multiprocessing import get_context
from typing import NamedTuple

from streamapp.demo.arms import Arm
from streamapp.simulate.drift import HOUR_MS
from tests.evaluation.closed_loop.loop import Loop
from tests.evaluation.closed_loop.results import Run
from tests.evaluation.closed_loop.scenario import Scenario


class Asked(NamedTuple):
    """A run that is to be made."""

    scenario: Scenario
    drift: float
    seed: int
    arm: str


def run(asked: Asked) -> Run:
    """Make one run."""
    scenario, drift, seed, name = asked
    arm = Arm.named(name, explored=scenario.explored, hour_ms=HOUR_MS, log_features=True)
    outcome = Loop(scenario, scenario.world(seed, drift), arm).run(seed)
    return Run(drift, seed, name, *outcome)


def runs(asked: Sequence[Asked], processes: int) -> Iterator[Run]:
    """Make runs, and yield them as they are done."""
    with get_context("spawn").Pool(processes) if processes > 1 else nullcontext() as pool:
        yield from map(run, asked) if pool is None else pool.imap_unordered(run, asked)
