from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.timers import Timer, Timers


def timer(due_ms: int, viewer_id: str = "v", key: bytes = b"k") -> Timer:
    return due_ms, viewer_id, key, "slate", "r"


def test_a_timer_is_due_when_stream_time_has_passed_it() -> None:
    timers = Timers()
    timers.set(timer(10))
    assert list(timers.take(10)) == []
    assert list(timers.take(11)) == [timer(10)]
    assert list(timers.take(12)) == []


def test_a_timer_set_meanwhile_is_taken_in_its_turn() -> None:
    timers = Timers()
    timers.set(timer(1, "a"))
    timers.set(timer(5, "b"))
    taken = []
    for due in timers.take(10):
        taken.append(due)
        if due == timer(1, "a"):
            timers.set(timer(3, "c"))
            timers.set(timer(10, "d"))
    assert taken == [timer(1, "a"), timer(3, "c"), timer(5, "b")]


@given(due=st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab")), max_size=20))
def test_the_order_does_not_depend_on_when_timers_were_set(due: list[tuple[int, str]]) -> None:
    taken = []
    for order in (due, due[::-1]):
        timers = Timers()
        for number, viewer_id in order:
            timers.set(timer(number, viewer_id))
        taken.append(list(timers.take(10)))
    assert taken[0] == taken[1] == sorted(taken[0])
