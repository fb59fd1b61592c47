"""What was read reaches the agent, or is read again: nothing falls between two rebalances."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from faust.types import TP

from streamapp.engine import transport
from streamapp.engine.app import App, Tables
from streamapp.engine.roles import ROLES
from streamapp.engine.transport import Consumer, Fetched, RecordBatch
from streamapp.settings import Settings
from tests.unit.engine.tally import Fake

ITEMS = TP("activity.items", 3)


class Thread:
    """Stands in for the consumer's thread: fetches what the test has put there."""

    def __init__(self) -> None:
        self.fetched: asyncio.Queue[Fetched] = asyncio.Queue()
        self.moves: list[tuple[Any, Any]] = []

    async def call_thread(self, do: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return await do(*args)

    async def fetch(self, _: Any) -> Fetched:
        return await self.fetched.get()

    async def move(self, positions: Any, epochs: Any) -> None:
        self.moves.append((dict(positions), dict(epochs)))


RECORD = Fake(7, b"i", b"{}")


@pytest.fixture
async def app() -> App:
    async def deliver(_: RecordBatch) -> None:
        """Nothing: the tests look at what the consumer calls."""

    return App(Settings(), ROLES["signals"], deliver)


@pytest.fixture
def consumer(app: App) -> Iterator[Consumer]:
    consumer: Any = app.consumer
    real, consumer._thread = consumer._thread, Thread()
    consumer.delivered = []
    resumed = asyncio.Event()
    consumer.resumed = resumed

    async def callback(message: Any) -> None:
        await resumed.wait()
        consumer.delivered.append(message.value)

    consumer.callback = callback
    consumer.resume_partitions([ITEMS])
    yield consumer
    real.thread_loop.close()


def suspend(consumer: Any) -> None:
    consumer.stop_flow()
    consumer.resumed.clear()


def resume(consumer: Any) -> None:
    consumer.resumed.set()
    consumer.resume_flow()


async def read(consumer: Any, epoch: int) -> asyncio.Task[None]:
    """Let one fetch return a record that was taken in this epoch."""
    consumer._thread.fetched.put_nowait(Fetched({ITEMS: [RECORD]}, {ITEMS: 5}, {ITEMS: epoch}))
    draining = asyncio.create_task(consumer._drain_once())
    await asyncio.sleep(0.01)
    return draining


async def test_a_batch_is_delivered_with_the_epoch_it_was_taken_in(consumer: Any) -> None:
    resume(consumer)
    await (await read(consumer, 0))
    (batch,) = consumer.delivered
    assert (batch.topic, batch.partition, batch.epoch, batch.at_end) == (*ITEMS, 0, False)


async def test_a_batch_of_an_earlier_epoch_is_dropped(consumer: Any) -> None:
    resume(consumer)
    consumer.hold([ITEMS])
    await consumer.move({ITEMS: 50})
    await (await read(consumer, 0))
    assert not consumer.delivered


async def test_a_batch_read_after_the_seek_waits_until_the_flow_goes_on(consumer: Any) -> None:
    # Revoked, assigned again and sought; its first records come before the flow is let on.
    resume(consumer)
    fetching = asyncio.create_task(consumer._drain_once())
    await asyncio.sleep(0.01)
    suspend(consumer)
    consumer.hold([ITEMS])
    await consumer.move({ITEMS: 50})
    consumer._thread.fetched.put_nowait(Fetched({ITEMS: [RECORD]}, {ITEMS: 5}, {ITEMS: 1}))
    await asyncio.sleep(0.01)
    resume(consumer)
    await fetching
    assert [batch.epoch for batch in consumer.delivered] == [1]


async def test_a_batch_whose_delivery_a_rebalance_breaks_off_is_not_delivered(
    consumer: Any,
) -> None:
    consumer.resume_flow()  # the agent's buffer is full: `resumed` is not set
    fetching = await read(consumer, 0)
    suspend(consumer)
    await asyncio.sleep(0.01)
    consumer.hold([ITEMS])
    await consumer.move({ITEMS: 7})
    resume(consumer)
    await fetching
    assert not consumer.delivered
    assert consumer._thread.moves == [({ITEMS: 7}, {ITEMS: 1})]


async def looks(consumer: Any, *found: dict[TP, list[Any]], remaining: int = 5) -> list[float]:
    """Let one look after another find this, 10 ms apart; returns the silences told."""
    for records in found:
        consumer._thread.fetched.put_nowait(Fetched(records, {ITEMS: remaining}, {ITEMS: 0}))
        await consumer._drain_once()
        await asyncio.sleep(0.01)
    return [batch.silent for batch in consumer.delivered if not batch.records]


async def test_a_partition_that_has_more_and_brings_nothing_is_told_for_how_long(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENCE_TOLD_SECONDS", 0.0)
    resume(consumer)
    first, second = await looks(consumer, {}, {}, {})
    assert 0.01 <= first < second
    assert not any(batch.at_end for batch in consumer.delivered)


async def test_a_silence_begins_anew_with_records_a_seek_or_a_look_that_was_cut_short(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENCE_TOLD_SECONDS", 0.0)
    resume(consumer)
    assert await looks(consumer, {}, {ITEMS: [RECORD]}, {}) == []
    other = TP("activity.items", 4)
    consumer.resume_partitions([other])
    cut_short = {other: [RECORD] * transport.POLL_RECORDS}
    assert await looks(consumer, cut_short, {}) == []


async def test_a_silence_is_told_now_and_then_only(consumer: Any) -> None:
    resume(consumer)
    assert len(await looks(consumer, *[{}] * 10)) <= 1


async def test_a_partition_at_its_end_is_not_called_silent(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENCE_TOLD_SECONDS", 0.0)
    resume(consumer)
    assert await looks(consumer, {}, {}, {}, remaining=0) == [0.0]
    assert [batch.at_end for batch in consumer.delivered] == [True]


async def test_a_partition_held_again_while_it_is_sought_stays_held(consumer: Any) -> None:
    consumer.hold([ITEMS])
    first = asyncio.create_task(consumer.move({ITEMS: 7}))
    consumer._thread.move = lambda *_: asyncio.sleep(0.01)
    await asyncio.sleep(0)
    consumer.hold([ITEMS])
    assert await first
    assert ITEMS in consumer._moving


async def test_a_take_still_under_way_does_not_let_the_flow_on_in_the_next_rebalance(
    app: App,
) -> None:
    tables: Any = app.tables
    assert isinstance(tables, Tables)
    going_on = asyncio.Event()

    async def assigned(_: Any) -> None:
        await going_on.wait()

    tables.assigned = assigned
    await tables.on_rebalance({ITEMS}, set(), {ITEMS})
    await asyncio.sleep(0)
    app.flow_control.suspend()
    tables.on_partitions_revoked({ITEMS})
    going_on.set()
    await asyncio.sleep(0.01)
    assert not app.flow_control.is_active()
