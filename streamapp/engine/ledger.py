"""The ledger of one task: the transactional side of its partition.

Three verbs, always in this order: `fence` ends whatever a former owner of the partition left
open and keeps it out; `restore` reads the changelogs back; `commit` writes one cut (changelog
rows, outputs, input offsets) in one transaction. After a failed or unknown commit the ledger
is of no use: the task is dropped and a new ledger begins again with `fence`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalOperation,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from streamapp.engine import clients
from streamapp.engine.partitioner import Partitioner, partitioner
from streamapp.errors import BrokersUnavailable, CommitFailed, ConfigurationError
from streamapp.processors.base import Cut, Output, Row
from streamapp.settings import Settings

RESTORE_RECORDS = 10_000
"""Rows of one step of a restore; between steps other tasks get their turn."""

NOT_ALLOWED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

Progress = Callable[[int, int], None]
"""Called while restoring: rows read, rows remaining (offsets, so an upper bound)."""

Batches = dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]]


class Ledger:
    """Transactions, changelogs and offsets of (role, partition).

    Args:
        changelogs: changelog topic by processor name, as named on the brokers.
        inputs: input topics by logical name, as named on the brokers.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        partition: int,
        changelogs: Mapping[str, str],
        inputs: Mapping[str, str],
    ) -> None:
        self.settings = settings
        self.group = group
        self.partition = partition
        self.changelogs = changelogs
        self.inputs = inputs
        self._partitioner: Partitioner = partitioner(settings.partitioner)
        self._producer: AIOKafkaProducer | None = None
        self._counts: dict[str, int] = {}

    async def fence(self) -> None:
        """Take the partition's transactional id: its former holder can commit no more.

        When this returns, what the former holder left open has been aborted.
        """
        producer = clients.producer(self.settings, f"{self.group}-{self.partition}")
        self._producer = producer
        with _told_plainly("fencing"):
            await producer.start()

    async def restore(self, take: Callable[[str, Sequence[Row]], None], progress: Progress) -> None:
        """Read this partition's changelogs to their end and give the rows to `take`.

        Raises:
            ConfigurationError: a changelog topic does not exist.
        """
        for name, topic in self.changelogs.items():
            tp = TopicPartition(topic, self.partition)
            with _told_plainly(f"restoring from {topic}"):
                async with clients.reader(self.settings) as consumer:
                    consumer.assign([tp])
                    await self._read(consumer, tp, partial(take, name), progress)

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        tp: TopicPartition,
        take: Callable[[Sequence[Row]], None],
        progress: Progress,
    ) -> None:
        begin = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, begin)
        done, position = 0, begin
        progress(0, end - begin)
        while position < end:
            fetched = await consumer.getmany(tp, timeout_ms=200, max_records=RESTORE_RECORDS)
            rows = [(r.key, r.value) for r in fetched.get(tp, ())]
            take(rows)
            done += len(rows)
            position = await consumer.position(tp)
            progress(done, max(end - position, 0))
            await asyncio.sleep(0)

    async def committed(self) -> dict[str, int]:
        """Committed offset of each input by logical name; an input never committed is absent.

        Only after `fence` and `restore`: before, a transaction of the former owner could
        still be ending.
        """
        with _told_plainly("asking for committed offsets"):
            async with clients.admin(self.settings) as admin:
                found = await admin.list_consumer_group_offsets(
                    self.group, partitions=list(self._input_partitions())
                )
        return {
            name: found[tp].offset
            for name, tp in zip(self.inputs, self._input_partitions(), strict=True)
            if tp in found and found[tp].offset >= 0
        }

    async def earliest(self) -> dict[str, int]:
        """Offset of the earliest record that each input still has, by logical name."""
        with _told_plainly("asking for the earliest offsets"):
            async with clients.reader(self.settings) as consumer:
                begins = await consumer.beginning_offsets(list(self._input_partitions()))
        return {
            name: begins[tp] for name, tp in zip(self.inputs, self._input_partitions(), strict=True)
        }

    def _input_partitions(self) -> Iterable[TopicPartition]:
        return [TopicPartition(topic, self.partition) for topic in self.inputs.values()]

    async def commit(self, cut: Cut, offsets: Mapping[str, int]) -> None:
        """Write a cut and the input offsets it reaches in one transaction.

        Raises:
            CommitFailed: it failed or its outcome is unknown. Never send the cut again.
        """
        try:
            async with asyncio.timeout(self.settings.transaction_timeout_ms / 1000):
                await self._commit(cut, offsets)
        except (KafkaError, IllegalOperation, AssertionError, TimeoutError) as exc:
            # A producer that was fenced between two calls tells so by the state it is in, which
            # aiokafka refuses or asserts.
            raise CommitFailed(f"{self.group}-{self.partition}: {exc!r}") from exc

    async def _commit(self, cut: Cut, offsets: Mapping[str, int]) -> None:
        producer = self._producer
        if producer is None:
            raise CommitFailed("the ledger is closed")
        batches = await self._batches(producer, cut)
        await producer.begin_transaction()
        sent = []
        for (topic, partition), records in batches.items():
            sent += await self._send(producer, topic, partition, records)
        positions = {
            TopicPartition(self.inputs[name], self.partition): offset
            for name, offset in offsets.items()
        }
        await asyncio.gather(producer.send_offsets_to_transaction(positions, self.group), *sent)
        await producer.commit_transaction()

    async def _batches(self, producer: AIOKafkaProducer, cut: Cut) -> Batches:
        batches: Batches = defaultdict(list)
        for name, rows in cut.rows.items():
            batches[self.changelogs[name], self.partition] += rows
        for logical, outputs in cut.outputs.items():
            topic = self.settings.topic(logical)
            if topic not in self._counts:
                self._counts[topic] = len(await producer.partitions_for(topic))
            count = self._counts[topic]
            for key, value, by in outputs:
                batches[topic, self._partition_of(by, count)].append((key, value))
        return batches

    def _partition_of(self, by: bytes | None, count: int) -> int:
        return self.partition % count if by is None else self._partitioner(by, count)

    @staticmethod
    async def _send(
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        records: Sequence[Row] | Sequence[Output] | list[tuple[bytes | None, bytes | None]],
    ) -> list[asyncio.Future[object]]:
        """Pack records into batches and hand them over; returns their delivery futures."""
        sent = []
        batch = producer.create_batch()
        for key, value, *_ in records:
            if batch.append(timestamp=None, key=key, value=value) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        sent.append(await producer.send_batch(batch, topic, partition=partition))
        return sent

    async def close(self) -> None:
        """Give up the producer; an open transaction is left to the next `fence`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await clients.abandon(producer)


@contextmanager
def _told_plainly(doing: str) -> Iterator[None]:
    """Turn Kafka's errors into ours: not allowed is for a person to mend, the rest may pass."""
    try:
        yield
    except NOT_ALLOWED as exc:
        raise ConfigurationError(f"{doing}: not allowed: {exc}") from exc
    except (KafkaError, TimeoutError) as exc:
        raise BrokersUnavailable(f"{doing}: {exc!r}") from exc
