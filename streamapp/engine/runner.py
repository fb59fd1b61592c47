"""The runner: offers batches to tasks, drives them, and commits their cuts at each interval."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamapp.engine.app import FaustReading
from streamapp.engine.ownership import Owned, Ownership
from streamapp.engine.transport import RecordBatch
from streamapp.errors import CommitFailed, ProcessorFailed
from streamapp.metrics import Observer
from streamapp.processors.base import Cut

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.005
"""Processing without letting the event loop turn: a commit under way needs dozens of turns, and
many commits may be."""

SLICE_RECORDS = 100
"""Processed between two looks at the time."""

HIGH_WATER, LOW_WATER = 20_000, 5_000
"""Waiting records of one input above which it is read no further, and below which again."""

FAR_BEHIND = 10_000
"""Unread records of a partition above which its signals are old whatever is done."""

INTERVALS_BEHIND = 10
"""Commit intervals from one commit to the next of a task that is far behind: the fewer commits,
the fewer rows are written for the same events, and the sooner it has caught up."""

LONGEST_WAIT = 5
"""Commit intervals that a task waits, at most, for the end of its role's turn."""

COMMITS_BEHIND = 4
"""Commits under way above which a task that is far behind waits for its own: each takes turns of
the event loop from the others, and a transaction must end in time."""

MOST_UNCUT_SECONDS = 0.5
"""Processing after which a task commits whatever the interval: a cut must not stop the event loop
for long, nor a transaction take long."""

WallClock = Callable[[], int]
"""Epoch milliseconds."""


class Runner:
    """Runs the tasks of a worker.

    Args:
        reading: knows stale batches, and stops reading an input that is ahead of the others.
        turn_ms: of the role; 0 commits at every interval.
        failed: told of an exception of a processor; the process ends.
    """

    def __init__(
        self,
        ownership: Ownership,
        reading: FaustReading,
        wall_clock: WallClock,
        interval: float,
        observer: Observer,
        failed: Callable[[BaseException], None],
        turn_ms: int = 0,
    ) -> None:
        self.ownership = ownership
        self._reading = reading
        self._wall_clock = wall_clock
        self._interval = interval
        self._observer = observer
        self._failed = failed
        self._turn_ms = turn_ms
        self._offered: dict[int, Owned] = {}

    async def deliver(self, batch: RecordBatch) -> None:
        """Offer one batch to its task; after the last of a fetch, process what can be."""
        owned = self.ownership.running(batch.partition)
        if owned is not None and batch.epoch == self._reading.epoch(batch.topic, batch.partition):
            self._offer(batch, owned)
        if not batch.more:
            offered, self._offered = self._offered, {}
            for partition, one in offered.items():
                await self._drive(partition, one)

    def _offer(self, batch: RecordBatch, owned: Owned) -> None:
        with self._failing(owned):
            owned.task.offer(batch.topic, batch.records)
        source = owned.task.inputs[batch.topic]
        source.silent = batch.silent
        if not batch.silent:
            source.at_end = batch.at_end
        self._observer.received(batch.topic, len(batch.records))
        self._offered[batch.partition] = owned

    @contextmanager
    def _failing(self, owned: Owned) -> Iterator[None]:
        """When a processor raises: no cut of a task that stopped half-way, and the end."""
        try:
            yield
        except ProcessorFailed as exc:
            owned.running = False
            self._failed(exc)

    async def _drive(self, partition: int, owned: Owned) -> None:
        going_on = True
        while owned.running and going_on:
            going_on = self._slice(owned)
            if owned.uncut > MOST_UNCUT_SECONDS:
                await self._relieve(partition, owned)
            await asyncio.sleep(0)
        for topic, source in owned.task.inputs.items():
            self._balance(topic, partition, len(source.queue))

    def _slice(self, owned: Owned) -> bool:
        """Process for a moment; False when nothing more can be processed now."""
        began = now = time.monotonic()
        going_on = False
        with self._failing(owned):
            while owned.task.drive(SLICE_RECORDS) == SLICE_RECORDS:
                now = time.monotonic()
                if now >= began + SLICE_SECONDS:
                    going_on = True
                    break
        owned.uncut += now - began
        return going_on

    async def _relieve(self, partition: int, owned: Owned) -> None:
        """Commit what a task has processed, when the commit under way has ended."""
        if owned.commit is not None:
            await asyncio.wait([owned.commit])
        self.commit_soon(partition, owned)

    def _balance(self, topic: str, partition: int, waiting: int) -> None:
        # No memory of what is held back: a rebalance makes all partitions active again.
        if waiting > HIGH_WATER:
            self._reading.hold_back(topic, partition)
        elif waiting < LOW_WATER:
            self._reading.let_on(topic, partition)

    async def run(self) -> None:
        """Drive and commit at each interval until cancelled."""
        while True:
            under_way = self._offered
            await asyncio.sleep(self._interval)
            # A fetch that is still being offered is left to its last batch, unless that one
            # did not come within an interval (a rebalance).
            waits = self._offered if self._offered is not under_way else {}
            for partition, owned in list(self.ownership.owned.items()):
                if owned.running:
                    if partition not in waits:
                        # A long backlog is for those who bring it: here it is time to commit.
                        self._slice(owned)
                    if self._due(partition, owned):
                        self.commit_soon(partition, owned)
                    await asyncio.sleep(0)

    def _due(self, partition: int, owned: Owned) -> bool:
        """Tell at an interval's end whether to commit, or to go on catching up."""
        owned.skipped += 1
        if self._reading.unread(partition) > FAR_BEHIND:
            under_way = sum(other.committing for other in self.ownership.owned.values())
            if owned.skipped < INTERVALS_BEHIND or under_way >= COMMITS_BEHIND:
                return False
        elif self._turn_ms and owned.skipped < LONGEST_WAIT and not self._turned(owned):
            return False
        owned.skipped = 0
        return True

    def _turned(self, owned: Owned) -> bool:
        """Tell whether stream time has passed the end of a turn since the last cut."""
        owned.task.idle()
        now, before = owned.task.stream_time_ms, owned.cut_ms
        return now // self._turn_ms > before // self._turn_ms

    def commit_soon(self, partition: int, owned: Owned) -> None:
        """Take a cut and write it, unless the task's last one is still being written."""
        if not owned.running or owned.committing:
            return
        owned.uncut = 0.0
        owned.task.idle()
        cut = owned.task.cut(self._wall_clock())
        owned.cut_ms = cut.stream_time_ms
        rejected, samples = owned.task.observed()
        self._observer.rejected(rejected)
        if cut.empty:
            self._observer.up_to_date(partition)
            return
        offsets = owned.task.offsets
        owned.commit = asyncio.create_task(self._commit(partition, owned, cut, offsets, samples))
        owned.commit.add_done_callback(self._ended)

    async def _commit(
        self, partition: int, owned: Owned, cut: Cut, offsets: dict[str, int], samples: list[int]
    ) -> None:
        try:
            with self._observer.committing(partition, cut, samples):
                await owned.ledger.commit(cut, offsets)
        except CommitFailed as exc:
            log.warning("dropping the task of partition %d: %s", partition, exc)
            self.ownership.retake(partition, owned)
        except Exception:
            owned.running = False  # without the cut that was lost, no other may be written
            raise

    def _ended(self, commit: asyncio.Task[None]) -> None:
        if not commit.cancelled() and (exc := commit.exception()) is not None:
            self._failed(exc)

    async def drain(self) -> None:
        """Commit what has been processed; for a graceful end."""
        await self._commits()
        for partition, owned in list(self.ownership.owned.items()):
            self.commit_soon(partition, owned)
        await self._commits()

    async def _commits(self) -> None:
        under_way = [o.commit for o in self.ownership.owned.values() if o.commit is not None]
        await asyncio.gather(*under_way, return_exceptions=True)
