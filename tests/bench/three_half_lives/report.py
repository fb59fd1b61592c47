"""What was measured: a table for a person, a JSON file for comparing runs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from tests.bench.process import ROOT
from tests.bench.three_half_lives.engines import ENGINES, Engine
from tests.bench.three_half_lives.measure import Restore, Throughput

T = TypeVar("T", Throughput, Restore)

PEERS = ("quix", "bytewax")
"""The engines whose better one the goal is set against."""


def table(runs: Sequence[Throughput], restores: Sequence[Restore]) -> Table:
    """Return medians side by side; `×` is against the better of Quix Streams and Bytewax."""
    found = Table(title="three half-lives, medians of runs taken in turn")
    for name in ("engine", "guarantee", "published"):
        found.add_column(name)
    for name in ("runs", "events/s", "×", "CPU µs/event", "peak MB", "restored rows/s", "wrong"):
        found.add_column(name, justify="right")
    rates = {e.name: _median(runs, e.name, "per_second") for e in ENGINES}
    best = max((rates[name] or 0.0 for name in PEERS), default=0.0)
    names = {run.engine for run in runs} | {one.engine for one in restores}
    for engine in ENGINES:
        if engine.name in names:
            found.add_row(*_row(engine, rates[engine.name], best, runs, restores))
    return found


def _row(
    engine: Engine,
    rate: float | None,
    best: float,
    runs: Sequence[Throughput],
    restores: Sequence[Restore],
) -> list[str]:
    mine: list[Throughput | Restore] = [*_of(runs, engine), *_of(restores, engine)]
    peak = _median(runs, engine.name, "peak_bytes")
    complete = all(r.complete for r in restores if r.engine == engine.name)
    return [
        engine.title,
        engine.guarantee,
        engine.emits,
        str(sum(isinstance(run, Throughput) for run in mine)),
        _number(rate),
        f"{rate / best:.1f}" if rate and best else "–",
        _number(_median(runs, engine.name, "cpu_us"), 1),
        _number(peak and peak / 1e6),
        _number(_median(restores, engine.name, "per_second")) + ("" if complete else "*"),
        f"{sum(run.wrong for run in mine)} of {sum(run.checked for run in mine)}",
    ]


def _of(measured: Sequence[T], engine: Engine) -> list[T]:
    return [one for one in measured if one.engine == engine.name]


def _median(
    measured: Sequence[Throughput] | Sequence[Restore], engine: str, what: str
) -> float | None:
    values = [float(getattr(one, what)) for one in measured if one.engine == engine]
    return median(values) if values else None


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def versions() -> dict[str, str]:
    """Return the versions of what was measured, by distribution."""
    found = {}
    for engine in ENGINES:
        python = ROOT / engine.environment / "bin" / "python"
        for name in engine.distributions:
            show = f"import importlib.metadata as m; print(m.version({name!r}))"
            done = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True)
            found[name] = done.stdout.strip()
    return found


def write(
    path: Path,
    about: dict[str, Any],
    runs: Sequence[Throughput],
    restores: Sequence[Restore],
) -> None:
    """Write everything measured, and what it was measured on."""
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
    told = {
        "machine": machine,
        **about,
        "throughput": [{**asdict(r), "per_second": r.per_second, "cpu_us": r.cpu_us} for r in runs],
        "restore": [{**asdict(r), "per_second": r.per_second} for r in restores],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def show(console: Console, runs: Sequence[Throughput], restores: Sequence[Restore]) -> None:
    """Print the table and how to read it."""
    console.print(table(runs, restores))
    for engine in ENGINES:
        rates = ", ".join(f"{run.per_second:,.0f}" for run in _of(runs, engine))
        if rates:
            console.print(f"  {engine.title}: {rates} events/s", style="dim")
    if not all(r.complete for r in restores):
        console.print("  * stopped before all rows were back", style="dim")
    console.print(
        "  One process each, on one core of its own, on the same broker and machine. Bytewax "
        "restores from its SQLite store, a tenth of the rows: it keeps no changelog in Kafka.",
        style="dim",
    )
