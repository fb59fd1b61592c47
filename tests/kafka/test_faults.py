"""What goes wrong around a worker, and what must come of it."""

from __future__ import annotations

import asyncio
import base64
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streamapp.engine import admin, clients
from streamapp.engine.records import Record
from streamapp.settings import Settings
from tests.kafka.altered_worker import POISON
from tests.kafka.cluster import Sent, committed, make_topics, read_all, read_until, send, until
from tests.kafka.events import click, clicks_in
from tests.kafka.workers import WorkerProcess

CLICKS = "events.clicks"
PARTITIONS = 3
EVENTS_READ = 'streamapp_events_total{topic="events.clicks"}'
COMMITS = "streamapp_commit_seconds_count"
COUNTED = 'streamapp_written_total{topic="activity.items"}'


def clicks(first: int, count: int) -> list[Sent]:
    return [click(number, f"v{number % 40}") for number in range(first, first + count)]


async def published(settings: Settings, count: int, within: float = 40.0) -> None:
    """Wait until so many clicks were counted; more would be wrong."""

    def all_there(records: Sequence[Record]) -> bool:
        return clicks_in(records) >= count

    assert clicks_in(await read_until(settings, ["activity.items"], all_there, within)) == count


async def consumed(settings: Settings) -> dict[int, int]:
    """Clicks consumed by partition, as the group's offsets have it."""
    return {p: offset for (_, p), offset in (await committed(settings, "ingest", [CLICKS])).items()}


# --- a processor that raises --------------------------------------------------------------------


def poisoned_worker(settings: Settings, directory: Path) -> WorkerProcess:
    script = Path(__file__).with_name("altered_worker.py")
    return WorkerProcess("ingest", settings, directory, command=[str(script), "poisoned"])


async def test_a_record_that_makes_a_processor_raise_ends_the_worker_until_it_is_skipped(
    settings, tmp_path
):
    await make_topics(settings)
    poison = click(200, "v3", item=POISON)
    places = await send(settings, [*clicks(0, 200), poison, *clicks(201, 100)])
    _, partition, offset = places[200]
    named = f"{CLICKS}:{partition}:{offset}"

    for attempt in ("first", "second"):
        with poisoned_worker(settings, tmp_path / attempt) as worker:
            assert worker.wait(40.0) == 1
        (told,) = [line for line in worker.log.splitlines() if "raised ZeroDivisionError" in line]
        assert f"processing {named} raised" in told
        assert f"set STREAMAPP_SKIP={named}" in told
        offsets = await consumed(settings)
        assert offsets.get(partition, 0) <= offset
        counted = clicks_in(await read_all(settings, ["activity.items"]))
        assert counted == sum(offsets.values()), "committed are offsets and output, or neither"

    skipping = replace(settings, skip=frozenset({(CLICKS, partition, offset)}))
    with poisoned_worker(skipping, tmp_path / "skipping") as worker:
        await published(settings, 300)
        assert worker.stop() == 0
    (record,) = await read_all(settings, ["events.rejected"])
    rejected = msgspec.json.decode(record.value or b"")
    place = (rejected["topic"], rejected["partition"], rejected["offset"], rejected["reason"])
    assert place == (CLICKS, partition, offset, "skipped")
    assert base64.b64decode(rejected["record"]) == poison.value
    assert base64.b64decode(rejected["key"]) == b"v3"


# --- a record that its topic does not take ------------------------------------------------------


async def limit_records_of(settings: Settings, topic: str, size: int) -> None:
    (there,) = [one for one in admin.topics_of(settings) if one.name == settings.topic(topic)]
    config = {**there.config, "max.message.bytes": str(size)}
    resource = ConfigResource(ConfigResourceType.TOPIC, there.name, configs=config)
    async with clients.admin(settings) as client:
        await client.alter_configs([resource])


async def test_a_record_larger_than_its_topic_takes_ends_the_worker_until_the_topic_takes_it(
    settings, tmp_path
):
    await make_topics(settings)
    await limit_records_of(settings, "signals.viewers", 200)
    await send(settings, clicks(0, 100))
    with WorkerProcess("ingest", settings, tmp_path / "before") as worker:
        assert worker.wait(40.0) == 1
    (told,) = [line for line in worker.log.splitlines() if "does not take the record" in line]
    topic = settings.topic("signals.viewers")
    assert re.search(rf"partition \d of {topic} .* of key b'v\d+', which has \d+ bytes", told)
    assert "max.message.bytes" in told
    counted = clicks_in(await read_all(settings, ["activity.items"]))
    assert counted == sum((await consumed(settings)).values()), "nothing of that cut is committed"

    await limit_records_of(settings, "signals.viewers", 1_048_588)
    with WorkerProcess("ingest", settings, tmp_path / "after") as worker:
        await published(settings, 100)
        assert worker.stop() == 0


# --- topics -------------------------------------------------------------------------------------


def told_by(worker: WorkerProcess) -> str:
    """The one line a worker that cannot start ends with."""
    assert worker.wait(30.0) == 2
    assert "Traceback" not in worker.log
    (line,) = [line for line in worker.log.splitlines() if line.startswith("streamapp: ")]
    return line


async def test_missing_topics_are_named_with_the_command_to_run(settings, tmp_path):
    with WorkerProcess("signals", settings, tmp_path / "w") as worker:
        line = told_by(worker)
    for name in ("activity.items", "signals.items", "catalog.items"):
        assert settings.topic(name) in line
    assert settings.changelog("signals", "items") in line
    assert "`streamapp topics apply`" in line


async def test_unequal_partition_counts_are_named_with_the_command_to_run(settings, tmp_path):
    await make_topics(settings)
    watches = settings.topic("events.watches")
    async with clients.admin(settings) as client:
        await client.create_partitions({watches: NewPartitions(4)})

    async def shown() -> bool:
        return await clients.partition_counts(settings, [watches]) == {watches: 4}

    await until(shown, "the fourth partition", 10.0)
    with WorkerProcess("ingest", settings, tmp_path / "w") as worker:
        line = told_by(worker)
    assert f"{watches} has 4" in line
    assert f"{settings.topic(CLICKS)} has 3" in line
    assert "`streamapp topics check`" in line


# --- the broker ---------------------------------------------------------------------------------


@pytest.fixture
def own_settings(own_kafka) -> Settings:
    own = f"t{uuid.uuid4().hex[:8]}"
    return Settings(
        bootstrap_servers=own_kafka.bootstrap_servers,
        topic_prefix=f"{own}.",
        app_id=own,
        partitions=PARTITIONS,
        keep_out_bots=False,
    )


async def stays_not_ready(worker: WorkerProcess, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status, told = worker.health()
        assert worker.alive, worker.log[-4000:]
        assert status != 200, told
        await asyncio.sleep(0.5)


async def test_a_broker_that_is_away_is_waited_for_and_nothing_is_lost(
    own_kafka, own_settings, tmp_path
):
    settings = own_settings
    await make_topics(settings)
    await send(settings, clicks(0, 100))

    own_kafka.stop()
    with WorkerProcess("ingest", settings, tmp_path / "w") as worker:
        worker.until(lambda it: it.health()[0] == 503, "an answer that it is not ready", 15.0)
        await stays_not_ready(worker, 10.0)
        await asyncio.to_thread(own_kafka.start)
        worker.until_running(PARTITIONS, 40.0)
        await published(settings, 100)

        await send(settings, clicks(100, 200))
        await asyncio.to_thread(own_kafka.kill)
        worker.until(lambda it: it.health()[0] == 503, "it to be not ready", 25.0)
        await stays_not_ready(worker, 3.0)
        await asyncio.to_thread(own_kafka.start)
        worker.until_running(PARTITIONS, 60.0)
        await send(settings, clicks(300, 100))
        await published(settings, 400, within=30.0)
        assert worker.stop() == 0
    assert clicks_in(await read_all(settings, ["activity.items"])) == 400


# --- offsets beyond retention -------------------------------------------------------------------


async def test_offsets_beyond_retention_are_told_loudly_and_the_earliest_record_is_next(
    settings, tmp_path
):
    await make_topics(settings)
    await send(settings, clicks(0, 120))
    with WorkerProcess("ingest", settings, tmp_path / "before") as worker:
        await published(settings, 120)
        assert worker.stop() == 0
    offsets = await consumed(settings)
    await send(settings, clicks(120, 120))

    partition, at = 1, offsets[1]
    lost = {TopicPartition(settings.topic(CLICKS), partition): RecordsToDelete(at + 7)}
    async with clients.admin(settings) as client:
        await client.delete_records(lost)
    with WorkerProcess("ingest", settings, tmp_path / "after") as worker:
        worker.until_running(PARTITIONS)
        assert worker.metrics()["streamapp_offsets_truncated"] == 1
        await published(settings, 240 - 7)
        assert worker.stop() == 0
    (told,) = [line for line in worker.log.splitlines() if "beyond retention" in line]
    assert "ERROR" in told
    assert f"{CLICKS} partition {partition}: offset {at} is beyond" in told
    assert f"7 records were never processed; resuming at {at + 7}" in told


# --- a graceful end -----------------------------------------------------------------------------


async def test_sigterm_commits_all_that_was_processed_so_nothing_is_processed_again(
    settings, tmp_path
):
    await make_topics(settings)
    rarely = replace(settings, commit_interval_ms=120_000)
    with WorkerProcess("ingest", rarely, tmp_path / "before") as worker:
        worker.until_running(PARTITIONS)
        await send(settings, clicks(0, 300))

        def all_processed(worker: WorkerProcess) -> bool:
            shown = worker.metrics()
            return shown.get(EVENTS_READ) == 300 and shown["streamapp_consumer_lag_records"] == 0

        worker.until(all_processed, "300 clicks to be processed")
        assert await consumed(settings) == {}, "nothing is committed before the end"
        assert worker.stop() == 0
    assert sum((await consumed(settings)).values()) == 300
    assert clicks_in(await read_all(settings, ["activity.items"])) == 300

    with WorkerProcess("ingest", settings, tmp_path / "after") as worker:
        worker.until_running(PARTITIONS)
        await send(settings, clicks(300, 10))
        await published(settings, 310)
        assert worker.metrics()[EVENTS_READ] == 10
        assert worker.stop() == 0


async def test_sigterm_under_load_leaves_nothing_half_done(settings, tmp_path):
    await make_topics(settings)
    await send(settings, clicks(0, 8_000))
    before = 0
    for attempt in range(2):
        with WorkerProcess("ingest", settings, tmp_path / f"w{attempt}") as worker:
            worker.until(lambda it: it.metrics().get(COUNTED, 0) > 0, "the first that counts")
            assert worker.stop() == 0
        counted = clicks_in(await read_all(settings, ["activity.items"]))
        assert counted == sum((await consumed(settings)).values()) > before
        before = counted
        await send(settings, clicks(8_000 + attempt * 1_000, 1_000))
    with WorkerProcess("ingest", settings, tmp_path / "last") as worker:
        await published(settings, 10_000)
        assert worker.stop() == 0


async def test_a_worker_told_to_end_before_it_has_begun_ends(settings, tmp_path):
    nowhere = replace(settings, bootstrap_servers="127.0.0.1:1")
    with WorkerProcess("ingest", nowhere, tmp_path / "w") as worker:
        worker.until(lambda it: it.health()[0] == 503, "an answer")
        assert worker.stop(10.0) == 0


async def test_the_group_knows_a_worker_that_left_at_once(settings, tmp_path):
    # Not after the session timeout: who takes over need not wait for it.
    await make_topics(settings)
    patient = replace(settings, session_timeout_ms=30_000)
    with WorkerProcess("ingest", patient, tmp_path / "first") as first:
        first.until_running(PARTITIONS)
        assert first.stop() == 0
    began = time.monotonic()
    with WorkerProcess("ingest", patient, tmp_path / "second") as second:
        second.until_running(PARTITIONS, 20.0)
        assert time.monotonic() - began < 20.0
        assert second.stop() == 0

    async def empty() -> bool:
        async with clients.admin(settings) as client:
            (group,) = await client.describe_consumer_groups([settings.role_id("ingest")])
        return not group.groups[0][5]

    await until(empty, "the group to be empty", 5.0)
