"""What is common to all that learn from pairs: places, and the step of each score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.pairs import MAX_PLACES, Places, Slot, pair_steps, place

scores = st.lists(st.floats(-30, 30), min_size=2, max_size=8)


@given(scores, st.integers(1, 7))
def test_the_steps_are_the_downward_slope_of_the_loss(scores, preferred):
    preferred = min(preferred, len(scores) - 1)

    def loss(at: int, by: float) -> float:
        moved = [s + by if k == at else s for k, s in enumerate(scores)]
        pairs = [a - b for a in moved[:preferred] for b in moved[preferred:]]
        return sum(math.log1p(math.exp(-x)) for x in pairs) / math.sqrt(len(scores) - preferred)

    margins, steps = pair_steps(scores, preferred)
    assert margins == [a - b for a in scores[:preferred] for b in scores[preferred:]]
    slopes = [(loss(at, -1e-5) - loss(at, 1e-5)) / 2e-5 for at in range(len(scores))]
    assert steps == pytest.approx(slopes, abs=1e-5)
    assert sum(steps) == pytest.approx(0.0, abs=1e-9)


def test_a_place_begins_at_its_shipped_click_rate_by_that_of_the_top():
    places = Places(rate=0.1, limit=4.0)
    assert places.get(place("home", 1)) == 0.0
    assert places.get(place("home", 8)) == pytest.approx(-0.7 * math.log(8))
    assert places.get("") == 0.0


@pytest.mark.parametrize(
    ("position", "name"), [(0, "s/1"), (-3, "s/1"), (50, "s/50"), (99, "s/50")]
)
def test_positions_out_of_range_count_as_the_nearest_one(position, name):
    assert place("s", position) == name


def test_places_learn_within_limits_and_nowhere_learns_nothing():
    places = Places(rate=1.0, limit=2.0)
    places.update([Slot("a", "s/1"), Slot("b", "s/1"), Slot("c", "")], [0.5, 0.25, 1.0])
    assert places.learned == {"s/1": 0.75}
    places.update([Slot("a", "s/1")], [100.0])
    assert places.get("s/1") == 2.0
    places.update([Slot("a", "s/1")], [-100.0])
    assert places.get("s/1") == -2.0


def test_places_beyond_the_bound_keep_their_shipped_click_rate():
    places = Places(rate=1.0, limit=9.0)
    for number in range(MAX_PLACES + 10):
        places.update([Slot("a", f"s{number}/2")], [1.0])
    assert len(places.learned) == MAX_PLACES
    assert places.get(f"s{MAX_PLACES + 1}/2") == places.get("unknown/2")
