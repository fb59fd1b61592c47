"""What is encoded in parts is what the encoder gives for the whole."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.events import CatalogItem
from streamapp.features.serving import (
    GROUPS,
    ITEM_SIGNALS,
    features,
    item_features,
    viewer_features,
)
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.reader.held_signal import held
from streamapp.reader.item_parts import OF_CATALOG, ItemParts, kind_of
from streamapp.reader.viewing import Viewing
from streamapp.signals import FeatureSpec, Habits, ItemSignal, ViewerSession, ViewerSignal
from tests.unit.reader.worlds import NOW_MS, item_signal, viewer_signal

NAMES = [name for group in GROUPS.values() for name in group.features]

categories = st.sampled_from(["drama", "news", "sport"])
creators = st.sampled_from(["c1", "c2", ""])
rates = st.sampled_from([0.0, 0.0312, 0.5, 1.25, 1e20, 7.0])
catalog = st.builds(
    CatalogItem,
    item_id=st.just("i1"),
    category=st.none() | categories,
    creator_id=st.none() | creators,
    kind=st.none() | st.just("vod"),
    title=st.none() | st.sampled_from(["kim chi stew", "chi", ""]),
    duration_ms=st.none() | st.integers(0, 10**7),
)
affinities = st.dictionaries(categories | creators, st.floats(-9, 9), max_size=4)
viewers = st.builds(
    viewer_signal,
    recent=st.lists(st.tuples(st.sampled_from(["i1", "i2"]), st.sampled_from(["click", "watch"]))),
    categories=affinities,
    creators=affinities,
    as_of_ms=st.integers(NOW_MS - 10**9, NOW_MS) | st.integers(NOW_MS - 10**7, NOW_MS),
    session=st.builds(
        lambda shown, clicks: ViewerSession("v1:1", 1, shown, clicks, 0, 0),
        st.integers(0, 40),
        st.integers(0, 20),
    ),
    habits=st.builds(Habits, st.just({}), st.floats(0, 3)),
)


@st.composite
def specs(draw: st.DrawFn) -> FeatureSpec:
    """Any features, any crosses; few bits, so that tokens fall on the same coordinate."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    crossable = [name for name in names if name != "position"]
    pairs = st.lists(
        st.tuples(st.sampled_from(crossable), st.sampled_from(crossable)), max_size=6, unique=True
    )
    crosses = tuple(draw(pairs)) if crossable else ()
    return FeatureSpec(names=tuple(names), crosses=crosses, bits=draw(st.sampled_from([3, 5, 20])))


@given(
    specs() | st.just(DEFAULT_SPEC),
    st.none() | viewers,
    st.lists(st.tuples(st.none() | catalog, st.none() | rates), min_size=1, max_size=3),
    st.none() | categories,
    st.sampled_from([None, "kim chi", "chi"]),
    st.sampled_from([None, "tv"]),
)
def test_parts_make_the_coordinates_of_the_whole(spec, viewer, items, last, query, device):
    encoder, signal = Encoder(spec), None
    if viewer is not None:
        signal = msgspec.json.decode(viewer.value, type=ViewerSignal)
    of_viewer = viewer_features(
        signal, NOW_MS, last_category=last, device=device, country=None, query=query
    )
    parts = ItemParts(encoder, capacity=2)
    known, signals, expected = [], [], []
    for number, (item, rate) in enumerate(items):
        value = None if rate is None else item_signal("i", ctr=rate, velocity=rate).value
        rated = None if value is None else msgspec.json.decode(value, type=ItemSignal)
        name = f"i{number}"
        for _ in range(2):  # the second time it is held
            part = parts.get(name, item)
        known.append(part)
        signals.append(None if rated is None else held(rated))
        title = None if item is None else item.title
        whole = features(of_viewer, item_features(item, rated), title)
        expected.append(
            sorted(encoder.indices(whole, viewer="v1", item=name, surface="home", position=1))
        )
    rows = Viewing(parts, "v1", "home", of_viewer).rows(known, signals)
    assert rows.among == len(items)
    for number, indices in enumerate(expected):
        assert sorted([*rows.shared, *rows.on[rows.items == number]]) == indices


def test_a_part_is_made_anew_when_the_catalog_changes():
    parts = ItemParts(Encoder(DEFAULT_SPEC), capacity=10)
    one, other = (CatalogItem(item_id="i1", category=name) for name in ("drama", "news"))
    first = parts.get("i1", one)
    assert parts.get("i1", one) is first
    assert parts.get("i1", other).on != first.on
    assert parts.get("i1", None).category is None


@given(specs())
def test_a_cross_of_a_kind_is_the_same_for_all_items_of_that_kind(spec):
    """Only features that change with an item make a cross one of both."""
    for cross in spec.crosses:
        kinds = {
            "own" if OF_CATALOG.issuperset(cross) else "",
            "shared" if not any(map(of_items, cross)) else "",
            "category" if all(map(of_a_category, cross)) else "",
            "creator_id" if all(map(of_a_creator, cross)) else "",
        } - {""}
        assert kind_of(cross) in (kinds or {"both"})


def of_items(name: str) -> bool:
    return name in OF_CATALOG.union(ITEM_SIGNALS) or name.startswith(
        ("same_", "affinity_", "query_")
    )


def of_a_category(name: str) -> bool:
    return name == "category" or "_category" in name or not of_items(name)


def of_a_creator(name: str) -> bool:
    return name == "creator_id" or "_creator" in name or not of_items(name)
