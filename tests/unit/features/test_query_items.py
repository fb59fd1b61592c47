from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.features.query_items import MAX_KEPT, MAX_LISTED, TRIM_ABOVE, QueryItems

START = 1_700_000_000_000
PRIOR = 0.03


def empty() -> QueryItems:
    return QueryItems(START, {}, array("d"))


def test_items_are_listed_by_corrected_rate_then_by_impressions_then_by_id() -> None:
    items = empty()
    deltas = {
        "top": [20.0, 1.0, 1.0],
        "low": [20.0, 0.1, 1.0],
        "b": [3.0, 0.5, 0.0],
        "a": [3.0, 0.5, 0.0],
        "seldom": [2.0, 0.5, 0.0],
    }
    items.merge(deltas, START)
    assert [item.item_id for item in items.best(START, PRIOR)] == ["low", "top", "a", "b", "seldom"]


def test_only_the_best_are_listed() -> None:
    items = empty()
    items.merge({f"i{n:03}": [10.0, 0.1, n / 100] for n in range(200)}, START)
    listed = items.best(START, PRIOR)
    assert [item.item_id for item in listed] == [f"i{n:03}" for n in range(199, 149, -1)]
    assert len(listed) == MAX_LISTED


def test_numbers_decay_with_a_half_life_of_six_hours() -> None:
    items = empty()
    items.merge({"i": [8.0, 1.0, 4.0]}, START)
    (item,) = items.best(START + 12 * HOUR_MS, PRIOR)
    assert (item.impressions, item.clicks) == (2.0, 1.0)
    assert item.rate == pytest.approx(0.03 * 1.6 / (0.25 + 0.6))


def test_an_item_shown_once_is_listed_for_forty_hours() -> None:
    items = empty()
    items.merge({"i": [1.0, 0.05, 0.0]}, START)
    assert len(items.best(START + 39 * HOUR_MS, PRIOR)) == 1
    assert items.best(START + 40 * HOUR_MS, PRIOR) == []
    assert items.best(START + 9_000 * DAY_MS, PRIOR) == []


def test_of_too_many_items_those_shown_most_stay() -> None:
    items = empty()
    items.merge({f"i{n:03}": [1.0 + n, 0.1, 0.0] for n in range(TRIM_ABOVE)}, START)
    assert len(items) == TRIM_ABOVE
    items.merge({"new": [1.5, 0.1, 0.0]}, START)
    assert set(items.index) == {f"i{n:03}" for n in range(TRIM_ABOVE - MAX_KEPT, TRIM_ABOVE)}
    assert items.sums[3 * items.index["i249"]] == 250.0


def test_what_is_decayed_to_nothing_goes_when_the_landmark_moves() -> None:
    items = empty()
    items.merge({"old": [1.0, 0.1, 1.0]}, START)
    items.merge({"new": [1.0, 0.1, 1.0]}, START + 300 * DAY_MS)
    assert list(items.index) == ["new"]


@given(
    deltas=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 30 * DAY_MS)), min_size=1, max_size=20
    )
)
def test_order_does_not_matter_and_a_row_brings_all_back(deltas: list[tuple[str, int]]) -> None:
    at_ms = START + max(time_ms for _, time_ms in deltas)
    forth, back = empty(), empty()
    for item_id, time_ms in deltas:
        forth.merge({item_id: [1.0, 0.1, 0.5]}, START + time_ms)
        forth = QueryItems.restored(forth.landmark_ms, list(forth.index), forth.sums.tobytes())
    for item_id, time_ms in reversed(deltas):
        back.merge({item_id: [1.0, 0.1, 0.5]}, START + time_ms)
    first = {i.item_id: i for i in forth.best(at_ms, PRIOR)}
    second = {i.item_id: i for i in back.best(at_ms, PRIOR)}
    assert first.keys() == second.keys()
    for item_id, item in first.items():
        weight = sum(
            2.0 ** -((at_ms - START - t) / (6 * HOUR_MS)) for i, t in deltas if i == item_id
        )
        assert item.impressions == pytest.approx(weight, rel=1e-9)
        assert second[item_id].rate == pytest.approx(item.rate, rel=1e-9)
