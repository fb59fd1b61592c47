"""How many events a second one `ingest` worker on one core takes, and what it writes."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from streamapp.settings import Settings
from streamapp.supervisor import environment
from tests.bench.cluster import Cluster
from tests.bench.mixed_traffic.traffic import Mixed
from tests.bench.process import Job
from tests.bench.progress import Told
from tests.kafka.cluster import make_topics

EVENT_TOPICS = ("events.impressions", "events.clicks", "events.watches")
GIVEN = (*EVENT_TOPICS, "catalog.items", "control.parameters")
SAMPLE_SECONDS = 0.1
START_SECONDS = 300.0

KEEP_RATE = 0.1
"""Share of the examples without a click that the learner is given."""

FROM, TO = 0.1, 0.95
"""Shares of the input between which it is timed: after the start, before the last commits."""


@dataclass(frozen=True)
class Ingest:
    """One run of an `ingest` worker over a backlog.

    Attributes:
        events: done in the time, durably.
        written_bytes: by topic, as they lie on the broker's disk, for all of the input; empty
            where the broker's disk cannot be seen.
    """

    events: int
    seconds: float
    cpu_s: float
    peak_bytes: int
    total: int
    written_bytes: dict[str, int]

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s * 1e6 / self.events

    @property
    def bytes_an_event(self) -> float:
        return sum(self.written_bytes.values()) / self.total


def settings_of(servers: str, name: str) -> Settings:
    """Return settings whose topics and groups nobody else has.

    The busiest viewers would be taken for bots, and what is kept out is no work.
    """
    return Settings(
        bootstrap_servers=servers,
        app_id=name,
        topic_prefix=f"{name}.",
        partitions=12,
        negative_keep_rate=KEEP_RATE,
        keep_out_bots=False,
    )


def ingest(settings: Settings, mixed: Mixed, place: Path, data: Path | None, told: Told) -> Ingest:
    """Send the traffic, then start a worker and time it."""
    asyncio.run(make_topics(settings))
    cluster = Cluster(settings.bootstrap_servers, settings.partitions)
    named = {topic: settings.topic(topic) for topic in GIVEN}
    cluster.send_all((named[topic], key, value) for topic, key, value in mixed.catalog())
    cluster.send_all((named[topic], key, value) for topic, key, value in mixed.records())
    command = ["-m", "streamapp", "worker", "ingest"]
    with Job(Path(sys.executable), command, place / "log", environment(settings)) as job:
        begin = _reached(cluster, settings, job, mixed.events * FROM, told)
        end = _reached(cluster, settings, job, mixed.events * TO, told)
        _reached(cluster, settings, job, mixed.events, told)
        peak = job.peak_bytes()
        job.stop()
    return Ingest(
        end[0] - begin[0],
        end[1] - begin[1],
        end[2] - begin[2],
        peak,
        mixed.events,
        _on_disk(data, settings),
    )


def _reached(
    cluster: Cluster, settings: Settings, job: Job, least: float, told: Told
) -> tuple[int, float, float]:
    """Wait until so many events are done; return how many, the time and the processor time."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        job.check(deadline, f"{least:.0f} events")
        group = settings.role_id("ingest")
        done = sum(sum(cluster.committed(group, settings.topic(t))) for t in EVENT_TOPICS)
        if done >= least:
            return done, time.monotonic(), job.cpu_s()
        told(done / least)
        time.sleep(SAMPLE_SECONDS)


def _on_disk(data: Path | None, settings: Settings) -> dict[str, int]:
    if data is None:
        return {}
    written: dict[str, int] = {}
    for log in data.glob(f"{settings.app_id}*/*.log"):
        topic = log.parent.name.rpartition("-")[0].removeprefix(settings.topic_prefix)
        if topic not in GIVEN:
            written[topic] = written.get(topic, 0) + log.stat().st_size
    return written
