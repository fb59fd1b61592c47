"""The ledger of one task: the transactional side of its partition.

Three verbs, always in this order: `fence` ends whatever a former owner of the partition left
open and keeps it out; `restore` reads the changelogs back; `commit` writes one cut (changelog
rows, outputs, input offsets) in one transaction. After a failed or unknown commit the ledger
is of no use: the task is dropped and a new ledger begins again with `fence`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from operator import itemgetter

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalOperation,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from streamapp.engine import clients
from streamapp.engine.fetching import fetched
from streamapp.engine.partitioner import Partitioner, partitioner
from streamapp.errors import BrokersUnavailable, CommitFailed, ConfigurationError, RecordTooLarge
from streamapp.processors.base import Cut, Row
from streamapp.settings import Settings

RESTORE_RECORDS = 10_000
"""Rows of one step of a restore; between steps other tasks get their turn."""

NOT_ALLOWED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

RESTORE_SECONDS = 0.2
"""How long one step waits for rows."""

Progress = Callable[[int, int], None]
"""Called while restoring: rows read, rows remaining (offsets, so an upper bound)."""

Records = list[tuple[bytes | None, bytes | None]]
"""Key and value of each."""

Batches = dict[tuple[str, int], Records]
"""Records by topic and partition."""

_NO_HEADERS: list[tuple[str, bytes]] = []


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
            found = await fetched(consumer._fetcher, (tp,), RESTORE_RECORDS, RESTORE_SECONDS)
            rows = [(r.key, r.value) for r in found.get(tp, ()) if r.key is not None]
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
            RecordTooLarge: it failed, and so would every cut with this record.
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
        written_ms = int(time.time() * 1000)
        # Of a partition one batch is under way at a time; the partitions need not wait in line.
        sent = [
            self._send(producer, topic, partition, records, written_ms)
            for (topic, partition), records in batches.items()
        ]
        positions = {
            TopicPartition(self.inputs[name], self.partition): offset
            for name, offset in offsets.items()
        }
        await asyncio.gather(producer.send_offsets_to_transaction(positions, self.group), *sent)
        await producer.commit_transaction()

    async def _batches(self, producer: AIOKafkaProducer, cut: Cut) -> Batches:
        batches: Batches = defaultdict(list)
        place = self._partitioner
        for name, rows in cut.rows.items():
            batches[self.changelogs[name], self.partition] += rows
        for logical, outputs in cut.outputs.items():
            topic = self.settings.topic(logical)
            if topic not in self._counts:
                self._counts[topic] = len(await producer.partitions_for(topic))
            count = self._counts[topic]
            own = self.partition % count
            placed: list[Records] = [[] for _ in range(count)]
            for key, value, by in outputs:
                placed[own if by is None else place(by, count)].append((key, value))
            batches.update({(topic, p): records for p, records in enumerate(placed) if records})
        return batches

    @staticmethod
    async def _send(
        producer: AIOKafkaProducer, topic: str, partition: int, records: Records, written_ms: int
    ) -> None:
        """Send records in batches, until all have arrived."""
        sent: list[tuple[slice, asyncio.Future[object]]] = []
        done = 0
        try:
            while done < len(records):
                batch, begin = producer.create_batch(), done
                done += fill(batch, islice(records, begin, None), written_ms)
                arrives = await producer.send_batch(batch, topic, partition=partition)
                sent.append((slice(begin, done), arrives))
            await asyncio.gather(*(arrives for _, arrives in sent))
        except KafkaError:
            for part, arrives in sent:
                if arrives.done() and isinstance(arrives.exception(), MessageSizeTooLargeError):
                    raise _too_large(topic, partition, records[part]) from None
            raise

    async def close(self) -> None:
        """Give up the producer; an open transaction is left to the next `fence`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await clients.abandon(producer)


def fill(
    batch: BatchBuilder, records: Iterable[tuple[bytes | None, bytes | None]], written_ms: int
) -> int:
    """Append records until the batch is full; return how many it took, one at least.

    Straight into aiokafka's builder in C, as `BatchBuilder.append` would: that takes three times
    as long, for serializers which are not used here.
    """
    append, count = batch._builder.append, 0
    for key, value in records:
        if append(count, written_ms, key, value, _NO_HEADERS) is None:
            break
        count += 1
    batch._relative_offset = count
    batch.close()
    return count


def _too_large(topic: str, partition: int, batch: Records) -> RecordTooLarge:
    """Return what to say of a batch that its topic refused: the largest of its records."""
    size, key = max(((_size(record), record[0]) for record in batch), key=itemgetter(0))
    return RecordTooLarge(topic, partition, key, size, len(batch) - 1)


def _size(record: tuple[bytes | None, bytes | None]) -> int:
    return sum(len(part) for part in record if part is not None)


@contextmanager
def _told_plainly(doing: str) -> Iterator[None]:
    """Turn Kafka's errors into ours: not allowed is for a person to mend, the rest may pass."""
    try:
        yield
    except NOT_ALLOWED as exc:
        raise ConfigurationError(f"{doing}: not allowed: {exc}") from exc
    except (KafkaError, TimeoutError) as exc:
        raise BrokersUnavailable(f"{doing}: {exc!r}") from exc
