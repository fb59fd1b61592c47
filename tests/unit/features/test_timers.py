from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.timers import Timer, Timers


def timer(due_ms: int, viewer_id: str = "v", key: bytes = b"k") -> Timer:
    return due_ms, viewer_id, key, "slate", "r"


def taken(timers: Timers, stream_time_ms: int) -> list[Timer]:
    return list(iter(lambda: timers.next(stream_time_ms), None))


def test_a_timer_is_due_when_stream_time_has_passed_it() -> None:
    timers = Timers()
    timers.set(timer(10))
    assert taken(timers, 10) == []
    assert taken(timers, 11) == [timer(10)]
    assert taken(timers, 12) == []


def test_a_timer_set_meanwhile_is_taken_in_its_turn() -> None:
    timers = Timers()
    timers.set(timer(1, "a"))
    timers.set(timer(5, "b"))
    assert timers.next(10) == timer(1, "a")
    timers.set(timer(3, "c"))
    timers.set(timer(10, "d"))
    assert taken(timers, 10) == [timer(3, "c"), timer(5, "b")]


due_ms = st.integers(0, 5) | st.integers(0, 5_000) | st.integers(0, 10**13)


@given(due=st.lists(st.tuples(due_ms, st.sampled_from("ab")), max_size=20))
def test_the_order_does_not_depend_on_when_timers_were_set(due: list[tuple[int, str]]) -> None:
    found = []
    for order in (due, due[::-1]):
        timers = Timers()
        for number, viewer_id in order:
            timers.set(timer(number, viewer_id))
        found.append(taken(timers, 10**14))
    assert found[0] == found[1] == sorted(found[0])
    assert len(found[0]) == len(due)


@given(
    due=st.lists(st.tuples(due_ms, st.booleans()), max_size=30),
    steps=st.lists(st.integers(0, 3_000), max_size=30),
)
def test_timers_set_while_time_goes_on_are_taken_once_each_in_order(
    due: list[tuple[int, bool]], steps: list[int]
) -> None:
    timers, waiting, now_ms = Timers(), list[Timer](), 0
    for number, (ahead_ms, soon) in enumerate(due):
        one = timer(now_ms + (ahead_ms % 1_500 if soon else ahead_ms), key=b"%d" % number)
        timers.set(one)
        waiting.append(one)
        now_ms += steps[number % len(steps)] if steps else 1
        expected = sorted(each for each in waiting if each[0] < now_ms)
        assert taken(timers, now_ms) == expected
        waiting = [each for each in waiting if each[0] >= now_ms]
