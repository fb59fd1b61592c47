"""Trust in signals.viewers, and what is kept out, against the brute-force oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.features.trust import unpack
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from tests.oracles.haunts import CATALOG, haunts
from tests.oracles.items import DAY, Event, differences, expected_items
from tests.oracles.pipeline import Compact, Pipeline, compacted, half_compacted, whole
from tests.oracles.profiles import expected_profiles
from tests.oracles.queries import expected_queries
from tests.oracles.trust import ORDER, Judged, judged
from tests.oracles.worlds import START

# One tree that halves by clicks, then by spread and by length: much of it is unusual.
FOREST = [1, 1, 2, 9, 40, 0.75, 0, 0.35, 7, 0.2, 6, 0.5, 40, 25, 15, 20, 5, 12, 3]
PARAMETERS: list[dict[str, Any]] = [
    {"name": "anomaly/session", "valid_from_ms": START + 60_000, "value": FOREST},
    {
        "name": "anomaly/session",
        "valid_from_ms": START + 7_200_000,
        "value": [*FOREST[:5], 0.0, *FOREST[6:]],
    },
]
COUNTED = (
    *("impressions", "clicks", "likes", "shares", "carts", "purchases", "hides", "reports"),
    *("searches", "zero_results", "reformulations"),
)


def pipeline(**changes: Any) -> Pipeline:
    playing = Pipeline(ViewersSettings(**changes))
    for item_id, fields in CATALOG.items():
        playing.catalog_item(item_id, **fields)
    for parameter in PARAMETERS:
        playing.parameter(parameter["name"], parameter["valid_from_ms"], parameter["value"])
    return playing


def trust_now(playing: Pipeline, viewer_id: str) -> tuple[str, list[str]]:
    processor = playing.viewers.processor
    assert isinstance(processor, Viewers)
    viewer = processor._viewers.get(viewer_id)
    assert viewer is not None
    trust = unpack(viewer.trust)
    return trust.name, trust.reason_names


def play(
    playing: Pipeline,
    events: Sequence[Event],
    verdicts: Sequence[Judged],
    kills: dict[int, Compact],
) -> None:
    """Process events one by one, each verdict as expected; cut and kill after some."""
    expected = {id(one.event[1]): (one.state, one.reasons) for one in verdicts}
    for number, (topic, event) in enumerate(events):
        playing.viewers.send(topic, msgspec.json.encode(event))
        verdict = expected.pop(id(event), None)
        if verdict is not None:  # else it is a duplicate
            assert trust_now(playing, event["viewer_id"]) == verdict, number
        if number in kills:
            if number % 2:
                playing.cut()
            playing.viewers.kill(kills[number])
    playing.cut()
    playing.advance(playing.viewers.stream_time_ms + 500)
    assert not expected


def totals(signals: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return what was counted at all, by item and counter, playbacks aside."""
    return {
        (item_id, name): row["counters"][name]["total"]
        for item_id, row in signals.items()
        for name in COUNTED
        if row["counters"].get(name, {"total": 0})["total"]
    }


def never_a_bots(verdicts: list[Judged]) -> list[Event]:
    """Return the events that count in the end: what a bot did in its last day is taken back."""
    left: list[Event] = []
    newest_ms: dict[str, int] = {}
    bots: set[str] = set()
    for one in verdicts:
        viewer_id, time_ms = one.event[1]["viewer_id"], one.event[1]["occurred_at_ms"]
        newest_ms[viewer_id] = max(time_ms, newest_ms.get(viewer_id, 0))
        if one.state != "bot":
            left.append(one.event)
            bots.discard(viewer_id)
        elif viewer_id not in bots:
            bots.add(viewer_id)
            since_ms = newest_ms[viewer_id] - DAY
            left = [
                event
                for event in left
                if event[1]["viewer_id"] != viewer_id or event[1]["occurred_at_ms"] < since_ms
            ]
    return left


kills = st.dictionaries(
    st.integers(0, 200), st.sampled_from((whole, compacted, half_compacted)), max_size=4
)


@settings(max_examples=80)
@given(events=haunts(), kills=kills)
def test_each_verdict_is_what_the_oracle_gives_whatever_restarts(
    events: list[Event], kills: dict[int, Compact]
) -> None:
    events = [(topic, dict(event)) for topic, event in events]
    verdicts, sessions = judged(events, CATALOG, PARAMETERS)
    playing = pipeline()
    play(playing, events, verdicts, kills)
    last = {one.event[1]["viewer_id"]: (one.state, one.reasons) for one in verdicts}
    signals = playing.last("signals.viewers")
    assert {v: (s["trust"], s["trust_reasons"]) for v, s in signals.items()} == last
    taken = [(s["as_of_ms"], s["vector"]) for s in playing.records("activity.sessions")]
    assert sorted(taken) == sorted((s.as_of_ms, s.vector) for s in sessions)


@settings(max_examples=60)
@given(events=haunts(), kills=kills)
def test_what_a_bot_does_counts_for_nothing_and_is_told_all_the_same(
    events: list[Event], kills: dict[int, Compact]
) -> None:
    events = [(topic, dict(event)) for topic, event in events]
    verdicts, _ = judged(events, CATALOG, PARAMETERS)
    playing = pipeline()
    play(playing, events, verdicts, kills)
    left = never_a_bots(verdicts)
    expected = expected_items([event for event in left if event[0] != "events.watches"])
    assert totals(playing.last("signals.items")) == totals(expected)
    assert totals(playing.last("signals.queries")) == totals(expected_queries(left))
    profiles = expected_profiles(
        events, stream_time_ms=playing.viewers.stream_time_ms, catalog=CATALOG
    )
    assert differences(playing.last("signals.viewers"), profiles) == []


@settings(max_examples=20)
@given(events=haunts())
def test_what_is_only_said_counts_all_the_same(events: list[Event]) -> None:
    events = [(topic, dict(event)) for topic, event in events]
    verdicts, _ = judged(events, CATALOG, PARAMETERS)
    playing = pipeline(keep_out_bots=False)
    play(playing, events, verdicts, {})
    expected = expected_items(
        events, stream_time_ms=playing.viewers.stream_time_ms, catalog=CATALOG
    )
    assert differences(playing.last("signals.items"), expected) == []


def test_the_strategy_meets_every_step_and_every_reason_for_it() -> None:
    """What never comes up would prove nothing."""
    steps: set[tuple[str, str]] = set()
    reasons: dict[str, set[str]] = {"ok": set(), "suspect": set(), "bot": set()}

    @settings(max_examples=400, database=None, derandomize=True)
    @given(events=haunts(("v1",)))
    def look(events: list[Event]) -> None:
        state = "ok"
        for one in judged(events, CATALOG, PARAMETERS)[0]:
            steps.add((state, one.state))
            state = one.state
            reasons[state].update(one.reasons)

    look()
    drawn = {("ok", "suspect"), ("suspect", "bot"), ("bot", "suspect"), ("suspect", "ok")}
    # Of a bot that rests for 7 h both steps back come with one event.
    assert drawn <= steps <= {*drawn, ("bot", "ok"), *((s, s) for s in reasons)}
    assert reasons["ok"] == set()
    assert reasons["suspect"] | reasons["bot"] == set(ORDER)
