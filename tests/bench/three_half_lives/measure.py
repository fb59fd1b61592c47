"""The two measurements: events through a job, and rows back into its state."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from tests.bench.cluster import Cluster
from tests.bench.process import Job
from tests.bench.progress import Told
from tests.bench.three_half_lives.engines import Engine
from tests.bench.three_half_lives.events import Events, agree, counters, item_id
from tests.bench.three_half_lives.job import Wiring, fold

START_SECONDS = 60.0
RESTORE_SECONDS = 180.0
SAMPLE_SECONDS = 0.05
CHECKED_ITEMS = 300


@dataclass(frozen=True)
class Throughput:
    """One run of a job over the input.

    Attributes:
        events: how many were done, durably, in the time.
        seconds: from the first event processed to the last moment more were done.
        cpu_s: processor time of the job's process in that time.
        checked: items whose published counters were compared with the definition.
        wrong: of those, how many differed.
    """

    engine: str
    events: int
    seconds: float
    cpu_s: float
    peak_bytes: int
    checked: int
    wrong: int

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s * 1e6 / self.events


@dataclass(frozen=True)
class Restore:
    """One restore.

    Attributes:
        rows: restored in the time.
        complete: all of them were.
        wrong: of the items touched afterwards, those whose counters had forgotten their past.
    """

    engine: str
    rows: int
    seconds: float
    cpu_s: float
    complete: bool
    checked: int
    wrong: int

    @property
    def per_second(self) -> float:
        return self.rows / self.seconds


def throughput(
    cluster: Cluster, engine: Engine, wiring: Wiring, events: Events, seconds: float, told: Told
) -> Throughput:
    """Run a job over the input for so many seconds at most, or to its end.

    Wall and processor time are taken whenever more events have become durable (committed with
    their output, or written out), so what a job had under way when it was stopped, it is not
    charged for waiting on.
    """
    make_topics(cluster, engine, wiring)
    with engine.job(wiring) as job:
        first = job.wait_for("first", START_SECONDS)
        done, last, cpu_s = 0, first.at, first.cpu_s
        while done < len(events) and time.time() - first.at < seconds:
            job.check(float("inf"), "events")
            counted = sum(engine.done(cluster, wiring))
            if counted > done:
                done, last, cpu_s = counted, time.time(), job.cpu_s()
            told(max(done / len(events), (time.time() - first.at) / seconds))
            time.sleep(SAMPLE_SECONDS)
        peak_bytes = job.peak_bytes()
    checked, wrong = check(cluster, engine, wiring, events)
    return Throughput(
        engine.name, done, last - first.at, cpu_s - first.cpu_s, peak_bytes, checked, wrong
    )


def make_topics(cluster: Cluster, engine: Engine, wiring: Wiring) -> None:
    """Make what a job needs that it does not make itself."""
    changelog = [engine.changelog(wiring.app_id)] if engine.changelog else []
    cluster.make(wiring.output_topic, *changelog)


def check(cluster: Cluster, engine: Engine, wiring: Wiring, events: Events) -> tuple[int, int]:
    """Compare the published counters of the partition that got furthest with the definition.

    Returns how many items were compared and how many differed. Of an engine that publishes at
    each event, an item's last record must be right for as many events as it has records;
    of one that publishes at each commit, for the events up to the committed offset.
    """
    by_partition = engine.done(cluster, wiring)
    done = max(by_partition)
    partition = by_partition.index(done)
    published, records = last_published(cluster, wiring.output_topic, partition)
    in_order = events.of_partition(partition, cluster.partitions)
    times: dict[str, list[int]] = defaultdict(list)
    for item, at_ms in in_order if engine.by_event else in_order[:done]:
        times[item].append(at_ms)
    chosen = sorted(times, key=lambda item: len(times[item]), reverse=True)
    chosen = chosen[: CHECKED_ITEMS // 3] + chosen[:: max(len(chosen) // CHECKED_ITEMS, 1)]
    compared = wrong = 0
    for item in dict.fromkeys(chosen):
        count = records[item] if engine.by_event else len(times[item])
        if count:
            compared += 1
            right = item in published and agree(published[item], counters(times[item][:count]))
            wrong += not right
    return compared, wrong


def last_published(
    cluster: Cluster, topic: str, partition: int
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Return the last record of each item of a partition, and how many it has."""
    last: dict[str, bytes] = {}
    records: dict[str, int] = defaultdict(int)
    for key, value in cluster.read(topic, partition):
        item = key.decode()
        last[item] = value
        records[item] += 1
    return {item: orjson.loads(value) for item, value in last.items()}, records


def fill(cluster: Cluster, engine: Engine, wiring: Wiring, keys: int, told: Told) -> None:
    """Run a job over one event an item, so that its state is there to be restored."""
    make_topics(cluster, engine, wiring)
    with engine.job(wiring) as job:
        wait_until_done(cluster, engine, wiring, job, keys, told)


def states(events: Events) -> Iterator[tuple[bytes, bytes]]:
    """Yield each item and its state after one event, as JSON."""
    for item, at_ms in zip(events.items, events.times, strict=True):
        yield item_id(item).encode(), orjson.dumps(fold(None, at_ms))


def wait_until_done(
    cluster: Cluster, engine: Engine, wiring: Wiring, job: Job, events: int, told: Told
) -> None:
    """Wait until a job has done so many events, and has ended where it ends by itself."""
    deadline = time.monotonic() + 300.0
    while (done := sum(engine.done(cluster, wiring))) < events:
        if job.process.poll() != 0:
            job.check(deadline, f"{events} events, {done} were done")
        told(done / events)
        time.sleep(SAMPLE_SECONDS)
    if wiring.drain:
        job.process.wait(60.0)


def restore(
    cluster: Cluster,
    engine: Engine,
    wiring: Wiring,
    events: Events,
    touched: int,
    seconds: float,
    told: Told,
) -> Restore:
    """Start a job whose state is gone, and time how fast it comes back.

    Args:
        events: all that the input holds; one a row, and then those for `touched` rows that came
            since the job ended: what is published for them shows whether their past is back.
    """
    before = sum(engine.done(cluster, wiring))
    checked = wrong = 0
    with engine.job(wiring) as job:
        begin = job.wait_for("restoring", START_SECONDS)
        deadline = time.monotonic() + RESTORE_SECONDS
        # Only of a job that tells how far it is, a part of the restore says anything.
        while not job.find("restored") and not (
            job.find("rows") and time.time() - begin.at > seconds
        ):
            job.check(deadline, "restore")
            told((time.time() - begin.at) / seconds)
            time.sleep(SAMPLE_SECONDS)
        complete = bool(job.find("restored"))
        end = job.find("restored" if complete else "rows")[-1]
        if complete and not engine.changelog_is_written:
            wait_until_done(cluster, engine, wiring, job, before + touched, told)
            if not wiring.drain:
                job.stop()
            checked, wrong = _remembered(cluster, wiring, events)
    rows = len(set(events.items)) if complete else end.rows
    cpu_s = end.cpu_s - begin.cpu_s
    return Restore(engine.name, rows, end.at - begin.at, cpu_s, complete, checked, wrong)


def _remembered(cluster: Cluster, wiring: Wiring, events: Events) -> tuple[int, int]:
    """Compare the counters of items with more than one event with the definition."""
    published, _ = last_published(cluster, wiring.output_topic, 0)
    times: dict[str, list[int]] = defaultdict(list)
    for item, at_ms in events.of_partition(0, cluster.partitions):
        times[item].append(at_ms)
    again = [item for item, at in times.items() if len(at) > 1]
    wrong = sum(
        not (item in published and agree(published[item], counters(times[item]))) for item in again
    )
    return len(again), wrong
