"""Two real logs, through Kafka and three worker processes, and what must come of them.

Every counter and derived value in signals.items has to equal what is computed from the rows of
the logs, however the events are shuffled within the grace and spread over partitions. What
`streamapp replay` makes of them is looked at in `tests/local/test_replayed_logs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError

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


@pytest.fixture(scope="module")
def log() -> logs.Log:
    return logs.both()


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
