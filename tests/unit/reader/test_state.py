"""What a reader holds: bounded, as fresh as it says, and unharmed by what it cannot use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.features import Encoder
from streamapp.reader.held import HeldRecords
from streamapp.reader.items import Items
from streamapp.reader.state import Bounds, Freshness, State
from streamapp.reader.tokens import Tokens
from streamapp.reader.weights import Weights
from streamapp.signals import ViewerSignal
from tests.unit.reader.worlds import (
    NOW_MS,
    SPEC,
    Author,
    Sent,
    catalog_item,
    feed,
    item_list,
    item_signal,
    viewer_signal,
)


def test_a_topic_is_as_fresh_as_the_newest_record_it_brought():
    state = feed(State(), [item_signal("a"), item_signal("b", as_of_ms=NOW_MS - 5_000)])
    feed(state, [Sent("signals.items", "a", None), *Author().publish({1: 0.5})])
    fresh = state.freshness(NOW_MS + 400)
    assert fresh["signals.items"] == Freshness(3, NOW_MS, 400)
    assert fresh["signals.viewers"] == Freshness(0, None, None)
    assert fresh["models.weights"] == Freshness(2, 1, NOW_MS + 399)
    assert fresh.keys() == set(state.topics)


@pytest.mark.parametrize(
    "topic", sorted(set(State().topics) - {"models.weights", "models.factors"})
)
def test_a_record_that_cannot_be_used_is_counted_and_left_out(topic):
    state = feed(State(), [Sent(topic, "k", b"{"), Sent(topic, "k", b"[]")])
    assert state.rejected == {topic: 2}
    assert state.trouble is not None
    assert topic in state.trouble


def test_records_of_other_topics_and_without_a_key_are_not_looked_at():
    state = State()
    state.update("events.clicks", "k", b"{}")
    state.update("signals.items", None, b"{}")
    assert (state.rejected, state.freshness(0)["signals.items"].records) == ({}, 0)


def test_keys_may_be_bytes():
    state = State()
    record = item_signal("a")
    state.update(record.topic, record.key.encode(), record.value)
    assert state.items.signal("a") is not None


def test_a_deletion_forgets():
    records = [
        item_signal("a"),
        viewer_signal("v1"),
        catalog_item("a"),
        item_list("candidates.similar", "a", "b"),
        item_list("candidates.trending", "all", "b"),
    ]
    state = feed(State(), records)
    assert state.viewer("v1") is not None
    assert state.similar_to("a") is not None
    assert state.trending_in("all") is not None
    feed(state, [Sent(record.topic, record.key, None) for record in records])
    assert state.viewer("v1") is None
    assert state.similar_to("a") is None
    assert state.trending_in("all") is None
    assert state.items.signal("a") is None
    assert state.items.catalog.get("a") is None


def test_a_record_that_turns_out_wrong_when_it_is_asked_for_counts_as_missing():
    state = feed(State(), [Sent("signals.viewers", "v1", b'{"as_of_ms": 5}')])
    assert state.rejected == {}
    assert state.viewer("v1") is None
    assert state.rejected == {"signals.viewers": 1}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9) | st.none()), max_size=30))
def test_of_too_many_keys_those_updated_the_longest_ago_are_forgotten(history):
    held = HeldRecords(ViewerSignal, "signals.viewers", capacity=3)
    expected: dict[str, int] = {}
    forgotten = 0
    for key, at_ms in history:
        expected.pop(key, None)
        held.update(key, None if at_ms is None else viewer_signal(key, as_of_ms=at_ms).value)
        if at_ms is not None:
            expected[key] = at_ms
        if len(expected) > 3:
            del expected[next(iter(expected))]
            forgotten += 1
    assert (len(held), held.forgotten) == (len(expected), forgotten)
    for key in "abcdef":
        signal = held.get(key)
        assert (signal and signal.as_of_ms) == expected.get(key)


def test_what_is_held_is_what_came_however_long_it_is():
    held = HeldRecords(ViewerSignal, "signals.viewers", capacity=9)
    for length in (0, 50):
        sent = viewer_signal("v1", seen=[f"item {n}" for n in range(length)])
        held.update("v1", sent.value)
        signal = held.get("v1")
        assert signal is not None
        assert signal.seen == [f"item {n}" for n in range(length)]


def test_items_are_bounded_and_the_oldest_signals_go_first():
    state = State(Bounds(items=2))
    feed(state, [item_signal(item) for item in "abca"])
    assert state.items.signal("b") is None
    assert state.items.signal("a") is not None
    assert state.gauges()["items_forgotten"] == 2


def test_an_item_is_new_until_it_was_shown_enough():
    items = Items(capacity=9, new_below=100.0)

    def take(*records: Sent) -> list[str]:
        for record in records:
            take_one = items.update if record.topic == "signals.items" else items.update_catalog
            take_one(record.key, record.value)
        return items.new(9)

    assert take(item_signal("a", impressions=3.0)) == []  # the catalog does not know it
    assert take(catalog_item("a"), catalog_item("b")) == ["b", "a"]
    assert take(item_signal("a", impressions=99.0)) == ["b", "a"]
    assert take(item_signal("a", impressions=100.0)) == ["b"]
    assert take(catalog_item("b", status="hidden")) == []
    assert take(catalog_item("a", title="changed"), catalog_item("b")) == ["b"]
    assert take(Sent("catalog.items", "b", None)) == []


def test_an_item_whose_signal_there_was_no_room_for_is_not_new_again():
    state = State(Bounds(items=1))
    feed(state, [catalog_item("a"), item_signal("a", impressions=5_000.0)])
    feed(state, [catalog_item("b"), item_signal("b", impressions=5_000.0)])
    assert state.items.signal("a") is None
    assert state.items.new(9) == []
    feed(state, [Sent("catalog.items", "a", None), catalog_item("a")])
    assert state.items.new(9) == ["a"], "it is another one"


def test_signals_are_held_without_their_counters():
    state = feed(State(), [item_signal("a", ctr=0.25, category="news")])
    signal = state.items.signal("a")
    assert signal is not None
    assert (signal.rates["ctr"], signal.category) == (0.25, "news")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 7, 1000, (1 << 22) - 1, 1 << 22, (1 << 32) - 1]),
            st.sampled_from([0.0, 0.5, -2.0]),
        ),
        max_size=20,
    )
)
def test_weights_are_what_was_set_last_for_coordinates_of_any_size(history):
    weights, expected = Weights(), {}
    for index, weight in history:
        weights.update(index, weight)
        expected[index] = weight
    asked = [0, 1, 5, 7, 1000, 5000, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, (1 << 32) - 1]
    assert weights.take(np.array(asked)).tolist() == [expected.get(i, 0.0) for i in asked]
    assert [weights.get(i) for i in asked] == [expected.get(i, 0.0) for i in asked]
    assert dict(weights.items()) == {i: w for i, w in expected.items() if w}


def test_tokens_are_bounded_and_told_the_same_after_they_were_forgotten(monkeypatch):
    monkeypatch.setattr("streamapp.reader.tokens.HELD", 2)
    encoder = Encoder(SPEC)
    tokens = Tokens(encoder)
    for _ in range(2):
        for item in "abcde":
            token = f"item={item}"
            assert tokens.tell({"item": item, "unknown": 1.0}) == (
                {"item": token},
                [encoder.coordinate(token)],
            )
            named = {"item": token, "surface": "surface=home"}
            crosses = [("item", "surface"), ("item", "viewer")]
            assert tokens.cross(named, crosses) == [encoder.coordinate(f"{token}×surface=home")]
    assert len(tokens._told) <= 2
