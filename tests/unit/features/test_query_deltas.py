from __future__ import annotations

from math import exp2

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.decay import DAY_MS, HALF_LIVES, HOUR_MS
from streamapp.features.query_deltas import MAX_ITEMS, QueryDeltas
from streamapp.signals import QueryDelta

START = 1_700_000_000_000
YEAR_MS = 365 * DAY_MS


def take(deltas: QueryDeltas) -> list[QueryDelta]:
    taken = [(query, msgspec.json.decode(value, type=QueryDelta)) for query, value in deltas.take()]
    assert all(query == delta.query for query, delta in taken)
    return [delta for _, delta in taken]


def search(deltas: QueryDeltas, query: str, at_ms: int, *item_ids: str) -> None:
    rates = [0.1 / position for position in range(1, len(item_ids) + 1)]
    deltas.add_search(query, at_ms, list(item_ids), rates)


entries = st.lists(
    st.tuples(
        st.sampled_from(("kim", "chi")),
        st.integers(0, 1000) | st.integers(0, YEAR_MS),
        st.sampled_from((1.0, -1.0)),
    ),
    min_size=1,
    max_size=20,
)


@given(entries=entries)
def test_deltas_add_up_to_what_was_counted_in_any_order(
    entries: list[tuple[str, int, float]],
) -> None:
    deltas = QueryDeltas()
    for query, time_ms, amount in entries:
        deltas.add(query, START + time_ms, "clicks", amount)
        deltas.add_click(query, START + time_ms, "i", amount)
    taken = take(deltas)
    at_ms = START + max(time_ms for _, time_ms, _ in entries)
    for query in ("kim", "chi"):
        mine = [(START + t, amount) for q, t, amount in entries if q == query]
        own = [delta for delta in taken if delta.query == query]
        assert sum(d.deltas["clicks"][0] for d in own) == sum(amount for _, amount in mine)
        for n, half_life in enumerate(HALF_LIVES, 1):
            expected = sum(amount * exp2((t - at_ms) / half_life) for t, amount in mine)
            got = sum(d.deltas["clicks"][n] * exp2((d.as_of_ms - at_ms) / half_life) for d in own)
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)
            if half_life == 6 * HOUR_MS:
                got = sum(d.items["i"][2] * exp2((d.as_of_ms - at_ms) / half_life) for d in own)
                assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)
        if own:
            assert min(d.first_ms for d in own) == min(t for t, _ in mine)
            assert max(d.as_of_ms for d in own) == max(t for t, _ in mine)


def test_a_search_counts_for_its_items_and_an_empty_one_as_without_result() -> None:
    deltas = QueryDeltas()
    search(deltas, "kim", START, "a", "b", "a")
    search(deltas, "kim", START)
    (delta,) = take(deltas)
    assert delta.deltas == {"searches": (2.0,) * 4, "zero_results": (1.0,) * 4}
    assert delta.items["a"] == pytest.approx([2.0, 0.1 + 0.1 / 3, 0.0])
    assert delta.items["b"] == pytest.approx([1.0, 0.05, 0.0])
    assert take(deltas) == []


def test_a_touch_moves_the_time_and_counts_nothing() -> None:
    deltas = QueryDeltas()
    deltas.touch("kim", START + 5)
    (delta,) = take(deltas)
    assert (delta.as_of_ms, delta.deltas, delta.items) == (START + 5, {}, {})


def test_a_delta_does_not_grow_without_bound() -> None:
    deltas = QueryDeltas()
    for n in range(3 * MAX_ITEMS):
        search(deltas, "kim", START, f"i{n}")
    taken = take(deltas)
    assert [len(delta.items) for delta in taken] == [MAX_ITEMS] * 3
    assert sum(delta.deltas["searches"][0] for delta in taken) == 3 * MAX_ITEMS
