from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.catalog import Catalog
from streamapp.features.similar_item import FORGOTTEN, SPAN_MS, SimilarItem
from streamapp.features.similarity import HALF_LIFE_MS

MINUTE = 60_000
START = 1_700_000_040_000


def engaged(sessions: int, at_ms: int = START) -> SimilarItem:
    item = SimilarItem(START, START)
    for _ in range(sessions):
        item.engage(at_ms)
    return item


def test_sessions_are_halved_in_two_days() -> None:
    item = engaged(8)
    assert item.engaged_at(START + HALF_LIFE_MS) == 4.0
    item.engage(START + HALF_LIFE_MS)
    assert item.engaged_at(START + HALF_LIFE_MS) == 5.0
    item.engage(START - HALF_LIFE_MS)
    assert item.engaged_at(START) == 10.5
    assert item.newest_ms == START + HALF_LIFE_MS


def test_neighbours_are_told_when_there_are_half_more_sessions_than_they_know_of() -> None:
    item, told = SimilarItem(START, START), []
    for sessions in range(1, 41):
        item.engage(START)
        if item.must_tell(START, 1.5, START):
            told.append(sessions)
    assert told == [6, 15, 28]  # with the ten of doubt 16, 25, 38: each more than 1.5 times
    assert item.told_ms == START


def test_of_an_item_with_few_sessions_left_doubt_counts_for_more() -> None:
    item = engaged(20)
    assert item.must_tell(START, 1.5, START)
    later_ms = START + 3 * HALF_LIFE_MS
    for _ in range(6):
        item.engage(later_ms)
        assert not item.must_tell(later_ms, 1.5, later_ms)
    item.engage(later_ms)  # 2.5 sessions and 10 of doubt were known; 9.5 and 10 there are
    assert item.must_tell(later_ms, 1.5, later_ms)


@given(sessions=st.integers(0, 20), known=st.integers(0, 20), more=st.integers(0, 40))
def test_when_the_landmark_moves_everything_stays_what_it_is(
    sessions: int, known: int, more: int
) -> None:
    stays, moves = engaged(known), engaged(known)
    at_ms = START + 10 * HALF_LIFE_MS
    for item in (stays, moves):
        item.must_tell(START, 1.0, START)
        item.neighbours.meet("a", 3.0, 5.0)
        for _ in range(sessions):
            item.engage(START)
        item.basis = item.rests_on()
    moves.move(at_ms)
    assert moves.landmark_ms == at_ms
    assert moves.rests_on() == moves.basis
    for item in (stays, moves):
        for _ in range(more):
            item.engage(at_ms)
    assert moves.engaged_at(at_ms) == pytest.approx(stays.engaged_at(at_ms))
    assert moves.must_tell(at_ms, 1.001, at_ms) == stays.must_tell(at_ms, 1.001, at_ms)
    catalog = Catalog()
    catalog.update("a", b'{"item_id":"a"}')
    (one,), (other,) = (item.best(at_ms, catalog, 50) for item in (stays, moves))
    assert one.score == pytest.approx(other.score)


def test_weights_up_to_the_span_stay_far_from_what_a_float_holds() -> None:
    item = engaged(1, START + SPAN_MS)
    assert item.engaged == 2.0**512
    assert item.engaged_at(START + SPAN_MS) == 1.0


def test_what_is_decayed_to_little_is_forgotten() -> None:
    item = engaged(1)
    item.neighbours.meet("a", 1.0, 1.0)
    item.neighbours.meet("b", 2.0, 1.0)
    seven = START + 7 * HALF_LIFE_MS
    assert FORGOTTEN == 2.0**-7
    assert item.forget(seven) == []
    assert len(item.forget(seven + MINUTE)) == 1
    assert item.neighbours.ids() == ["b"]
    assert SimilarItem(START, START).forget(seven) == []


def test_only_active_items_are_listed_and_of_equal_ones_the_first_id_is_first() -> None:
    item, catalog = engaged(3), Catalog()
    for other, status in {"d": "active", "a": "hidden", "c": "removed", "b": "active"}.items():
        item.neighbours.meet(other, 1.0, 2.0)
        record = b'{"item_id":"%b","status":"%b"}' % (other.encode(), status.encode())
        catalog.update(other, record)
    item.neighbours.meet("unknown", 1.0, 1.0)
    assert [candidate.item_id for candidate in item.best(START, catalog, 50)] == ["b", "d"]
    assert [candidate.item_id for candidate in item.best(START, catalog, 1)] == ["b"]


def test_rows_give_an_item_back() -> None:
    item = engaged(3)
    item.must_tell(START, 1.0, START)
    item.neighbours.meet("a", 1.0, 2.0)
    item.neighbours.meet("\n:", 3.0, 2.0)
    item.made_ms, item.basis = START + 5, item.rests_on()
    restored = SimilarItem(0, 0)
    for key, value in item.all_rows("i\x00"):
        restored.restore(key, value)
    assert restored == item


def test_a_session_is_taken_back_where_it_was_counted_and_never_leaves_less_than_none() -> None:
    item = SimilarItem(START, START)
    item.engage(START)
    item.engage(START + HALF_LIFE_MS)
    item.disengage(START + HALF_LIFE_MS)
    assert item.engaged_at(START) == 1.0
    item.disengage(START + HALF_LIFE_MS)
    assert item.engaged == 0.0


def test_neighbours_are_to_be_corrected_once_when_they_heard_of_more_than_is_left() -> None:
    item = SimilarItem(START, START)
    for _ in range(3):
        item.engage(START)
    assert not item.must_correct(START + MINUTE)
    assert item.must_tell(START, 1.0, START)
    item.engage(START + MINUTE)
    item.disengage(START + MINUTE)
    assert not item.must_correct(START + MINUTE)
    item.disengage(START)
    assert item.must_correct(START + MINUTE)
    assert not item.must_correct(START + MINUTE)
    assert item.told_ms == START + MINUTE
