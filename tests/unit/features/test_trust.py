"""The states of trust, step by step. Times are as in the module's worked example."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.trust import (
    BOT,
    OK,
    STATES,
    SUSPECT,
    TRANSITIONS,
    Trust,
    is_bot,
    unpack,
)
from streamapp.features.trust_rules import ANOMALY, BURST, REPEATED

HOUR = 3_600_000


def after(*looks: tuple[int, int], of: Trust | None = None) -> Trust:
    """Return the trust after looks: what each found, and when."""
    trust = of or Trust()
    for found, time_ms in looks:
        trust = trust.looked(found, time_ms, took_vector=bool(found & ANOMALY))
    return trust


def a_bot(last_ms: int = 2) -> Trust:
    return after((BURST, 0), (BURST, last_ms))


def test_the_first_finding_makes_a_suspect_and_the_second_in_a_row_a_bot():
    assert after((BURST, 0)).name == "suspect"
    assert after((BURST, 0), (REPEATED, 1)).name == "bot"


def test_a_look_without_a_finding_begins_the_row_anew_and_leaves_the_state():
    broken = after((BURST, 0), (0, 2), (BURST, 3))
    assert broken.name == "suspect"
    assert after((BURST, 5), of=broken).name == "bot"
    assert after((0, 3), (0, 4), of=a_bot()).name == "bot"


def test_reasons_add_up_until_the_viewer_is_ok_again():
    doubted = after((BURST, 0), (0, 1), (REPEATED, 2))
    assert doubted.reason_names == ["burst", "repeated_item"]
    assert doubted.rested(3 + HOUR).reason_names == []


def test_anomalies_alone_make_a_bot_only_with_the_eighth_vector_in_a_row():
    seven = [(ANOMALY, n) for n in range(7)]
    assert after(*seven).name == "suspect"
    assert after(*seven, (ANOMALY, 7)).name == "bot"
    ordinary = after(*seven).looked(0, 7, took_vector=True)
    assert after(*seven, of=ordinary).name == "suspect"


def test_a_look_that_takes_no_vector_does_not_break_a_row_of_anomalies():
    trust = after(*[(ANOMALY, n) for n in range(7)])
    for time_ms in (8, 9, 10):
        trust = trust.looked(0, time_ms, took_vector=False)
    assert after((ANOMALY, 11), of=trust).name == "bot"


def test_an_anomaly_is_no_strike():
    assert after((BURST, 0), (ANOMALY, 1), (BURST, 2)).name == "suspect"
    assert after((BURST, 0), (ANOMALY | BURST, 1)).name == "bot"


def test_a_suspect_is_ok_after_more_than_an_hour_without_a_finding():
    suspect = after((BURST, 0), (0, HOUR // 2))
    assert suspect.rested(HOUR).name == "suspect"
    assert suspect.rested(HOUR + 1) == Trust()


def test_a_bot_is_a_suspect_after_six_hours_and_ok_after_one_more():
    bot = a_bot(60_000)
    assert bot.rested(60_000 + 6 * HOUR).name == "bot"
    assert bot.rested(60_000 + 6 * HOUR + 1).name == "suspect"
    assert bot.rested(60_000 + 7 * HOUR + 1).name == "suspect"
    assert bot.rested(60_000 + 7 * HOUR + 2).name == "ok"
    on_the_way = bot.rested(60_000 + 6 * HOUR + 5)
    assert on_the_way.rested(60_000 + 7 * HOUR + 1).name == "suspect"
    assert on_the_way.rested(60_000 + 7 * HOUR + 2).name == "ok"


def test_findings_keep_a_bot_one():
    bot = a_bot()
    for hour in range(5, 50, 5):
        bot = after((BURST, hour * HOUR), of=bot.rested(hour * HOUR))
        assert bot.name == "bot"


def test_who_was_a_bot_is_one_again_with_one_strike_unless_a_look_found_nothing_before():
    released = a_bot().rested(3 + 6 * HOUR)
    assert after((BURST, 7 * HOUR), of=released).name == "bot"
    clean = after((0, 7 * HOUR), (BURST, 7 * HOUR + 1), of=released)
    assert clean.name == "suspect"


@pytest.mark.parametrize(("state", "other"), list(product(range(3), repeat=2)))
def test_only_the_drawn_transitions_are_possible(state: int, other: int):
    trust = Trust(state=state)
    if (state, other) in TRANSITIONS:
        assert trust.moved(other).state == other
    else:
        with pytest.raises(ValueError, match=f"from {STATES[state]} to {STATES[other]}"):
            trust.moved(other)


looks = st.tuples(st.integers(0, 63), st.integers(0, 9 * HOUR), st.booleans())


@given(st.lists(looks, max_size=30))
def test_one_look_or_rest_makes_only_drawn_steps_and_what_is_packed_comes_back(taken: Any):
    trust, now_ms = Trust(), 0
    for found, pause_ms, took_vector in taken:
        now_ms += pause_ms
        rested = trust.rested(now_ms)
        assert (trust.state, rested.state) in {*TRANSITIONS, *((s, s) for s in range(3)), (BOT, OK)}
        trust = rested.looked(found, now_ms, took_vector=took_vector)
        assert (rested.state, trust.state) in {*TRANSITIONS, *((s, s) for s in range(3))}
        assert unpack(trust.pack()) == trust
        assert is_bot(trust.pack()) == (trust.state == BOT)


@given(st.lists(looks, min_size=1, max_size=300))
def test_it_takes_thirteen_bytes_however_long_it_goes_on_and_one_when_ok(taken: Any):
    trust = Trust()
    for found, time_ms, took_vector in taken:
        trust = trust.looked(found, time_ms, took_vector=took_vector)
    assert len(trust.pack()) == (1 if trust.state == OK else 13)


def test_nothing_packed_is_a_viewer_nobody_doubts():
    assert unpack(b"") == Trust()
    assert not is_bot(b"")
    assert unpack(Trust(actions=7).pack()) == Trust(actions=7)
    assert Trust(state=SUSPECT).name == "suspect"
