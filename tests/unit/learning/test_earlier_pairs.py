"""Earlier pairs: which are kept, and when they contradict what was learned since."""

from __future__ import annotations

import numpy as np
import pytest

from streamapp.learning.earlier_pairs import (
    BOUND,
    CAPACITY,
    LEAST,
    MAX_AGE_MS,
    SPACING_MS,
    EarlierPairs,
    Pair,
)
from streamapp.learning.factor_table import Get


def held(count: int = CAPACITY * 3, at_ms: int = 0) -> EarlierPairs:
    earlier = EarlierPairs(1)
    for number in range(count):
        earlier.add(f"r{number}", Pair(1, 0, at_ms, "v", "a", "b", 0.0))
        earlier.accept()
    return earlier


def certain(log_odds: float) -> Get:
    """Return rows by which "a" is so far ahead of "b", half by its bias, half for the viewer."""
    rows = {"a": np.array([log_odds / 2, log_odds / 4]), "v": np.array([0.0, 2.0])}
    return lambda _, name: rows.get(name)


def test_at_most_one_pair_is_kept_in_a_second():
    earlier = EarlierPairs(1)
    assert earlier.wants(5_000)
    earlier.add("r", Pair(1, 0, 5_000, "v", "a", "b", 0.0))
    assert not earlier.wants(5_000 + SPACING_MS - 1)
    assert earlier.wants(5_000 + SPACING_MS)


def test_what_does_much_worse_on_earlier_pairs_is_contradicted():
    earlier = held()
    assert earlier.contradicted(certain(-2.0), certain(1.0), 0)
    assert not earlier.contradicted(certain(1.0), certain(1.0), 0)
    assert not earlier.contradicted(certain(2.0), certain(1.0), 0)
    slope = 1 / (1 + 2.718281828)  # of the loss at 1
    assert not earlier.contradicted(certain(1.0 - 0.9 * BOUND / slope), certain(1.0), 0)
    assert earlier.contradicted(certain(1.0 - 1.2 * BOUND / slope), certain(1.0), 0)


def test_the_places_of_a_pair_go_into_what_is_expected_of_it():
    earlier = EarlierPairs(1)
    for number in range(CAPACITY * 3):
        earlier.add(f"r{number}", Pair(1, 0, 0, "v", "a", "b", 9.0))
        earlier.accept()
    assert not earlier.contradicted(certain(-2.0), certain(1.0), 0)


def test_few_or_old_pairs_hold_nothing_up():
    few = held(LEAST - 1)
    assert len(few) < LEAST
    assert not few.contradicted(certain(-9.0), certain(9.0), 0)
    assert held().contradicted(certain(-9.0), certain(9.0), MAX_AGE_MS)
    assert not held().contradicted(certain(-9.0), certain(9.0), MAX_AGE_MS + 1)


@pytest.mark.parametrize("accepted", [True, False])
def test_only_what_was_published_is_asked_about(accepted):
    earlier = EarlierPairs(1)
    earlier.add("r", Pair(1, 0, 0, "v", "a", "b", 0.0))
    assert len(earlier) == 0
    earlier.accept() if accepted else earlier.refuse()
    assert (len(earlier), len(earlier.waiting)) == (int(accepted), 0)
    assert [pair and pair.viewer for _, pair in earlier.changed()] == ["v"] * accepted


def test_the_number_held_is_bounded_and_comes_back_from_what_changed():
    earlier, again = held(), EarlierPairs(1)
    assert LEAST < len(earlier) <= CAPACITY
    for slot, pair in earlier.changed():
        assert pair is not None
        assert slot == pair.slot
        again.restore(slot, pair)
    assert len(again) == len(earlier)
    assert list(earlier.changed()) == []


def test_pairs_of_a_viewer_who_is_forgotten_go_and_those_that_wait_too():
    earlier = EarlierPairs(1)
    for name, viewer in (("r1", "v1"), ("r2", "v2")):
        earlier.add(name, Pair(1, 0, 0, viewer, "a", "b", 0.0))
    earlier.accept()
    of = {pair.viewer: slot for slot, pair in earlier.changed() if pair is not None}
    assert not earlier.forget("v1")
    assert list(earlier.changed()) == [(of["v1"], None)]
    earlier.add("r3", Pair(1, 0, 0, "v1", "a", "b", 0.0))
    assert earlier.forget("v1")
    assert earlier.waiting == []
    assert len(earlier) == 1
