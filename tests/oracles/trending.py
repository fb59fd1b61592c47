"""What candidates.trending must say, by brute force from every watch there was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.oracles.items import ACTIONS, HALF_LIVES, Event, playbacks, without_duplicates
from tests.oracles.items import velocity as velocity_of

Lists = dict[str, list[tuple[str, float]]]
"""Items and their velocity by list, fastest first."""


class Seen(NamedTuple):
    """Something that happened to an item.

    Attributes:
        arrived_ms: stream time when it had been taken in.
        watched: a watch; else something that only makes the item older.
    """

    item_id: str
    time_ms: int
    arrived_ms: int
    watched: bool = True


def seen_in(events: Iterable[Event]) -> list[Seen]:
    """Return what events are to their items, each taken in when it occurred."""
    unique = without_duplicates(events)
    seen = [
        Seen(slot["item_id"], event["occurred_at_ms"], event["occurred_at_ms"], watched=False)
        for _, event in unique
        for slot in event.get("items", [event] if event.get("action") in ACTIONS else [])
    ]
    for heartbeats in playbacks(unique):
        watched_ms = -1  # a heartbeat that tells nothing new does not count
        for number, event in enumerate(heartbeats):
            at_ms = event["occurred_at_ms"]
            if number == 0 or event["watched_ms"] > watched_ms:
                seen.append(Seen(event["item_id"], at_ms, at_ms, watched=number == 0))
            watched_ms = max(watched_ms, event["watched_ms"])
    return seen


def expected_trending(
    seen: Iterable[Seen], catalog: Mapping[str, Mapping[str, Any]], at_ms: int, size: int = 50
) -> Lists:
    """Return every list as at a time, from what had come before stream time passed it."""
    by_item: dict[str, list[Seen]] = {}
    for one in seen:
        if one.arrived_ms < at_ms:
            by_item.setdefault(one.item_id, []).append(one)
    lists: Lists = {}
    for item_id, ones in by_item.items():
        known = catalog.get(item_id)
        velocity = _velocity_at(ones, at_ms)
        if known is None or known.get("status", "active") != "active" or velocity <= 1.0:
            continue
        names = ["all"]
        names += [f"category:{known['category']}"] if known.get("category") else []
        names += ["kind:live"] if known.get("kind") == "live" else []
        for name in names:
            lists.setdefault(name, []).append((item_id, velocity))
    return {
        name: sorted(items, key=lambda item: (-item[1], item[0]))[:size]
        for name, items in lists.items()
    }


def _velocity_at(ones: list[Seen], at_ms: int) -> float:
    watches = {
        label: sum(2.0 ** (-(at_ms - one.time_ms) / half) for one in ones if one.watched)
        for label, half in HALF_LIVES.items()
    }
    return velocity_of(watches, at_ms - min(one.time_ms for one in ones))
