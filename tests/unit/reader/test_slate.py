"""Slates: propensities are the truth, and limits hold."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.reader.slate import Chance, Limit, Place, Slate

scores = st.lists(st.sampled_from([-0.5, 0.0, 0.01, 0.1, 0.1, 0.2, 0.7]), min_size=1, max_size=6)


def fill(
    values: Sequence[float],
    chance: Chance,
    count: int | None = None,
    new: Sequence[bool] | None = None,
    limits: Sequence[Limit] = (),
) -> list[Place]:
    slate = Slate(np.array(values, dtype=float), new or [False] * len(values), limits, chance)
    return slate.fill(len(values) if count is None else count)


def order(values: Sequence[float], chance: Chance | None = None, **more: Any) -> list[int]:
    return [place.candidate for place in fill(values, chance or Chance(), **more)]


def truth(
    values: Sequence[float],
    new: Sequence[bool],
    kinds: Sequence[str],
    most: int,
    chance: Chance,
    above: Sequence[int],
) -> dict[int, float]:
    """Probability of each candidate at the place below those `above`, from the definitions."""
    left = [i for i in range(len(values)) if i not in above]
    placed: Counter[str] = Counter()
    lifted = False
    for place, index in enumerate([*above, None]):
        rest = [i for i in range(len(values)) if i not in above[:place]]
        eligible = [i for i in rest if placed[kinds[i]] < most]
        if not eligible:
            lifted = True
        if index is not None and not lifted:
            placed[kinds[index]] += 1
    eligible = left if lifted else [i for i in left if placed[kinds[i]] < most]
    if chance.temperature:
        weights = {i: max(values[i], 1e-6) ** (1 / chance.temperature) for i in eligible}
    else:
        best = max(eligible, key=lambda i: (values[i], -i))
        weights = {i: float(i == best) for i in eligible}
    fresh = [i for i in eligible if new[i]]
    share = chance.new_share if fresh else 0.0
    return {
        i: share * (i in fresh) / max(len(fresh), 1)
        + (1 - share) * weights[i] / math.fsum(weights.values())
        for i in eligible
    }


@given(
    scores,
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.lists(st.sampled_from("ab"), min_size=6, max_size=6),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(),
)
def test_a_propensity_is_the_probability_given_the_items_above(
    values, new, kinds, most, temperature, share, request
):
    new, kinds = new[: len(values)], kinds[: len(values)]
    chance = Chance(f"r{request}", temperature, share)
    places = fill(values, chance, new=new, limits=[Limit(kinds, most)])
    assert sorted(place.candidate for place in places) == list(range(len(values)))
    by_chance = temperature > 0 or (share > 0 and any(new))
    above: list[int] = []
    for place in places:
        expected = truth(values, new, kinds, most, chance, above)
        assert expected[place.candidate] > 0
        if by_chance:
            assert place.propensity is not None
            assert place.propensity == pytest.approx(expected[place.candidate])
            assert 0 < place.propensity <= 1
        else:
            assert place.propensity is None
        above.append(place.candidate)


def test_slates_are_drawn_as_often_as_their_propensities_say():
    values, new = [0.2, 0.1, 0.1], [False, False, True]
    drawn: Counter[tuple[int, ...]] = Counter()
    expected: dict[tuple[int, ...], float] = {}
    for number in range(6_000):
        places = fill(values, Chance(f"r{number}", 1.0, 0.1), count=2, new=new)
        slate = tuple(place.candidate for place in places)
        drawn[slate] += 1
        expected[slate] = math.prod(place.propensity or 0.0 for place in places)
    assert set(drawn) == set(itertools.permutations(range(3), 2))
    assert sum(expected.values()) == pytest.approx(1.0)
    for slate, chance in expected.items():
        spread = math.sqrt(chance * (1 - chance) / 6_000)
        assert drawn[slate] / 6_000 == pytest.approx(chance, abs=4.5 * spread)


def test_the_worked_example_of_the_module_is_right():
    at_top = {
        place.candidate: place.propensity
        for number in range(60)
        for place in fill([0.2, 0.1, 0.1], Chance(f"r{number}", 1.0, 0.1), 1, [False, False, True])
    }
    assert at_top == pytest.approx({0: 0.45, 1: 0.225, 2: 0.325})


def test_without_chance_the_best_come_first_and_of_equals_the_first():
    assert order([0.1, 0.3, -0.2, 0.3, -0.1]) == [1, 3, 0, 4, 2]
    assert order([0.1, 0.3, 0.2], count=2) == [1, 2]
    assert order([], count=5) == []


def test_the_same_request_gives_the_same_slate_and_another_another():
    values = [0.1 + 0.01 * i for i in range(20)]
    slates = {n: order(values, Chance(f"r{n}", 1.0)) for n in range(5)}
    assert slates == {n: order(values, Chance(f"r{n}", 1.0)) for n in range(5)}
    assert len({tuple(slate) for slate in slates.values()}) == 5


def test_a_low_temperature_comes_close_to_no_chance():
    values = [0.3, 0.2, 0.1, 0.01]
    places = fill(values, Chance("r", 0.01))
    assert [place.candidate for place in places] == [0, 1, 2, 3]
    assert all(place.propensity == pytest.approx(1.0) for place in places)


def test_limits_hold_for_each_kind_and_items_without_one_are_free():
    kinds = ["a", "a", "a", None, None, None, "b"]
    values = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.1]
    assert order(values, count=5, limits=[Limit(kinds, 2)]) == [0, 1, 3, 4, 5]
    both = [Limit(kinds, 2), Limit(["x"] * 4 + ["y"] * 3, 1)]
    assert order(values, count=2, limits=both) == [0, 4]


def test_when_only_limited_items_are_left_the_limits_are_lifted():
    slate = Slate(np.array([0.9, 0.8, 0.7]), [False] * 3, [Limit(["a"] * 3, 1)], Chance())
    assert [place.candidate for place in slate.fill(3)] == [0, 1, 2]
    assert slate.lifted


def test_new_items_get_their_share_of_the_places():
    values, new = [0.5] * 10 + [0.01] * 10, [False] * 10 + [True] * 10
    shown = Counter(
        place.candidate >= 10
        for number in range(1_000)
        for place in fill(values, Chance(f"r{number}", 0.0, 0.2), 5, new)
    )
    assert shown[True] / 5_000 == pytest.approx(0.2, abs=0.025)
