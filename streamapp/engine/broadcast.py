"""Broadcast inputs: topics that each worker reads whole, and then follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamapp.engine import clients
from streamapp.engine.fetching import Fetch, fetched
from streamapp.settings import Settings

Take = Callable[[str, str, bytes | None], None]
"""logical topic, key, value → nothing; called in the order of each partition."""

POLL_SECONDS = 0.2
"""How long one look waits for records."""

PAUSE_SECONDS = 0.1
"""Between two looks: signals.items has some each few milliseconds, and a look takes its time."""

RECORDS = 2_000
"""Taken at a time; in between the tasks get their turn."""


class Broadcast:
    """Reads whole topics into the worker's views.

    Args:
        topics: logical names of the topics.
        take: is given every record; must not raise on bad ones.
    """

    def __init__(self, settings: Settings, topics: Sequence[str], take: Take) -> None:
        self._settings = settings
        self._names: Mapping[str, str] = {settings.topic(name): name for name in topics}
        self._take = take
        self._consumer: AIOKafkaConsumer = clients.reader(settings)
        self._tps: frozenset[TopicPartition] = frozenset()

    async def load(self) -> None:
        """Read everything that is committed now; the views are complete when this returns."""
        consumer = self._consumer
        await consumer.start()
        counts = await clients.partition_counts(self._settings, list(self._names))
        tps = [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]
        if not tps:
            return
        consumer.assign(tps)
        self._tps = frozenset(tps)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(tps)
        behind = {tp: end for tp, end in ends.items() if end > 0}
        while behind:
            await self._look()
            for tp, end in list(behind.items()):
                if await consumer.position(tp) >= end:
                    del behind[tp]

    async def follow(self) -> None:
        """Go on reading until cancelled."""
        while self._tps:
            found = await self._look()
            await asyncio.sleep(0 if found >= RECORDS else PAUSE_SECONDS)

    async def _look(self) -> int:
        """Take what has been read; return how many records that was."""
        found = await fetched(self._consumer._fetcher, self._tps, RECORDS, POLL_SECONDS)
        self._take_all(found)
        return sum(map(len, found.values()))

    def _take_all(self, found: Fetch) -> None:
        for tp, records in found.items():
            topic = self._names[tp.topic]
            for record in records:
                if record.key is not None:
                    self._take(topic, record.key.decode(errors="replace"), record.value)

    async def close(self) -> None:
        """Leave the brokers."""
        await self._consumer.stop()
