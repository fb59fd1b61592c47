"""The baseline of factors: one number an item, bounded, and restored exactly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.item_bias import BiasState, ItemBias
from streamapp.learning.pairs import Slot, pair_steps

pairs = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")).filter(lambda p: p[0] != p[1]),
    max_size=30,
)


def bias(capacity: int = 3) -> ItemBias:
    return ItemBias(rate=0.1, l2=0.01, early=2.0, limit=4.0, capacity=capacity)


def test_a_step_is_that_of_factors_without_vectors():
    one = bias()
    (margin,) = one.learn_one([Slot("a", "s/2")], [Slot("b", "s/1")])
    assert margin == pytest.approx(one.places.learned["s/2"] - one.places.learned["s/1"], abs=0.2)
    _, (up, down) = pair_steps([margin, 0.0], 1)
    assert one.predict_one("a") == pytest.approx(0.1 * up * 3)  # the first event: 1 + early
    assert one.predict_one("b") == pytest.approx(0.1 * down * 3)
    before = one.predict_one("a")
    (margin,) = one.learn_one([Slot("a")], [Slot("b")])
    _, (up, _) = pair_steps([margin, 0.0], 1)
    assert one.predict_one("a") == pytest.approx(before * (1 - 0.1 * 0.01) + 0.1 * up * 2)


def test_what_is_preferred_more_often_ends_up_higher():
    one, draw = bias(10), random.Random(3)
    for _ in range(2_000):
        i, j = draw.sample(range(5), 2)
        if draw.random() < 0.5 + (j - i) / 10:
            i, j = j, i
        one.learn_one([Slot(f"i{j}")], [Slot(f"i{i}")])
    assert [one.predict_one(f"i{n}") for n in range(5)] == sorted(
        (one.predict_one(f"i{n}") for n in range(5)), reverse=True
    )


@given(pairs, st.integers(0, 30))
def test_a_restore_changes_nothing_and_those_learned_last_are_held(history, at):
    one, kept = bias(), dict[str, BiasState]()
    for i, j in history[:at]:
        one.learn_one([Slot(i)], [Slot(j)])
    for item, state in one.changed():
        if state is not None:
            kept[item] = BiasState(state.bias, state.order, state.events)
    again = bias()
    again.restore(kept)
    for other in (one, again):
        for i, j in history[at:]:
            other.learn_one([Slot(i)], [Slot(j)])
    assert [again.predict_one(i) for i in "abcde"] == [one.predict_one(i) for i in "abcde"]
    last = list(dict.fromkeys(item for i, j in reversed(history) for item in (j, i)))[:3]
    assert len(one) == len(last)
    assert all(one.predict_one(i) == 0.0 for i in "abcde" if i not in last)
