"""A bot among people: what is left when it is found out is what the people contributed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.processors.viewers_settings import ViewersSettings
from tests.oracles.items import Event
from tests.oracles.pipeline import Pipeline
from tests.oracles.worlds import worlds

HALF_LIVES = {"30m": 0.5, "6h": 6.0, "7d": 168.0}
HOUR = 3_600_000


def by(viewer_id: str, events: list[Event]) -> list[Event]:
    """Return events as a viewer's own."""
    return [
        (topic, event | {"viewer_id": viewer_id, "event_id": f"{viewer_id}-{event['event_id']}"})
        for topic, event in events
    ]


def burst(at_ms: int, count: int = 48) -> list[Event]:
    """Clicks that give a bot away, whatever it clicked before."""
    return [
        (
            "events.clicks",
            {
                "event_id": f"burst{n}",
                "occurred_at_ms": at_ms + 100 * n,
                "viewer_id": "bot",
                "item_id": "target",
                "action": "click",
            },
        )
        for n in range(count)
    ]


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event[1]["occurred_at_ms"])


def left(pipeline: Pipeline, topic: str, at_ms: int) -> Counter[tuple[str, str, str]]:
    """Return the counters that are not 0, decayed to one time: by key, counter and half-life."""
    found: Counter[tuple[str, str, str]] = Counter()
    for key, signal in pipeline.last(topic).items():
        age_h = (at_ms - signal["as_of_ms"]) / HOUR
        for counter, sums in signal["counters"].items():
            for label, value in sums.items():
                half_life = HALF_LIVES.get(label)
                decayed = value if half_life is None else value * 2 ** (-age_h / half_life)
                if abs(decayed) > 1e-9:
                    found[key, counter, label] = decayed
    return found


def played(events: list[Event], cuts: set[int], kill: bool = False, end_ms: int = 0) -> Pipeline:
    pipeline = Pipeline(ViewersSettings(click_window_ms=60_000))
    for number, event in enumerate(events):
        pipeline.viewers.send(*_encoded(event))
        if number in cuts:
            pipeline.cut()
        if kill and number == len(events) // 2:
            pipeline.cut()
            pipeline.viewers.kill()
    pipeline.advance(max(end_ms, pipeline.viewers.stream_time_ms))
    return pipeline


def _encoded(event: Event) -> tuple[str, bytes]:

    return event[0], msgspec.json.encode(event[1])


@settings(max_examples=30)
@given(world=worlds(), people=worlds(), cuts=st.sets(st.integers(0, 60)), kill=st.booleans())
def test_nothing_of_a_bots_last_day_stays_in_items_and_queries(
    world: Any, people: Any, cuts: set[int], kill: bool
) -> None:
    bot, others = by("bot", list(world)), by("person", list(people))
    newest_ms = max([e["occurred_at_ms"] for _, e in [*bot, *others]], default=0)
    oldest_ms = min([e["occurred_at_ms"] for _, e in [*bot, *others]], default=0)
    if newest_ms - oldest_ms > 23 * HOUR:
        return
    events = in_order([*bot, *others, *burst(newest_ms + 1_000)])
    at_ms = newest_ms + HOUR
    found = played(events, cuts, kill, at_ms)
    assert found.last("signals.viewers")["bot"]["trust"] == "bot"
    alone = played(in_order(others), set(), end_ms=at_ms)
    for topic in ("signals.items", "signals.queries"):
        expected = left(alone, topic, at_ms)
        actual = left(found, topic, at_ms)
        for key in expected.keys() | actual.keys():
            assert actual[key] == pytest.approx(expected[key], rel=1e-6, abs=1e-6), key


def test_what_is_older_than_a_day_stays() -> None:
    start = 1_700_000_000_000
    first = burst(start, 1)[0]
    old = ("events.clicks", first[1] | {"event_id": "old"})
    pipeline = played([old, *burst(start + 25 * HOUR)], set())
    clicks = pipeline.last("signals.items")["target"]["counters"]["clicks"]
    assert clicks["total"] == pytest.approx(1.0)


def test_a_playback_that_began_before_the_verdict_counts_no_more() -> None:
    start = 1_700_000_000_000
    beats = [
        (
            "events.watches",
            {
                "event_id": f"w{n}",
                "occurred_at_ms": at_ms,
                "viewer_id": "bot",
                "item_id": "film",
                "playback_id": "p",
                "state": state,
                "watched_ms": watched_ms,
                "duration_ms": 100_000,
            },
        )
        for n, (at_ms, state, watched_ms) in enumerate(
            [
                (start, "start", 0),
                (start + 20_000, "exit", 20_000),
                (start + 30_000, "progress", 30_000),
                (start + 60_000, "progress", 50_000),
            ]
        )
    ]
    pipeline = played([*beats[:3], *burst(start + 40_000), beats[3]], {0, 2, 20})
    counters = pipeline.last("signals.items")["film"]["counters"]
    assert counters
    assert all(abs(value) < 1e-9 for sums in counters.values() for value in sums.values())
