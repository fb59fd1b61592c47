"""Timelines are in minutes: a digit is a heartbeat's watched minutes of ten."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.digest import digest
from streamapp.features.playbacks import Amounts, Playback, Playbacks, playback_key

MINUTE = 60_000
TEN = 10 * MINUTE


def beat(
    playback: Playback, minute: int, watched: int, state: str = "progress", duration: int = TEN
) -> dict[str, float]:
    amounts, grown = playback.update(minute * MINUTE, state, watched * MINUTE, duration)
    return summed(amounts) | ({"watched_ms": grown} if grown else {})


def summed(amounts: Amounts) -> dict[str, float]:
    total: Counter[str] = Counter()
    for counter, amount in amounts:
        total[counter] += amount  # type: ignore[assignment]  # floats add up as well
    return {counter: amount for counter, amount in total.items() if amount}


def test_a_heartbeat_counts_what_was_watched_since_the_one_before() -> None:
    playback = Playback(0, 0, 0)
    assert beat(playback, 0, 0, "start") == {}
    assert beat(playback, 1, 1) == {"watched_ms": MINUTE}
    assert beat(playback, 3, 3) == {"watched_ms": 2 * MINUTE}


def test_watched_that_falls_back_counts_nothing_until_it_is_more_again() -> None:
    playback = Playback(0, 0, 0)
    beat(playback, 1, 5)
    assert beat(playback, 2, 3) == {}
    assert beat(playback, 3, 6) == {"watched_ms": MINUTE}


def test_an_exit_closes_with_the_share_that_was_watched() -> None:
    playback = Playback(0, 0, 0)
    closing = beat(playback, 4, 4, "exit")
    assert closing == {"watched_ms": 4 * MINUTE, "closed": 1, "ratio_sum": 0.4, "ratio_n": 1}


@pytest.mark.parametrize(("watched", "state"), [(TEN, "progress"), (MINUTE, "complete")])
def test_a_playback_is_complete_by_state_or_by_what_was_watched(watched: int, state: str) -> None:
    playback = Playback(0, 0, 0)
    amounts, _ = playback.update(0, state, watched, TEN)
    assert summed(amounts)["completes"] == 1
    assert summed(amounts)["closed"] == 1


def test_95_percent_is_complete_and_less_is_not() -> None:
    for watched, complete in [(569_999, False), (570_000, True)]:
        playback = Playback(0, 0, 0)
        playback.update(0, "progress", watched, TEN)
        assert playback.completed is complete


def test_without_a_duration_no_ratio_counts() -> None:
    for duration in (None, 0):
        amounts, _ = Playback(0, 0, 0).update(0, "exit", MINUTE, duration)
        assert summed(amounts) == {"closed": 1}


def test_a_ratio_is_at_most_three() -> None:
    amounts, _ = Playback(0, 0, 0).update(0, "complete", 10 * TEN, TEN)
    assert summed(amounts)["ratio_sum"] == 3.0


def test_a_duration_once_known_stays_known() -> None:
    playback = Playback(0, 0, 0)
    playback.update(0, "start", 0, TEN)
    amounts, _ = playback.update(MINUTE, "exit", 5 * MINUTE, None)
    assert summed(amounts)["ratio_sum"] == 0.5


def test_what_comes_after_the_close_counts_as_watched_and_once_as_complete() -> None:
    playback = Playback(0, 0, 0)
    beat(playback, 1, 1, "exit")
    assert beat(playback, 2, 2) == {"watched_ms": MINUTE}
    assert beat(playback, 3, 10) == {"watched_ms": 8 * MINUTE, "completes": 1}
    assert beat(playback, 4, 10, "complete") == {}
    assert beat(playback, 5, 10, "exit") == {}


def test_a_close_by_time_is_taken_back_by_a_heartbeat_within_30_minutes() -> None:
    #  0 ── 4 min watched ── (stream time says 31) ── 30: 5 min watched ── exit
    playback = Playback(0, 0, 0)
    beat(playback, 0, 4)
    assert summed(playback.time_out()) == {"closed": 1, "ratio_sum": 0.4, "ratio_n": 1}
    assert playback.time_out() == []
    assert beat(playback, 30, 5) == {
        "watched_ms": MINUTE,
        "closed": -1,
        "ratio_sum": -0.4,
        "ratio_n": -1,
    }
    assert beat(playback, 31, 5, "exit") == {"closed": 1, "ratio_sum": 0.5, "ratio_n": 1}


def test_a_close_by_time_stands_when_the_gap_is_longer() -> None:
    playback = Playback(0, 0, 0)
    beat(playback, 0, 4)
    playback.time_out()
    assert beat(playback, 31, 5) == {"watched_ms": MINUTE}
    assert beat(playback, 32, 6, "exit") == {"watched_ms": MINUTE}
    assert playback.closed


def test_a_gap_of_more_than_30_minutes_closes_even_if_no_timer_did() -> None:
    playback = Playback(0, 0, 0)
    beat(playback, 0, 4)
    closing = beat(playback, 31, 5)
    assert closing == {"watched_ms": MINUTE, "closed": 1, "ratio_sum": 0.4, "ratio_n": 1}


@given(
    beats=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 12),
            st.sampled_from(("progress", "exit", "complete")),
        ),
        min_size=1,
    ),
    timers=st.sets(st.integers(0, 10)),
)
def test_whether_the_timer_comes_before_a_heartbeat_or_after_does_not_show(
    beats: list[tuple[int, int, str]], timers: set[int]
) -> None:
    """A timer that runs where stream time allows it changes nothing in the end."""
    totals = []
    for early in (True, False):
        playback, minute = Playback(0, 0, 0), 0
        amounts: Amounts = []
        for number, (gap, watched, state) in enumerate(beats):
            if early and number in timers:
                amounts += playback.time_out()
            minute += gap
            counted, _ = playback.update(minute * MINUTE, state, watched * MINUTE, TEN)
            amounts += counted
        amounts += playback.time_out()
        totals.append(summed([(counter, round(amount, 9)) for counter, amount in amounts]))
    assert totals[0] == pytest.approx(totals[1])
    assert totals[0]["closed"] == 1


def fields(playback: Playback | None) -> list[object]:
    assert playback is not None
    of_item = playback.item, playback.start_ms, playback.last_ms, playback.duration_ms
    states = playback.closed, playback.timed_out, playback.completed, playback.kept_out
    return [*of_item, *states, playback.watched_ms, playback.ratio, playback.grown]


def test_a_table_keeps_playbacks_apart_and_as_they_are() -> None:
    table, kept = Playbacks(), {}
    for number in range(500):
        key = playback_key(f"p{number}", "i")
        playback = Playback(number % 9, number, number + 1)
        playback.watched_ms, playback.duration_ms = number * 10, 7
        playback.closed, playback.timed_out = number % 2 == 0, number % 3 == 0
        playback.completed, playback.kept_out = number % 5 == 0, number % 7 == 0
        playback.ratio, playback.grown = number / 500, (number * 0.5, 1.0, 2.0)
        kept[key] = fields(playback)
        table.put(key, Playback(0, 0, 0))
        table.put(key, playback)
    assert {key: fields(table.get(key)) for key in kept} == kept
    assert {key: fields(playback) for key, playback in table.all()} == kept
    assert table.get(digest("other")) is None


def test_old_playbacks_are_forgotten_first_begun_first() -> None:
    table = Playbacks()
    keys = [playback_key(f"p{number}", "i") for number in range(3)]
    for number, key in enumerate(keys):
        table.put(key, Playback(0, 0, number))
    table.forget(keys[0], 2)
    assert [key for key, _ in table.all()] == keys[2:]


def test_ids_that_read_alike_together_are_different_playbacks() -> None:
    assert playback_key("ab", "c") != playback_key("a", "bc")
    assert playback_key("1:a", "b") != playback_key("1", "1:ab")


def test_what_was_watched_is_remembered_as_it_counts_at_the_start() -> None:
    playback = Playback(0, 0, 0)
    beat(playback, 0, 1)
    beat(playback, 30, 2)
    beat(playback, 60, 2)
    assert playback.grown == pytest.approx(
        [MINUTE * (1 + 2 ** (30 / half_life)) for half_life in (30, 6 * 60, 7 * 24 * 60)]
    )


def test_a_playback_that_never_ends_does_not_overflow() -> None:
    playback = Playback(0, 0, 0)
    for day in range(60):
        beat(playback, day * 24 * 60, day)
    assert max(playback.grown) < float("inf")
