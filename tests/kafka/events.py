"""Input events of the tests, and what comes of them in activity.items, by plain counting."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import msgspec

from streamapp.engine.records import Record
from tests.kafka.cluster import Sent


def now_ms() -> int:
    """The wall clock: events are dated by it, for they may not lie in the future."""
    return time.time_ns() // 1_000_000


def click(number: int, viewer: str, item: str = "i1", **others: object) -> Sent:
    """A click that differs from all others by its number."""
    event = {
        "event_id": f"e{number}",
        "occurred_at_ms": now_ms(),
        "viewer_id": viewer,
        "item_id": item,
        "action": "click",
    }
    return Sent("events.clicks", viewer.encode(), msgspec.json.encode(event | others))


def totals(records: Iterable[Record]) -> Counter[tuple[str, str]]:
    """What records of activity.items add to each counter of each item."""
    counted: Counter[tuple[str, str]] = Counter()
    for record in records:
        delta = msgspec.json.decode(record.value or b"{}")
        for counter, sums in delta["deltas"].items():
            counted[delta["item_id"], counter] += sums[0]
    return counted


def clicks_in(records: Iterable[Record]) -> int:
    """How many clicks records of activity.items add, over all items."""
    return round(sum(n for (_, name), n in totals(records).items() if name == "clicks"))
