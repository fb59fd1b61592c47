"""How long a ranking takes: 200 items, four models, chance, limits."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from streamapp.learning.features import DEFAULT_SPEC
from streamapp.reader import Context, Options, Ranker, State
from tests.bench.process import ROOT
from tests.unit.reader.worlds import (
    NOW_MS,
    Author,
    catalog_item,
    feed,
    item_signal,
    viewer_signal,
)

RESULTS = ROOT / "build" / "bench" / "ranking.json"
CANDIDATES = 200
CATEGORIES = [f"category {n}" for n in range(20)]
OBJECTIVES = {"click": 1.0, "completion": 1.0, "watched_share": 0.5, "hide": -5.0}


@dataclass(frozen=True)
class Plan:
    """How much there is, and how often is ranked."""

    items: int = 50_000
    viewers: int = 1_000
    weights: int = 300_000
    rankings: int = 3_000


QUICK = Plan(items=5_000, viewers=50, weights=100_000, rankings=500)


def run(plan: Plan, console: Console) -> None:
    """Measure and tell; time is that of the processor, whatever else the machine does."""
    rng = random.Random(1)
    state = State()
    _fill(state, plan, rng)
    ranker = Ranker(state, Options(per_creator=3, per_category=8))
    found = {}
    for what, prepare in (
        ("signals as they were", _nothing),
        ("every signal changed", _change),
    ):
        milliseconds = sorted(_rankings(ranker, plan, rng, prepare))
        p50, p99 = (milliseconds[int(len(milliseconds) * share)] for share in (0.5, 0.99))
        found[what] = {"p50_ms": p50, "p99_ms": p99, "least_ms": milliseconds[0]}
        console.print(
            f"  {CANDIDATES} items, {len(OBJECTIVES)} models, {what}: "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, at least {milliseconds[0]:.1f} ms"
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


Prepare = Callable[[State, list[str], random.Random], None]


def _rankings(ranker: Ranker, plan: Plan, rng: random.Random, prepare: Prepare) -> list[float]:
    taken = []
    for number in range(plan.rankings):
        # Popular items are candidates more often.
        candidates = [f"i{int(plan.items * rng.random() ** 2)}" for _ in range(CANDIDATES * 2)]
        candidates = list(dict.fromkeys(candidates))[:CANDIDATES]
        context = Context(
            request_id=f"r{number}",
            at_ms=NOW_MS + 1_000,
            surface="home",
            device="tv",
            country="de",
            temperature=0.5,
            new_share=0.05,
        )
        prepare(ranker.state, candidates, rng)
        began = time.thread_time()
        ranker.rank(f"v{number % plan.viewers}", candidates, context)
        taken.append((time.thread_time() - began) * 1_000)
    return taken


def _nothing(state: State, candidates: list[str], rng: random.Random) -> None:
    """Leave all as it was."""


def _change(state: State, candidates: list[str], rng: random.Random) -> None:
    rates = ("ctr", "coec", "completion_rate", "watch_ratio", "velocity")
    for item in candidates:
        feed(state, [item_signal(item, **{name: rng.random() for name in rates})])


def _fill(state: State, plan: Plan, rng: random.Random) -> None:
    for number in range(plan.items):
        own: Any = {"category": rng.choice(CATEGORIES), "creator_id": f"c{rng.randrange(2_000)}"}
        feed(state, [catalog_item(f"i{number}", duration_ms=rng.randrange(10**6), **own)])
        feed(state, [item_signal(f"i{number}", ctr=rng.random() * 0.1, **own)])
    actions = ("click", "watch", "complete")
    for number in range(plan.viewers):
        recent = [(f"i{rng.randrange(plan.items)}", rng.choice(actions)) for _ in range(50)]
        feed(
            state,
            [
                viewer_signal(
                    f"v{number}",
                    recent=recent,
                    seen=[item for item, _ in recent],
                    categories={name: rng.uniform(-1, 5) for name in CATEGORIES},
                    creators={f"c{rng.randrange(2_000)}": rng.uniform(-1, 5) for _ in range(20)},
                )
            ],
        )
    for objective, weight in OBJECTIVES.items():
        author = Author(f"{objective}-all", DEFAULT_SPEC)
        feed(
            state,
            author.publish(
                {rng.randrange(1 << 20): rng.gauss(0.0, 0.3) for _ in range(plan.weights)}, -3.0
            ),
        )
        feed(state, [author.version(objective=objective, objective_weight=weight)])
