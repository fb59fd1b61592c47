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
from streamapp.engine import worker
from streamapp.engine.ledger import Ledger, Progress
from streamapp.processors.base import Row

# Without them, as where pytest looks for doctests, nothing is slow.
PARTITION = int(os.environ.get("STREAMAPP_TEST_SLOW_PARTITION", "-1"))
STEPS = int(os.environ.get("STREAMAPP_TEST_SLOW_STEPS", "1"))
SECONDS = float(os.environ.get("STREAMAPP_TEST_SLOW_SECONDS", "0"))


class SlowReader:
    """A consumer that gives a share of the rows at a time, and the last not before the time."""

    def __init__(self, consumer: Any, end: int) -> None:
        self._consumer = consumer
        self._end = end
        self._ready_at = time.monotonic() + SECONDS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def getmany(self, *tps: TopicPartition, timeout_ms: int, **_: int) -> Any:
        """Wait, and then fetch as the consumer does."""
        await asyncio.sleep(SECONDS / STEPS)
        share = -(-self._end // STEPS)
        rows = await self._consumer.getmany(*tps, timeout_ms=timeout_ms, max_records=share)
        if await self._consumer.position(*tps) >= self._end:
            await asyncio.sleep(max(self._ready_at - time.monotonic(), 0))
        return rows


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
            consumer = SlowReader(consumer, (await consumer.end_offsets([tp]))[tp])
        await super()._read(consumer, tp, take, progress)


if __name__ == "__main__":
    worker.__dict__["Ledger"] = SlowLedger
    sys.exit(cli.main(["worker", "ingest"]))
