"""What tests on a real broker do besides starting workers: make topics, send, read, look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from aiokafka import TopicPartition

from streamapp.engine import admin, clients
from streamapp.engine.records import Record, follow
from streamapp.settings import Settings


class Sent(NamedTuple):
    """A record to send as it is.

    Attributes:
        partition: None for the one its key belongs to.
        timestamp_ms: None for the time it is sent.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    timestamp_ms: int | None = None


async def make_topics(settings: Settings) -> None:
    """Make all topics of these settings."""
    await admin.apply(settings)


async def send(settings: Settings, records: Iterable[Sent]) -> list[tuple[str, int, int]]:
    """Send records in their order; returns topic (logical), partition and offset of each."""
    producer = clients.producer(settings)
    await producer.start()
    try:
        pending = [
            (
                record.topic,
                await producer.send(
                    settings.topic(record.topic),
                    record.value,
                    record.key,
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                ),
            )
            for record in records
        ]
        await producer.flush()
        return [(topic, done.result().partition, done.result().offset) for topic, done in pending]
    finally:
        await producer.stop()


async def ends(settings: Settings, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """Committed end of each partition, by logical topic and partition."""
    names = {settings.topic(topic): topic for topic in topics}
    counts = await clients.partition_counts(settings, list(names))
    tps = [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]
    async with clients.reader(settings) as consumer:
        found = await consumer.end_offsets(tps)
    return {(names[tp.topic], tp.partition): offset for tp, offset in found.items()}


async def read_all(settings: Settings, topics: Sequence[str]) -> list[Record]:
    """All records of these topics that are committed now, in the order of each partition."""
    left = {place: end for place, end in (await ends(settings, topics)).items() if end > 0}
    found: list[Record] = []
    if not left:
        return found
    # The last offset of a partition may be a transaction's mark and never come as a record.
    names = {settings.topic(topic): topic for topic in topics}
    async with clients.reader(settings) as consumer:
        tps = [TopicPartition(settings.topic(topic), p) for topic, p in left]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        while left:
            fetched = await consumer.getmany(timeout_ms=100)
            for tp, records in fetched.items():
                name = names[tp.topic]
                found += [
                    Record(name, tp.partition, r.offset, r.key, r.value, r.timestamp)
                    for r in records
                ]
            for (topic, p), end in list(left.items()):
                if await consumer.position(TopicPartition(settings.topic(topic), p)) >= end:
                    del left[topic, p]
    return found


async def read_until(
    settings: Settings,
    topics: Sequence[str],
    done: Callable[[Sequence[Record]], object],
    within: float = 60.0,
) -> list[Record]:
    """Read these topics from their start until `done(all records so far)`."""
    deadline = time.monotonic() + within
    found: list[Record] = []
    async with aclosing(follow(settings, topics)) as batches:
        async for batch in batches:
            found += batch
            if batch and done(found):
                return found
            assert time.monotonic() < deadline, f"{len(found)} records of {topics} in {within} s"
    raise AssertionError("a topic has no end")


def last_by_key(records: Iterable[Record]) -> dict[bytes | None, bytes | None]:
    """What a compacted topic says: the last value of each key."""
    return {record.key: record.value for record in records}


async def committed(
    settings: Settings, role: str, topics: Sequence[str]
) -> dict[tuple[str, int], int]:
    """Committed offset of each input partition of a role; absent where none is."""
    names = {settings.topic(topic): topic for topic in topics}
    async with clients.admin(settings) as client:
        found = await client.list_consumer_group_offsets(settings.role_id(role))
    return {
        (names[tp.topic], tp.partition): at.offset
        for tp, at in found.items()
        if tp.topic in names and at.offset >= 0
    }


async def until(done: Callable[[], Awaitable[object]], what: str, within: float = 60.0) -> None:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + within
    while not await done():
        assert time.monotonic() < deadline, f"not in {within} s: {what}"
        await asyncio.sleep(0.2)
