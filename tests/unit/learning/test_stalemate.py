"""A stalemate: when it begins, when it is over, and when it is lasting."""

from __future__ import annotations

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.learning.guard import LEAST_HELD
from streamapp.learning.stalemate import Stalemate

SINCE_MS = 7_000


def undone(without: int, having: int) -> Stalemate:
    one = Stalemate()
    one.undo(without - 1, having - 1, SINCE_MS)
    one.undo(1, 1, SINCE_MS + 1_000)
    return one


def test_it_is_lasting_when_as_many_were_undone_as_were_learned_from_in_an_hour_or_more():
    one = undone(1_000, 40)
    assert one.undone == 1_040
    assert one.is_lasting(1_040, SINCE_MS + HOUR_MS)
    assert not one.is_lasting(1_041, SINCE_MS + HOUR_MS)
    assert not one.is_lasting(1_040, SINCE_MS + HOUR_MS - 1)


def test_it_is_lasting_after_a_day_however_much_was_learned():
    one = undone(1_000, 40)
    assert one.is_lasting(10**9, SINCE_MS + DAY_MS)
    assert not one.is_lasting(10**9, SINCE_MS + DAY_MS - 1)


def test_labels_of_one_kind_never_make_it_lasting():
    for few in (undone(10**6, LEAST_HELD - 1), undone(LEAST_HELD - 1, 10**6)):
        assert not few.is_lasting(1, SINCE_MS + 9 * DAY_MS)
    assert undone(LEAST_HELD, LEAST_HELD).is_lasting(1, SINCE_MS + HOUR_MS)


def test_it_is_over_when_more_than_a_tenth_is_accepted():
    one = undone(810, 90)
    one.accept(100)
    assert one.is_lasting(1, SINCE_MS + HOUR_MS)
    one.accept(1)
    assert one.undone == 0
    assert not one.is_lasting(1, SINCE_MS + HOUR_MS)
    one.undo(50, 50, 2 * SINCE_MS)
    assert not one.is_lasting(1, SINCE_MS + HOUR_MS)
    assert one.is_lasting(1, 2 * SINCE_MS + HOUR_MS)
