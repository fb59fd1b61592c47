from __future__ import annotations

from math import exp2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.counters import DecayedCounters
from streamapp.features.decay import HALF_LIVES, SPAN_MS

START = 1_700_000_000_000
YEAR_MS = 365 * 86_400_000
NAMES = ("a", "b", "c")
INDEX = {name: counter for counter, name in enumerate(NAMES)}

entries = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 100_000) | st.integers(0, YEAR_MS),
        st.floats(0.001, 1e6),
    ),
    min_size=1,
    max_size=30,
)


def counted(entries: list[tuple[int, int, float]]) -> DecayedCounters:
    counters = DecayedCounters.zero(3, START + entries[0][1])
    for counter, time_ms, weight in entries:
        counters.merge({NAMES[counter]: (weight,) * 4}, INDEX, START + time_ms)
    return counters


def brute_force(
    entries: list[tuple[int, int, float]], counter: int, half_life: int, at_ms: int
) -> float:
    return sum(w * exp2(-(at_ms - t) / half_life) for c, t, w in entries if c == counter)


@given(entries=entries)
def test_a_counter_is_the_sum_of_its_decayed_weights_in_any_order(
    entries: list[tuple[int, int, float]],
) -> None:
    newest = max(time_ms for _, time_ms, _ in entries)
    totals, *columns = counted(entries).at(START + newest)
    for counter in range(3):
        total = sum(weight for c, _, weight in entries if c == counter)
        assert totals[counter] == pytest.approx(total, rel=1e-9, abs=1e-9)
        for half_life, column in zip(HALF_LIVES, columns, strict=True):
            expected = brute_force(entries, counter, half_life, newest)
            assert column[counter] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(entries=entries)
def test_bytes_give_the_same_counters_back(entries: list[tuple[int, int, float]]) -> None:
    counters = counted(entries)
    again = DecayedCounters.from_bytes(counters.to_bytes(), counters.landmark_ms)
    assert (again.landmark_ms, again.sums) == (counters.landmark_ms, counters.sums)


def test_after_one_half_life_half_is_left() -> None:
    counters = counted([(0, 0, 8.0)])
    for column, half_life in enumerate(HALF_LIVES, 1):
        assert counters.at(START + half_life)[column][0] == 4.0
    assert counters.at(START + YEAR_MS)[0][0] == 8.0


def test_a_delta_is_taken_as_at_its_own_time() -> None:
    counters = DecayedCounters.zero(1, START)
    counters.merge({"a": (3.0, 1.0, 2.0, 3.0)}, INDEX, START + 60_000)
    assert [column[0] for column in counters.at(START + 60_000)] == pytest.approx([3, 1, 2, 3])


def test_the_landmark_moves_before_weights_overflow() -> None:
    counters = counted([(0, 0, 1.0), (0, SPAN_MS, 1.0)])
    assert counters.landmark_ms == START
    for years in range(1, 5):
        counters.merge({"a": (1.0,) * 4}, INDEX, START + years * YEAR_MS)
        assert counters.landmark_ms == START + years * YEAR_MS
        assert counters.at(START + years * YEAR_MS)[1][0] == pytest.approx(1.0)
    assert counters.at(START + 4 * YEAR_MS)[0][0] == 6.0


def test_an_event_of_long_ago_counts_in_the_total_and_weighs_nothing() -> None:
    counters = counted([(0, 10 * YEAR_MS, 1.0), (0, 0, 1.0)])
    assert [column[0] for column in counters.at(START + 10 * YEAR_MS)] == [2.0, 1.0, 1.0, 1.0]
