"""How fresh the weights are that a reader scores with."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from streamapp.settings import Settings
from tests.bench.learner.examples import Shown
from tests.bench.process import ROOT
from tests.bench.progress import step
from tests.bench.quantiles import quantile
from tests.bench.weights.freshness import freshness

RESULTS = ROOT / "build" / "bench" / "weights.json"
NAME = f"streamapp-bench-{os.getpid()}-weights"
SEED = 7
BUDGET_MS = 2_000


@dataclass(frozen=True)
class Plan:
    """How many examples a second, of how many viewers and items, and for how long."""

    per_second: int = 1_000
    seconds: float = 120.0
    viewers: int = 200_000
    items: int = 50_000


QUICK = Plan(seconds=20.0, viewers=20_000, items=5_000)


def run(plan: Plan, servers: str, console: Console, place: Path) -> None:
    """Measure, show, and keep the figures in build/bench."""
    settings = Settings(
        bootstrap_servers=servers, app_id=NAME, topic_prefix=f"{NAME}.", partitions=12
    )
    shown = Shown(SEED, plan.viewers, plan.items, plan.per_second)
    what = f"labels to weights at {plan.per_second:,} examples/s for {plan.seconds:.0f} s"
    with step(console, what) as told:
        run = asyncio.run(
            freshness(settings, shown, plan.per_second, plan.seconds, place / "weights", told)
        )
    figures: dict[str, float] = {"samples": len(run.seen_ms)}
    for name, waits in (("cut", run.cut_ms), ("seen", run.seen_ms)):
        figures |= {f"{name}_p50_ms": quantile(waits, 0.5), f"{name}_p99_ms": quantile(waits, 0.99)}
    console.print(
        "  from a label to a reader that scores with it: {seen_p50_ms:,.0f} ms at the median, "
        "{seen_p99_ms:,.0f} ms at p99, of these {cut_p50_ms:,.0f} and {cut_p99_ms:,.0f} until the "
        "learner's cut ({samples:,} examples".format(**figures)
        + f", {run.undone} undone by the guard, {run.unseen} not seen); "
        f"budget {BUDGET_MS:,} ms at p99"
    )
    console.print(
        f"  sent {run.per_second:,.0f} examples/s; {run.versions} versions applied, "
        f"{run.weights:,} weights read; learn role {run.learner_us:.0f} µs CPU an example",
        style="dim",
    )
    told_of = {k: value for k, value in asdict(run).items() if k not in ("seen_ms", "cut_ms")}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({"plan": asdict(plan), **figures, **told_of}, indent=1) + "\n")
