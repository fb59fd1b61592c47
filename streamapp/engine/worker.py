"""`streamapp worker ROLE`: one process of one role."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from streamapp.collecting import COLLECT_AFTER
from streamapp.engine import clients
from streamapp.engine.admission import Routing
from streamapp.engine.app import App, FaustReading
from streamapp.engine.broadcast import Broadcast
from streamapp.engine.ledger import Ledger
from streamapp.engine.ownership import Ownership
from streamapp.engine.partitioner import partitioner
from streamapp.engine.roles import Role, Views, role
from streamapp.engine.runner import Runner
from streamapp.engine.task import Task
from streamapp.engine.transport import RecordBatch
from streamapp.engine.web import Web
from streamapp.errors import ConfigurationError, Rejection, StreamappError
from streamapp.metrics import Gauge, Observer
from streamapp.settings import Settings

log = logging.getLogger(__name__)

PORT_FILE = "STREAMAPP_PORT_FILE"
"""Where the worker writes its web port once it answers, for whoever started it."""

STALLED_SECONDS = 30.0
"""Without a commit for this long while input waits, a worker is not healthy."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Between attempts to reach the brokers at start; the last one repeats."""


def run(name: str, settings: Settings, web_port: int) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code.

    Raises:
        ConfigurationError: the role, a setting or a topic is not as it must be.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    gc.set_threshold(*COLLECT_AFTER)
    worker = Worker(role(name), settings, web_port)
    return asyncio.run(worker.run())


def _tell_port(port: int) -> None:
    if PORT_FILE in os.environ:
        Path(os.environ[PORT_FILE]).write_text(f"{port}\n")


def wall_clock_ms() -> int:
    """The wall clock, epoch milliseconds: outside the engine nothing reads it."""
    return time.time_ns() // 1_000_000


class Worker:
    """One process of a role: starts everything, waits for the end, stops everything."""

    def __init__(self, of: Role, settings: Settings, web_port: int) -> None:
        self.role = of
        self.settings = settings
        self.partitions = 0
        self.views = Views.empty()
        self.observer = Observer(wall_clock_ms)
        self.observer.read_gauges_from(self._gauges)
        self._web = Web(settings.web_host, web_port, self.observer.registry, self.health)
        self._end: asyncio.Event = asyncio.Event()
        self._failure: BaseException | None = None
        self._ownership: Ownership | None = None
        self._reading: FaustReading | None = None
        self._state = "starting"

    async def run(self) -> int:
        """Run until a signal or a failure; 0 after a graceful end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        self._web.start()
        _tell_port(self._web.port)
        log.info("%s: /metrics and /health on port %d", self.role.name, self._web.port)
        try:
            await self._serve()
        finally:
            self._web.stop()
        if isinstance(self._failure, StreamappError):
            log.error("%s ends: %s", self.role.name, self._failure)
        elif self._failure is not None:
            log.error("%s ends", self.role.name, exc_info=self._failure)
        return 0 if self._failure is None else 1

    async def _serve(self) -> None:
        if not await self._topics_are_there():
            return
        broadcast = Broadcast(self.settings, self.role.reads(self.settings), self._broadcast)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(broadcast.close)
            await broadcast.load()
            app, runner, ownership = self._assemble()
            stack.push_async_callback(ownership.close)
            await app.start()
            stack.push_async_callback(app.stop)
            self._state = "running"
            background = [asyncio.create_task(t) for t in (runner.run(), broadcast.follow())]
            for task in background:
                task.add_done_callback(self._background_ended)
            await self._until_end(app)
            self._state = "stopping"
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            if self._failure is None:
                await runner.drain()
            # Before the app: what is being taken needs its consumer.
            await ownership.close()

    async def _until_end(self, app: App) -> None:
        while not self._end.is_set():
            if app.should_stop:
                self.fail(app.crash_reason or StreamappError("the Faust app stopped by itself"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), 0.5)

    def _assemble(self) -> tuple[App, Runner, Ownership]:
        async def deliver(batch: RecordBatch) -> None:
            await runner.deliver(batch)  # made below: it needs the app's consumer

        app = App(self.settings, self.role, deliver)
        reading = self._reading = FaustReading(app)
        ownership = self._ownership = Ownership(self._make, reading, self.fail)
        runner = Runner(
            ownership,
            reading,
            wall_clock_ms,
            self.settings.commit_interval_ms / 1000,
            self.observer,
            self.fail,
            self.role.turn_ms,
        )
        app.own(ownership, self.fail)
        return app, runner, ownership

    def _make(self, partition: int) -> tuple[Task, Ledger]:
        settings, of = self.settings, self.role
        if partition >= self.partitions:
            raise ConfigurationError(
                f"partition {partition} of an input came into being while {of.name} ran with "
                f"{self.partitions} partitions; see `streamapp topics check`"
            )
        routing = Routing(partitioner(settings.partitioner), settings.partitioner, self.partitions)
        task = Task(
            partition,
            of.build(self.views, settings),
            time.monotonic,
            of.rules(settings),
            routing,
            settings.max_idle_ms / 1000,
        )
        ledger = Ledger(
            settings,
            settings.role_id(of.name),
            partition,
            {name: settings.changelog(of.name, name) for name in of.processors},
            {name: settings.topic(name) for name in of.inputs},
        )
        return task, ledger

    async def _topics_are_there(self) -> bool:
        """Wait for the brokers, then check the role's topics; False when told to end."""
        attempt = 0
        while not self._end.is_set():
            try:
                await self._check_topics()
            except KafkaError as exc:
                if not exc.retriable:
                    raise
                wait = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]
                attempt += 1
                log.warning(
                    "no answer from %s (%r), trying again in %.1f s",
                    self.settings.bootstrap_servers,
                    exc,
                    wait,
                )
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._end.wait(), wait)
            else:
                return True
        return False

    async def _check_topics(self) -> None:
        settings, of = self.settings, self.role
        changelogs = [settings.changelog(of.name, name) for name in of.processors]
        equal = [*(settings.topic(name) for name in of.inputs), *changelogs]
        others = [settings.topic(name) for name in (*of.outputs, *of.reads(settings))]
        counts = await clients.partition_counts(settings, [*equal, *others])
        if len({counts[topic] for topic in equal}) != 1:
            listed = ", ".join(f"{topic} has {counts[topic]}" for topic in equal)
            raise ConfigurationError(
                f"the inputs and changelogs of {of.name} must have equal partition counts: "
                f"{listed}; see `streamapp topics check`"
            )
        self.partitions = counts[equal[0]]

    def _broadcast(self, topic: str, key: str, value: bytes | None) -> None:
        try:
            changed = self.views.update(topic, key, value)
        except Rejection as rejection:
            log.warning("%s record of %r cannot be used: %s", topic, key[:100], rejection)
            self.observer.broadcast_rejected(topic)
            return
        if changed and self._ownership is not None:
            for owned in self._ownership.owned.values():
                if owned.running:
                    owned.task.follow(topic, key)

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.fail(task.exception())

    def fail(self, exc: BaseException | None) -> None:
        """End the process with this failure; what is not committed will be processed again."""
        self._failure = self._failure or exc or StreamappError("unknown failure")
        self._end.set()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether input is being turned into commits, and how far each partition is.

        Not healthy while the brokers do not answer, while no partition of this worker runs (all
        are restoring), and when one has committed nothing for `STALLED_SECONDS` although input
        waits.
        """
        owned = {} if self._ownership is None else dict(self._ownership.owned)
        now = time.monotonic()
        stalled = [
            partition
            for partition, one in owned.items()
            if one.running
            and (one.committing or one.task.waiting)
            and now - self.observer.committed_at.get(partition, now) > STALLED_SECONDS
        ]
        restoring = {
            str(p): {"restored_rows": o.read, "remaining_rows": o.remaining}
            for p, o in owned.items()
            if not o.running
        }
        state = self._state
        if state == "running" and not (self._reading and self._reading.in_touch):
            state = "disconnected"
        elif state == "running" and (stalled or restoring):
            state = "stalled" if stalled else "restoring"
        told = {
            "state": state,
            "role": self.role.name,
            "running": sorted(p for p, o in owned.items() if o.running),
            "restoring": restoring,
            "stalled": stalled,
        }
        ready = state == "running" or (state == "restoring" and len(restoring) < len(owned))
        return ready, told

    def _gauges(self) -> Iterable[Gauge]:
        owned = {} if self._ownership is None else dict(self._ownership.owned)
        running = [one for one in owned.values() if one.running]
        yield Gauge("tasks", {"state": "running"}, len(running))
        yield Gauge("tasks", {"state": "restoring"}, len(owned) - len(running))
        yield Gauge("restore_remaining_rows", {}, sum(o.remaining for o in owned.values()))
        if self._ownership is not None:
            yield Gauge("offsets_truncated", {}, self._ownership.truncated)
        if running:
            stream_time = min(one.task.stream_time_ms for one in running)
            yield Gauge("stream_time_seconds", {}, stream_time / 1000)
        for name in self.role.processors:
            rows = sum(p.rows for o in running for p in o.task.processors if p.name == name)
            yield Gauge("rows", {"processor": name}, rows)
        if self._reading is not None:
            for topic, remaining in self._reading.lag(self.role.inputs).items():
                waiting = sum(len(o.task.inputs[topic].queue) for o in running)
                yield Gauge("consumer_lag_records", {"topic": topic}, remaining + waiting)
        for one in running:
            for processor in one.task.processors:
                gauges = getattr(processor, "gauges", dict)
                for name, value in gauges().items():
                    yield Gauge(name, {"partition": str(one.task.partition)}, value)
                labelled = getattr(processor, "labelled_gauges", tuple)
                for name, labels, value in labelled():
                    yield Gauge(name, {"partition": str(one.task.partition), **labels}, value)
