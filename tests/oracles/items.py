"""What signals.items must say, computed by brute force from the raw events.

Written from the definitions alone: no state, no order, every number a sum over all events.
Events are (topic, event) with the event as parsed JSON, duplicates and all, but only events that
are accepted (none too late or malformed). Their order matters in two places: a playback's own
heartbeats are taken in the order given, and of duplicates the first counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import fsum, inf, log
from typing import Any, NamedTuple

Event = tuple[str, dict[str, Any]]
Expected = dict[str, Any]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
HALF_LIVES = {"30m": 30 * MINUTE, "6h": 6 * HOUR, "7d": 7 * DAY}
COUNTERS = [
    "impressions",
    "expected_clicks",
    "clicks",
    "likes",
    "shares",
    "carts",
    "purchases",
    "hides",
    "reports",
    "watches",
    "closed",
    "completes",
    "watched_ms",
    "ratio_sum",
    "ratio_n",
]
ACTIONS = {
    "click": "clicks",
    "like": "likes",
    "share": "shares",
    "add_to_cart": "carts",
    "purchase": "purchases",
    "hide": "hides",
    "report": "reports",
}
SHIPPED_PRIORS = {"ctr": 0.03, "completion_rate": 0.3, "watch_ratio": 0.5}


class Counted(NamedTuple):
    """Something that counts: so much, for a counter of an item, at a time."""

    item_id: str
    counter: str
    time_ms: int
    amount: float


def expected_items(
    events: Iterable[Event],
    *,
    stream_time_ms: float | None = None,
    catalog: Mapping[str, Mapping[str, Any]] | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Expected]:
    """Return by item what signals.items must say in the end.

    Args:
        stream_time_ms: how far stream time has gone; by default to the newest event.
            `inf` closes all playbacks.
        catalog: records of catalog.items by item_id; without one no item is known.
        parameters: records of control.parameters.
    """
    unique, end_ms = accepted(events, stream_time_ms)
    in_force = in_force_of(list(parameters))
    counted: dict[str, list[Counted]] = defaultdict(list)
    for one in _counted(unique, end_ms, in_force):
        counted[one.item_id].append(one)
    viewers = viewers_of_items(unique)
    return {
        item_id: _signal(item_id, ones, (catalog or {}).get(item_id), in_force)
        | {"viewers": len(viewers[item_id])}
        for item_id, ones in counted.items()
    }


def accepted(events: Iterable[Event], stream_time_ms: float | None) -> tuple[list[Event], float]:
    """Return the events that are no duplicates, and how far stream time has gone.

    Args:
        stream_time_ms: how far it has; None for to the newest event.
    """
    unique = without_duplicates(events)
    newest_ms = max((event["occurred_at_ms"] for _, event in unique), default=0)
    return unique, newest_ms if stream_time_ms is None else stream_time_ms


def of_each_viewer(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return the events of each viewer, in their order."""
    by_viewer: dict[str, list[Event]] = defaultdict(list)
    for topic, event in events:
        by_viewer[event["viewer_id"]].append((topic, event))
    return by_viewer


def viewers_of_items(events: Iterable[Event]) -> dict[str, set[str]]:
    """Return who ever acted on each item, other than to follow its creator, or watched it."""
    by_item: dict[str, set[str]] = defaultdict(set)
    for topic, event in events:
        if topic == "events.watches" or event.get("action") in ACTIONS:
            by_item[event["item_id"]].add(event["viewer_id"])
    return by_item


def about_viewers(actual: int, expected: int) -> bool:
    """Say whether an estimate of distinct viewers is near enough: exact while they are few."""
    return abs(actual - expected) <= (0 if expected <= 20 else 0.17 * expected)


def without_duplicates(events: Iterable[Event]) -> list[Event]:
    """Leave out events whose id the viewer has used before, within 24 h."""
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    unique: list[Event] = []
    for topic, event in events:
        known = times[event["viewer_id"], event["event_id"]]
        if all(abs(event["occurred_at_ms"] - time_ms) > DAY for time_ms in known):
            known.append(event["occurred_at_ms"])
            unique.append((topic, event))
    return unique


def _counted(
    events: list[Event], end_ms: float, in_force: Callable[[str, int], Any]
) -> Iterator[Counted]:
    for topic, event in events:
        time_ms = event["occurred_at_ms"]
        if topic == "events.impressions":
            for slot in event["items"]:
                rates = in_force(f"position_ctr/{event['surface']}", time_ms)
                rate = position_ctr(rates, slot["position"])
                yield Counted(slot["item_id"], "impressions", time_ms, 1.0)
                yield Counted(slot["item_id"], "expected_clicks", time_ms, rate)
        elif topic == "events.clicks" and event["action"] in ACTIONS:
            yield Counted(event["item_id"], ACTIONS[event["action"]], time_ms, 1.0)
    for heartbeats in playbacks(events):
        yield from _playback(heartbeats, end_ms)


def position_ctr(rates: Any, position: int) -> float:
    if rates is None:
        return 0.05 * float(position**-0.7)
    listed = rates if isinstance(rates, list) else [rates]
    return float(listed[min(position, len(listed)) - 1])


def playbacks(events: Iterable[Event]) -> list[list[dict[str, Any]]]:
    """Return the heartbeats of each playback; after more than 24 h of silence begins another."""
    by_id: dict[tuple[str, str, str], list[list[dict[str, Any]]]] = defaultdict(list)
    for topic, event in events:
        if topic == "events.watches":
            known = by_id[event["viewer_id"], event["playback_id"], event["item_id"]]
            newest = max((e["occurred_at_ms"] for e in known[-1]), default=0) if known else -inf
            if event["occurred_at_ms"] - newest > DAY:
                known.append([])
            known[-1].append(event)
    return [heartbeats for known in by_id.values() for heartbeats in known]


def is_complete(heartbeats: list[dict[str, Any]]) -> bool:
    """Say whether a playback has been watched to the end by its last heartbeat."""
    return any(
        e["state"] == "complete" or ratio(heartbeats[: i + 1]) >= 0.95
        for i, e in enumerate(heartbeats)
    )


def ratio(heartbeats: list[dict[str, Any]]) -> float:
    watched = max(e["watched_ms"] for e in heartbeats)
    durations = [e["duration_ms"] for e in heartbeats if e.get("duration_ms")]
    return watched / durations[-1] if durations else 0.0


def _playback(heartbeats: list[dict[str, Any]], end_ms: float) -> Iterator[Counted]:
    item_id, start_ms = heartbeats[0]["item_id"], heartbeats[0]["occurred_at_ms"]
    yield Counted(item_id, "watches", start_ms, 1.0)
    for i, event in enumerate(heartbeats):
        before = max((e["watched_ms"] for e in heartbeats[:i]), default=0)
        if event["watched_ms"] > before:
            grown = float(event["watched_ms"] - before)
            yield Counted(item_id, "watched_ms", event["occurred_at_ms"], grown)
    if is_complete(heartbeats):
        yield Counted(item_id, "completes", start_ms, 1.0)
    at_close = until_closed(heartbeats, end_ms)
    if at_close is None:
        return
    yield Counted(item_id, "closed", start_ms, 1.0)
    if any(e.get("duration_ms") for e in at_close):
        yield Counted(item_id, "ratio_sum", start_ms, min(ratio(at_close), 3.0))
        yield Counted(item_id, "ratio_n", start_ms, 1.0)


def until_closed(heartbeats: list[dict[str, Any]], end_ms: float) -> list[dict[str, Any]] | None:
    """Return the heartbeats up to the close, None when the playback is still open."""
    for i, event in enumerate(heartbeats):
        so_far = heartbeats[: i + 1]
        if event["state"] == "exit" or is_complete(so_far):
            return so_far
        newest = max(e["occurred_at_ms"] for e in so_far)
        following = heartbeats[i + 1]["occurred_at_ms"] if i + 1 < len(heartbeats) else end_ms
        if following - newest > 30 * MINUTE:
            return so_far
    return None


def in_force_of(parameters: list[Mapping[str, Any]]) -> Callable[[str, int], Any]:
    def in_force(name: str, time_ms: int) -> Any:
        valid = [
            (p["valid_from_ms"], i, p["value"])
            for i, p in enumerate(parameters)
            if p["name"] == name and p["valid_from_ms"] <= time_ms
        ]
        return max(valid)[-1] if valid else None

    return in_force


def _signal(
    item_id: str,
    counted: list[Counted],
    known: Mapping[str, Any] | None,
    in_force: Callable[[str, int], Any],
) -> Expected:
    as_of_ms = max(one.time_ms for one in counted)
    first_ms = min(one.time_ms for one in counted)
    category = known.get("category") if known else None
    by_counter: dict[str, list[Counted]] = defaultdict(list)
    for one in counted:
        by_counter[one.counter].append(one)
    counters = {name: _counter(by_counter[name], as_of_ms) for name in COUNTERS}
    six = {name: counter["6h"] for name, counter in counters.items()}

    def rate(name: str, numerator: str, denominator: str) -> float:
        prior = None
        if category is not None:
            prior = in_force(f"prior/{name}/{category}", as_of_ms)
        if prior is None:
            prior = in_force(f"prior/{name}", as_of_ms)
        if prior is None:
            prior = SHIPPED_PRIORS[name]
        return float((six[numerator] + 20.0 * prior) / (six[denominator] + 20.0))

    return {
        "item_id": item_id,
        "as_of_ms": as_of_ms,
        "status": known.get("status", "active") if known else None,
        "category": category,
        "creator_id": known.get("creator_id") if known else None,
        "counters": counters,
        "ctr": rate("ctr", "clicks", "impressions"),
        "coec": (six["clicks"] + 1.0) / (six["expected_clicks"] + 1.0),
        "completion_rate": rate("completion_rate", "completes", "closed"),
        "watch_ratio": rate("watch_ratio", "ratio_sum", "ratio_n"),
        "velocity": velocity(counters["watches"], as_of_ms - first_ms),
    }


def _counter(ones: list[Counted], as_of_ms: int) -> dict[str, float]:
    values = {"total": fsum(one.amount for one in ones)}
    for label, half_life in HALF_LIVES.items():
        values[label] = fsum(
            one.amount * float(2.0 ** (-(as_of_ms - one.time_ms) / half_life)) for one in ones
        )
    return values


def velocity(watches: Mapping[str, float], age_ms: int) -> float:
    age = max(age_ms, MINUTE)

    def per_6h(label: str) -> float:
        half_life = HALF_LIVES[label]
        mass = half_life / log(2) * (1 - 2 ** (-age / half_life))
        return watches[label] * 6 * HOUR / mass

    return (per_6h("30m") + 20.0) / (per_6h("6h") + 20.0)


def differences(
    actual: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Expected]
) -> list[str]:
    """Return what differs, number by number, to max(1e-9 relative, 1e-9); empty when equal.

    Args:
        actual: the last signals.items record by item, as parsed JSON.
    """
    found = [f"{item}: missing" for item in expected if item not in actual]
    found += [f"{item}: not expected" for item in actual if item not in expected]
    for item in sorted(set(actual) & set(expected)):
        found += _compare(item, actual[item], expected[item])
    return found


def _compare(path: str, actual: Any, expected: Any) -> Iterator[str]:
    if isinstance(expected, dict):
        for key, value in expected.items():
            yield from _compare(f"{path}.{key}", actual.get(key), value)
        if "." in path:  # a record may say more, a part of it may not
            yield from (f"{path}.{key}: not expected" for key in actual if key not in expected)
    elif path.endswith(".viewers"):
        if not about_viewers(actual, expected):
            yield f"{path}: {actual!r}, expected about {expected!r}"
    elif isinstance(expected, float):
        if actual is None or not abs(actual - expected) <= max(1e-9, 1e-9 * abs(expected)):
            yield f"{path}: {actual!r}, expected {expected!r}"
    elif actual != expected:
        yield f"{path}: {actual!r}, expected {expected!r}"
