"""The three half-lives on every engine in turn, then a restore of each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from tests.bench.cluster import Cluster
from tests.bench.process import ROOT
from tests.bench.progress import step
from tests.bench.three_half_lives import measure, report
from tests.bench.three_half_lives.engines import Engine
from tests.bench.three_half_lives.events import BEGIN_MS, Events
from tests.bench.three_half_lives.job import Wiring
from tests.bench.three_half_lives.measure import Restore, Throughput

RESULTS = ROOT / "build" / "bench" / "three_half_lives.json"
NAMES = f"streamapp-bench-{os.getpid()}-"
"""What topics and groups begin with: no two runs on one Kafka share any."""

EVENTS = NAMES + "events"

FEWER = 10
"""By how much the state is smaller that an engine restores from its own files: Bytewax reads all
of it before anything comes back, for minutes at half a million rows."""

TOUCHED = 1_000
"""Items that get one more event before each restore, to see that their past is back."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: runs of each engine.
        events: what the input holds; the quick engines come to its end.
        seconds: after which a run is stopped.
        keys: items the events are about.
        restored_keys: rows of the state that is restored.
        restore_seconds: after which a restore is stopped, if it tells how far it is.
    """

    rounds: int = 3
    events: int = 2_000_000
    seconds: float = 15.0
    keys: int = 50_000
    partitions: int = 4
    restored_keys: int = 500_000
    restore_rounds: int = 2
    restore_seconds: float = 10.0


QUICK = Plan(
    rounds=1,
    events=300_000,
    seconds=6.0,
    restored_keys=30_000,
    restore_rounds=1,
    restore_seconds=10.0,
)


class Bench:
    """One whole measurement on one cluster."""

    def __init__(
        self, plan: Plan, engines: Sequence[Engine], cluster: Cluster, console: Console, place: Path
    ) -> None:
        self.plan = plan
        self.engines = engines
        self.cluster = cluster
        self.runs: list[Throughput] = []
        self.restores: list[Restore] = []
        self._console = console
        self._place = place

    def run(self) -> None:
        """Measure everything; what is measured stays even when a later part fails."""
        self._throughput()
        plan, local = self.plan, [e for e in self.engines if e.keeps_state_locally]
        others = [e for e in self.engines if e not in local]
        self._restore(others, plan.restored_keys, f"{NAMES}items")
        self._restore(local, plan.restored_keys // FEWER, f"{NAMES}fewer-items")

    def _throughput(self) -> None:
        plan = self.plan
        with step(self._console, f"writing {plan.events:,} events"):
            events = Events.popular(plan.events, plan.keys)
            self.cluster.make(EVENTS)
            self.cluster.send(EVENTS, events.records())
        for round_ in range(1, plan.rounds + 1):
            for engine in self.engines:
                wiring = self._wiring(engine, EVENTS, f"run{round_}")
                with step(self._console, f"{engine.title}, run {round_} of {plan.rounds}") as told:
                    run = measure.throughput(
                        self.cluster, engine, wiring, events, plan.seconds, told
                    )
                self.runs.append(run)
                self._console.print(
                    f"  {engine.title} {round_}/{plan.rounds}: {run.per_second:,.0f} events/s, "
                    f"{run.cpu_us:.1f} µs CPU an event ({run.events:,} events in "
                    f"{run.seconds:.1f} s; {run.wrong} of {run.checked} items wrong)"
                )
                self._clear(wiring)

    def _restore(self, engines: Sequence[Engine], keys: int, topic: str) -> None:
        if not engines:
            return
        plan, events = self.plan, Events.once_each(keys)
        self.cluster.make(topic)
        with step(self._console, f"writing {keys:,} events, one an item"):
            self.cluster.send(topic, events.records())
        wirings = {e.name: self._fill(e, events, topic) for e in engines}
        for round_ in range(1, plan.restore_rounds + 1):
            touched = Events.once_each(TOUCHED, BEGIN_MS + keys + round_ * TOUCHED)
            self.cluster.send(topic, touched.records())
            events.items.extend(touched.items)
            events.times.extend(touched.times)
            for engine in engines:
                self._restore_one(engine, wirings[engine.name], events, round_)
        for wiring in wirings.values():
            self._clear(wiring)

    def _fill(self, engine: Engine, events: Events, topic: str) -> Wiring:
        """Give an engine a state to restore."""
        wiring = self._wiring(engine, topic, "restore")
        with step(self._console, f"{engine.title}, making state for the restore") as told:
            if engine.changelog_is_written:
                measure.make_topics(self.cluster, engine, wiring)
                assert engine.changelog is not None
                self.cluster.send(engine.changelog(wiring.app_id), measure.states(events))
            else:
                drained = replace(wiring, drain=engine.keeps_state_locally)
                measure.fill(self.cluster, engine, drained, len(events), told)
        return wiring

    def _restore_one(self, engine: Engine, wiring: Wiring, events: Events, round_: int) -> None:
        plan = self.plan
        wiring = replace(wiring, drain=engine.keeps_state_locally)
        if not engine.keeps_state_locally:
            shutil.rmtree(wiring.directory)
        with step(
            self._console, f"{engine.title}, restore {round_} of {plan.restore_rounds}"
        ) as told:
            result = measure.restore(
                self.cluster, engine, wiring, events, TOUCHED, plan.restore_seconds, told
            )
        self.restores.append(result)
        self._console.print(
            f"  {engine.title} restore {round_}/{plan.restore_rounds}: "
            f"{result.per_second:,.0f} rows/s ({result.rows:,} rows in {result.seconds:.1f} s"
            f"{'' if result.complete else ', stopped'}; "
            f"{result.wrong} of {result.checked} items wrong)"
        )

    def _wiring(self, engine: Engine, input_topic: str, name: str) -> Wiring:
        app_id = f"{NAMES}{engine.name}-{name}"
        place = self._place / app_id
        place.mkdir(parents=True)
        return Wiring(
            bootstrap_servers=self.cluster.bootstrap_servers,
            input_topic=input_topic,
            output_topic=f"{app_id}-counters",
            app_id=app_id,
            directory=str(place),
            partitions=self.plan.partitions,
        )

    def _clear(self, wiring: Wiring) -> None:
        self.cluster.remove(wiring.app_id)
        shutil.rmtree(wiring.directory, ignore_errors=True)


def run(plan: Plan, engines: Sequence[Engine], servers: str, console: Console, place: Path) -> bool:
    """Measure and tell; False when an engine published a wrong number."""
    cluster = Cluster(servers, plan.partitions)
    bench = Bench(plan, engines, cluster, console, place)
    try:
        bench.run()
    finally:
        about = {"plan": asdict(plan), "versions": report.versions()}
        report.write(RESULTS, about, bench.runs, bench.restores)
        cluster.remove(NAMES)
    report.show(console, bench.runs, bench.restores)
    console.print(f"  {RESULTS.relative_to(ROOT)} has every run.", style="dim")
    wrong = [run.wrong for run in bench.runs] + [one.wrong for one in bench.restores]
    return not any(wrong)
