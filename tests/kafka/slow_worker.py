"""A worker of `ingest` that restores one partition slowly.

STREAMAPP_TEST_SLOW_PARTITION says which, STREAMAPP_TEST_SLOW_STEPS in how many steps, and
STREAMAPP_TEST_SLOW_SECONDS how long all of them take.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from streamapp import cli
from streamapp.engine import ledger, worker
from streamapp.engine.fetching import Fetch, fetched
from streamapp.engine.ledger import Ledger, Progress
from streamapp.engine.merge import Record
from streamapp.processors.base import Row

# Without them, as where pytest looks for doctests, nothing is slow.
PARTITION = int(os.environ.get("STREAMAPP_TEST_SLOW_PARTITION", "-1"))
STEPS = int(os.environ.get("STREAMAPP_TEST_SLOW_STEPS", "1"))
SECONDS = float(os.environ.get("STREAMAPP_TEST_SLOW_SECONDS", "0"))


class SlowReader:
    """A consumer that gives a share of the rows at a time, and the last not before the time."""

    def __init__(self, consumer: Any, tp: TopicPartition, end: int) -> None:
        self._consumer = consumer
        self._tp = tp
        self._end = end
        self._ready_at = time.monotonic() + SECONDS
        self._held: list[Record] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    @property
    def _fetcher(self) -> SlowReader:
        """What the ledger fetches from."""
        return self

    async def position(self, tp: TopicPartition) -> int:
        """Return the offset of the next row to give."""
        return self._held[0].offset if self._held else int(await self._consumer.position(tp))

    async def give(self) -> Fetch:
        """Wait, and then give the next share."""
        await asyncio.sleep(SECONDS / STEPS)
        if not self._held:
            found = await fetched(self._consumer._fetcher, (self._tp,), self._end, 1.0)
            self._held = found.get(self._tp, [])
        share = -(-self._end // STEPS)
        given, self._held = self._held[:share], self._held[share:]
        if await self.position(self._tp) >= self._end:
            await asyncio.sleep(max(self._ready_at - time.monotonic(), 0))
        return {self._tp: given}


async def fetched_or_given(fetcher: Any, *args: Any) -> Fetch:
    """Stand for `fetched`: from a slow reader only what it gives."""
    if isinstance(fetcher, SlowReader):
        return await fetcher.give()
    return await fetched(fetcher, *args)


class SlowLedger(Ledger):
    """A ledger that reads one partition's changelog slowly."""

    async def _read(
        self,
        consumer: Any,
        tp: TopicPartition,
        take: Callable[[Sequence[Row]], None],
        progress: Progress,
    ) -> None:
        if tp.partition == PARTITION:
            consumer = SlowReader(consumer, tp, (await consumer.end_offsets([tp]))[tp])
        await super()._read(consumer, tp, take, progress)


if __name__ == "__main__":
    ledger.__dict__["fetched"] = fetched_or_given
    worker.__dict__["Ledger"] = SlowLedger
    sys.exit(cli.main(["worker", "ingest"]))
