"""Broadcast inputs: topics that each worker reads whole, and then follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streamapp.engine import clients
from streamapp.settings import Settings

Take = Callable[[str, str, bytes | None], None]
"""logical topic, key, value → nothing; called in the order of each partition."""

POLL_MS = 200


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

    async def load(self) -> None:
        """Read everything that is committed now; the views are complete when this returns."""
        consumer = self._consumer
        await consumer.start()
        counts = await clients.partition_counts(self._settings, list(self._names))
        tps = [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]
        if not tps:
            return
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(tps)
        behind = {tp: end for tp, end in ends.items() if end > 0}
        while behind:
            self._take_all(await consumer.getmany(timeout_ms=POLL_MS))
            for tp, end in list(behind.items()):
                if await consumer.position(tp) >= end:
                    del behind[tp]

    async def follow(self) -> None:
        """Go on reading until cancelled."""
        while self._consumer.assignment():
            self._take_all(await self._consumer.getmany(timeout_ms=POLL_MS))
            await asyncio.sleep(0)

    def _take_all(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        for tp, records in fetched.items():
            topic = self._names[tp.topic]
            for record in records:
                if record.key is not None:
                    self._take(topic, record.key.decode(errors="replace"), record.value)

    async def close(self) -> None:
        """Leave the brokers."""
        await self._consumer.stop()
