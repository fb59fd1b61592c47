"""The input: one fixed sequence of watch events, and what its counters must come to."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from streamapp.engine.partitioner import by_murmur2
from tests.bench.three_half_lives.job import HALF_LIVES_MS

BEGIN_MS = 1_700_000_000_000
STEP_MS = 20
LATE_MS = 2_000
"""Event times go up by STEP_MS and lie up to LATE_MS back, so that some arrive out of order."""

ZIPF = 0.9
SEED = 7
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Events:
    """A sequence of events, kept as two columns.

    Attributes:
        items: the item of each event, as a number.
        times: the event time of each, ms.
    """

    items: array[int]
    times: array[int]

    @classmethod
    def popular(cls, count: int, keys: int) -> Events:
        """Return events whose items are drawn by a Zipf law."""
        rng = random.Random(SEED)
        weights = list(accumulate((rank + 1) ** -ZIPF for rank in range(keys)))
        drawn = rng.choices(range(keys), cum_weights=weights, k=count)
        times = [BEGIN_MS + n * STEP_MS - rng.randrange(LATE_MS) for n in range(count)]
        return cls(array("q", drawn), array("q", times))

    @classmethod
    def once_each(cls, keys: int, begin_ms: int = BEGIN_MS) -> Events:
        """Return one event for each item, in turn."""
        return cls(array("q", range(keys)), array("q", [begin_ms + n for n in range(keys)]))

    def __len__(self) -> int:
        return len(self.items)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the key and the value of each event's record; a value has about 220 bytes."""
        for n, (item, at_ms) in enumerate(zip(self.items, self.times, strict=True)):
            key, viewer = item_id(item).encode(), n % 200_003
            yield (
                key,
                b'{"event_id":"e%09d","occurred_at_ms":%d,"viewer_id":"v%06d","session_id":"v%06d:1",'
                b'"surface":"home","item_id":"%s","playback_id":"p%09d","state":"progress",'
                b'"watched_ms":%d,"duration_ms":60000}'
                % (n, at_ms, viewer, viewer, key, n, n % 60_000),
            )

    def of_partition(self, partition: int, partitions: int) -> list[tuple[str, int]]:
        """Return item and time of the events of one partition, in its order."""
        known: dict[int, bool] = {}
        chosen = []
        for item, at_ms in zip(self.items, self.times, strict=True):
            if item not in known:
                known[item] = by_murmur2(item_id(item).encode(), partitions) == partition
            if known[item]:
                chosen.append((item_id(item), at_ms))
        return chosen


def item_id(item: int) -> str:
    """Return the item's name; like the ids of real catalogues it is longer than its number."""
    return f"item-{item:07d}"


def counters(times: list[int]) -> dict[str, float]:
    """Return what must be published after events at these times, from the definition."""
    as_of_ms = max(times)
    sums = {
        name: math.fsum(2.0 ** (-(as_of_ms - at_ms) / half_life) for at_ms in times)
        for name, half_life in HALF_LIVES_MS.items()
    }
    return {"as_of_ms": as_of_ms, **sums}


def agree(published: dict[str, float], expected: dict[str, float]) -> bool:
    """Tell whether published counters are the expected ones, but for rounding."""
    return all(
        math.isclose(published[name], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for name, value in expected.items()
    )
