"""Reads whole topics into a state, follows them, and goes on where it was after a failure."""

from __future__ import annotations

import logging
import time
from asyncio import Event, sleep
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streamapp import kafka
from streamapp.errors import BrokersUnavailable
from streamapp.reader.state import State
from streamapp.settings import Settings

_log = logging.getLogger(__name__)

POLL_MS = 100
AT_ONCE = 200
"""Records taken in one go: rankings wait for no more."""

LOOK_SECONDS = 0.5
"""Time between two looks at what is left to read, when all has been read once."""

SILENCE_SECONDS = 30.0
"""Without an answer of any broker for so long, a connection counts as lost."""

READ_AGAIN_SECONDS = 60.0
"""At least so long between two readings of a topic from its beginning."""

Ends = dict[TopicPartition, int]


class TopicLog:
    """All partitions of a state's topics, and how far each has been read.

    Attributes:
        ready: set once all has been read that was committed at the beginning.
        connections: made so far.
        read_again: topics read from their beginning again, because versions did not fit.
    """

    def __init__(self, settings: Settings, state: State) -> None:
        self.ready = Event()
        self.connections = 0
        self.read_again: Counter[str] = Counter()
        self._settings = settings
        self._state = state
        self._names = {settings.topic(topic): topic for topic in state.topics}
        self._next: Ends = {}
        self._left: Ends = {}
        self._behind: Ends = {}
        self._again: dict[str, Ends] = {}
        self._not_before: dict[str, float] = {}
        self._looked = 0.0

    def behind(self) -> dict[str, int]:
        """Return the committed records not read yet, by topic, as of the last look."""
        behind: Counter[str] = Counter()
        for tp, records in self._behind.items():
            behind[self._names[tp.topic]] += records
        return behind

    async def follow(self) -> AsyncGenerator[None, None]:
        """Read on from where it was; yields whenever some records may have been taken.

        Raises:
            KafkaError, BrokersUnavailable, ConfigurationError: it cannot go on; to be called again.
        """
        async with kafka.reader(self._settings) as consumer:
            await self._begin(consumer)
            self.connections += 1
            since_ms = _now_ms()
            while True:
                self._take(await consumer.getmany(timeout_ms=POLL_MS, max_records=AT_ONCE))
                if not self.ready.is_set() or time.monotonic() - self._looked >= LOOK_SECONDS:
                    self._looked = time.monotonic()
                    await self._look(consumer, since_ms)
                yield
                await sleep(0)

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        counts = await kafka.partition_counts(self._settings, list(self._names))
        tps = [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]
        consumer.assign(tps)
        ends: Ends = await consumer.end_offsets(tps)
        self._forget_remade({tp.topic for tp in tps if self._next.get(tp, 0) > ends[tp]})
        unread = [tp for tp in tps if tp not in self._next]
        for tp, offset in self._next.items():
            consumer.seek(tp, offset)
        if unread:
            await consumer.seek_to_beginning(*unread)
        if not self.ready.is_set():
            self._left = {tp: end for tp, end in ends.items() if end > 0}

    def _forget_remade(self, topics: Iterable[str]) -> None:
        """Topics that are shorter than they were have been made anew: begin them again."""
        for topic in topics:
            _log.warning("%s is shorter than it was: it is read from its beginning", topic)
            self._next = {tp: at for tp, at in self._next.items() if tp.topic != topic}

    def _take(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        update = self._state.update
        for tp, records in fetched.items():
            topic = self._names[tp.topic]
            for record in records:
                update(topic, record.key, record.value)
            self._next[tp] = records[-1].offset + 1

    async def _look(self, consumer: AIOKafkaConsumer, since_ms: int) -> None:
        """See how far it is: the last offset of a partition may be a transaction's mark."""
        answered_ms = since_ms
        for tp in consumer.assignment():
            self._next[tp] = await consumer.position(tp)
            end = consumer.last_stable_offset(tp)
            self._behind[tp] = max(end - self._next[tp], 0) if end is not None else 0
            answered_ms = max(answered_ms, consumer.last_poll_timestamp(tp) or 0)
        if _now_ms() - answered_ms > SILENCE_SECONDS * 1000:
            raise BrokersUnavailable(f"no broker has answered for {SILENCE_SECONDS:.0f} s")
        self._left = self._not_reached(self._left)
        if not self._left and not self.ready.is_set():
            self.ready.set()
            _log.info("all topics have been read, and are followed")
        if self.ready.is_set():
            await self._mend(consumer)

    def _not_reached(self, ends: Ends) -> Ends:
        return {tp: end for tp, end in ends.items() if self._next.get(tp, 0) < end}

    async def _mend(self, consumer: AIOKafkaConsumer) -> None:
        """Read topics again whose versions do not fit what was read of them."""
        for topic, copies in self._state.copies().items():
            if topic in self._again:
                self._again[topic] = self._not_reached(self._again[topic])
                if not self._again[topic]:
                    del self._again[topic]
                    self._state.read_through(topic)
            elif copies.torn and time.monotonic() >= self._not_before.get(topic, 0.0):
                _log.warning("a version of %s does not fit what was read: reading it again", topic)
                self._not_before[topic] = time.monotonic() + READ_AGAIN_SECONDS
                self.read_again[topic] += 1
                copies.read_again()
                self._again[topic] = await self._rewind(consumer, topic)

    async def _rewind(self, consumer: AIOKafkaConsumer, topic: str) -> Ends:
        tps = [tp for tp in consumer.assignment() if self._names[tp.topic] == topic]
        for tp in tps:
            self._next.pop(tp, None)
        await consumer.seek_to_beginning(*tps)
        ends: Ends = await consumer.end_offsets(tps)
        return {tp: end for tp, end in ends.items() if end > 0}


def _now_ms() -> int:
    return int(time.time() * 1000)
