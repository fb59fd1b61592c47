"""The load: a simulated audience, made beforehand and sent at the time it happens."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from streamapp.engine import clients
from streamapp.engine.partitioner import partitioner
from streamapp.settings import Settings
from streamapp.simulate import Delivery, World, catalog, spoiled, traffic

TICK_SECONDS = 0.05
"""What is due is sent so often."""

WARM_UP_MS = 10_000
"""Of traffic left out at the start: visits must be under way for the rate to be reached."""

TICKER = "ticker"
"""A viewer who only lets time go on."""

RUSH_VIEWERS, RUSH_ITEMS = 20, 60
"""Enough for every list to have something on it that is watched more than before."""

_EVENT_TIME = re.compile(rb'(?<="occurred_at_ms":)(\d+)(?=[,}])')


@dataclass(frozen=True, slots=True)
class Audience:
    """Who causes the load, and how much of it.

    Attributes:
        rate: records a second.
        pace: of the simulated world; at 0.1 playbacks and pauses take a tenth of their time.
    """

    seed: int = 7
    rate: float = 4_000.0
    seconds: float = 75.0
    viewers: int = 2_000
    items: int = 300
    pace: float = 0.1

    @property
    def world(self) -> World:
        """The world they live in."""
        return World(seed=self.seed, viewers=self.viewers, items=self.items, pace=self.pace)


class Planned(NamedTuple):
    """A record to send `at_ms` after the start; its event time, if it has one, moves along."""

    at_ms: int
    topic: str
    key: bytes
    head: bytes
    event_ms: int | None
    tail: bytes

    def value(self, start_ms: int) -> bytes:
        """The record's value when the load starts at `start_ms`."""
        if self.event_ms is None:
            return self.head
        return b"%b%d%b" % (self.head, self.event_ms + start_ms, self.tail)


@lru_cache(maxsize=1)
def plan(audience: Audience) -> list[Planned]:
    """Make all records of the load; the runs of a series share them."""
    stream = traffic(
        audience.world,
        start_ms=0,
        rate=audience.rate,
        seed=audience.seed,
        delivery=Delivery(late_rate=0.02, late_ms=3_000, duplicate_rate=0.01),
    )
    until_ms = WARM_UP_MS + audience.seconds * 1000
    sent = takewhile(lambda s: s.timestamp_ms < until_ms, spoiled(stream, 0.001, audience.seed))
    return [
        _planned(s.timestamp_ms - WARM_UP_MS, s.topic, s.key.encode(), s.value)
        for s in sent
        if s.timestamp_ms >= WARM_UP_MS
    ]


def _planned(at_ms: int, topic: str, key: bytes, value: bytes) -> Planned:
    found = _EVENT_TIME.search(value)
    if found is None:
        return Planned(at_ms, topic, key, value, None, b"")
    event_ms = int(found[1]) - WARM_UP_MS
    return Planned(at_ms, topic, key, value[: found.start()], event_ms, value[found.end() :])


class Load:
    """Sends an audience's records, each at its time.

    Attributes:
        sent: records handed to the brokers so far.
        ended: monotonic seconds at which the last event happened.
    """

    def __init__(self, settings: Settings, audience: Audience) -> None:
        self.sent = 0
        self.ended = float("inf")
        self._settings = settings
        self._audience = audience
        self._pending: set[asyncio.Future[Any]] = set()

    async def run(self) -> None:
        """Send everything; returns when the brokers have it all."""
        planned = plan(self._audience)
        producer = clients.producer(self._settings)
        await producer.start()
        try:
            start_ms = time.time_ns() // 1_000_000
            self.ended = time.monotonic() + self._audience.seconds
            while self.sent < len(planned):
                now_ms = time.time_ns() // 1_000_000 - start_ms
                due = self.sent
                while due < len(planned) and planned[due].at_ms <= now_ms:
                    due += 1
                await self._send(producer, planned[self.sent : due], start_ms)
                self.sent = due
                await asyncio.sleep(TICK_SECONDS)
            await producer.flush()
            await asyncio.gather(*self._pending)
        finally:
            await producer.stop()

    async def _send(self, producer: Any, due: list[Planned], start_ms: int) -> None:
        settings = self._settings
        pick, count = partitioner(settings.partitioner), settings.partitions
        places: dict[tuple[str, int], list[Planned]] = defaultdict(list)
        for record in due:
            places[settings.topic(record.topic), pick(record.key, count)].append(record)
        for (topic, partition), records in places.items():
            batch = producer.create_batch()
            for record in records:
                value = record.value(start_ms)
                if batch.append(timestamp=None, key=record.key, value=value) is None:
                    await self._hand_over(producer, batch, topic, partition)
                    batch = producer.create_batch()
                    batch.append(timestamp=None, key=record.key, value=value)
            await self._hand_over(producer, batch, topic, partition)

    async def _hand_over(self, producer: Any, batch: Any, topic: str, partition: int) -> None:
        written = await producer.send_batch(batch, topic, partition=partition)
        self._pending.add(written)
        written.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[Any]) -> None:
        if not written.cancelled() and written.exception() is None:
            self._pending.discard(written)


async def send_catalog(settings: Settings, audience: Audience) -> None:
    """Send what the audience can watch; before the workers start, so that all know it."""
    async with clients.producer(settings) as producer:
        for item in catalog(audience.world, time.time_ns() // 1_000_000):
            key = item.key.encode()
            partition = partitioner(settings.partitioner)(key, settings.partitions)
            topic = settings.topic(item.topic)
            await producer.send(topic, item.value, key, partition=partition)
        await producer.flush()


async def send_one_more(settings: Settings, audience: Audience, at_ms: int) -> int:
    """Let every viewer like something, and every item be liked, from `at_ms` on; until when."""
    likes = max(audience.viewers, audience.items)
    numbers = range(likes)
    await _like(
        settings,
        [(f"v{n % audience.viewers}", f"i{n % audience.items}", at_ms + n) for n in numbers],
    )
    return at_ms + likes


async def send_rush(settings: Settings, audience: Audience, at_ms: int) -> None:
    """Let some viewers start to watch the same items, so that these are trending."""
    assert audience.viewers >= RUSH_VIEWERS
    assert audience.items >= RUSH_ITEMS
    playbacks = [(f"v{n}", f"i{m}") for n in range(RUSH_VIEWERS) for m in range(RUSH_ITEMS)]
    watches = [
        {
            "event_id": f"{viewer}-watches-{item}-at-{at_ms}",
            "occurred_at_ms": at_ms,
            "viewer_id": viewer,
            "item_id": item,
            "playback_id": f"{viewer}-{item}-{at_ms}",
            "state": "start",
            "watched_ms": 0,
        }
        for viewer, item in playbacks
    ]
    await _send(settings, "events.watches", watches)


async def send_ticks(settings: Settings, audience: Audience, at_ms: int) -> None:
    """Let something happen at `at_ms` in every partition of the items, that no list is about."""
    pick = partitioner(settings.partitioner)
    names = [f"i{n}" for n in range(audience.items)]
    one_each = {pick(name.encode(), settings.partitions): name for name in names}
    assert len(one_each) == settings.partitions, "more items are needed"
    await _like(settings, [(TICKER, item, at_ms) for item in one_each.values()])


async def _like(settings: Settings, likes: Iterable[tuple[str, str, int]]) -> None:
    """Send likes: viewer, item and time of each."""
    events = [
        {
            "event_id": f"{viewer}-likes-{item}-at-{at_ms}",
            "occurred_at_ms": at_ms,
            "viewer_id": viewer,
            "item_id": item,
            "action": "like",
        }
        for viewer, item, at_ms in likes
    ]
    await _send(settings, "events.clicks", events)


async def _send(settings: Settings, name: str, events: Iterable[dict[str, Any]]) -> None:
    topic, pick = settings.topic(name), partitioner(settings.partitioner)
    async with clients.producer(settings) as producer:
        for event in events:
            key = event["viewer_id"].encode()
            partition = pick(key, settings.partitions)
            await producer.send(topic, json.dumps(event).encode(), key, partition=partition)
        await producer.flush()
