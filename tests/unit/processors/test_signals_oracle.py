"""viewers, items and queries together against the brute-force oracles."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.signals import Example
from tests.oracles.items import DAY, HOUR, MINUTE, Event, differences, expected_items
from tests.oracles.pipeline import (
    Compact,
    Pipeline,
    compacted,
    half_compacted,
    whole,
)
from tests.oracles.profiles import expected_profiles
from tests.oracles.queries import expected_queries, query_differences
from tests.oracles.viewers import (
    ExpectedCompletion,
    ExpectedExample,
    expected_completions,
    expected_examples,
    expected_recent,
)
from tests.oracles.worlds import shuffled, worlds

WINDOWS = ViewersSettings(click_window_ms=120_000, click_window_ms_by_surface={"search": 15_000})
CATALOG = {
    "i1": {"status": "active", "category": "drama", "creator_id": "c1"},
    "i2": {"status": "active", "category": "50% \x01"},
}
PARAMETERS: list[dict[str, Any]] = [
    {"name": "position_ctr/home", "valid_from_ms": 1_700_000_010_000, "value": [0.5, 0.25]},
    {"name": "prior/ctr", "valid_from_ms": 0, "value": 0.2},
    {"name": "prior/ctr/drama", "valid_from_ms": 1_700_003_600_000, "value": 0.4},
    {"name": "prior/watch_ratio", "valid_from_ms": 1_700_007_200_000, "value": 0.3},
]


def pipeline() -> Pipeline:
    playing = Pipeline(WINDOWS)
    for item_id, fields in CATALOG.items():
        playing.catalog_item(item_id, **fields)
    for parameter in PARAMETERS:
        playing.parameter(parameter["name"], parameter["valid_from_ms"], parameter["value"])
    return playing


def given_examples(playing: Pipeline, kind: str) -> list[Example]:
    decoded = [
        msgspec.json.decode(value, type=Example)
        for _, value in playing.emitted.get("training.examples", [])
        if value is not None
    ]
    return [example for example in decoded if example.kind == kind]


def completions(playing: Pipeline) -> list[ExpectedCompletion]:
    return sorted(
        [
            ExpectedCompletion(
                e.viewer_id,
                e.request_id,
                e.item_id,
                e.position,
                e.served_at_ms,
                e.labelled_at_ms,
                e.labels.clicked,
                e.labels.watched_ms or 0,
                bool(e.labels.completed),
                e.labels.watched_share,
            )
            for e in given_examples(playing, "completion")
        ],
        key=str,
    )


def examples(playing: Pipeline) -> list[ExpectedExample]:
    return sorted(
        ExpectedExample(
            e.viewer_id,
            e.request_id,
            e.item_id,
            e.position,
            e.served_at_ms,
            e.labelled_at_ms,
            e.labels.clicked,
            tuple(e.labels.actions),
        )
        for e in given_examples(playing, "click")
    )


def assert_as_expected(playing: Pipeline, events: list[Event], end_ms: int | None = None) -> None:
    expected = expected_items(events, stream_time_ms=end_ms, catalog=CATALOG, parameters=PARAMETERS)
    assert differences(playing.last("signals.items"), expected) == []
    queries = expected_queries(events, parameters=PARAMETERS)
    assert query_differences(playing.last("signals.queries"), queries) == []
    recent = {viewer: row["recent"] for viewer, row in playing.last("signals.viewers").items()}
    assert recent == expected_recent(events)
    profiles = expected_profiles(
        events, stream_time_ms=end_ms, catalog=CATALOG, parameters=PARAMETERS
    )
    assert differences(playing.last("signals.viewers"), profiles) == []
    assert examples(playing) == expected_examples(events, WINDOWS.click_window, end_ms)
    assert completions(playing) == expected_completions(events, WINDOWS.click_window, end_ms)


def finish(playing: Pipeline) -> None:
    """Let what is owed be sent: half a second on, nothing else becomes due."""
    playing.advance(playing.viewers.stream_time_ms + 500)


cuts = st.lists(st.integers(0, 100), max_size=6)


watched_within_a_minute = worlds(("impression", "click", "playback"), st.integers(0, 60))


@given(events=worlds() | watched_within_a_minute, cuts=cuts)
def test_events_in_order_give_what_the_oracle_gives(events: list[Event], cuts: list[int]) -> None:
    playing = pipeline()
    playing.play(events, cuts)
    finish(playing)
    assert_as_expected(playing, events, playing.viewers.stream_time_ms)


@given(data=st.data(), events=worlds() | watched_within_a_minute, cuts=cuts)
def test_events_in_any_order_give_what_the_oracle_gives(
    data: st.DataObject, events: list[Event], cuts: list[int]
) -> None:
    arriving = data.draw(shuffled(events))
    playing = pipeline()
    playing.play(arriving, cuts)
    finish(playing)
    assert_as_expected(playing, arriving, playing.viewers.stream_time_ms)


clicks_within_a_minute = worlds(("impression", "click"), st.integers(0, 60))


anything = worlds() | clicks_within_a_minute | watched_within_a_minute


@given(data=st.data(), events=anything, cuts=cuts)
def test_a_kill_at_any_moment_changes_nothing(
    data: st.DataObject, events: list[Event], cuts: list[int]
) -> None:
    arriving = data.draw(shuffled(events))
    playing = pipeline()
    compact = st.sampled_from((whole, compacted, half_compacted))
    kills: dict[int, Compact] = data.draw(
        st.dictionaries(st.integers(0, len(events)), compact, max_size=5)
    )
    for number, (topic, event) in enumerate(arriving):
        playing.viewers.send(topic, msgspec.json.encode(event))
        if number in cuts:
            playing.cut()
        if number in kills:
            playing.viewers.kill(kills[number])
            playing.items.kill(kills[number])
            playing.queries.kill(kills[number])
    playing.cut()
    finish(playing)
    assert_as_expected(playing, arriving, playing.viewers.stream_time_ms)


much_watched = worlds(
    ("impression", "impression", "click", "playback", "playback"), st.integers(0, 90)
)


@given(data=st.data(), events=much_watched, cuts=cuts)
def test_what_came_of_every_playback_is_told_whatever_the_order_cuts_and_kills(
    data: st.DataObject, events: list[Event], cuts: list[int]
) -> None:
    arriving = data.draw(st.just(events) | shuffled(events))
    kill: Compact = data.draw(st.sampled_from((whole, compacted, half_compacted)))
    kills = data.draw(st.sets(st.integers(0, len(events)), max_size=5))
    playing = pipeline()
    for number, (topic, event) in enumerate(arriving):
        playing.viewers.send(topic, msgspec.json.encode(event))
        if number in cuts:
            playing.cut()
        if number in kills:
            playing.viewers.kill(kill)
    playing.cut()
    for step_ms in data.draw(st.lists(st.sampled_from((MINUTE, 31 * MINUTE)), max_size=3)):
        playing.advance(playing.viewers.stream_time_ms + step_ms)
        playing.viewers.kill(kill)
    playing.advance(playing.viewers.stream_time_ms + 2 * HOUR)
    end_ms = playing.viewers.stream_time_ms
    assert completions(playing) == expected_completions(arriving, WINDOWS.click_window, end_ms)
    assert examples(playing) == expected_examples(arriving, WINDOWS.click_window, end_ms)


@given(data=st.data(), events=worlds(), cuts=cuts)
def test_after_an_erasure_a_viewer_is_what_came_after_it_and_is_later_than_the_request(
    data: st.DataObject, events: list[Event], cuts: list[int]
) -> None:
    arriving = data.draw(shuffled(events))
    after = data.draw(st.integers(0, len(arriving)))
    requested_ms = data.draw(st.sampled_from([event["occurred_at_ms"] for _, event in events]))
    kill: Compact | None = data.draw(st.sampled_from((None, whole, compacted, half_compacted)))
    playing = pipeline()
    playing.play(arriving[:after], cuts)
    playing.play([("privacy.erasures", {"viewer_id": "v1", "requested_at_ms": requested_ms})])
    if kill is not None:
        playing.viewers.kill(kill)
    playing.play(arriving[after:], cuts)
    finish(playing)
    left = [
        event
        for number, event in enumerate(arriving)
        if event[1]["viewer_id"] != "v1"
        or (number >= after and event[1]["occurred_at_ms"] > requested_ms)
    ]
    end_ms = playing.viewers.stream_time_ms
    profiles = expected_profiles(
        left, stream_time_ms=end_ms, catalog=CATALOG, parameters=PARAMETERS
    )
    signals = playing.last("signals.viewers")
    assert differences(signals, profiles) == []
    assert {viewer: row["recent"] for viewer, row in signals.items()} == expected_recent(left)


@given(data=st.data(), events=worlds(), cuts=cuts)
def test_when_all_is_quiet_for_a_day_every_playback_is_closed(
    data: st.DataObject, events: list[Event], cuts: list[int]
) -> None:
    arriving = data.draw(shuffled(events))
    playing = pipeline()
    playing.play(arriving, cuts)
    playing.advance(playing.viewers.stream_time_ms + DAY)
    expected = expected_items(
        events, stream_time_ms=float("inf"), catalog=CATALOG, parameters=PARAMETERS
    )
    assert differences(playing.last("signals.items"), expected) == []
    closed = {i: row["counters"] for i, row in playing.last("signals.items").items()}
    assert all(row["closed"]["total"] == row["watches"]["total"] for row in closed.values())


@given(events=worlds(), cuts=cuts)
@settings(max_examples=30)
def test_the_same_events_and_cuts_give_the_same_bytes(events: list[Event], cuts: list[int]) -> None:
    first, second = pipeline(), pipeline()
    for playing in (first, second):
        playing.play(events, cuts)
        playing.advance(playing.viewers.stream_time_ms + DAY)
    assert first.emitted == second.emitted


@given(data=st.data(), events=worlds())
@settings(max_examples=30)
def test_the_examples_of_a_slate_come_together(data: st.DataObject, events: list[Event]) -> None:
    playing = pipeline()
    playing.play(data.draw(shuffled(events)), range(len(events)))
    playing.advance(playing.viewers.stream_time_ms + DAY)
    seen: Counter[object] = Counter()
    previous = None
    for example in playing.records("training.examples"):
        names = ("kind", "viewer_id", "request_id", "served_at_ms")
        slate = tuple(example[name] for name in names)
        seen[slate] += slate != previous
        previous = slate
    assert set(seen.values()) <= {1}


def test_the_oracle_sees_a_wrong_number() -> None:
    """A comparison that cannot fail would prove nothing."""
    event = {"event_id": "e", "occurred_at_ms": 5, "viewer_id": "v", "item_id": "i"}
    expected = expected_items([("events.clicks", event | {"action": "like"})])
    actual = msgspec.json.decode(msgspec.json.encode(expected))
    assert differences(actual, expected) == []
    actual["i"]["counters"]["likes"]["6h"] += 1e-6
    assert differences(actual, expected) == ["i.counters.likes.6h: 1.000001, expected 1.0"]
    assert differences({}, expected) == ["i: missing"]


@pytest.mark.parametrize("compact", [whole, compacted, half_compacted])
def test_compaction_keeps_the_last_row_of_each_key(compact: Compact) -> None:
    rows = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)]
    last = dict(compact(rows))
    assert {key: value for key, value in last.items() if value is not None} == {b"a": b"2"}
