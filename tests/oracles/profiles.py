"""What signals.viewers must say besides the recent actions, by brute force from the raw events.

No state, no order: sums over all events, sessions by chaining sorted times, lists by sorting. What
is asked for fits into the bounds: at most 20 categories and creators a viewer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any

from tests.oracles.items import (
    DAY,
    HOUR,
    MINUTE,
    Event,
    Expected,
    accepted,
    in_force_of,
    is_complete,
    of_each_viewer,
    playbacks,
    ratio,
    until_closed,
)

SEEN, HIDDEN = 50, 50
HALF_LIVES = {"6h": 6 * HOUR, "7d": 7 * DAY}
WEIGHTS = {
    "click": 1.0,
    "like": 3.0,
    "follow": 3.0,
    "share": 4.0,
    "add_to_cart": 4.0,
    "purchase": 6.0,
    "hide": -4.0,
    "report": -6.0,
}
COMPLETE = 2.0

Timed = list[tuple[int, float]]
"""Amounts, each at a time."""


def expected_profiles(
    events: Iterable[Event],
    *,
    stream_time_ms: float | None = None,
    catalog: Mapping[str, Mapping[str, Any]] | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Expected]:
    """Return by viewer what signals.viewers must say: all but `recent` and the wall clock.

    Args:
        stream_time_ms: how far stream time has gone; by default to the newest event.
        catalog: records of catalog.items by item_id, the same all the time.
        parameters: records of control.parameters.
    """
    unique, end_ms = accepted(events, stream_time_ms)
    prior = in_force_of(list(parameters))
    return {
        viewer_id: _profile(viewer_id, mine, end_ms, catalog or {}, prior)
        for viewer_id, mine in of_each_viewer(unique).items()
    }


def _profile(
    viewer_id: str,
    events: list[Event],
    end_ms: float,
    catalog: Mapping[str, Mapping[str, Any]],
    in_force: Any,
) -> Expected:
    as_of_ms = max(event["occurred_at_ms"] for _, event in events)
    prior = in_force("prior/watch_ratio", as_of_ms)
    return {
        "viewer_id": viewer_id,
        "as_of_ms": as_of_ms,
        "affinity": {
            "category": _affinity(events, as_of_ms, catalog, "category"),
            "creator": _affinity(events, as_of_ms, catalog, "creator_id"),
        },
        "session": newest_session(viewer_id, events),
        "seen": _latest(
            [
                (event["occurred_at_ms"], slot["item_id"])
                for topic, event in events
                if topic == "events.impressions"
                for slot in event["items"]
            ]
        )[:SEEN],
        "hidden": _latest(
            [
                (event["occurred_at_ms"], event["item_id"])
                for topic, event in events
                if topic == "events.clicks" and event["action"] in ("hide", "report")
            ]
        )[:HIDDEN],
        "habits": _habits(events, as_of_ms, end_ms, 0.5 if prior is None else prior),
    }


def _latest(happened: list[tuple[int, str]]) -> list[str]:
    """Return items, each once, by the newest time it happened to them; of one time by id."""
    times: dict[str, list[int]] = defaultdict(list)
    for time_ms, item in happened:
        times[item].append(time_ms)
    newest = {item: max(of) for item, of in times.items()}
    return sorted(newest, key=lambda item: (-newest[item], item))


def _affinity(
    events: list[Event], as_of_ms: int, catalog: Mapping[str, Mapping[str, Any]], field: str
) -> dict[str, dict[str, float]]:
    amounts: dict[str, Timed] = defaultdict(list)
    done = [
        (event["item_id"], event["occurred_at_ms"], WEIGHTS[event["action"]])
        for topic, event in events
        if topic == "events.clicks"
    ]
    done += [
        (heartbeats[0]["item_id"], heartbeats[0]["occurred_at_ms"], COMPLETE)
        for heartbeats in playbacks(events)
        if is_complete(heartbeats)
    ]
    for item_id, time_ms, weight in done:
        name = catalog.get(item_id, {}).get(field)
        if name is not None:
            amounts[name].append((time_ms, weight))
    return {
        name: {label: _decayed(of, as_of_ms, h) for label, h in HALF_LIVES.items()}
        for name, of in amounts.items()
    }


def _decayed(amounts: Timed, as_of_ms: int, half_life: int) -> float:
    return fsum(
        amount * float(2.0 ** (-(as_of_ms - time_ms) / half_life)) for time_ms, amount in amounts
    )


def _grown(heartbeats: list[dict[str, Any]]) -> Timed:
    """Return what each heartbeat of a playback adds to the time watched."""
    grown: Timed = []
    for i, event in enumerate(heartbeats):
        before = max((e["watched_ms"] for e in heartbeats[:i]), default=0)
        grown.append((event["occurred_at_ms"], float(max(0, event["watched_ms"] - before))))
    return grown


def newest_session(viewer_id: str, events: list[Event]) -> Expected:
    """Go back from the newest event as long as the gaps are under 30 min."""
    times = sorted({event["occurred_at_ms"] for _, event in events}, reverse=True)
    started_ms = times[0]
    for time_ms in times:
        if started_ms - time_ms >= 30 * MINUTE:
            break
        started_ms = time_ms
    within = [(topic, e) for topic, e in events if e["occurred_at_ms"] >= started_ms]
    begun = [beats[0] for beats in playbacks(events) if beats[0]["occurred_at_ms"] >= started_ms]
    grown = [amount for beats in playbacks(events) for amount in _grown(beats)]
    return {
        "id": f"{viewer_id}:{started_ms}",
        "started_at_ms": started_ms,
        "impressions": sum(len(e["items"]) for t, e in within if t == "events.impressions"),
        "clicks": sum(t == "events.clicks" and e["action"] == "click" for t, e in within),
        "watches": len(begun),
        "watched_ms": int(sum(ms for time_ms, ms in grown if time_ms >= started_ms)),
    }


def _habits(events: list[Event], as_of_ms: int, end_ms: float, prior: float) -> Expected:
    hours: dict[str, Timed] = defaultdict(list)
    sums: Timed = []
    counts: Timed = []
    for heartbeats in playbacks(events):
        for time_ms, ms in _grown(heartbeats):
            if ms:
                hours[str(time_ms // HOUR % 24)].append((time_ms, ms))
        closed = until_closed(heartbeats, end_ms)
        if closed is not None and any(e.get("duration_ms") for e in closed):
            start_ms = heartbeats[0]["occurred_at_ms"]
            sums.append((start_ms, min(ratio(closed), 3.0)))
            counts.append((start_ms, 1.0))
    numerator, denominator = (_decayed(of, as_of_ms, 7 * DAY) for of in (sums, counts))
    return {
        "watched_ms_by_hour": {h: _decayed(of, as_of_ms, 7 * DAY) for h, of in hours.items()},
        "watch_ratio": (numerator + 20.0 * prior) / (denominator + 20.0),
    }
