"""The Faust app of a role: one agent that hands record batches to the runner.

Faust brings the consumer group, its sticky assignor, flow control and the service life
cycle. Its tables, acknowledgements, producer and web server are not used: state and offsets
are the ledger's, in one transaction a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.types import TP
from yarl import URL

from streamapp.engine.ownership import Ownership
from streamapp.engine.roles import Role
from streamapp.engine.transport import BatchSchema, Consumer, RecordBatch, Transport
from streamapp.settings import Settings

BUFFERED_BATCHES = 16
"""Batches between the consumer and the agent; beyond, the partition is not fetched."""

Deliver = Callable[[RecordBatch], Awaitable[None]]


class Boot(BootStrategy):
    """Starts the consumer and what it needs, and nothing that would talk to Kafka besides."""

    enable_kafka_producer = False
    enable_web = False

    def kafka_consumer(self) -> Iterable[Any]:
        """Without the leader's and the replies' topics, which nobody uses."""
        return [self.app.consumer]


class Tables(TableManager):
    """Stands where Faust recovers its tables: gives each assignment to the ownership.

    Faust calls `on_rebalance` with the assigned partitions paused, and expects whoever
    recovers to start the flow again.
    """

    assigned: Callable[[set[TP]], Awaitable[None]]
    failed: Callable[[BaseException], None]
    _taking: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """There are no tables: the consumer may subscribe."""
        self._tables_finalized.set()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        """Stop taking partitions and fetching."""
        await self._cancel()
        await cast("App", self.app)._fetcher.stop()

    def on_partitions_revoked(self, revoked: set[TP]) -> None:  # noqa: ARG002
        """End a take that is still under way: it would let the flow on in the middle of this.

        The tasks stay: they are dropped when their partition is assigned to another.
        """
        if self._taking is not None:
            self._taking.cancel()

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],  # noqa: ARG002  # Faust's signature
        newly_assigned: set[TP],  # noqa: ARG002
        generation_id: int = 0,  # noqa: ARG002
    ) -> None:
        """Take the assigned partitions, in the background: the group is not kept waiting."""
        await self._cancel()
        self._taking = asyncio.create_task(self._take(assigned))
        self._taking.add_done_callback(self._ended)

    def _ended(self, taking: asyncio.Task[None]) -> None:
        if not taking.cancelled() and (exc := taking.exception()) is not None:
            self.failed(exc)

    async def _take(self, assigned: set[TP]) -> None:
        await self.assigned(assigned)
        app = cast("App", self.app)
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()
        app.on_rebalance_end()

    async def _cancel(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)

    async def wait_until_recovery_completed(self) -> bool:
        """False: the app did not stop meanwhile."""
        return False


class App(faust.App):
    """A Faust app for one role.

    Args:
        deliver: given each batch, with the logical topic name.
    """

    BootStrategy = Boot

    def __init__(self, settings: Settings, role: Role, deliver: Deliver) -> None:
        url = URL(f"kafka://{settings.bootstrap_servers.split(',')[0]}")
        super().__init__(
            settings.role_id(role.name),
            broker=url,
            autodiscover=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            stream_buffer_maxsize=BUFFERED_BATCHES,
            broker_session_timeout=settings.session_timeout_ms / 1000,
            broker_commit_interval=60.0,  # nothing is acknowledged, so nothing is committed
            TableManager=Tables,
        )
        self.transport = Transport(settings, [url], self)
        self.logical = {settings.topic(name): name for name in role.inputs}
        self._subscribe(deliver)

    def _subscribe(self, deliver: Deliver) -> None:
        channel = self.topic(*self.logical, schema=BatchSchema(), acks=False)
        logical = self.logical

        async def batches(stream: Any) -> None:
            async for batch in stream:
                await deliver(batch._replace(topic=logical[batch.topic]))

        self.agent(channel, name="batches")(batches)

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:  # noqa: ARG002
        """End the worker: Faust would go on with another agent, and without the batch."""
        cast("Tables", self.tables).failed(exc)

    def own(self, ownership: Ownership, failed: Callable[[BaseException], None]) -> None:
        """Give every assignment from now on to this ownership."""

        async def assigned(tps: set[TP]) -> None:
            await ownership.assign(sorted({tp.partition for tp in tps if tp.topic in self.logical}))

        tables = cast("Tables", self.tables)
        tables.assigned = assigned
        tables.failed = failed

    def _create_directories(self) -> None:
        """Nothing: no table, no data directory."""

    async def _producer_flush(self, logger: Any) -> None:
        """Nothing: the producers are the ledgers'."""


class FaustReading:
    """Moves the input partitions of the app's consumer for the ownership."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._physical = {name: topic for topic, name in app.logical.items()}

    @property
    def _consumer(self) -> Consumer:
        return cast("Consumer", self._app.consumer)

    def _tp(self, topic: str, partition: int) -> TP:
        return TP(self._physical[topic], partition)

    def hold(self, partitions: Iterable[int]) -> None:
        """Stop reading these partitions of the inputs."""
        self._consumer.hold([self._tp(t, p) for p in partitions for t in self._physical])

    async def resume(self, positions: Mapping[int, Mapping[str, int]]) -> bool:
        """Read these partitions from these offsets."""
        moves = {
            self._tp(topic, partition): offset
            for partition, offsets in positions.items()
            for topic, offset in offsets.items()
        }
        self._consumer.resume_partitions(moves)
        return await self._consumer.move(moves)

    async def is_member(self) -> bool:
        """The group still knows this worker in the generation of its assignment."""
        return await self._consumer.is_member()

    def epoch(self, topic: str, partition: int) -> int:
        """The epoch batches of this input must have."""
        return self._consumer.epoch(self._tp(topic, partition))

    def unread(self, partition: int) -> int:
        """Committed records of this partition of the inputs that have not been fetched."""
        remaining = self._consumer.remaining
        return sum(remaining.get(self._tp(topic, partition), 0) for topic in self._physical)

    @property
    def in_touch(self) -> bool:
        """The brokers answer."""
        return self._consumer.in_touch

    def hold_back(self, topic: str, partition: int) -> None:
        """Read no further for now."""
        self._consumer.pause_partitions([self._tp(topic, partition)])

    def let_on(self, topic: str, partition: int) -> None:
        """Read on, if it was held back."""
        tp = self._tp(topic, partition)
        if tp in self._consumer._paused_partitions:
            self._consumer.resume_partitions([tp])

    def lag(self, topics: Sequence[str]) -> dict[str, int]:
        """Committed records not yet fetched, by logical topic, for the assigned partitions."""
        lags = dict.fromkeys(topics, 0)
        for tp, remaining in list(self._consumer.remaining.items()):
            if tp.topic in self._app.logical:
                lags[self._app.logical[tp.topic]] += remaining
        return lags
