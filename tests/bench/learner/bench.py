"""What an example costs the learner: champion, challenger, older copies, metrics with slices.

Examples are decoded, predicted, measured and learned from, turns are judged, and two cuts a second
give changelog rows and records, as a worker makes them that commits after half a second of
processing at the latest. Time of the processor is measured, second
by second of stream time at 20,000 examples each; FTRL alone, on 25 coordinates that stay in the
processor's cache, is measured beside it: what else the machine does falls on both alike.
"""

from __future__ import annotations

import gc
import json
import random
from dataclasses import asdict, dataclass
from statistics import median
from time import process_time

from rich.console import Console

from streamapp import compiled
from streamapp.collecting import COLLECT_AFTER
from streamapp.learning.ftrl import FtrlLogistic
from streamapp.processors.base import Cut
from streamapp.processors.learner import Learner, decode_example
from streamapp.processors.learner_settings import LearnerSettings
from tests.bench.learner.examples import Shown
from tests.bench.process import ROOT

RESULTS = ROOT / "build" / "bench" / "learner.json"
TOPIC = "training.examples"
RATE = 20_000
CUTS = 2
BUDGET = 1e6 / RATE


@dataclass(frozen=True)
class Plan:
    """How many seconds of stream time, among how many, and which negatives are kept."""

    seconds: int = 20
    viewers: int = 200_000
    items: int = 50_000
    keep_rate: float = 1.0


QUICK = Plan(seconds=4)


@dataclass(frozen=True)
class Cost:
    """Microseconds an example, of the processor: median and least over seconds of stream time.

    Attributes:
        cut: of these, for rows and records.
        ftrl: FTRL alone, on 25 coordinates.
        rows, records: written, by example.
    """

    median: float
    least: float
    cut: float
    ftrl: float
    rows: float
    records: float


def measure(plan: Plan) -> Cost:
    """Feed a learner as a worker does, and time it."""
    gc.set_threshold(*COLLECT_AFTER)
    records = Shown(1, plan.viewers, plan.items, RATE, plan.keep_rate).records(RATE * plan.seconds)
    learner, spent, cuts, alone = Learner(LearnerSettings()), [], [], []
    rows = written = 0
    for second in range(plan.seconds):
        alone.append(_ftrl_alone())
        in_cuts, began = 0.0, process_time()
        for part in range(CUTS):
            start = second * RATE + part * RATE // CUTS
            now = _feed(learner, records[start : start + RATE // CUTS])
            before, cut = process_time(), Cut(now, 0)
            rows += len(list(learner.cut(cut)))
            written += sum(map(len, cut.outputs.values()))
            in_cuts += process_time() - before
        spent.append((process_time() - began) / RATE * 1e6)
        cuts.append(in_cuts / RATE * 1e6)
    count = len(records)
    return Cost(
        median(spent), min(spent), median(cuts), median(alone), rows / count, written / count
    )


def _feed(learner: Learner, records: list[bytes]) -> int:
    now = 0
    for record in records:
        example = decode_example(record)
        now = example.labelled_at_ms
        learner.advance(now)
        learner.process(TOPIC, example)
    return now


def _ftrl_alone(count: int = 2_000) -> float:
    rng, model = random.Random(1), FtrlLogistic(alpha=0.2, l2=1.0)
    shown = [[rng.randrange(2_000) for _ in range(25)] for _ in range(count)]
    began = process_time()
    for indices in shown:
        model.learn_indices(indices, 0.0)
    return (process_time() - began) / count * 1e6


def run(plan: Plan, console: Console) -> None:
    """Measure, show, and keep the figures in build/bench."""
    cost = measure(plan)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    ran = "compiled" if compiled.modules() else "uncompiled"
    RESULTS.write_text(json.dumps({"plan": asdict(plan), "ran": ran, **asdict(cost)}, indent=1))
    console.print(
        f"learner, {ran}: {cost.median:.1f} µs an example (least {cost.least:.1f}, of it "
        f"{cost.cut:.1f} for rows and records), {1e6 / cost.median:,.0f} examples/s; "
        f"keep rate {plan.keep_rate}; {cost.rows:.1f} rows and {cost.records:.1f} records an "
        f"example; budget {BUDGET:.0f} µs; FTRL alone {cost.ftrl:.1f} µs"
    )
