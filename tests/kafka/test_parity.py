"""Two real logs, through Kafka and three worker processes, and what must come of them.

Every counter and derived value in signals.items has to equal what is computed from the rows of
the logs, however the events are shuffled within the grace and spread over partitions; and so
has what `streamapp replay` makes of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaError

from streamapp import replay
from streamapp.engine.roles import ROLES
from streamapp.settings import Settings
from tests import logs
from tests.kafka.cluster import (
    Sent,
    committed,
    last_by_key,
    make_topics,
    read_all,
    send,
    until,
)
from tests.kafka.workers import WorkerProcess
from tests.oracles.items import differences

EVENTS = ROLES["ingest"].inputs
WITHIN = 120.0
"""Seconds a slow machine may need for one pass."""


class Log(NamedTuple):
    """Both logs.

    Attributes:
        broadcast: catalog and parameters.
        events: by event time.
        expected: the signal of each item.
    """

    broadcast: list[logs.Logged]
    events: list[logs.Logged]
    expected: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def log() -> Log:
    plays, slots = logs.kuairand(), logs.open_bandit()
    events = [*logs.events_of_kuairand(plays), *logs.events_of_open_bandit(slots)]
    expected = logs.expected(plays, slots)
    broadcast = [*logs.catalog(expected), *logs.parameters()]
    return Log(broadcast, logs.in_order(events), expected)


def records(events: Iterable[logs.Logged]) -> list[Sent]:
    return [Sent(e.topic, e.key.encode(), json.dumps(e.event).encode()) for e in events]


async def processed(settings: Settings, role: str, topics: Iterable[str]) -> None:
    """Wait until a role has committed all that these topics hold."""
    topics = list(topics)
    wanted: dict[tuple[str, int], int] = {}
    for record in await read_all(settings, topics):
        wanted[record.topic, record.partition] = record.offset + 1

    async def done() -> bool:
        try:
            found = await committed(settings, role, topics)
        except KafkaError:  # the first group of a new broker
            return False
        return all(found.get(place, 0) >= offset for place, offset in wanted.items())

    await until(done, f"{role} has processed {topics}", WITHIN)


async def through_kafka(
    settings: Settings, directory: Path, broadcast: list[Sent], events: list[Sent]
) -> dict[str, Any]:
    """Send events through three workers; returns the last signal of each item."""
    await make_topics(settings)
    await send(settings, broadcast)
    await send(settings, events)
    with (
        WorkerProcess("ingest", settings, directory / "ingest"),
        WorkerProcess("signals", settings, directory / "signals"),
        WorkerProcess("learn", settings, directory / "learn"),
    ):
        await processed(settings, "ingest", EVENTS)
        await processed(settings, "signals", ["activity.items", "activity.queries"])
    assert not await read_all(settings, ["events.rejected"])
    last = last_by_key(await read_all(settings, ["signals.items"]))
    return {key.decode(): json.loads(value) for key, value in last.items() if key and value}


@pytest.mark.parametrize(("partitions", "seed"), [(12, None), (1, 1), (4, 2), (12, 3)], ids=str)
async def test_live_signals_equal_what_the_rows_of_the_logs_say(
    log, settings, tmp_path, partitions, seed
):
    # What is estimated here is weeks behind, in stream time, of what is counted with it.
    settings = replace(
        settings, partitions=partitions, commit_interval_ms=1_000, estimate_interval_ms=0
    )
    events = log.events if seed is None else logs.shuffled(log.events, seed)
    found = await through_kafka(settings, tmp_path, records(log.broadcast), records(events))
    assert differences(found, log.expected)[:20] == []


class Replayed(NamedTuple):
    signals: dict[str, Any]
    examples: list[dict[str, Any]]
    rejected: int


def replayed(directory: Path, log: Log, events: list[logs.Logged]) -> Replayed:
    source = logs.write_files(directory / "in", [*log.broadcast, *events])
    assert replay.run(source, directory / "out", sort=False, settings=Settings()) == 0

    def records(topic: str) -> list[dict[str, Any]]:
        with (directory / "out" / f"{topic}.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    signals = {record["key"]: record["value"] for record in records("signals.items")}
    examples = [record["value"] for record in records("training.examples")]
    return Replayed(signals, examples, len(records("events.rejected")))


def test_a_replay_gives_the_same_signals_and_the_labels_of_the_log(log, tmp_path):
    found = replayed(tmp_path, log, log.events)
    assert differences(found.signals, log.expected)[:20] == []
    assert found.rejected == 0
    labels = {
        e["request_id"]: (e["item_id"], e["position"], e["propensity"], e["labels"]["clicked"])
        for e in found.examples
    }
    assert len(found.examples) == len(labels)
    assert labels == logs.expected_labels(logs.open_bandit())


def test_a_replay_of_the_shuffled_events_gives_the_same_signals(log, tmp_path):
    found = replayed(tmp_path, log, logs.shuffled(log.events, 4))
    assert differences(found.signals, log.expected)[:20] == []
    assert found.rejected == 0
