"""The engines that are compared, and how their progress is seen from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.cluster import Cluster
from tests.bench.process import ROOT, Job
from tests.bench.three_half_lives.job import Wiring

PACKAGE = "tests.bench.three_half_lives"


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        title: how a person knows it.
        guarantee: what it promises of state and output after a failure.
        emits: when it publishes an item's counters.
        environment: the virtual environment it runs in.
        distributions: what of it has a version that matters.
        group: consumer group by app id, where its commits tell what is done; else None, and
            each event it has done is an output record.
        changelog: changelog topic by app id, where the harness must make it; else None.
        keeps_state_locally: its state comes back from its own files, not from Kafka, and is
            complete there only after an orderly end.
        changelog_is_written: by the harness, as the engine would have, which would take it
            minutes; only the time of its restore is looked at then.
    """

    name: str
    title: str
    guarantee: str
    emits: str
    environment: str
    distributions: tuple[str, ...]
    group: Callable[[str], str] | None = None
    changelog: Callable[[str], str] | None = None
    keeps_state_locally: bool = False
    changelog_is_written: bool = False

    @property
    def by_event(self) -> bool:
        """It writes one output record an event."""
        return self.emits == "each event"

    def job(self, wiring: Wiring) -> Job:
        """Return the job, not yet started."""
        python = ROOT / self.environment / "bin" / "python"
        arguments = ["-m", f"{PACKAGE}.{self.name}_job", json.dumps(asdict(wiring))]
        return Job(python, arguments, Path(wiring.directory) / "log")

    def done(self, cluster: Cluster, wiring: Wiring) -> list[int]:
        """Return how many events of each partition count by now, durably."""
        if self.group is None:
            return cluster.ends(wiring.output_topic)
        return cluster.committed(self.group(wiring.app_id), wiring.input_topic)


ENGINES = (
    Engine(
        name="streamapp",
        title="streamapp",
        guarantee="exactly once",
        emits="each commit, 0.2 s, 2 s while far behind",
        environment=".venv",
        distributions=("streamapp", "faust-streaming", "aiokafka"),
        group=lambda app_id: f"{app_id}-bench",
        changelog=lambda app_id: f"{app_id}-bench-half_lives-changelog",
    ),
    Engine(
        name="quix",
        title="Quix Streams",
        guarantee="exactly once",
        emits="each event",
        environment=".venv-bench",
        distributions=("quixstreams", "rocksdict", "confluent-kafka"),
        group=lambda app_id: app_id,
    ),
    Engine(
        name="bytewax",
        title="Bytewax",
        guarantee="at least once",
        emits="each event",
        environment=".venv-bench",
        distributions=("bytewax",),
        keeps_state_locally=True,
    ),
    Engine(
        name="faust",
        title="Faust, plain",
        guarantee="at least once",
        emits="each event",
        environment=".venv",
        distributions=("mode-streaming",),
        changelog=lambda app_id: f"{app_id}-counters-changelog",
        changelog_is_written=True,
    ),
)
