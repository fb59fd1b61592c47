"""Ownership: which partitions this worker holds, and how it comes to hold them.

```
                 assigned                fenced, restored, sought
   (not ours) ─────────────▶ restoring ──────────────────────────▶ running
       ▲                        ▲  │                                  │
       │ assigned to another    │  │ assigned to another              │ commit failed
       └────────────────────────┼──┴──────────────────────────────────┤
                                └─────────────────────────────────────┘
```

Taking a partition is fence → restore → seek, once the group confirms that it is ours. It runs
in the background, so that the group's protocol is never kept waiting; each partition is read
again as soon as its own task is restored, while others still restore. A partition that stays
with this worker through a rebalance keeps its task. That is safe even if another worker held it
in between: whoever fences a partition makes every later commit of the former holder fail, and a
task whose commit failed is dropped and restored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamapp.engine.ledger import Ledger
from streamapp.engine.task import Task
from streamapp.errors import StreamappError

log = logging.getLogger(__name__)

RESTORES_AT_ONCE = 3
"""One slow restore must not hold up the others; more at once would only share the core."""

SETTLE_SECONDS = 5.0
"""How long committed offsets may take to agree with the changelog after a fence."""

RETRY_SECONDS = 1.0

MEMBER_SECONDS = 0.2
"""Between two looks whether the group still knows this worker."""

LAST_COMMIT_SECONDS = 1.0
"""How long a commit under way may take when its partition goes to another worker."""


class Reading(Protocol):
    """The consumer's side: what ownership needs to move partitions of the inputs."""

    def hold(self, partitions: Iterable[int]) -> None:
        """Stop reading the inputs of these partitions; what is in flight is stale."""

    async def resume(self, positions: Mapping[int, Mapping[str, int]]) -> bool:
        """Read from these offsets (by partition, then topic); False when not assigned."""

    async def is_member(self) -> bool:
        """The group still knows this worker in the generation of its assignment."""


@dataclass(slots=True)
class Owned:
    """One partition of ours.

    Attributes:
        running: restored and sought: records may be offered and cuts committed.
        read, remaining: rows restored, and an upper bound of those still to come.
        skipped: commit intervals since it was last due for a commit.
        cut_ms: stream time of its last cut.
        uncut: seconds of processing since its last cut.
    """

    task: Task
    ledger: Ledger
    running: bool = False
    read: int = 0
    remaining: int = 0
    skipped: int = 0
    cut_ms: int = 0
    uncut: float = 0.0
    taking: asyncio.Task[None] | None = field(default=None, repr=False)
    commit: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def committing(self) -> bool:
        """The last cut is still being written."""
        return self.commit is not None and not self.commit.done()


class Ownership:
    """The partitions of one worker.

    Args:
        make: a new task and a new ledger for a partition.
        reading: the consumer's side.
        failed: told of an error that taking a partition cannot survive.
    """

    def __init__(
        self,
        make: Callable[[int], tuple[Task, Ledger]],
        reading: Reading,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.owned: dict[int, Owned] = {}
        self.truncated = 0
        self._make = make
        self._reading = reading
        self._failed = failed
        self._slots = asyncio.Semaphore(RESTORES_AT_ONCE)
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def running(self, partition: int) -> Owned | None:
        """The partition if records may be processed."""
        owned = self.owned.get(partition)
        return owned if owned is not None and owned.running else None

    async def assign(self, partitions: Iterable[int]) -> None:
        """Hold exactly these partitions from now on (idempotent; one call at a time)."""
        if self._closed:
            return
        wanted = set(partitions)
        for partition in self.owned.keys() - wanted:
            self._leave(partition)
        self._reading.hold(wanted)
        kept = {p: self._positions(o) for p, o in self.owned.items() if o.running}
        if kept:
            await self._reading.resume(kept)
        for partition in sorted(wanted - self.owned.keys()):
            self._take(partition)

    @staticmethod
    def _positions(owned: Owned) -> dict[str, int]:
        return {topic: source.position for topic, source in owned.task.inputs.items()}

    def retake(self, partition: int, lost: Owned) -> None:
        """A commit of `lost` failed: drop that task and take the partition anew."""
        if self.owned.get(partition) is lost:
            self._leave(partition)
            self._reading.hold([partition])
            self._take(partition)

    def _take(self, partition: int) -> None:
        task, ledger = self._make(partition)
        owned = self.owned[partition] = Owned(task, ledger)
        owned.taking = asyncio.create_task(self._taking(partition, owned))
        owned.taking.add_done_callback(self._ended)

    def _ended(self, taking: asyncio.Task[None]) -> None:
        if not taking.cancelled() and (exc := taking.exception()) is not None:
            self._failed(exc)

    async def _taking(self, partition: int, owned: Owned) -> None:
        try:
            async with self._slots:
                offsets = await self._restore(partition, owned)
            owned.task.ready()
            owned.task.seek(offsets)
            owned.running = True
            # Not assigned any more: the next assignment decides about the task.
            await self._reading.resume({partition: offsets})
            log.info("partition %d is running: %d rows restored", partition, owned.read)
        except StreamappError as exc:
            if not exc.retriable:
                raise
            log.warning("taking partition %d failed, trying again: %r", partition, exc)
            await asyncio.sleep(RETRY_SECONDS)
            owned.taking = None  # or leaving would cancel this very task
            self.retake(partition, owned)

    async def _restore(self, partition: int, owned: Owned) -> dict[str, int]:
        """Fence and restore; returns the offset of each input to go on from."""

        def progress(read: int, remaining: int) -> None:
            owned.read, owned.remaining = read, remaining

        task, ledger = owned.task, owned.ledger
        # A worker that was away (stopped, cut off) may have lost its partitions without knowing.
        # To fence them would throw out those who have them now.
        while not await self._reading.is_member():  # noqa: ASYNC110  # only asking tells
            await asyncio.sleep(MEMBER_SECONDS)
        await ledger.fence()
        await ledger.restore(task.restore, progress)
        offsets = await self._settled_offsets(partition, owned)
        earliest = await ledger.earliest()
        for topic, begin in earliest.items():
            if offsets.get(topic, begin) < begin:
                self.truncated += 1
                log.error(
                    "%s partition %d: offset %d is beyond retention, %d records were never "
                    "processed; resuming at %d",
                    topic,
                    partition,
                    offsets[topic],
                    begin - offsets[topic],
                    begin,
                )
        return {topic: max(offsets.get(topic, begin), begin) for topic, begin in earliest.items()}

    async def _settled_offsets(self, partition: int, owned: Owned) -> dict[str, int]:
        """Committed offsets, once they agree with those in the changelog.

        Both were written in one transaction. The group coordinator may apply them a moment
        later than the changelog shows its rows; where they stay apart, somebody has reset the
        group's offsets on purpose, and that is followed. Expired offsets are taken from the
        changelog.
        """
        restored = dict(owned.task.restored_offsets)
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while True:
            committed = await owned.ledger.committed()
            merged = {**restored, **committed}
            if all(merged[t] == restored[t] for t in restored):
                return merged
            if asyncio.get_running_loop().time() > deadline:
                log.error(
                    "partition %d: the group's offsets %s are not those of the changelog %s; "
                    "following the group's. State and input may no longer agree: to rebuild, "
                    "replay into a new app id",
                    partition,
                    committed,
                    restored,
                )
                return merged
            await asyncio.sleep(0.1)

    def _leave(self, partition: int) -> None:
        owned = self.owned.pop(partition)
        owned.running = False
        if owned.taking is not None:
            owned.taking.cancel()
        closing = asyncio.create_task(self._close(owned))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    @staticmethod
    async def _close(owned: Owned) -> None:
        if owned.taking is not None:
            await asyncio.gather(owned.taking, return_exceptions=True)
        if owned.commit is not None:
            # It may yet succeed: less to do again, and no transaction left open for readers.
            await asyncio.wait([owned.commit], timeout=LAST_COMMIT_SECONDS)
            owned.commit.cancel()
        try:
            await owned.ledger.close()
        except Exception:  # nothing is lost: its open transaction ends at the next fence
            log.debug("closing a dropped producer", exc_info=True)

    async def close(self) -> None:
        """Leave all partitions, and take none any more."""
        self._closed = True
        for partition in list(self.owned):
            self._leave(partition)
        await asyncio.gather(*self._closing, return_exceptions=True)
