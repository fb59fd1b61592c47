"""The reader on Kafka: reads the topics into a state, and follows them.

Without a group: every reader reads every partition, committed records only, from the beginning to
what was the end when it began (then it is ready), and from there on. When the brokers go away it
tries again, waiting longer each time, and goes on where it was; what it holds can be ranked by
meanwhile, and gets older. Whatever the loop does with the state is done between two rankings.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self

from aiokafka.errors import KafkaError

from streamapp.errors import BrokersUnavailable, ConfigurationError
from streamapp.reader.ranker import Ranker
from streamapp.reader.request import Context, Options, Ranking
from streamapp.reader.retrieval import candidates
from streamapp.reader.state import Bounds, Freshness, State
from streamapp.reader.topic_log import TopicLog
from streamapp.settings import Settings

_log = logging.getLogger(__name__)

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits after failures in a row; the last one repeats."""


class Reader:
    """Signals, candidates and models of a deployment, in memory and up to date.

    For one event loop: `rank` and `candidates` are called on the thread that it runs on.

    Args:
        settings: where the brokers are, and the prefix of the topics.
        options: how to rank.
        bounds: how much to hold.

    Attributes:
        state: what is held.
        trouble: what keeps it from reading; None while it reads.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        options: Options | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.state = State(bounds)
        self.trouble: str | None = None
        self._settings = settings
        self._ranker = Ranker(self.state, options)
        self._log = TopicLog(settings, self.state)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read(), name="streamapp-reader")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def ready(self) -> None:
        """Wait until all that was committed when it began has been read.

        It waits for brokers that are away, and for topics that are yet to be made: give it a
        time with `asyncio.wait_for`, and see `trouble`.
        """
        if self._task is None:
            raise ConfigurationError("a reader is started by `async with`")
        waiting = asyncio.create_task(self._log.ready.wait())
        await asyncio.wait((waiting, self._task), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    def rank(self, viewer_id: str, candidates: Iterable[str], context: Context) -> Ranking:
        """Return the best of the candidates, each at most once, in the order to show them."""
        return self._ranker.rank(viewer_id, candidates, context)

    def candidates(self, viewer_id: str, context: Context, count: int = 200) -> list[str]:
        """Return so many items to rank for a viewer, fewer if there are fewer."""
        return candidates(self.state, viewer_id, context, count)

    def freshness(self, now_ms: int | None = None) -> dict[str, Freshness]:
        """Return how fresh each topic is, by the wall clock unless a time is given."""
        now = int(time.time() * 1000) if now_ms is None else now_ms
        behind = self._log.behind()
        return {
            topic: fresh._replace(behind=behind.get(topic))
            for topic, fresh in self.state.freshness(now).items()
        }

    def gauges(self) -> dict[str, float]:
        """Return what is held, read and went wrong, for metrics."""
        return {
            **self.state.gauges(),
            "behind": float(sum(self._log.behind().values())),
            "connections": float(self._log.connections),
            "topics_read_again": float(self._log.read_again.total()),
        }

    async def _read(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._log.follow()) as following:
                    async for _ in following:
                        self.trouble, failures = None, 0
            except (KafkaError, BrokersUnavailable, ConfigurationError, OSError) as error:
                self.trouble = str(error) or repr(error)
                _log.warning("cannot read: %s", self.trouble)
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1
