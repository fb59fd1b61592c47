"""How old what readers see is: a read-committed follower of output topics."""

from __future__ import annotations

import bisect
import re
import time
from collections import defaultdict
from typing import NamedTuple

from streamapp.engine.records import follow
from streamapp.settings import Settings

_AS_OF = re.compile(rb'"as_of_ms":(\d+)')

EVERYWHERE_SECONDS = 3.0
"""Within which something happens in every partition."""

NEVER = float("inf")

Place = tuple[str, int]
"""A topic and a partition."""


class Recovery(NamedTuple):
    """How long it took until readers of a partition saw what happened after a fault."""

    seconds: float
    fault: str
    place: Place


class Freshness:
    """Notes when the newest event time of each output partition moves on."""

    def __init__(self, settings: Settings, topics: list[str]) -> None:
        self._settings = settings
        self._topics = topics
        self._seen: dict[Place, list[tuple[int, float]]] = defaultdict(list)

    async def run(self) -> None:
        """Follow until cancelled."""
        async for records in follow(self._settings, self._topics):
            now = time.monotonic()
            newest: dict[Place, int] = {}
            for record in reversed(records):
                place = record.topic, record.partition
                if place not in newest and record.value and (at := _AS_OF.search(record.value)):
                    newest[place] = int(at[1])
            for place, as_of_ms in newest.items():
                seen = self._seen[place]
                if not seen or as_of_ms > seen[-1][0]:
                    seen.append((as_of_ms, now))

    @property
    def places(self) -> int:
        """Partitions that anything came from."""
        return len(self._seen)

    def recoveries(self, hits: list[tuple[float, str]], until: float) -> list[Recovery]:
        """How long each partition took after each fault, worst first.

        Where another fault came before readers had recovered, the time counts from that.

        Args:
            until: when the last event happened: of a fault after it nothing can be said.
        """
        to_wall_ms = time.time() * 1000 - time.monotonic() * 1000
        hits = sorted(hit for hit in hits if hit[0] < until - EVERYWHERE_SECONDS)
        found: list[Recovery] = []
        for place, seen in self._seen.items():
            event_times = [as_of_ms for as_of_ms, _ in seen]
            for number, (at, fault) in enumerate(hits):
                first = bisect.bisect_left(event_times, at * 1000 + to_wall_ms)
                again = seen[first][1] if first < len(seen) else NEVER
                following = hits[number + 1][0] if number + 1 < len(hits) else NEVER
                if following > again or following == NEVER:
                    found.append(Recovery(again - at, fault, place))
        return sorted(found, reverse=True)
