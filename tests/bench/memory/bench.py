"""How much memory what is held takes, and whether what an event costs grows with it."""

from __future__ import annotations

import json
import multiprocessing
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from rich.console import Console
from rich.table import Table

from tests.bench.memory import measure
from tests.bench.memory.histories import EVENTS
from tests.bench.memory.measure import Held
from tests.bench.memory.sizes import Part
from tests.bench.process import ROOT
from tests.bench.progress import Told, step

RESULTS = ROOT / "build" / "bench" / "memory.json"
LEAST_SHOWN = 64
"""Bytes below which a field is not listed."""

Measure = Callable[[int, Told], Held]


@dataclass(frozen=True)
class Plan:
    """How many of each kind are held."""

    viewers: int = 1_000_000
    items: int = 500_000
    counters: int = 5_000_000


QUICK = Plan(viewers=50_000, items=50_000, counters=500_000)


@dataclass(frozen=True)
class Kind:
    """What is measured.

    Attributes:
        what: one of it, as a person names it.
        budget: bytes one may take; None where there is none.
    """

    name: str
    what: str
    measure: Measure
    budget: int | None


KINDS = (
    Kind("viewers", f"a viewer with {EVENTS} events", measure.viewers, 6_000),
    Kind("items", "an item with all counters", measure.items, 1_500),
    Kind("counters", "three counters", measure.counters, None),
)


def run(plan: Plan, console: Console) -> None:
    """Measure and tell."""
    found: dict[str, Held] = {}
    for kind in KINDS:
        count = getattr(plan, kind.name)
        with step(console, f"{count:,} {kind.name}") as told:
            held = found[kind.name] = _apart(kind.measure, count, told)
        _tell(console, kind, held)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    made = {name: {**held._asdict(), "parts": held.parts} for name, held in found.items()}
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")


def _apart(what: Measure, count: int, told: Told) -> Held:
    """Measure in a process of its own, which begins with nothing."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_child, args=(what, count, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        while True:
            said: float | Held = ours.recv()
            if isinstance(said, Held):
                return said
            told(said)
    finally:
        process.kill()
        process.join()


def _child(what: Measure, count: int, connection: Connection) -> None:
    connection.send(what(count, connection.send))


def _tell(console: Console, kind: Kind, held: Held) -> None:
    told = f"  {kind.what}: {held.size:,.0f} bytes, of {held.number:,}"
    if held.by_events is not None:
        told += f" copies; {held.by_events:,.0f} of those that were copied"
    if kind.budget is not None:
        most = max(held.size, held.by_events or 0.0)
        told += f"; {'within' if most <= kind.budget else 'over'} the budget of {kind.budget:,}"
    console.print(told)
    for name, size in held.also.items():
        console.print(f"    {name}: {size:,.0f} bytes", style="dim")
    console.print(
        f"    an event costs {held.few_us:.1f} µs among {held.few:,}, "
        f"{held.many_us:.1f} µs among {held.number:,}"
    )
    if held.parts:
        console.print(_table(held.parts))
    if held.up:
        console.print("    while up:")
        console.print(_table(held.up))


def _table(parts: list[Part]) -> Table:
    """Return what each field takes, the largest groups first."""
    groups: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        groups[_group(part.field)].append(part)
    table = Table("field", box=None, header_style="dim", padding=(0, 2, 0, 4))
    table.add_column("bytes", justify="right")
    table.add_column("objects", justify="right")
    for name, fields in sorted(groups.items(), key=lambda group: -sum(p.size for p in group[1])):
        table.add_row(name, f"{sum(p.size for p in fields):,.0f}", _count(fields), style="bold")
        for part in fields:
            if len(fields) > 1 and part.size >= LEAST_SHOWN:
                table.add_row(f"  {part.field}", f"{part.size:,.0f}", _count([part]), style="dim")
    table.add_row("all", f"{sum(p.size for p in parts):,.0f}", _count(parts))
    return table


def _count(parts: list[Part]) -> str:
    return f"{sum(part.objects for part in parts):,.1f}"


def _group(field: str) -> str:
    """Return the part of the holder a field belongs to."""
    names = field.split(".")
    return ".".join(names[:2]) if len(names) > 2 else names[0]
