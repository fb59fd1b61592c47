"""What aiokafka's fetcher has read, taken a whole batch at a time.

aiokafka hands records out one by one, each copied into a ConsumerRecord: 2 µs a record, of the
7 µs an event may cost. Its parser, in C, makes all records of a batch in a quarter of that, and
they have all that is looked at: offset, timestamp, key and value.

What is relied upon in aiokafka 0.14 is held by tests/unit/engine/test_hooks.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException

from streamapp.engine.merge import Record

Fetch = dict[TopicPartition, list[Record]]
"""Records by partition, in the order of their offsets."""


async def fetched(
    fetcher: Fetcher, active: Collection[TopicPartition], limit: int, seconds: float
) -> Fetch:
    """Return records by partition, or nothing when none have come within so many seconds.

    Args:
        active: partitions that are read; what has been read of one no longer assigned goes.
        limit: no further batch is begun with so many records taken.

    Raises:
        ConsumerStoppedError: the consumer was stopped.
        KafkaError: as the brokers gave it to the fetch.
        CorruptRecordException: a batch is not as it was written. It will be read again.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            await fetcher._subscriptions.wait_for_assignment()
        taken = _take(fetcher, active, limit)
        left = deadline - loop.time()
        if taken or left <= 0:
            return taken
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=left)
        if fetcher._closed:
            raise ConsumerStoppedError
        if not done:
            waiter.cancel()
            return {}
        waiter.result()


def _take(fetcher: Fetcher, active: Collection[TopicPartition], limit: int) -> Fetch:
    taken: Fetch = {}
    for tp, result in list(fetcher._records.items()):
        if tp not in active:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if not isinstance(result, FetchResult):
            if taken:  # the error's turn is the next one
                return taken
            _done_with(fetcher, tp)
            result.check_raise()
        try:
            records = _records(result, limit)
        except CorruptRecordException:
            _done_with(fetcher, tp)
            raise
        if not result.has_more():
            _done_with(fetcher, tp)
        if records:
            taken[tp] = records
            limit -= len(records)
            if limit <= 0:
                break
    return taken


def _done_with(fetcher: Fetcher, tp: TopicPartition) -> None:
    """Let the fetcher read on."""
    del fetcher._records[tp]
    fetcher._notify(fetcher._wait_consume_future)


def _records(result: FetchResult, limit: int) -> list[Record]:
    """Take the records of a partition, to the end of the batch that reaches the limit."""
    if not result.check_assignment(result._topic_partition):
        return []
    unread, taken = result._partition_records, list[Record]()
    for records in _batches(unread):
        taken += records
        if len(taken) >= limit:
            break
    else:
        result._partition_records = None
    state = result._assignment.state_value(result._topic_partition)
    state.consumed_to(unread.next_fetch_offset)
    return taken


def _batches(unread: PartitionRecords) -> Iterator[list[Record]]:
    """Read the batches that are committed, and leave out those of transactions that were aborted.

    As PartitionRecords' own iterator does, which is left unused.
    """
    while unread._records.has_next():
        batch = unread._records.next_batch()
        if unread._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"invalid CRC in {unread._tp}")
        records: list[Any] = []
        if not _aborted(unread, batch) and not batch.is_control_batch:
            records = list(batch)
            if records and records[0].offset < unread.next_fetch_offset:
                # A batch is sent whole, though its beginning may have been read before.
                records = [r for r in records if r.offset >= unread.next_fetch_offset]
        # Not the offset after its last record: compaction may have removed that.
        unread.next_fetch_offset = batch.next_offset
        yield records


def _aborted(unread: PartitionRecords, batch: Any) -> bool:
    """Tell whether a batch belongs to an aborted transaction; take note of where those end."""
    producer = batch.producer_id
    if producer is None:  # of a format without transactions
        return False
    unread._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch and unread._contains_abort_marker(batch):
        unread._aborted_producers.discard(producer)
    return batch.is_transactional and producer in unread._aborted_producers
