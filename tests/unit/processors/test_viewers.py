"""Timelines are in seconds from START."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.features.completions import MOST
from streamapp.features.slates import MAX_OPEN
from streamapp.features.viewer import FEWEST_STEPS
from streamapp.features.viewer_store import MOST_STEPS
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.signals import Example, ItemDelta, ViewerSignal
from tests.oracles.items import DAY, HOUR, MINUTE
from tests.oracles.pipeline import Pipeline

START = 1_700_000_000_000


def shown(event_id: str, at: float, *items: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "events.impressions", {
        "event_id": event_id,
        "occurred_at_ms": START + int(at * 1000),
        "viewer_id": "v",
        "request_id": f"r-{event_id}",
        "surface": "home",
        "items": [{"item_id": item, "position": n} for n, item in enumerate(items, 1)],
    } | fields


def acted(
    event_id: str, at: float, item_id: str, action: str = "click", **fields: Any
) -> tuple[str, dict[str, Any]]:
    return "events.clicks", {
        "event_id": event_id,
        "occurred_at_ms": START + int(at * 1000),
        "viewer_id": "v",
        "item_id": item_id,
        "action": action,
    } | fields


def watched(event_id: str, at: float, ms: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "events.watches", {
        "event_id": event_id,
        "occurred_at_ms": START + int(at * 1000),
        "viewer_id": "v",
        "item_id": "i",
        "playback_id": "p",
        "state": "progress",
        "watched_ms": ms,
        "duration_ms": 600_000,
    } | fields


def settings(**changes: Any) -> ViewersSettings:
    return ViewersSettings(click_window_ms=60_000, **changes)


def viewers(pipeline: Pipeline) -> Viewers:
    processor = pipeline.viewers.processor
    assert isinstance(processor, Viewers)
    return processor


def examples(pipeline: Pipeline) -> dict[str, bool]:
    """Return the labels given so far by item."""
    values = [value for _, value in pipeline.emitted.get("training.examples", []) if value]
    decoded = [msgspec.json.decode(value, type=Example) for value in values]
    return {example.item_id: example.labels.clicked for example in decoded}


def totals(pipeline: Pipeline, item_id: str) -> dict[str, float]:
    counters = pipeline.last("signals.items")[item_id]["counters"]
    return {name: counter["total"] for name, counter in counters.items() if counter["total"]}


def of_viewers(pipeline: Pipeline) -> dict[bytes, bytes]:
    """Return the rows in the changelog that say anything of a viewer: all but names of items."""
    rows = dict(pipeline.viewers.log).items()
    return {key: row for key, row in rows if row is not None and key[:1] != b"n"}


def at(seconds: float) -> int:
    return START + int(seconds * 1000)


def test_examples_come_together_when_stream_time_is_past_the_window() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a", "b"), acted("c1", 5, "b")])
    pipeline.advance(at(60))
    assert examples(pipeline) == {}
    pipeline.advance(at(60) + 1)
    assert examples(pipeline) == {"a": False, "b": True}


@pytest.mark.parametrize(("second", "label"), [(0, True), (60, True), (60.001, False)])
def test_a_click_labels_up_to_the_end_of_the_window(second: float, label: bool) -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a"), acted("c1", second, "a")])
    pipeline.advance(at(100))
    assert examples(pipeline) == {"a": label}


def test_a_late_click_within_the_window_labels_nothing_once_stream_time_is_past_it() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a"), acted("l1", 61, "a", "like"), acted("c1", 5, "a")])
    assert examples(pipeline) == {"a": False}


@pytest.mark.parametrize("action", ["like", "add_to_cart", "purchase"])
def test_only_a_click_is_a_click(action: str) -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a"), acted("c1", 5, "a", action)])
    pipeline.advance(at(61))
    assert examples(pipeline) == {"a": False}


def test_a_click_names_its_request() -> None:
    pipeline = Pipeline(settings())
    events = [
        shown("e1", 0, "a", request_id="r1"),
        shown("e2", 1, "a", request_id="r2"),
        acted("c1", 2, "a", request_id="r1"),
        acted("c2", 2, "a", request_id="r9"),
    ]
    pipeline.play(events)
    pipeline.advance(at(61.5))
    rows = pipeline.records("training.examples")
    assert [(r["request_id"], r["labels"]["clicked"]) for r in rows] == [
        ("r1", True),
        ("r2", False),
    ]


def test_a_slate_of_a_short_window_still_owns_its_clicks_when_an_older_one_is_open() -> None:
    #  0 a on home (60 s) ── 10 a on search (5 s) ── 20 click on a: search's, and too late for it
    pipeline = Pipeline(settings(click_window_ms_by_surface={"search": 5_000}))
    slates = [shown("e1", 0, "a"), shown("e2", 10, "a", surface="search")]
    pipeline.play([*slates, acted("c1", 20, "a")])
    pipeline.viewers.kill()
    pipeline.advance(at(100))
    rows = pipeline.records("training.examples")
    assert [(r["surface"], r["labels"]["clicked"]) for r in rows] == [
        ("search", False),
        ("home", False),
    ]


def test_of_more_slates_than_a_viewer_may_have_open_the_last_give_no_examples() -> None:
    pipeline = Pipeline(settings())
    slates = [shown(f"e{n}", n / 100, f"i{n}") for n in range(MAX_OPEN + 2)]
    pipeline.play([*slates, acted("c1", 10, f"i{MAX_OPEN - 1}"), acted("c2", 10, f"i{MAX_OPEN}")])
    assert viewers(pipeline).crowded_impressions == 2
    pipeline.viewers.kill()
    pipeline.advance(at(100))
    given = examples(pipeline)
    assert len(given) == MAX_OPEN
    assert [item for item, clicked in given.items() if clicked] == [f"i{MAX_OPEN - 1}"]
    assert totals(pipeline, f"i{MAX_OPEN}")["impressions"] == 1
    pipeline.play([shown("e", 200, "a")])
    pipeline.advance(at(300))
    assert examples(pipeline)["a"] is False


def test_of_more_slates_than_may_wait_for_their_playbacks_the_last_give_no_completions() -> None:
    pipeline = Pipeline(settings())
    for number in range(MOST + 2):
        began = 3 * number
        pipeline.play(
            [
                shown(f"e{number}", began, f"i{number}"),
                watched(f"w{number}", began + 1, 0, item_id=f"i{number}", playback_id=f"p{number}"),
            ]
        )
    pipeline.advance(at(3 * MOST + 100))
    assert viewers(pipeline).gauges()["crowded_completions"] == 2.0
    pipeline.advance(at(4 * 60 * 60))
    given = [row for row in pipeline.records("training.examples") if row["kind"] == "completion"]
    assert [row["item_id"] for row in given] == [f"i{number}" for number in range(MOST)]


def test_an_impression_after_a_later_event_of_its_viewer_gives_no_example() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 5, "a"), shown("e1", 4, "a"), shown("e2", 5, "b")])
    assert viewers(pipeline).late_impressions == 1
    pipeline.viewers.kill()
    pipeline.advance(at(100))
    assert examples(pipeline) == {"b": False}
    assert totals(pipeline, "a")["impressions"] == 1


def test_an_impression_that_comes_when_its_window_is_over_is_labelled_at_once() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 100, "x", viewer_id="w"), shown("e1", 0, "a"), acted("c2", 1, "a")])
    assert examples(pipeline) == {"a": False}


def test_a_click_is_remembered_over_a_restore() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a", "b", "a"), acted("c1", 5, "b")])
    pipeline.viewers.kill()
    pipeline.advance(at(61))
    assert examples(pipeline) == {"a": False, "b": True}


def test_what_is_known_is_frozen_when_the_slate_is_shown() -> None:
    pipeline = Pipeline(settings())
    pipeline.catalog_item("a", category="drama")
    pipeline.play([acted("c1", 0, "a"), shown("e1", 1, "a")])
    pipeline.catalog_item("a", category="news")
    pipeline.play([acted("c2", 2, "a", "like"), acted("c3", 3, "x")])
    pipeline.viewers.kill()
    pipeline.advance(at(62))
    (example,) = pipeline.records("training.examples")
    assert example["features"] == {
        "recent_clicks": 1,
        "recent_watches": 0,
        "recent_completes": 0,
        "last_category": "drama",
        "same_category": 1,
        "category": "drama",
        "affinity_category": 1,
        "affinity_category_6h": 1,
        "viewer_watch_ratio": 1,
        "session_ctr": 0.087,  # odds of (1 + 0.6)/(0 + 20)
    }


def test_what_the_catalog_says_anew_counts_from_the_next_event_on() -> None:
    pipeline = Pipeline(settings())
    pipeline.catalog_item("a", category="drama")
    pipeline.play([shown("e1", 0, "a", "b")])
    pipeline.catalog_item("a", category="news")
    pipeline.play([shown("e2", 1, "a", "b"), acted("c1", 2, "a")])
    pipeline.broadcast("catalog.items", "a", None)
    pipeline.play([shown("e3", 3, "a", "b"), acted("c2", 4, "a")])
    pipeline.advance(at(64))
    first, second, third = pipeline.records("training.examples")[::2]
    assert first["features"]["category"] == "drama"
    assert second["features"]["category"] == "news"
    assert "category" not in third["features"]
    assert list(pipeline.last("signals.viewers")["v"]["affinity"]["category"]) == ["news"]
    assert third["features"].get("last_category") is None


def test_examples_know_their_items_however_far_stream_time_goes_before_the_cut() -> None:
    pipeline = Pipeline(settings())
    pipeline.catalog_item("a", category="drama")
    far = [acted(f"c{n}", n * 2 * 86_400, "x", viewer_id=f"w{n}") for n in range(1, 9)]
    pipeline.play([shown("e1", 0, "a"), watched("w1", 1, 1000), *far])
    (example,) = pipeline.records("training.examples")
    assert example["features"]["category"] == "drama"
    assert totals(pipeline, "i")["closed"] == 1


def test_a_viewer_asleep_since_a_restore_is_whole_when_their_items_are_long_forgotten() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a"), watched("w1", 1, 1000), shown("e1", 2, "b")])
    pipeline.advance(at(3600))
    pipeline.viewers.kill()
    pipeline.play(acted(f"d{n}", n * 2 * 86_400, "x", viewer_id="w") for n in range(1, 6))
    pipeline.play([acted("c2", 11 * 86_400, "c")])
    signal = pipeline.last("signals.viewers")["v"]
    assert [a["item_id"] for a in signal["recent"]] == ["c", "i", "a"]
    assert signal["seen"] == ["b"]
    assert totals(pipeline, "i")["closed"] == 1


def test_an_event_writes_one_small_row_and_now_and_then_the_whole_viewer() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted(f"c{n}", n, "a") for n in range(100)])
    rows = [key[:1] for key, _ in pipeline.viewers.log]
    assert rows.count(b"v") == 1, "of one cut"
    assert rows.count(b"s") == FEWEST_STEPS - 1, "the slots are written anew"
    pipeline.play([acted(f"d{n}", 100 + n, "a") for n in range(5)], cuts=range(5))
    assert [key[:1] for key, _ in pipeline.viewers.log[len(rows) :]] == [b"s"] * 5


def test_an_empty_slate_counts_as_nothing_and_gives_no_example() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0)])
    pipeline.advance(at(61))
    assert examples(pipeline) == {}
    assert list(pipeline.last("signals.viewers")) == ["v"]


def test_a_duplicate_counts_nowhere_even_after_a_restore() -> None:
    pipeline = Pipeline(settings())
    events = [acted(f"c{n}", n, "a") for n in range(20)]
    pipeline.play(events)
    pipeline.viewers.kill()
    pipeline.play(events)
    assert totals(pipeline, "a") == {"clicks": 20}
    assert viewers(pipeline).duplicates == 20


def test_an_event_id_is_the_viewers_own() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c", 0, "a"), acted("c", 0, "a", viewer_id="w")])
    assert totals(pipeline, "a") == {"clicks": 2}


def test_event_ids_are_remembered_for_a_day_and_as_long_as_events_may_be_late() -> None:
    day = 24 * 60 * 60
    for grace_ms in (HOUR, 2 * DAY):
        pipeline, over = Pipeline(settings(grace_ms=grace_ms)), day + grace_ms // 1_000
        pipeline.play([acted("c", 0, "a"), acted("d", over, "a"), acted("c", 0, "a")])
        assert viewers(pipeline).duplicates == 1
        pipeline.play([acted("f", over + 1, "a"), acted("c", 0, "a")])
        assert viewers(pipeline).duplicates == 1


def test_a_late_event_with_the_id_of_one_a_day_earlier_is_a_duplicate() -> None:
    pipeline, hour = Pipeline(settings(grace_ms=DAY)), 60 * 60
    pipeline.play([acted("c", 0, "a"), acted("d", 40 * hour, "a"), acted("c", 23 * hour, "a")])
    assert viewers(pipeline).duplicates == 1
    assert totals(pipeline, "a")["clicks"] == 2


def test_follow_counts_for_no_item_and_is_remembered() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a", "follow")])
    assert "signals.items" not in pipeline.emitted
    (action,) = pipeline.last("signals.viewers")["v"]["recent"]
    assert action["action"] == "follow"


def test_a_playback_is_a_watch_when_it_begins_and_a_complete_when_it_is() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([watched("w1", 0, 0), watched("w2", 9, 599_000), watched("w3", 10, 600_000)])
    recent = pipeline.last("signals.viewers")["v"]["recent"]
    assert [(a["action"], a["occurred_at_ms"]) for a in recent] == [
        ("complete", at(9)),
        ("watch", at(0)),
    ]


def test_a_playback_without_heartbeats_closes_when_stream_time_is_past_30_minutes() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([watched("w1", 0, 1000), watched("w2", 60, 60_000)])
    pipeline.advance(at(60) + 30 * MINUTE)
    assert "closed" not in totals(pipeline, "i")
    pipeline.viewers.kill()
    pipeline.advance(at(60) + 30 * MINUTE + 1)
    closed = totals(pipeline, "i")
    assert (closed["closed"], closed["ratio_sum"], closed["ratio_n"]) == (1, 0.1, 1)


def test_a_heartbeat_that_comes_late_takes_a_close_by_time_back() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([watched("w1", 0, 1000), acted("c", 3600, "x")])
    assert totals(pipeline, "i")["closed"] == 1
    pipeline.viewers.kill()
    pipeline.play([watched("w2", 1200, 60_000), watched("w3", 3000, 120_000)])
    assert "closed" not in totals(pipeline, "i")
    pipeline.advance(at(3000) + 30 * MINUTE + 1)
    assert totals(pipeline, "i")["closed"] == 1
    assert totals(pipeline, "i")["ratio_sum"] == pytest.approx(0.2)


def test_a_playback_that_comes_when_its_time_is_over_closes_at_once() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c", 3600, "x"), watched("w1", 0, 1000)])
    assert totals(pipeline, "i")["closed"] == 1


def test_a_playback_id_used_again_after_a_day_is_another_playback() -> None:
    pipeline = Pipeline(settings())
    day = 24 * 60 * 60
    pipeline.play([watched("w1", 0, 1000), watched("w2", day, 3000)])
    assert totals(pipeline, "i")["watches"] == 1
    pipeline.play([watched("w3", 2 * day + 1, 1000)])
    assert totals(pipeline, "i") == {
        "watches": 2,
        "watched_ms": 4000,
        "closed": 1,
        "ratio_sum": 1000 / 600_000,
        "ratio_n": 1,
    }


def test_old_playbacks_are_forgotten() -> None:
    pipeline = Pipeline(settings())
    day = 24 * 60 * 60
    pipeline.play(watched(f"w{n}", n * day, 0, playback_id=f"p{n}", state="exit") for n in range(9))
    viewer = viewers(pipeline)._viewers.get("v")
    assert viewer is not None
    assert len(list(viewer.playbacks.all())) <= 3


def test_a_viewers_signal_is_sent_when_touched_and_then_at_most_twice_a_second() -> None:
    pipeline = Pipeline(settings())
    sent = []
    for tenth in range(20):
        pipeline.play([acted(f"c{tenth}", tenth / 10, "a")])
        sent.append(len(pipeline.records("signals.viewers")))
    assert sent[0] == 1
    assert sent[-1] == 4
    assert len(pipeline.last("signals.viewers")["v"]["recent"]) == 16
    pipeline.advance(at(2))
    assert len(pipeline.last("signals.viewers")["v"]["recent"]) == 20
    pipeline.advance(at(9))
    assert len(pipeline.records("signals.viewers")) == 5


def test_a_signal_that_is_owed_is_sent_by_the_one_who_takes_over() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a")])
    pipeline.play([acted("c2", 0.1, "b")])
    assert len(pipeline.last("signals.viewers")["v"]["recent"]) == 1
    pipeline.viewers.kill()
    pipeline.advance(at(0.5))
    pipeline.advance(at(0.7))
    assert len(pipeline.last("signals.viewers")["v"]["recent"]) == 2
    pipeline.advance(at(1.3))
    assert len(pipeline.records("signals.viewers")) == 2


def test_a_signal_is_as_of_the_viewers_newest_event() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c2", 9, "b"), acted("c1", 0, "a")])
    signal = pipeline.emitted["signals.viewers"][-1][1]
    assert signal is not None
    decoded = msgspec.json.decode(signal, type=ViewerSignal)
    assert decoded.as_of_ms == at(9)
    assert [action.item_id for action in decoded.recent] == ["b", "a"]


def test_a_viewer_idle_for_30_days_is_forgotten_with_all_rows() -> None:
    pipeline = Pipeline(settings())
    events = [acted(f"c{n}", n, "a") for n in range(60)]
    pipeline.play([*events, watched("w", 60, 0), shown("e", 61, "a")])
    pipeline.advance(at(61) + 30 * DAY - HOUR)
    assert list(pipeline.last("signals.viewers")) == ["v"]
    pipeline.advance(at(61) + 30 * DAY + HOUR)
    assert pipeline.emitted["signals.viewers"][-1] == ("v", None)
    assert pipeline.viewers.processor.rows == 0
    assert of_viewers(pipeline) == {}


def test_a_viewer_who_comes_back_after_that_begins_anew() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted(f"c{n}", n, "a") for n in range(60)])
    pipeline.play([acted("c9", 40 * 86_400, "b")])
    assert [a["item_id"] for a in pipeline.last("signals.viewers")["v"]["recent"]] == ["b"]
    pipeline.viewers.kill()
    pipeline.play([acted("c10", 40 * 86_400 + 1, "c")])
    assert [a["item_id"] for a in pipeline.last("signals.viewers")["v"]["recent"]] == ["c", "b"]


def erased(at_second: float, viewer_id: str = "v") -> tuple[str, dict[str, Any]]:
    requested_ms = START + int(at_second * 1000)
    return "privacy.erasures", {"viewer_id": viewer_id, "requested_at_ms": requested_ms}


def test_an_erasure_leaves_no_row_and_no_signal_and_only_a_note_until_the_grace_is_over() -> None:
    pipeline = Pipeline(settings())
    events = [acted(f"c{n}", n, "a", "hide") for n in range(60)]
    pipeline.catalog_item("a", category="drama", creator_id="c1")
    pipeline.play([*events, watched("w", 60, 600_000), shown("e", 61, "a"), acted("d", 62, "a")])
    pipeline.play([erased(63)])
    assert pipeline.emitted["signals.viewers"][-1] == ("v", None)
    assert pipeline.viewers.processor.rows == 0
    assert list(of_viewers(pipeline)) == [b"ev"]
    pipeline.viewers.kill()
    pipeline.advance(at(63) + DAY + HOUR)
    assert of_viewers(pipeline) == {}
    assert len(pipeline.records("signals.viewers")) == 2


def test_open_slates_of_an_erased_viewer_give_no_examples() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a"), erased(30), shown("e2", 31, "b")])
    pipeline.viewers.kill()
    pipeline.advance(at(200))
    assert examples(pipeline) == {"b": False}


@pytest.mark.parametrize("killed", [False, True])
def test_after_an_erasure_only_what_is_later_counts(killed: bool) -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a"), watched("w1", 5, 1000), erased(10)])
    if killed:
        pipeline.viewers.kill()
    pipeline.play([acted("c2", 10, "b"), acted("c3", 9, "b"), acted("c1", 0, "a")])
    assert pipeline.last("signals.viewers") == {}
    pipeline.play([acted("c4", 11, "d"), watched("w2", 12, 3000), watched("w3", 13, 9000)])
    signal = pipeline.last("signals.viewers")["v"]
    assert [a["item_id"] for a in signal["recent"]] == ["i", "d"]
    assert signal["session"]["started_at_ms"] == at(11)
    assert signal["session"]["watched_ms"] == 9000
    assert viewers(pipeline).erased == 3


def test_a_viewer_who_is_back_before_the_next_cut_has_been_deleted_all_the_same() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a")])
    pipeline.play([acted("c2", 1, "b"), erased(10), acted("c3", 11, "c")])
    first, nothing, second = pipeline.records("signals.viewers")
    assert (first["recent"][0]["item_id"], nothing) == ("a", None)
    assert [a["item_id"] for a in second["recent"]] == ["c"]
    pipeline.viewers.kill()
    pipeline.play([acted("c4", 12, "d")])
    recent = pipeline.last("signals.viewers")["v"]["recent"]
    assert [a["item_id"] for a in recent] == ["d", "c"]


def test_an_erasure_of_an_unknown_viewer_deletes_whatever_signal_there_may_be() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([erased(0, "nobody")])
    assert pipeline.emitted["signals.viewers"] == [("nobody", None)]


def test_of_several_requests_the_latest_counts_whatever_their_order() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([erased(10), erased(5), acted("c1", 9, "a")])
    assert viewers(pipeline).erased == 1
    pipeline.advance(at(10) + DAY + HOUR)
    assert of_viewers(pipeline) == {}


def test_a_viewer_erased_and_back_is_forgotten_when_idle_like_any_other() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a"), erased(10), acted("c2", 3 * 86_400, "b")])
    pipeline.advance(at(0) + 31 * DAY)
    assert list(pipeline.last("signals.viewers")) == ["v"]
    pipeline.advance(at(3 * 86_400) + 30 * DAY + HOUR)
    assert pipeline.last("signals.viewers") == {}


def test_items_the_catalog_does_not_know_add_nothing_to_affinities() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c1", 0, "a")])
    pipeline.catalog_item("a", category="drama")
    pipeline.play([acted("c2", 60, "a", "purchase")])
    pipeline.catalog_item("a", category="comedy", creator_id="c1")
    pipeline.play([acted("c3", 120, "a", "report")])
    affinity = pipeline.last("signals.viewers")["v"]["affinity"]
    assert affinity["creator"] == {"c1": {"6h": -6.0, "7d": -6.0}}
    assert affinity["category"]["comedy"] == {"6h": -6.0, "7d": -6.0}
    assert affinity["category"]["drama"]["7d"] == pytest.approx(6.0, rel=1e-3)


def test_a_completed_playback_counts_for_its_category_at_its_start() -> None:
    pipeline = Pipeline(settings())
    pipeline.catalog_item("i", category="drama")
    pipeline.play([watched("w1", 0, 0), watched("w2", 600, 600_000)])
    sums = pipeline.last("signals.viewers")["v"]["affinity"]["category"]["drama"]
    assert sums["6h"] == pytest.approx(2.0 * 2.0 ** (-10 * MINUTE / (6 * HOUR)))


def test_a_close_by_time_is_said_without_another_event() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([watched("w1", 0, 60_000)])
    pipeline.advance(at(0) + 30 * MINUTE + 1)
    habits = pipeline.last("signals.viewers")["v"]["habits"]
    assert habits["watch_ratio"] == pytest.approx((0.1 + 10) / 21)
    assert list(habits["watched_ms_by_hour"].values()) == [60_000]


def test_signals_and_rows_of_a_tireless_viewer_stay_bounded() -> None:
    pipeline = Pipeline(settings())
    sizes = []
    for n in range(1_000):
        item = f"item-{n:06d}"
        pipeline.catalog_item(item, category=f"cat-{n:04d}", creator_id=f"creator-{n:04d}")
        slate = [f"item-{10 * n + m:06d}" for m in range(10)]
        events = [shown(f"e{n}", 60 * n, *slate), acted(f"c{n}", 60 * n + 1, item, "hide")]
        pipeline.viewers.send(*_encoded(events[0]))
        pipeline.viewers.send(*_encoded(events[1]))
        if n % 100 == 99:
            pipeline.cut()
            sizes.append(len(pipeline.emitted["signals.viewers"][-1][1] or b""))
    assert max(sizes[1:]) <= sizes[0] * 1.02
    assert max(sizes) < 12_000
    rows = of_viewers(pipeline)
    assert len(rows) <= 1 + MOST_STEPS
    assert max(map(len, rows.values())) < 200_000


def _encoded(event: tuple[str, dict[str, Any]]) -> tuple[str, bytes]:
    return event[0], msgspec.json.encode(event[1])


def test_deltas_are_added_up_by_item_and_cut() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([shown("e1", 0, "a", "b", "a"), acted("c", 1, "a")])
    records = [
        msgspec.json.decode(value or b"", type=ItemDelta)
        for _, value in pipeline.emitted["activity.items"]
    ]
    assert [(r.item_id, r.first_ms, r.as_of_ms) for r in records] == [
        ("a", at(0), at(1)),
        ("b", at(0), at(0)),
    ]
    assert records[0].deltas["impressions"][0] == 2
    assert records[0].deltas["clicks"] == (1.0,) * 4


def test_nothing_new_writes_nothing() -> None:
    pipeline = Pipeline(settings())
    pipeline.play([acted("c", 0, "a")])
    assert pipeline.viewers.cut().empty
    assert list(pipeline.viewers.processor.cut(pipeline.viewers.cut())) == []


def test_each_topic_has_its_own_events() -> None:
    processor = viewers(Pipeline())
    value = msgspec.json.encode(acted("c", 0, "a")[1])
    assert processor.decoder("events.clicks")(value).key == "v"
    for topic in ("events.watches", "events.impressions"):
        with pytest.raises(Rejection):
            processor.decoder(topic)(value)


def test_a_viewer_with_a_full_history_takes_at_most_six_kilobytes() -> None:
    pipeline = Pipeline(settings())
    many = 300
    values = [
        msgspec.json.encode(
            acted(f"{n:016x}", n / 10, f"item-{n % 999:06d}", viewer_id=f"viewer-{v:08d}")[1]
        )
        for n in range(50)
        for v in range(many)
    ]
    tracemalloc.start()
    for value in values:
        pipeline.viewers.send("events.clicks", value)
        pipeline.viewers.since_cut.clear()
    pipeline.viewers.cut()
    pipeline.viewers.log.clear()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / many <= 6_000
