"""What the ledger says of a cut that can never be written, and of one that failed otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OutOfOrderSequenceNumber
from aiokafka.producer.message_accumulator import BatchBuilder

from streamapp.engine.ledger import Ledger
from streamapp.errors import CommitFailed, RecordTooLarge
from streamapp.processors.base import Cut
from streamapp.settings import Settings

CHANGELOG = "streamapp-ingest-viewers-changelog"


@dataclass
class FakeProducer:
    """Stands for a transactional producer whose topics take batches of at most `most` bytes.

    What follows a refused batch on its partition is out of order, as on a broker.
    """

    most: int
    error: KafkaError = field(default_factory=MessageSizeTooLargeError)
    batch_bytes: int = 1_000
    refused: set[tuple[str, int]] = field(default_factory=set)

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_bytes, 0, is_transactional=True)

    async def partitions_for(self, topic: str) -> set[int]:  # noqa: ARG002
        return {0, 1}

    async def begin_transaction(self) -> None:
        pass

    async def commit_transaction(self) -> None:
        pass

    async def send_offsets_to_transaction(self, positions: Any, group: str) -> None:
        pass

    async def send_batch(
        self, batch: BatchBuilder, topic: str, partition: int
    ) -> asyncio.Future[None]:
        await asyncio.sleep(0)
        arrives: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if (topic, partition) in self.refused:
            arrives.set_exception(OutOfOrderSequenceNumber())
        elif batch.size() > self.most:
            self.refused.add((topic, partition))
            arrives.set_exception(self.error)
        else:
            arrives.set_result(None)
        return arrives


def ledger_of(producer: FakeProducer) -> Ledger:
    inputs = {"events.clicks": "events.clicks"}
    ledger = Ledger(Settings(), "streamapp-ingest", 1, {"viewers": CHANGELOG}, inputs)
    ledger._producer = producer
    return ledger


def cut_of(*sizes: int) -> Cut:
    cut = Cut(0, 0)
    cut.rows["viewers"] = [(b"k%d" % n, bytes(size)) for n, size in enumerate(sizes)]
    return cut


async def test_a_record_that_its_topic_does_not_take_is_named_with_its_place_and_size():
    ledger = ledger_of(FakeProducer(most=5_000))
    with pytest.raises(RecordTooLarge) as told:
        await ledger.commit(cut_of(10, 900, 6_000, 20, 30), {"events.clicks": 7})
    error = told.value
    assert (error.topic, error.partition, error.key) == (CHANGELOG, 1, b"k2")
    assert (error.size, error.others) == (6_002, 0)
    assert not error.retriable
    said = "does not take the record of key b'k2', which has 6002 bytes:"
    assert str(error).startswith(f"partition 1 of {CHANGELOG} {said}")
    assert "max.message.bytes" in str(error)


async def test_of_a_batch_that_its_topic_does_not_take_the_largest_record_is_named():
    ledger = ledger_of(FakeProducer(most=500))
    with pytest.raises(RecordTooLarge, match="402 bytes, in one batch with 2 smaller ones"):
        await ledger.commit(cut_of(10, 400, 300), {"events.clicks": 7})


async def test_an_output_is_named_by_its_topic_on_the_brokers():
    cut = cut_of(10)
    cut.emit("signals.viewers", "v" * 200, bytes(7_000))
    ledger = ledger_of(FakeProducer(most=5_000))
    ledger.settings = Settings(topic_prefix="eu.")
    with pytest.raises(RecordTooLarge, match=r"of eu\.signals\.viewers .*'v{100}', .* 7200 "):
        await ledger.commit(cut, {"events.clicks": 7})


async def test_other_errors_fail_the_commit_which_may_be_tried_again():
    ledger = ledger_of(FakeProducer(most=5_000, error=KafkaError("no")))
    with pytest.raises(CommitFailed):
        await ledger.commit(cut_of(6_000), {"events.clicks": 7})
