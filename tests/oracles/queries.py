"""What signals.queries must say, computed by brute force from the raw events.

Written from the definitions alone: every search with every click, no state and no order (of
duplicates the first counts). Nothing here knows of expiry, nor of how many items a query keeps.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import fsum
from typing import Any, NamedTuple

import mmh3

from tests.oracles.items import (
    HALF_LIVES,
    HOUR,
    MINUTE,
    Event,
    Expected,
    in_force_of,
    of_each_viewer,
    position_ctr,
    velocity,
    without_duplicates,
)

COUNTERS = ("searches", "clicks", "zero_results", "reformulations")
LISTED = 50
LEAST_IMPRESSIONS = 0.01


class Counted(NamedTuple):
    """Something that counts for a query; with an item, for the item in it."""

    query: str
    counter: str
    time_ms: int
    amount: float
    item_id: str | None = None


def _counter(counted: list[Counted], as_of_ms: int) -> dict[str, float]:
    values = {"total": fsum(one.amount for one in counted)}
    for label, half_life in HALF_LIVES.items():
        values[label] = fsum(
            one.amount * float(2.0 ** (-(as_of_ms - one.time_ms) / half_life)) for one in counted
        )
    return values


def expected_queries(
    events: Iterable[Event], *, parameters: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Expected]:
    """Return by query what signals.queries must say in the end."""
    unique = without_duplicates(events)
    known = in_force_of(list(parameters))
    counted: dict[str, list[Counted]] = defaultdict(list)
    for mine in of_each_viewer(unique).values():
        for one in (*_searches(mine, known), *_clicks(mine), *_reformulations(mine)):
            counted[one.query].append(one)
    return {query: _signal(query, ones, known) for query, ones in counted.items()}


def normal_form(query: str | None) -> str:
    """Return NFKC, casefold, each run of whitespace one space; the first 256 characters."""
    folded = unicodedata.normalize("NFKC", query or "").casefold()
    return re.sub(r"\s+", " ", folded).strip()[:256].rstrip()


def _is_search(event: Event) -> bool:
    return event[0] == "events.impressions" and normal_form(event[1].get("query")) != ""


def _searches(events: list[Event], known: Callable[[str, int], Any]) -> Iterator[Counted]:
    for _, event in filter(_is_search, events):
        query, time_ms = normal_form(event["query"]), event["occurred_at_ms"]
        yield Counted(query, "searches", time_ms, 1.0)
        if not event["items"]:
            yield Counted(query, "zero_results", time_ms, 1.0)
        for slot in event["items"]:
            rates = known(f"position_ctr/{event['surface']}", time_ms)
            rate = position_ctr(rates, slot["position"])
            yield Counted(query, "impressions", time_ms, 1.0, slot["item_id"])
            yield Counted(query, "expected_clicks", time_ms, rate, slot["item_id"])


def _clicks(events: list[Event]) -> Iterator[Counted]:
    """Yield what the clicks of one viewer count."""
    for topic, click in events:
        if topic != "events.clicks" or click["action"] != "click":
            continue
        time_ms = click["occurred_at_ms"]
        candidates = _could_be_on(events, click)
        for search in filter(_is_search, candidates):
            yield Counted(normal_form(search[1]["query"]), "concerned", time_ms, 0.0)
        owner = max(candidates, key=_place, default=None)
        carried = normal_form(click.get("query"))
        if carried:
            yield Counted(carried, "concerned", time_ms, 0.0)
        if owner is not None and _is_search(owner):
            query = normal_form(owner[1]["query"])
            yield Counted(query, "clicks", time_ms, 1.0)
            yield Counted(query, "item_clicks", time_ms, 1.0, click["item_id"])
        elif carried:
            yield Counted(carried, "clicks", time_ms, 1.0)


def _place(event: Event) -> tuple[int, bytes]:
    return event[1]["occurred_at_ms"], mmh3.hash_bytes(event[1]["event_id"])[:8]


def _could_be_on(events: list[Event], click: dict[str, Any]) -> list[Event]:
    request_id = click.get("request_id")
    within = 30 * MINUTE if request_id is None else 6 * HOUR
    return [
        (topic, event)
        for topic, event in events
        if topic == "events.impressions"
        and request_id in (None, event["request_id"])
        and 0 <= click["occurred_at_ms"] - event["occurred_at_ms"] <= within
        and any(slot["item_id"] == click["item_id"] for slot in event["items"])
    ]


def _reformulations(events: list[Event]) -> Iterator[Counted]:
    """Yield which searches of one viewer were given up."""
    owners = [
        (max(_could_be_on(events, click), key=_place, default=None), click["occurred_at_ms"])
        for topic, click in events
        if topic == "events.clicks" and click["action"] == "click"
    ]
    searches = sorted(filter(_is_search, events), key=_place)
    for n, first in enumerate(searches):
        query, from_ms = normal_form(first[1]["query"]), first[1]["occurred_at_ms"]
        for at, second in enumerate(searches[n + 1 :]):
            to_ms = second[1]["occurred_at_ms"]
            if to_ms - from_ms > MINUTE:
                break
            yield Counted(query, "concerned", to_ms, 0.0)
            clicked = any(o is not None and o[1] is first[1] and t <= to_ms for o, t in owners)
            if at == 0 and normal_form(second[1]["query"]) != query and not clicked:
                yield Counted(query, "reformulations", to_ms, 1.0)


def _signal(query: str, counted: list[Counted], known: Callable[[str, int], Any]) -> Expected:
    as_of_ms = max(one.time_ms for one in counted)
    first_ms = min(one.time_ms for one in counted)
    counters = {
        name: _counter([one for one in counted if one.counter == name], as_of_ms)
        for name in COUNTERS
    }
    prior = known("prior/ctr", as_of_ms)
    return {
        "query": query,
        "as_of_ms": as_of_ms,
        "counters": counters,
        "velocity": velocity(counters["searches"], as_of_ms - first_ms),
        "items": _items(counted, as_of_ms, 0.03 if prior is None else prior),
    }


def _items(counted: list[Counted], as_of_ms: int, m: float) -> dict[str, Expected]:
    """Return by item what must be said of it: of all items, be there more than are listed."""
    sums: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in counted:
        if one.item_id is not None:
            weight = 2.0 ** (-(as_of_ms - one.time_ms) / HALF_LIVES["6h"])
            sums[one.item_id][one.counter].append(one.amount * weight)
    items = {}
    for item_id, by_counter in sums.items():
        impressions = fsum(by_counter["impressions"])
        clicks = fsum(by_counter["item_clicks"])
        # Impressions at average places that would be looked at as much.
        n = fsum(by_counter["expected_clicks"]) / m
        rate = min(1.0, (clicks + 20.0 * m) / (n + 20.0))
        if impressions >= LEAST_IMPRESSIONS:
            items[item_id] = {"impressions": impressions, "clicks": clicks, "rate": rate}
    return items


def query_differences(
    actual: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Expected]
) -> list[str]:
    """Return what differs, to max(1e-9 relative, 1e-9); empty when equal.

    Which of two items of equal rate comes first is left open.

    Args:
        actual: the last signals.queries record by query, as parsed JSON.
    """
    found = [f"{query}: missing" for query in expected if query not in actual]
    found += [f"{query}: not expected" for query in actual if query not in expected]
    for query in sorted(set(actual) & set(expected)):
        found += _compare(query, actual[query], expected[query])
    return found


def _compare(query: str, actual: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    for name in ("query", "as_of_ms"):
        if actual[name] != expected[name]:
            yield f"{query}.{name}: {actual[name]!r}, expected {expected[name]!r}"
    yield from _numbers(f"{query}.velocity", actual["velocity"], expected["velocity"])
    for name, counter in expected["counters"].items():
        for label, value in counter.items():
            got = actual["counters"][name][label]
            yield from _numbers(f"{query}.{name}.{label}", got, value)
    must, listed = expected["items"], actual["items"]
    best = sorted((item["rate"] for item in must.values()), reverse=True)[:LISTED]
    if len(best) != len(listed):
        yield f"{query}.items: {len(listed)}, expected {len(best)}"
        return
    for n, (rate, item) in enumerate(zip(best, listed, strict=True)):
        yield from _numbers(f"{query}.items[{n}]", item["rate"], rate)
        for name in ("impressions", "clicks", "rate"):
            path = f"{query}.items.{item['item_id']}.{name}"
            yield from _numbers(path, item[name], must[item["item_id"]][name])


def _numbers(path: str, actual: float, expected: float) -> Iterator[str]:
    if not abs(actual - expected) <= max(1e-9, 1e-9 * abs(expected)):
        yield f"{path}: {actual!r}, expected {expected!r}"
