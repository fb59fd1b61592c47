"""The embedded broker serves what the demo needs, and goes away with its context."""

import socket
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaProducer

from streamapp.engine import clients
from streamapp.engine.embedded import PARTITIONS, EmbeddedBroker
from streamapp.engine.partitioner import by_crc32, by_murmur2
from streamapp.engine.records import Record, follow, sending
from streamapp.settings import Settings


def settings_of(broker: EmbeddedBroker, **others) -> Settings:
    return Settings(bootstrap_servers=broker.bootstrap_servers, check_crcs=False, **others)


async def read(settings: Settings, topics: list[str], count: int) -> list[Record]:
    found: list[Record] = []
    async with aclosing(follow(settings, topics)) as batches:
        async for batch in batches:
            found += batch
            if len(found) >= count:
                break
    return found


@pytest.mark.parametrize(("name", "pick"), [("murmur2", by_murmur2), ("crc32", by_crc32)])
async def test_records_come_back_from_the_partition_of_their_key(name, pick):
    with EmbeddedBroker() as broker:
        settings = settings_of(broker, partitioner=name, topic_prefix="p.")
        keys = [f"v{n}" for n in range(40)]
        async with sending(settings) as sender:
            for number, key in enumerate(keys):
                await sender.send("events.clicks", key, b"%d" % number, 1_000 + number)
            await sender.flush()
        found = await read(settings, ["events.clicks"], len(keys))
    assert {r.key.decode(): (r.value, r.timestamp_ms) for r in found if r.key} == {
        key: (b"%d" % n, 1_000 + n) for n, key in enumerate(keys)
    }
    assert {r.topic for r in found} == {"events.clicks"}
    for record in found:
        assert record.partition == pick(record.key or b"", PARTITIONS)


async def test_topics_come_into_being_when_asked_for():
    with EmbeddedBroker() as broker:
        counts = await clients.partition_counts(settings_of(broker), ["signals.items"])
    assert counts == {"signals.items": PARTITIONS}


async def test_transactions_are_read_when_they_are_committed():
    with EmbeddedBroker() as broker:
        settings = settings_of(broker)
        producer: AIOKafkaProducer = clients.producer(settings, "one")
        await producer.start()
        for value in (b"a", b"b"):
            async with producer.transaction():
                await producer.send_and_wait("models.weights", value, b"k", partition=1)
        await producer.stop()
        found = await read(settings, ["models.weights"], 2)
    assert [record.value for record in found] == [b"a", b"b"]


def test_nothing_listens_once_the_context_ends():
    with EmbeddedBroker() as broker:
        host, _, port = broker.bootstrap_servers.partition(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
