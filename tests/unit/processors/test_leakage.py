"""Nothing in an example is from after its item was shown. Timelines are in seconds from START."""

from __future__ import annotations

from typing import Any

import pytest

from streamapp.processors.viewers_settings import ViewersSettings
from tests.oracles.items import DAY, MINUTE
from tests.oracles.pipeline import Pipeline
from tests.unit.processors.test_viewers import acted, at, shown, viewers, watched


def pipeline() -> Pipeline:
    playing = Pipeline(ViewersSettings(click_window_ms=60_000))
    playing.catalog_item("a", category="drama", creator_id="c1")
    return playing


def features(playing: Pipeline, kind: str = "click") -> list[dict[str, Any]]:
    playing.advance(playing.viewers.stream_time_ms + DAY)
    records = playing.records("training.examples")
    return [record["features"] for record in records if record["kind"] == kind]


def test_a_click_before_its_impression_is_no_label_and_known_only_if_it_came_before() -> None:
    playing = pipeline()
    playing.play([acted("c1", 0, "a"), shown("e1", 1, "a"), acted("c2", 2, "a", "like")])
    (known,) = features(playing)
    (example,) = playing.records("training.examples")
    assert example["labels"] == {"clicked": False, "actions": ["like"]}
    assert (known["recent_clicks"], known["affinity_category"]) == (1, 1)


def test_a_click_that_arrives_before_its_impression_leaves_no_example_that_knows_of_it() -> None:
    playing = pipeline()
    playing.play([acted("c1", 5, "a"), shown("e1", 4, "a")])
    assert features(playing) == []
    assert viewers(playing).late_impressions == 1


def test_what_a_click_does_to_counters_and_tastes_is_not_in_its_own_example() -> None:
    clicked, ignored = pipeline(), pipeline()
    before = [shown("e0", 0, "a", viewer_id="w"), acted("c0", 1, "a", viewer_id="w")]
    after = [acted("c1", 11, "a"), acted("l1", 12, "a", "like"), watched("w1", 13, 9, item_id="a")]
    for playing, then in ((clicked, after), (ignored, [])):
        playing.play(before)
        playing.play([shown("e1", 10, "a")])
        playing.play(then, cuts=range(3))
        playing.advance(at(65))
    (_, one), (_, other) = features(clicked), features(ignored)
    assert one == other
    ctr = clicked.last("signals.items")["a"]["ctr"]
    assert one["ctr"] == pytest.approx((1 + 20 * 0.03) / (1 + 20), rel=1e-2) != ctr
    assert features(clicked, "completion") == [one]


def test_what_is_counted_but_not_yet_published_is_not_known() -> None:
    playing = pipeline()
    other = [shown("e0", 0, "a", viewer_id="w"), acted("c0", 1, "a", viewer_id="w")]
    playing.play([*other, shown("e1", 10, "a")])
    known = features(playing)
    assert "ctr" not in known[1]


def test_while_a_backlog_is_worked_off_signals_from_the_future_are_not_used() -> None:
    playing = pipeline()
    ahead = Pipeline()
    ahead.play([acted("c0", 3_600, "a", viewer_id="w")])
    _, signal = ahead.emitted["signals.items"][-1]
    playing.item_signals.update("a", signal)
    playing.play([shown("e1", 0, "a"), shown("e2", 3_600 - 59, "a"), shown("e3", 3_601, "a")])
    assert ["ctr" in known for known in features(playing)] == [False, True, True]


def test_a_late_impression_gives_no_example_of_any_kind_and_is_counted() -> None:
    playing = pipeline()
    late = [watched("w0", 5, 0, item_id="x"), shown("e1", 4, "a"), watched("w1", 6, 9, item_id="a")]
    playing.play(late)
    assert features(playing) == features(playing, "completion") == []
    assert viewers(playing).late_impressions == 1


def test_what_is_watched_after_the_window_counts_in_signals_and_not_in_labels() -> None:
    playing = pipeline()
    beat = {"item_id": "a", "duration_ms": 10 * MINUTE}
    over = 40 * 60  # 10 min and 30 min after it was shown
    playing.play(
        [
            shown("e1", 0, "a"),
            watched("w1", 10, 0, **beat),
            watched("w2", 20 * 60, 60_000, **beat),
            watched("w3", over, 300_000, **beat),
            watched("w4", over + 0.001, 590_000, state="complete", **beat),
        ]
    )
    playing.advance(at(over + 1))
    (example,) = [r for r in playing.records("training.examples") if r["kind"] == "completion"]
    assert example["labels"] == {
        "clicked": False,
        "watched_ms": 300_000,
        "completed": False,
        "watched_share": 0.5,
    }
    assert example["labelled_at_ms"] == at(over)
    assert playing.last("signals.items")["a"]["counters"]["completes"]["total"] == 1


def test_features_served_with_a_slot_are_said_and_nothing_else_is_looked_up() -> None:
    playing = pipeline()
    _, event = shown("e1", 1, "a", query="kim")
    event["items"][0]["features"] = {"own": 1.0}
    playing.play([acted("c0", 0, "a"), ("events.impressions", event)])
    viewer = viewers(playing)._viewers.get("v")
    assert viewer is not None
    assert viewer.slates is not None
    (slate,) = viewer.slates.all()
    assert (slate.shown.features, slate.shown.signals, slate.shown.matches) == ([], "", b"")
    assert (slate.categories, slate.shown.watch_ratio, slate.shown.session_ctr) == (None,) * 3
    assert features(playing) == [{"own": 1.0}]
