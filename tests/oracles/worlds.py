"""Hypothesis strategies: small worlds in which everything meets everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.oracles.items import HOUR, MINUTE, Event

START = 1_700_000_000_000
VIEWERS = ("v1", "v2", "v:\n3")
ITEMS = ("i1", "i2", 'i"3')
QUERIES = (None, None, " ", "kim", "Kim  CHI", "kim\u2009chi", "straße")
ACTIONS = ("click", "click", "like", "share", "follow", "add_to_cart", "purchase", "hide", "report")

_seconds = st.integers(0, 20) | st.integers(0, 10 * 60 * 60)
"""Of two events one in two is within seconds: ties and short windows must occur."""


@st.composite
def worlds(
    draw: DrawFn,
    kinds: Sequence[str] = ("impression", "click", "playback"),
    seconds: st.SearchStrategy[int] = _seconds,
) -> list[Event]:
    """Return events in order of event time, with some delivered twice."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, 40))):
        make = _MAKE[draw(st.sampled_from(kinds))]
        events += make(draw, number, START + 1000 * draw(seconds))
    events += draw(st.lists(st.sampled_from(events), max_size=4))
    return sorted(events, key=lambda e: e[1]["occurred_at_ms"])


@st.composite
def shuffled(draw: DrawFn, events: list[Event]) -> list[Event]:
    """Return events in any order, each playback's own heartbeats as they were."""
    shuffled = draw(st.permutations(events))
    waiting: dict[Any, list[Event]] = {}
    for event in events:
        waiting.setdefault(_playback_of(event), []).append(event)
    return [
        waiting[playback].pop(0) if (playback := _playback_of(event)) is not None else event
        for event in shuffled
    ]


def _playback_of(event: Event) -> Any:
    if event[0] != "events.watches":
        return None
    return tuple(event[1][name] for name in ("viewer_id", "playback_id", "item_id"))


def _common(draw: DrawFn, number: int, time_ms: int) -> dict[str, Any]:
    viewer_id = draw(st.sampled_from(VIEWERS))
    return {"event_id": f"e{number}", "viewer_id": viewer_id, "occurred_at_ms": time_ms}


def _impression(draw: DrawFn, number: int, time_ms: int) -> list[Event]:
    slots = draw(st.lists(st.sampled_from(ITEMS), max_size=4))
    event = _common(draw, number, time_ms) | {
        "request_id": draw(st.sampled_from(("r1", "r2", f"r{number}"))),
        "surface": draw(st.sampled_from(("home", "search"))),
        "items": [{"item_id": item, "position": at} for at, item in enumerate(slots, 1)],
    }
    if (query := draw(st.sampled_from(QUERIES))) is not None:
        event["query"] = query
    # A time of its own, so that which impression is the latest is never a matter of taste.
    event["occurred_at_ms"] += number
    return [("events.impressions", event)]


def _click(draw: DrawFn, number: int, time_ms: int) -> list[Event]:
    event = _common(draw, number, time_ms) | {
        "item_id": draw(st.sampled_from(ITEMS)),
        "action": draw(st.sampled_from(ACTIONS)),
    }
    if draw(st.booleans()):
        event["request_id"] = draw(st.sampled_from(("r1", "r2")))
    if draw(st.booleans()):
        event["position"] = draw(st.integers(1, 4))
    if (query := draw(st.sampled_from(QUERIES))) is not None:
        event["query"] = query
    return [("events.clicks", event)]


def _playback(draw: DrawFn, number: int, time_ms: int) -> list[Event]:
    event = _common(draw, number, time_ms) | {
        "item_id": draw(st.sampled_from(ITEMS)),
        "playback_id": f"p{number}",
        "duration_ms": draw(st.sampled_from((None, 0, 60_000, 10 * MINUTE))),
    }
    if draw(st.booleans()):
        event["request_id"] = draw(st.sampled_from(("r1", "r2")))
    heartbeats: list[Event] = []
    for beat in range(draw(st.integers(1, 5))):
        gap = draw(st.sampled_from((0, 10_000, 29 * MINUTE, 30 * MINUTE, 31 * MINUTE, 2 * HOUR)))
        event = event | {
            "event_id": f"e{number}.{beat}",
            "occurred_at_ms": event["occurred_at_ms"] + gap,
            "watched_ms": draw(st.integers(0, 700_000)),
            "state": draw(st.sampled_from(("start", "progress", "progress", "complete", "exit"))),
        }
        heartbeats.append(("events.watches", event))
    return heartbeats


_MAKE = {"impression": _impression, "click": _click, "playback": _playback}
