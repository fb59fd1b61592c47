"""Serving features against their definitions, from the records a reader has."""

from typing import Any

import msgspec
import pytest

from streamapp.events import CatalogItem
from streamapp.features.serving import (
    GROUPS,
    TYPES,
    features,
    item_features,
    last_clicked,
    viewer_features,
    words,
)
from streamapp.signals import (
    Affinities,
    Habits,
    Interest,
    ItemSignal,
    RecentAction,
    ViewerSession,
    ViewerSignal,
)

NOW = 1_700_000_000_000
WEEK = 7 * 86_400_000


def viewer_signal(**changes: Any) -> ViewerSignal:
    signal = ViewerSignal(
        viewer_id="v1",
        as_of_ms=NOW,
        computed_at_ms=NOW,
        recent=[
            RecentAction("i3", "watch", NOW),
            RecentAction("i2", "click", NOW - 1),
            RecentAction("i1", "click", NOW - 2),
        ],
        affinity=Affinities({"drama": Interest(1.0, 5.0), "news": Interest(0.0, -4.0)}, {}),
        session=ViewerSession("v1:0", 0, 0, 0, 0, 0),
        seen=[],
        hidden=[],
        habits=Habits({}, 0.5),
    )
    return msgspec.structs.replace(signal, **changes)


def item_signal(**changes: Any) -> ItemSignal:
    signal = ItemSignal(
        item_id="i1",
        as_of_ms=NOW,
        computed_at_ms=NOW,
        status=None,
        category=None,
        creator_id=None,
        counters={},
        ctr=0.031249,
        coec=1.0,
        completion_rate=0.3,
        watch_ratio=0.55555,
        velocity=12345.6,
        viewers=3,
    )
    return msgspec.structs.replace(signal, **changes)


ITEM = CatalogItem(
    item_id="i1",
    kind="vod",
    category="drama",
    creator_id="c1",
    duration_ms=60_000,
    title="Kim-Chi, slowly",
)


def test_all_that_is_known_of_a_viewer_and_an_item_becomes_features():
    viewer = viewer_features(
        viewer_signal(),
        NOW + WEEK,
        last_category="news",
        device="tv",
        country="kr",
        query="  KIM chi stew ",
    )
    assert features(viewer, item_features(ITEM, item_signal()), ITEM.title) == {
        "recent_clicks": 2,
        "recent_watches": 1,
        "recent_completes": 0,
        "device": "tv",
        "country": "kr",
        "last_category": "news",
        "kind": "vod",
        "category": "drama",
        "creator_id": "c1",
        "duration_ms": 60_000,
        "ctr": 0.0312,
        "coec": 1.0,
        "completion_rate": 0.3,
        "watch_ratio": 0.556,
        "velocity": 12300.0,
        "same_category": 0,
        "affinity_category": 2.5,
        "affinity_category_6h": 0.0,
        "viewer_watch_ratio": 1.0,
        "query_match": 0.667,
    }


def test_nothing_known_leaves_the_counts_of_a_viewer_who_did_nothing():
    viewer = viewer_features(None, NOW)
    nothing = {"recent_clicks": 0, "recent_watches": 0, "recent_completes": 0}
    assert features(viewer, item_features(None, None)) == nothing
    assert features(viewer, item_features(CatalogItem(item_id="i1"), None)) == nothing


def test_an_item_without_a_title_and_a_query_without_words_have_no_match():
    asked = viewer_features(None, NOW, query="kim")
    empty = viewer_features(None, NOW, query=" ?! ")
    assert "query_match" not in features(asked, {}, None)
    assert "query_match" not in features(empty, {}, "kim")
    assert features(asked, {}, "soup")["query_match"] == 0.0


@pytest.mark.parametrize("age_ms", [0, -WEEK])
def test_an_affinity_is_no_more_than_was_published_when_clocks_disagree(age_ms):
    viewer = viewer_features(viewer_signal(), NOW + age_ms)
    assert viewer.categories == {
        "drama": {"affinity_category": 5.0, "affinity_category_6h": 1.0},
        "news": {"affinity_category": -4.0, "affinity_category_6h": 0.0},
    }


@pytest.mark.parametrize(("hours", "left"), [(0, -1.0), (5, -9 / 16), (24, -1 / 16), (31, 0.0)])
def test_an_affinity_of_the_last_hours_is_told_in_16ths_until_nothing_is_left(hours, left):
    signal = viewer_signal(affinity=Affinities({}, {"c1": Interest(-1.0, -7.0)}))
    viewer = viewer_features(signal, NOW + hours * 3_600_000)
    assert viewer.creators["c1"]["affinity_creator_6h"] == left


@pytest.mark.parametrize(("ratio", "odds"), [(0.0, 0.0), (0.6, 1.5), (0.99, 99.0), (2.5, 99.0)])
def test_how_much_a_viewer_watches_is_told_as_odds_up_to_all_of_it(ratio, odds):
    viewer = viewer_features(viewer_signal(habits=Habits({}, ratio)), NOW)
    assert viewer.shared["viewer_watch_ratio"] == odds


def test_clicks_count_in_the_session_that_goes_on_and_not_in_one_that_is_over():
    signal = viewer_signal(session=ViewerSession("v1:0", 0, 10, 1, 0, 0))
    last_ms = NOW + 30 * 60_000 - 1
    assert viewer_features(signal, last_ms).shared["session_ctr"] == 0.0563
    assert "session_ctr" not in viewer_features(signal, last_ms + 1).shared


def test_the_item_clicked_last_is_the_newest_click():
    assert last_clicked(viewer_signal()) == "i2"
    assert last_clicked(viewer_signal(recent=[])) is None


def test_words_are_compared_as_queries_are():
    assert words("Ｋｉｍ\u00a0CHI") == words("chi, kim!") == {"kim", "chi"}


def test_every_feature_that_is_computed_is_declared_with_its_type():
    viewer = viewer_features(
        viewer_signal(affinity=Affinities({"drama": Interest(0, 1)}, {"c1": Interest(0, 1)})),
        NOW,
        last_category="drama",
        device="tv",
        country="kr",
        query="kim",
    )
    known = features(viewer, item_features(ITEM, item_signal()), ITEM.title)
    assert {name: type(value) for name, value in known.items()} == TYPES
    assert all(group.about.endswith(".") for group in GROUPS.values())
