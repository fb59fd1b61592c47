"""Records in and out of Kafka for those that are no worker: the demo, and tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition

from streamapp.engine import clients
from streamapp.engine.partitioner import partitioner
from streamapp.settings import Settings

POLL_MS = 100


class Record(NamedTuple):
    """A committed record.

    Attributes:
        topic: its logical name, without the deployment's prefix.
        timestamp_ms: as its producer or the broker set it.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Sender:
    """Sends records to logical topics, each to the partition its key belongs to."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._partition = partitioner(settings.partitioner)
        self._counts: dict[str, int] = {}

    async def send(
        self, topic: str, key: str, value: bytes | None, timestamp_ms: int | None = None
    ) -> None:
        """Hand a record over; waits only while the buffer is full."""
        name, raw = self._settings.topic(topic), key.encode()
        if name not in self._counts:
            self._counts[name] = len(await self._producer.partitions_for(name))
        await self._producer.send(
            name,
            value,
            raw,
            partition=self._partition(raw, self._counts[name]),
            timestamp_ms=timestamp_ms,
        )

    async def flush(self) -> None:
        """Wait until everything handed over is written."""
        await self._producer.flush()


@asynccontextmanager
async def sending(settings: Settings) -> AsyncIterator[Sender]:
    """Connect a sender; what it was given is written when the context ends."""
    producer = clients.producer(settings)
    await producer.start()
    try:
        yield Sender(settings, producer)
    finally:
        await producer.stop()


async def follow(
    settings: Settings, topics: Sequence[str], *, from_start: bool = True
) -> AsyncGenerator[list[Record], None]:
    """Yield committed records of these topics for ever, from their start or from now on.

    Yields an empty list when nothing came for a while, so that the caller can look around.

    Raises:
        ConfigurationError: a topic does not exist.
    """
    names = {settings.topic(topic): topic for topic in topics}
    counts = await clients.partition_counts(settings, list(names))
    consumer = clients.reader(settings)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(t, p) for t, n in counts.items() for p in range(n)])
        await (consumer.seek_to_beginning() if from_start else consumer.seek_to_end())
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            yield [
                Record(names[tp.topic], tp.partition, r.offset, r.key, r.value, r.timestamp)
                for tp, records in fetched.items()
                for r in records
            ]
    finally:
        await consumer.stop()
