"""The roles on mixed traffic: throughput of `ingest`, and the age of what is published."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.mixed_traffic.ingest import KEEP_RATE, ingest, settings_of
from tests.bench.mixed_traffic.latency import latency
from tests.bench.mixed_traffic.traffic import Mixed
from tests.bench.process import ROOT
from tests.bench.progress import step
from tests.bench.quantiles import quantile

RESULTS = ROOT / "build" / "bench"
NAME = f"streamapp-bench-{os.getpid()}"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        events: of the backlog.
        span_seconds: of event time in the backlog: longer than any window, so that labels close.
        per_second, partitions: of the steady load.
        settle, seconds: of it, before it is measured and while it is.
    """

    events: int = 1_000_000
    span_seconds: int = 500
    per_second: int = 10_000
    settle: float = 60.0
    seconds: float = 60.0
    partitions: int = 12
    viewers: int = 200_000
    items: int = 50_000

    @property
    def backlog(self) -> Mixed:
        """Traffic that waits to be worked off."""
        return Mixed(self.events, self.viewers, self.items, self.events // self.span_seconds)

    @property
    def steady(self) -> Mixed:
        """Traffic of a little longer than it is sent: the load ends by the clock."""
        events = int(self.per_second * (self.settle + self.seconds + 5))
        return Mixed(events, self.viewers, self.items, self.per_second)


QUICK = Plan(
    events=200_000, span_seconds=250, settle=10.0, seconds=15.0, viewers=20_000, items=5_000
)


def run_ingest(plan: Plan, servers: str, data: Path | None, console: Console, place: Path) -> None:
    """Measure and tell."""
    settings = settings_of(servers, f"{NAME}-ingest")
    with step(console, f"ingest, {plan.events:,} events") as told:
        run = ingest(settings, plan.backlog, place / "ingest", data, told)
    console.print(
        f"  ingest: {run.per_second:,.0f} events/s on one core, {run.cpu_us:.1f} µs CPU an event, "
        f"{run.bytes_an_event:,.0f} bytes written an event, peak {run.peak_bytes / 1e6:,.0f} MB "
        f"({plan.viewers:,} viewers, {plan.items:,} items; negatives kept for learning: "
        f"{KEEP_RATE:.0%})"
    )
    for topic, size in sorted(run.written_bytes.items(), key=lambda one: -one[1]):
        console.print(f"    {topic}: {size / run.total:,.0f} bytes an event", style="dim")
    _write("ingest", {"plan": asdict(plan), **asdict(run), "per_second": run.per_second})


def run_latency(
    plan: Plan, servers: str, broker: int | None, console: Console, place: Path
) -> None:
    """Measure and tell."""
    settings = replace(settings_of(servers, f"{NAME}-latency"), partitions=plan.partitions)
    lasts = plan.settle + plan.seconds
    what = f"all roles at {plan.per_second:,} events/s for {lasts:.0f} s"
    with step(console, what) as told:
        there = place / "latency"
        run = latency(settings, plan.steady, plan.settle, plan.seconds, there, broker, told)
    told_of: dict[str, Any] = {}
    for topic, samples in run.samples.items():
        p50, p99 = quantile(samples, 0.5), quantile(samples, 0.99)
        told_of[topic] = {"p50_ms": p50, "p99_ms": p99, "samples": len(samples)}
        console.print(
            f"  event to {topic}: {p50:,.0f} ms at the median, {p99:,.0f} ms at p99 "
            f"({len(samples):,} events)"
        )
    costs = ", ".join(f"{name} {us:.0f}" for name, us in sorted(run.cpu_us.items()))
    cores = sum(run.cpu_us.values()) * run.per_second / 1e6
    console.print(
        f"  µs CPU an event: {costs}; {cores:.2f} cores of {len(os.sched_getaffinity(0))}"
    )
    console.print(
        f"  sent {run.per_second:,.0f} events/s; {run.unseen} signals not seen; negatives kept "
        f"for learning: {KEEP_RATE:.0%}",
        style="dim",
    )
    told_of |= {"per_second": run.per_second, "unseen": run.unseen, "plan": asdict(plan)}
    told_of["cpu_us"] = run.cpu_us
    _write("latency", told_of)


def _write(name: str, told: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")
