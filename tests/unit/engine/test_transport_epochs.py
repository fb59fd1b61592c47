"""A seek in the middle of a fetch: what is read after it counts, what was read before does not."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streamapp.engine import transport
from streamapp.engine.transport import ConsumerThread

CLICKS = TP("events.clicks", 3)


class Partition:
    """Stands in for aiokafka's consumer: a fetch waits, then takes two records."""

    def __init__(self) -> None:
        self.position = 100
        self.arrived = asyncio.Event()
        self._closed = False
        self._subscription = SimpleNamespace(subscription=None)
        self._fetcher = SimpleNamespace(
            _subscriptions=SimpleNamespace(fetch_context=self._context),
        )

    @contextmanager
    def _context(self) -> Any:
        yield

    async def fetched(self, *_: Any) -> dict[TP, list[int]]:
        await self.arrived.wait()
        self.position += 2
        return {CLICKS: [self.position - 2, self.position - 1]}

    def seek(self, _: Any, offset: int) -> None:
        self.position = offset


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> Partition:
    here = Partition()
    monkeypatch.setattr(transport, "fetched", here.fetched)
    return here


def thread_of(partition: Partition) -> ConsumerThread:
    thread = ConsumerThread.__new__(ConsumerThread)
    thread._consumer = partition
    thread._epochs = {}
    return thread


async def test_records_read_after_a_seek_have_its_epoch_though_the_fetch_began_before(
    partition: Partition,
) -> None:
    thread = thread_of(partition)
    await thread.move({CLICKS: 100}, {CLICKS: 1})
    fetching = asyncio.create_task(thread.fetch(frozenset({CLICKS})))
    await asyncio.sleep(0)
    await thread.move({CLICKS: 50}, {CLICKS: 2})
    partition.arrived.set()
    fetched: Any = await fetching
    assert fetched.records == {CLICKS: [50, 51]}
    assert fetched.epochs[CLICKS] == 2, "dropped as stale they would never be read again"


async def test_records_read_before_a_seek_keep_the_epoch_before_it(
    partition: Partition,
) -> None:
    thread = thread_of(partition)
    await thread.move({CLICKS: 100}, {CLICKS: 1})
    partition.arrived.set()
    fetched: Any = await thread.fetch(frozenset({CLICKS}))
    await thread.move({CLICKS: 50}, {CLICKS: 2})
    assert fetched.records == {CLICKS: [100, 101]}
    assert fetched.epochs[CLICKS] == 1
