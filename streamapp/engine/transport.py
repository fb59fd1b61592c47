"""Record batches through Faust: one message for each partition's fetched records.

Faust hands records to its streams one by one, at tens of microseconds each. Here a message's
value is the whole list a fetch returned, so that cost is paid once a batch. Offsets are
committed by the task's own transaction, so Faust's acknowledgements, commits and seeks are
switched off (the topics are declared with `acks=False`).

What is relied upon in Faust 0.15.3 and aiokafka 0.14, held by tests/unit/engine/test_hooks.py:
the consumer's `_drain_messages`, `_active_partitions`, `perform_seek`, the consumer thread's
`_create_worker_consumer`, and `position` and `lso` of aiokafka's partition state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoError,
    RebalanceInProgressError,
)
from aiokafka.protocol.group import HeartbeatRequest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer
from faust.transport.drivers.aiokafka import Transport as FaustTransport
from faust.types import TP, AppT, ConsumerMessage, Message

from streamapp.engine.fetching import fetched
from streamapp.engine.merge import Record
from streamapp.kafka import KafkaConsumer, client_options
from streamapp.settings import Settings

POLL_RECORDS = 4_000
"""Records of one fetch: bounds the memory of a batch and the time to decode it."""

POLL_SECONDS = 0.1
"""How long a fetch waits when nothing is buffered: also the delay with which a resumed
partition is noticed."""

FETCH_BYTES, FETCH_WAIT_MS = 1_000_000, 50
"""How much the broker waits for before it answers a fetch, and how long: also the delay with which
the end of an input shows. Records that come by the millisecond would else each be an answer of
their own, which costs the broker and us more than the records do; a commit takes longer to come."""

SILENCE_TOLD_SECONDS = 0.25
"""Between two reports that a partition, though it has more, brings nothing."""

HEARTBEAT_SECONDS = 1.0
"""How long the answer may take when asking whether the group still knows this worker."""

MAX_POLL_INTERVAL_MS = 300_000
"""Time without a fetch after which aiokafka leaves the group."""


class RecordBatch(NamedTuple):
    """What one fetch returned for one partition.

    Attributes:
        epoch: how often the partition had been sought when the records were taken; those of
            an earlier epoch were read at a position that no longer counts.
        at_end: the partition held nothing more that is committed.
        more: batches of other partitions follow that the same fetch returned. A click must not
            be processed while its impression is still among them.
        silent: without records: seconds for which every look at what the fetches had brought
            found nothing of this partition, though it is not at its end.
    """

    topic: str
    partition: int
    records: Sequence[Record]
    epoch: int
    at_end: bool
    more: bool = False
    silent: float = 0.0


class BatchSchema(faust.Schema[None, RecordBatch]):
    """Hands a message's value to the stream as it is."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[Any]]:
        """Return the function that makes an event of a message."""
        create_event = app.create_event

        async def decode(message: Message, **_: Any) -> Any:
            return create_event(None, message.value, message.headers, message)

        return decode


class Fetched(NamedTuple):
    """What one fetch found.

    Attributes:
        remaining: how many offsets are left up to the last stable one, by partition; of a
            partition not yet fetched that is unknown.
        epochs: how often each partition had been sought when the records were taken.
    """

    records: Mapping[TP, Sequence[Record]]
    remaining: Mapping[TP, int]
    epochs: Mapping[TP, int]


START_LOOK_SECONDS = 0.01
"""Between two looks whether the consumer's thread has begun."""


class ConsumerThread(AIOKafkaConsumerThread):
    """aiokafka's consumer in a thread of its own, reading committed records."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._epochs: dict[TP, int] = {}

    def _create_worker_consumer(self, transport: FaustTransport) -> AIOKafkaConsumer:
        # Faust reads committed only in its own transaction mode, and would take a round-robin
        # assignor for an app without tables: one transactional id would live on two workers.
        settings = cast("Transport", transport).settings
        self._assignor = self.app.assignor
        return KafkaConsumer(
            **client_options(settings),
            client_id=self.app.conf.broker_client_id,
            group_id=self.app.conf.id,
            partition_assignment_strategy=[self._assignor],
            isolation_level="read_committed",
            check_crcs=settings.check_crcs,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=POLL_RECORDS,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(settings.session_timeout_ms // 6, 100),
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_min_bytes=FETCH_BYTES,
            retry_backoff_ms=50,
        )

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Subscribe once the thread has its consumer: on a busy machine Faust asks before."""
        while self._consumer is None:  # noqa: ASYNC110  # Faust has no event for it
            await asyncio.sleep(START_LOOK_SECONDS)
        await super().subscribe(topics)

    async def fetch(self, active: frozenset[TP]) -> Fetched:
        """Take what has been read of these partitions, or wait a little for something."""
        consumer = self._ensure_consumer()
        if consumer._closed:
            raise ConsumerStoppedError
        fetcher = consumer._fetcher
        with fetcher._subscriptions.fetch_context():
            records = await fetched(fetcher, active, POLL_RECORDS, POLL_SECONDS)
        # The epochs as they are now, not as they were when the fetch began: a partition may
        # have been sought meanwhile, and what was read after that will not be read again.
        return Fetched(records, self._remaining(consumer, active), dict(self._epochs))

    @staticmethod
    def _remaining(consumer: AIOKafkaConsumer, active: Iterable[TP]) -> dict[TP, int]:
        subscription = consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return {}
        states = {tp: assignment.state_value(tp) for tp in active if tp in assignment.tps}
        # The high watermark would not do: behind it a transaction is nearly always open.
        return {
            tp: max(state.lso - state.position, 0)
            for tp, state in states.items()
            if state.has_valid_position and state.lso is not None
        }

    async def stay(self) -> None:
        """Fetch nothing, but count as polling: a long restore must not end the membership."""
        with self._ensure_consumer()._fetcher._subscriptions.fetch_context():
            pass

    async def is_member(self) -> bool:
        """The group still knows this worker in the generation of its assignment."""
        consumer = self._ensure_consumer()
        coordinator = consumer._coordinator
        if consumer._subscription.reassignment_in_progress or coordinator.generation < 0:
            return False
        request = HeartbeatRequest(
            coordinator.group_id, coordinator.generation, coordinator.member_id
        )
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                answer = await coordinator._send_req(request)
        except (KafkaError, TimeoutError):
            return False
        return answer.error_code in (NoError.errno, RebalanceInProgressError.errno)

    async def move(self, positions: Mapping[TP, int], epochs: Mapping[TP, int]) -> None:
        """Seek; raises IllegalStateError when a partition is no longer assigned."""
        consumer = self._ensure_consumer()
        for tp, offset in positions.items():
            consumer.seek(TopicPartition(*tp), offset)
            self._epochs[tp] = epochs[tp]


class Consumer(FaustConsumer):
    """Faust's consumer, one message for each partition's batch.

    A partition is read only while it is active in Faust's sense (assigned, not paused) and
    is not being moved.

    Attributes:
        remaining: committed records not yet fetched, by partition, as last known.
    """

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._epochs: dict[TP, int] = {}
        self._moving: set[TP] = set()
        self._told_end: set[TP] = set()
        self._silent_since: dict[TP, float] = {}
        self._silence_told = 0.0
        self.remaining: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def in_touch(self) -> bool:
        """The group's coordinator answered the last heartbeat."""
        consumer = self._thread._consumer
        coordinator = None if consumer is None else consumer._coordinator
        return coordinator is not None and coordinator.coordinator_id is not None

    def epoch(self, tp: TP) -> int:
        """How often this partition has been held, to be sought."""
        return self._epochs.get(tp, 0)

    def hold(self, tps: Iterable[TP]) -> None:
        """From now on all that is fetched before the next `move` is stale."""
        for tp in tps:
            self._moving.add(tp)
            self._epochs[tp] = self.epoch(tp) + 1
            self._told_end.discard(tp)

    async def move(self, positions: Mapping[TP, int]) -> bool:
        """Seek held partitions and let them be fetched; False when no longer assigned."""
        epochs = {tp: self.epoch(tp) for tp in positions}
        try:
            await self._thread.call_thread(self._thread.move, positions, epochs)
        except IllegalStateError:
            return False
        # One that was held again meanwhile is for the next move.
        self._moving -= {tp for tp, epoch in epochs.items() if epoch == self.epoch(tp)}
        return True

    async def is_member(self) -> bool:
        """The group still knows this worker in the generation of its assignment."""
        known: bool = await self._thread.call_thread(self._thread.is_member)
        return known

    async def perform_seek(self) -> None:
        """Nothing: positions belong to the tasks (Faust would seek to what was committed)."""

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust would look for its own acknowledgements; /health watches commits."""

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._drain_once()
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = frozenset(self._get_active_partitions() - self._moving)
        if not active:  # aiokafka would take no partitions for all of them
            await self._thread.call_thread(self._thread.stay)
            await self.sleep(POLL_SECONDS)
            return
        fetched: Fetched = await self._thread.call_thread(self._thread.fetch, active)
        records, remaining, epochs = fetched
        self.remaining.update(remaining)
        ends = {tp for tp, count in remaining.items() if count == 0}
        self._told_end.difference_update(records)
        told = [*records.items(), *((tp, []) for tp in ends - records.keys() - self._told_end)]
        for tp, batch in told:
            message = RecordBatch(
                tp[0], tp[1], batch, epochs.get(tp, 0), tp in ends, more=tp != told[-1][0]
            )
            await self._deliver(tp, message)
        # A full fetch leaves others waiting that have brought something too.
        full = sum(map(len, records.values())) >= POLL_RECORDS
        silent = frozenset[TP]() if full else active - records.keys() - ends
        for tp, seconds in self._silences(silent):
            nothing = RecordBatch(tp[0], tp[1], [], epochs.get(tp, 0), at_end=False, silent=seconds)
            await self._deliver(tp, nothing)

    def _silences(self, silent: Iterable[TP]) -> list[tuple[TP, float]]:
        """Take which partitions had nothing just now; return what to tell of how long."""
        now = asyncio.get_running_loop().time()
        self._silent_since = {tp: self._silent_since.get(tp, now) for tp in silent}
        if now - self._silence_told < SILENCE_TOLD_SECONDS:
            return []
        self._silence_told = now
        return [(tp, now - since) for tp, since in self._silent_since.items() if since < now]

    async def _deliver(self, tp: TP, batch: RecordBatch) -> None:
        epoch, at_end = batch.epoch, batch.at_end
        while epoch == self.epoch(tp) and not self.should_stop:
            if not self.flow_active:
                # The partition may have been sought already, so dropping this would lose it.
                await self.wait(self.can_resume_flow.wait())
                continue
            if at_end:
                self._told_end.add(tp)
            delivery = self.callback(self._message(tp, batch))
            done = await self.wait_first(delivery, self.suspend_flow.wait())
            if delivery in done.done:
                return

    def _message(self, tp: TP, batch: RecordBatch) -> ConsumerMessage:
        last = batch.records[-1].offset if batch.records else -1
        value = cast("bytes", batch)  # BatchSchema hands it on, whatever it is
        return ConsumerMessage(
            tp[0],
            tp[1],
            last,
            timestamp=0.0,
            timestamp_type=0,
            headers=None,
            key=None,
            value=value,
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=TP(*tp),
            generation_id=self.app.consumer_generation_id,
        )


class Transport(FaustTransport):
    """Faust's aiokafka transport with the consumer above.

    Args:
        settings: the worker's; Faust's own broker settings are not used.
    """

    Consumer: ClassVar[type[Any]] = Consumer
    settings: Settings

    def __init__(self, settings: Settings, *args: Any, **kwargs: Any) -> None:
        self.settings = settings
        super().__init__(*args, **kwargs)
