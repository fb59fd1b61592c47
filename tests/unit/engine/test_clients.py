"""Clients when the brokers are away: they wait before they ask again, and end when told to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streamapp import kafka
from streamapp.engine.clients import abandon
from streamapp.kafka import RECONNECT_SECONDS, KafkaConsumer, patient


class Connecting:
    """Stands for aiokafka's client: gives what the test lays out."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)

    async def _get_conn(self, node_id: int, *, group: int = 0) -> Any:
        assert (node_id, group) == (1, 2)
        return self.given.pop(0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(kafka, "asyncio", SimpleNamespace(sleep=sleep))
    return waits


async def test_a_connection_is_given_at_once(waits):
    client: Any = Connecting("connection")
    patient(client)
    assert await client._get_conn(1, group=2) == "connection"
    assert waits == []


async def test_each_failure_in_a_row_waits_longer_up_to_the_last_wait(waits):
    client: Any = Connecting(*[None] * (len(RECONNECT_SECONDS) + 2))
    patient(client)
    while client.given:
        assert await client._get_conn(1, group=2) is None
    assert waits == [*RECONNECT_SECONDS, RECONNECT_SECONDS[-1], RECONNECT_SECONDS[-1]]


async def test_a_connection_ends_the_row(waits):
    client: Any = Connecting(None, None, "connection", None)
    patient(client)
    while client.given:
        await client._get_conn(1, group=2)
    assert waits == [*RECONNECT_SECONDS[:2], RECONNECT_SECONDS[0]]


async def test_a_producer_is_abandoned_though_its_pending_batches_are_never_delivered():
    never = asyncio.Event()

    async def sender_routine() -> None:
        delivery = asyncio.create_task(never.wait())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await delivery  # as aiokafka's does with the tasks it has begun

    closed = []

    async def close() -> None:
        closed.append(True)

    sending = asyncio.create_task(sender_routine())
    await asyncio.sleep(0)
    producer: Any = SimpleNamespace(
        _closed=False,
        _sender=SimpleNamespace(sender_task=sending),
        client=SimpleNamespace(close=close),
    )
    await asyncio.wait_for(abandon(producer), 5)
    assert sending.done()
    assert producer._closed
    assert closed


async def test_a_producer_that_never_connected_is_abandoned():
    closed = []

    async def close() -> None:
        closed.append(True)

    producer: Any = SimpleNamespace(
        _closed=False,
        _sender=SimpleNamespace(sender_task=None),
        client=SimpleNamespace(close=close),
    )
    await abandon(producer)
    assert closed


class Closing:
    """Stands for the insides of a consumer whose last fetch has failed, and waits."""

    def __init__(self) -> None:
        self.closed = False
        self._fetch_task = asyncio.create_task(asyncio.sleep(60))
        self._pending_tasks = {asyncio.create_task(asyncio.sleep(60))}

    async def close(self) -> None:
        (waiting,) = self._pending_tasks
        waiting.cancel()
        await waiting


class Client:
    closed = False

    async def close(self) -> None:
        self.closed = True


def consumer() -> Any:
    made: Any = KafkaConsumer.__new__(KafkaConsumer)
    made._closed, made._coordinator = False, None
    made._fetcher, made._client = Closing(), Client()
    made._source_traceback = None
    return made


async def test_a_consumer_whose_fetch_has_failed_stops_without_seeming_cancelled():
    stopping = consumer()
    await stopping.stop()
    await asyncio.sleep(0)
    assert stopping._client.closed
    assert stopping._fetcher._fetch_task.cancelled()


async def test_a_caller_that_is_cancelled_while_it_stops_a_consumer_stays_cancelled():
    stopping = consumer()
    gate = asyncio.Event()
    stopping._fetcher.close = gate.wait
    caller = asyncio.create_task(stopping.stop())
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert stopping._client.closed
