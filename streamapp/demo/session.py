"""One run of the demo, from start to summary."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import dropwhile
from typing import Any

from rich.console import Console
from rich.live import Live

from streamapp.demo import view
from streamapp.demo.board import TOPICS, Board
from streamapp.demo.logs import Logs
from streamapp.demo.split import Split
from streamapp.demo.surroundings import CLICK_WINDOW_MS, embedded, scratch
from streamapp.demo.truth import truth_of
from streamapp.engine.embedded import LIMITS, EmbeddedBroker
from streamapp.engine.records import Sender, follow, sending
from streamapp.engine.scratch import scratch_topics
from streamapp.settings import Settings
from streamapp.simulate import (
    Delivery,
    Human,
    Sent,
    World,
    arrivals,
    audience,
    catalog,
    events_per_visit,
    spoiled,
)
from streamapp.supervisor import Patience, Supervisor, environment, workers

SEED = 7
VIEWERS, ITEMS = 300, 150
PACE = 0.02
"""Viewers live fifty times as fast, so that playbacks end while one looks on."""

DRIFT = 1.2
"""Of tastes, log-odds in an hour of such a life: in 72 s."""

HOUR_MS = 15_000
"""What the hour-old arm takes for an hour."""

WARM_UP_HOURS = 2
"""Before arms are compared: by then the hour-old one has a model, too."""

ARMS_SAID = (
    "a third of the viewers each sees what is ranked by popularity, by hour-old and by fresh "
    f"signals and models; an hour is {HOUR_MS // 1_000} s here, and tastes drift"
)

BROKEN = 0.002
"""Share of broken records among the events."""

THERE_MS = 30_000
"""How long visits had been going on: longer than most last, so that the rate is right at once."""

START_SECONDS = 60.0
SETTLE_SECONDS = 20.0
QUIET_SECONDS = 2.0
TICK_SECONDS = 0.05
LIVE_SECONDS, LINE_SECONDS = 0.25, 5.0
LOG_LINES = 25


def run(settings: Settings, seconds: float, rate: float, bootstrap_servers: str | None) -> int:
    """Run the demo; returns 0 if events went in and signals and weights came out.

    Args:
        seconds: how long events are sent; starting and ending come on top.
        rate: events a second.
        bootstrap_servers: a Kafka to run on, in topics that are deleted in the end; None for
            the embedded broker.
    """
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        logs = stack.enter_context(_collected_logs())
        if bootstrap_servers is None:
            broker = stack.enter_context(EmbeddedBroker())
            console.print(LIMITS)
            own = embedded(settings, broker.bootstrap_servers)
        else:
            own = scratch(settings, bootstrap_servers)
            console.print(f"running on {bootstrap_servers}, in topics {own.topic_prefix}*")
        console.print(ARMS_SAID)
        session = Session(own, seconds, rate, console, logs)
        topics = _no_topics() if bootstrap_servers is None else scratch_topics(own)
        return asyncio.run(session.run(topics))


@asynccontextmanager
async def _no_topics() -> AsyncIterator[None]:
    """Do nothing: the embedded broker makes topics as they are asked for."""
    yield


@contextmanager
def _collected_logs() -> Iterator[Logs]:
    logs = Logs()
    root = logging.getLogger()
    root.addHandler(logs)
    try:
        yield logs
    finally:
        root.removeHandler(logs)


class Session:
    """Feeds, watches and shows, while the supervisor keeps the workers running."""

    def __init__(
        self, settings: Settings, seconds: float, rate: float, console: Console, logs: Logs
    ) -> None:
        self._settings = settings
        self._seconds = seconds
        self._rate = rate
        self._console = console
        self._logs = logs
        now = _wall_clock_ms()
        self._world = World(SEED, VIEWERS, ITEMS, pace=PACE, drift=DRIFT, drift_from_ms=now)
        self._split = Split(HOUR_MS)
        self._board = Board(truth_of(self._world), self._split.tallies)
        self._supervisor = Supervisor(workers(1), environment(settings), logs, Patience(crashes=3))
        self._end = asyncio.Event()
        self._phase = "starting"
        self._fed_seconds = 0.0

    async def run(self, topics: contextlib.AbstractAsyncContextManager[None]) -> int:
        """Run all of it; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt)
        async with topics, sending(self._settings) as sender:
            for sent in catalog(self._world, _wall_clock_ms()):
                self._split.take(sent.topic, sent.key, sent.value)
                await sender.send(sent.topic, sent.key, sent.value, sent.timestamp_ms)
            await sender.flush()
            async with self._workers(), self._beside(self._watch()), self._beside(self._show()):
                if await self._ready():
                    await self._feed(sender)
                    await self._settle()
        return self._conclude()

    def _interrupt(self) -> None:
        """End early; a second time, do not wait for the workers either."""
        if self._end.is_set():
            self._supervisor.stop()
        self._end.set()

    @asynccontextmanager
    async def _workers(self) -> AsyncIterator[None]:
        supervising = asyncio.create_task(self._supervisor.run(handle_signals=False))
        supervising.add_done_callback(lambda _: self._end.set())
        try:
            yield
        finally:
            self._supervisor.stop()
            await supervising

    @asynccontextmanager
    async def _beside(self, coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(lambda _: self._end.set())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _ready(self) -> bool:
        """Wait until all workers process; False when they do not."""
        deadline = time.monotonic() + START_SECONDS
        while not self._end.is_set() and time.monotonic() < deadline:
            ports = list(self._supervisor.ports.values())
            states = await asyncio.gather(*(asyncio.to_thread(_runs, port) for port in ports))
            if len(states) == len(workers(1)) and all(states):
                return True
            await self._pause(0.2)
        return False

    async def _feed(self, sender: Sender) -> None:
        """Send events as the clock reaches them; viewers are there already when it begins."""
        stream = self._stream(_wall_clock_ms())
        upcoming = next(stream)
        self._phase, started = "running", time.monotonic()
        while not self._end.is_set() and self._fed_seconds < self._seconds:
            topics, broken, now = [], 0, _wall_clock_ms()
            while upcoming.timestamp_ms <= now:
                await sender.send(
                    upcoming.topic, upcoming.key, upcoming.value, upcoming.timestamp_ms
                )
                if upcoming.event:
                    topics.append(upcoming.topic)
                    self._split.count(upcoming)
                broken += not upcoming.event
                upcoming = next(stream)
            self._board.count_sent(topics, broken, time.monotonic())
            await self._pause(TICK_SECONDS)
            self._fed_seconds = time.monotonic() - started
        await sender.flush()

    def _stream(self, now: int) -> Iterator[Sent]:
        """Return what viewers send from now on; each slate is ranked when its time has come."""
        self._split.count_from(now + WARM_UP_HOURS * HOUR_MS)
        delivery = Delivery()
        gap_ms = 1_000 * events_per_visit(self._world, Human(), delivery) / self._rate
        visits = arrivals(self._world, start_ms=now - THERE_MS, gap_ms=gap_ms, seed=SEED)
        everything = audience(self._world, visits, self._split.human, delivery)
        upcoming = dropwhile(lambda sent: sent.timestamp_ms < now, everything)
        return spoiled(upcoming, BROKEN, SEED)

    async def _settle(self) -> None:
        """Wait until the last windows have closed and nothing more comes out."""
        self._phase = "closing the last windows"
        started = quiet_since = time.monotonic()
        seen = 0
        while not self._end.is_set() and time.monotonic() - started < SETTLE_SECONDS:
            if seen != self._board.received.total():
                seen, quiet_since = self._board.received.total(), time.monotonic()
            closed = time.monotonic() - started > CLICK_WINDOW_MS / 1000 + QUIET_SECONDS
            if closed and time.monotonic() - quiet_since > QUIET_SECONDS:
                return
            await self._pause(0.1)

    async def _watch(self) -> None:
        async with aclosing(follow(self._settings, TOPICS)) as batches:
            async for batch in batches:
                for record in batch:
                    self._board.take(record.topic, record.key, record.value)
                    self._split.take(record.topic, record.key, record.value)

    async def _show(self) -> None:
        terminal = self._console.is_terminal
        every = LIVE_SECONDS if terminal else LINE_SECONDS
        next_line = time.monotonic() + every
        with self._screen(terminal) as screen:
            while True:
                if self._phase == "running":
                    self._board.look(_wall_clock_ms())
                now = time.monotonic()
                if screen is not None:
                    screen.update(view.live(self._board, now, self._title()), refresh=True)
                elif now >= next_line:
                    self._console.print(f"{self._title()} | {view.line(self._board, now)}")
                    next_line = now + every
                await asyncio.sleep(LIVE_SECONDS)

    @contextmanager
    def _screen(self, terminal: bool) -> Iterator[Live | None]:  # noqa: FBT001  # private
        if not terminal:
            yield None
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as screen:
            yield screen

    def _title(self) -> str:
        return f"streamapp demo: {self._phase}, {self._fed_seconds:.0f} of {self._seconds:.0f} s"

    def _conclude(self) -> int:
        given_up, missing = self._supervisor.given_up, self._board.missing
        if self._fed_seconds:
            for line in view.summary(self._board, self._fed_seconds):
                self._console.print(line)
        if not given_up and not missing:
            return 0
        for line in self._logs.last(LOG_LINES, given_up):
            self._console.print(line)
        if given_up:
            self._console.print(f"failed: {', '.join(given_up)} did not keep running")
        if missing:
            self._console.print(f"failed: there were no {', '.join(missing)}")
        return 1

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._end.wait(), seconds)


def _runs(port: int) -> bool:
    """Ask a worker's /health whether its partitions are being processed."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/health")
        told = json.load(connection.getresponse())
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return told["state"] == "running" and bool(told["running"])


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
