"""`streamapp topics` and `streamapp tail` on a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streamapp import topics
from streamapp.cli import main
from streamapp.engine import admin, clients, tail
from streamapp.engine.records import follow, sending
from streamapp.engine.roles import ROLES
from streamapp.settings import Settings


@pytest.fixture
def streamapp(monkeypatch, capsys, settings):
    """The command as a user runs it: arguments in, exit code and output out."""

    def run(*argv: str, **changed: object) -> tuple[int, str, str]:
        for name, value in replace(settings, **changed).to_env().items():
            monkeypatch.setenv(name, value)
        code = main(argv)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def on_broker(settings: Settings, act: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
    """Run `act(admin client)` against the broker."""

    async def run() -> Any:
        async with clients.admin(settings) as client:
            return await act(client)

    return asyncio.run(run())


def wait_until(done) -> None:
    """Wait, within bounds, for what the broker tells a little later."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def configure(settings: Settings, topic: str, **config: str) -> None:
    resource = ConfigResource(
        ConfigResourceType.TOPIC,
        topic,
        configs={name.replace("_", "."): value for name, value in config.items()},
    )
    on_broker(settings, lambda client: client.alter_configs([resource]))
    wait_until(lambda: resource.configs.items() <= config_of(settings, topic).items())


def config_of(settings: Settings, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    responses = on_broker(settings, lambda client: client.describe_configs([resource]))
    return {entry[0]: entry[1] for entry in responses[0].resources[0][4]}


def test_apply_creates_every_topic_and_check_then_finds_nothing_wrong(streamapp, settings):
    code, out, _ = streamapp("topics", "apply")
    assert code == 0
    names = [topic.name for topic in admin.topics_of(settings)]
    changelogs = [processor for role in ROLES.values() for processor in role.processors]
    assert len(names) == len(topics.catalogue()) + len(changelogs)
    assert [line.split()[:2] for line in out.splitlines()] == [["created", name] for name in names]
    assert streamapp("topics", "check") == (0, "all topics are as they have to be\n", "")


def test_applying_again_changes_nothing(streamapp):
    streamapp("topics", "apply")
    code, out, _ = streamapp("topics", "apply")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} == {"unchanged"}


def test_topics_are_created_with_the_partitions_and_policies_of_their_files(streamapp, settings):
    streamapp("topics", "apply")
    changelog = config_of(settings, settings.changelog("ingest", "viewers"))
    assert changelog["cleanup.policy"] == "compact"
    events = config_of(settings, settings.topic("events.clicks"))
    assert events["cleanup.policy"] == "delete"
    assert events["retention.ms"] == "604800000"
    assert events["message.timestamp.type"] == "LogAppendTime"
    topic = settings.topic("signals.items")
    described = on_broker(settings, lambda client: client.describe_topics([topic]))
    assert len(described[0]["partitions"]) == settings.partitions


def test_check_names_each_missing_topic_and_the_command_to_run(streamapp, settings):
    code, out, _ = streamapp("topics", "check")
    assert code == 1
    assert out.splitlines() == [
        f"{topic.name} is missing: run `streamapp topics apply`"
        for topic in admin.topics_of(settings)
    ]


def test_check_names_a_wrong_policy_and_apply_mends_it(streamapp, settings):
    streamapp("topics", "apply")
    topic = settings.topic("signals.items")
    configure(settings, topic, cleanup_policy="delete")
    code, out, _ = streamapp("topics", "check")
    assert code == 1
    assert f"{topic}: cleanup.policy is delete, not compact: run `streamapp topics apply`" in out
    code, out, _ = streamapp("topics", "apply")
    assert code == 0
    assert f"changed    {topic} (cleanup.policy is delete, not compact" in out
    assert streamapp("topics", "check")[0] == 0


def test_apply_keeps_what_an_operator_has_set_besides(streamapp, settings):
    streamapp("topics", "apply")
    topic = settings.topic("events.clicks")
    configure(settings, topic, retention_ms="1000", max_message_bytes="2000000")
    streamapp("topics", "apply")
    config = config_of(settings, topic)
    assert config["retention.ms"] == "604800000"
    assert config["max.message.bytes"] == "2000000"


def test_wrong_partition_counts_are_named_and_left_alone(streamapp, settings):
    topic = settings.topic("events.watches")
    on_broker(settings, lambda client: client.create_topics([NewTopic(topic, 2, 1)]))
    code, out, _ = streamapp("topics", "apply")
    assert code == 1
    assert f"left       {topic} ({topic} has 2 partitions, not 3: delete it and" in out
    code, out, _ = streamapp("topics", "check")
    assert code == 1
    assert out.startswith(f"{topic} has 2 partitions, not 3: delete it and run")
    assert len(out.splitlines()) == 1


def test_a_broker_that_is_not_there_is_told_in_one_line(streamapp):
    code, out, err = streamapp("topics", "check", bootstrap_servers="127.0.0.1:1")
    assert (code, out) == (2, "")
    assert err.startswith("streamapp: brokers at 127.0.0.1:1: ")
    assert len(err.splitlines()) == 1


def send(settings: Settings, topic: str, *, commit: bool, **records: str) -> None:
    async def run() -> None:
        producer = clients.producer(settings, f"{settings.app_id}-sender")
        await producer.start()
        try:
            await producer.begin_transaction()
            for key, value in records.items():
                await producer.send_and_wait(topic, value.encode(), key=key.encode())
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        finally:
            await producer.stop()

    asyncio.run(run())


def test_tail_prints_committed_records_as_json_lines(streamapp, settings):
    streamapp("topics", "apply")
    topic = settings.topic("signals.items")
    send(settings, topic, commit=False, i0='{"never": 1}')
    send(settings, topic, commit=True, i1='{"n": 1}', i2="no json")
    code, out, _ = streamapp("tail", "signals.items", "--from-beginning", "--max", "2")
    assert code == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert {r["key"]: r["value"] for r in records} == {"i1": {"n": 1}, "i2": "no json"}
    assert {"partition", "offset", "timestamp_ms"} < set(records[0])


def test_tail_shows_only_the_key_asked_for(streamapp, settings):
    streamapp("topics", "apply")
    topic = settings.topic("signals.items")
    send(settings, topic, commit=True, i1="1", i2="2", i3="3")
    _, out, _ = streamapp("tail", "signals.items", "--from-beginning", "--max", "1", "--key", "i2")
    assert json.loads(out)["value"] == 2


def test_tail_shows_what_comes_from_now_on_unless_asked_for_more(settings):
    async def run() -> list[str]:
        await admin.apply(settings)
        async with sending(settings) as sender:
            await sender.send("signals.items", "old", b"0")
        new = follow(settings, ["signals.items"], from_start=False)
        async with aclosing(new):
            await anext(new)
            async with sending(settings) as sender:
                await sender.send("signals.items", "new", b"1")
            async for batch in new:
                if batch:
                    return [tail.line(record) for record in batch]
        return []

    (line,) = asyncio.run(run())
    assert json.loads(line)["key"] == "new"


def test_tail_of_an_unknown_topic_is_told_in_one_line(streamapp):
    code, _, err = streamapp("tail", "signals.itms")
    assert code == 2
    assert "signals.itms" in err
    assert len(err.splitlines()) == 1
