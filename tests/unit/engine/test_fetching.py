"""Whole batches: the records, positions and errors that aiokafka's own reading would give."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchError, FetchResult
from aiokafka.consumer.fetcher import PartitionRecords as Unread
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    TopicAuthorizationFailedError,
)
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from streamapp.engine.fetching import fetched

CLICKS = TopicPartition("events.clicks", 2)
WATCHES = TopicPartition("events.watches", 2)
BOTH = frozenset({CLICKS, WATCHES})
NOTHING_LEFT = 1_000_000

_ATTRIBUTES, _CRC = 21, 17
_CONTROL = 0x20


class Batch(NamedTuple):
    """One record batch of a log.

    Attributes:
        gaps: offsets that compaction has removed before each of its records.
        producer: of its transaction; None outside one.
        control: None for records, else whether the transaction was committed.
    """

    gaps: list[int]
    producer: int | None = None
    control: bool | None = None
    lz4: bool = False


def written(batch: Batch, base: int) -> tuple[bytes, int]:
    """The bytes of a batch, and the offset after it."""
    transactional = batch.producer is not None
    codec = DefaultRecordBatch.CODEC_LZ4 if batch.lz4 and batch.control is None else 0
    producer = batch.producer or 0
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), producer, 0, 0, 1 << 20)
    if not transactional:
        builder.set_producer_state(-1, -1, -1)
    at = 0
    if batch.control is not None:
        builder.append(0, 1, struct.pack(">hh", 0, int(batch.control)), b"\0" * 6, [])
    else:
        for gap in batch.gaps:
            at += gap
            builder.append(at, 1_000 + at, b"k%d" % (base + at), b"v%d" % at, [])
            at += 1
    raw = bytearray(builder.build())
    raw[:8] = struct.pack(">q", base)
    if batch.control is not None:
        raw[_ATTRIBUTES + 1] |= _CONTROL
        raw[_CRC : _CRC + 4] = struct.pack(">I", calc_crc32c(bytes(raw[_ATTRIBUTES:])))
    return bytes(raw), base + max(at, 1)


class Log(NamedTuple):
    """A partition's log as one fetch brings it."""

    raw: bytes
    end: int
    aborted: list[tuple[int, int]]


def log_of(batches: list[Batch], base: int = 100) -> Log:
    raw, first, aborted = b"", dict[int, int](), []
    for batch in batches:
        if batch.producer is not None:
            first.setdefault(batch.producer, base)
            if batch.control is not None:
                began = first.pop(batch.producer)
                if not batch.control:
                    aborted.append((batch.producer, began))
        one, base = written(batch, base)
        raw += one
    return Log(raw, base, aborted)


class Reading:
    """A fetcher to which the test brings what the brokers would have sent."""

    def __init__(self) -> None:
        self.subscriptions = SubscriptionState()
        self.subscriptions.subscribe(topics={CLICKS.topic, WATCHES.topic})
        self.subscriptions.assign_from_subscribed(set(BOTH))
        self.fetcher = Fetcher(
            AIOKafkaClient(), self.subscriptions, isolation_level="read_committed"
        )
        self.fetcher._fetch_task.cancel()

    def state(self, tp: TopicPartition = CLICKS) -> Any:
        return self.subscriptions.subscription.assignment.state_value(tp)

    def unread(self, log: Log, position: int, tp: TopicPartition = CLICKS) -> Unread:
        records = MemoryRecords(log.raw)
        return Unread(tp, records, log.aborted, position, None, None, True, READ_COMMITTED)

    def bring(self, log: Log, position: int = 100, tp: TopicPartition = CLICKS) -> None:
        self.state(tp).reset_to(position)
        self.fetcher._records[tp] = FetchResult(
            tp,
            assignment=self.subscriptions.subscription.assignment,
            partition_records=self.unread(log, position, tp),
            backoff=0,
        )
        for waiter in list(self.fetcher._fetch_waiters):
            self.fetcher._notify(waiter)

    async def take(self, limit: int = NOTHING_LEFT, seconds: float = 0.0) -> dict[Any, list[Any]]:
        return await fetched(self.fetcher, BOTH, limit, seconds)


@pytest.fixture
async def reading() -> Reading:
    return Reading()


def told(records: list[Any]) -> list[tuple[Any, ...]]:
    return [(r.offset, r.timestamp, r.key, r.value) for r in records]


transactions = st.none() | st.integers(1, 3)
batches = st.lists(
    st.builds(
        lambda gaps, producer, control, lz4: Batch(
            gaps, producer, control if producer is not None else None, lz4
        ),
        st.lists(st.integers(0, 3), min_size=1, max_size=5),
        transactions,
        st.none() | st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@given(batches, st.integers(0, 30), st.integers(1, 12))
def test_what_is_taken_is_what_aiokafka_would_give(given_batches, ahead, limit):
    async def compare() -> None:
        reading = Reading()
        log = log_of(given_batches)
        position = 100 + ahead
        expected = reading.unread(log, position)
        records = told(list(expected))
        reading.bring(log, position)
        taken: list[tuple[Any, ...]] = []
        while CLICKS in reading.fetcher._records:
            some = (await reading.take(limit)).get(CLICKS, [])
            assert len(some) < limit + 5, "at most the rest of a batch more than the limit"
            taken += told(some)
        assert taken == records
        assert reading.state().position == expected.next_fetch_offset

    asyncio.run(compare())


async def test_partitions_that_are_not_active_keep_what_was_read(reading):
    log = log_of([Batch([0, 0])])
    reading.bring(log)
    reading.bring(log, tp=WATCHES)
    assert (await fetched(reading.fetcher, {WATCHES}, 10, 0.0)).keys() == {WATCHES}
    assert [r.offset for r in (await reading.take())[CLICKS]] == [100, 101]


async def test_what_was_read_of_a_partition_no_longer_assigned_goes(reading):
    reading.bring(log_of([Batch([0])]))
    reading.subscriptions.assign_from_subscribed({WATCHES})
    assert await fetched(reading.fetcher, {WATCHES}, 10, 0.0) == {}
    assert not reading.fetcher._records


async def test_what_was_read_before_a_seek_is_not_taken(reading):
    reading.bring(log_of([Batch([0, 0])]))
    reading.subscriptions.seek(CLICKS, 7)
    assert await reading.take() == {}
    assert reading.state().position == 7


async def test_a_fetch_waits_for_something_to_come(reading):
    taking = asyncio.create_task(reading.take(seconds=5.0))
    await asyncio.sleep(0.01)
    assert not taking.done()
    reading.bring(log_of([Batch([0])]))
    assert [r.offset for r in (await taking)[CLICKS]] == [100]


async def test_a_fetch_ends_with_nothing_when_nothing_comes(reading):
    assert await reading.take(seconds=0.01) == {}
    await asyncio.sleep(0)
    assert not reading.fetcher._fetch_waiters


async def test_a_fetch_of_a_stopped_consumer_ends(reading):
    taking = asyncio.create_task(reading.take(seconds=5.0))
    await asyncio.sleep(0.01)
    reading.fetcher._closed = True
    for waiter in list(reading.fetcher._fetch_waiters):
        reading.fetcher._notify(waiter)
    with pytest.raises(ConsumerStoppedError):
        await taking


async def test_no_record_is_taken_of_a_batch_that_is_not_as_it_was_written(reading):
    log = log_of([Batch([0, 0]), Batch([0])])
    broken = bytearray(log.raw)
    broken[-1] ^= 1
    reading.bring(log._replace(raw=bytes(broken)))
    with pytest.raises(CorruptRecordException):
        await reading.take()
    assert not reading.fetcher._records, "it is read again"
    assert reading.state().position == 100


async def test_an_error_waits_until_the_records_before_it_are_taken(reading):
    reading.bring(log_of([Batch([0])]))
    error = TopicAuthorizationFailedError(WATCHES.topic)
    reading.fetcher._records[WATCHES] = FetchError(error=error, backoff=0)
    assert (await reading.take()).keys() == {CLICKS}
    with pytest.raises(TopicAuthorizationFailedError):
        await reading.take()
