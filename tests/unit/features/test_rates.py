from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.decay import HALF_LIVES
from streamapp.features.rates import coec, shrunk, velocity

HOUR_MS = 3_600_000


def test_a_rate_without_events_is_its_prior() -> None:
    assert shrunk(0.0, 0.0, prior=0.03) == pytest.approx(0.03)


def test_a_prior_weighs_as_much_as_twenty_events() -> None:
    assert shrunk(20.0, 20.0, prior=0.0) == 0.5


def test_an_item_clicked_as_often_as_its_places_are_has_coec_one() -> None:
    assert coec(0.0, 0.0) == 1.0
    assert coec(7.0, 7.0) == 1.0


@given(age_ms=st.integers(60_000, 100 * 24 * HOUR_MS), per_hour=st.floats(0.1, 10_000.0))
def test_constant_traffic_has_velocity_one_at_any_age(age_ms: int, per_hour: float) -> None:
    step = age_ms / 20_000
    short, long = (
        sum(2 ** (-(i + 0.5) * step / half_life) for i in range(20_000)) * per_hour * step / HOUR_MS
        for half_life in HALF_LIVES[:2]
    )
    assert velocity(short, long, age_ms) == pytest.approx(1.0, abs=0.01)


def test_an_age_below_a_minute_counts_as_one() -> None:
    assert velocity(1.0, 1.0, 0) == velocity(1.0, 1.0, 60_000)


def test_traffic_that_stopped_makes_velocity_fall_towards_silence() -> None:
    assert velocity(0.0, 100.0, 24 * HOUR_MS) < 0.5
    assert velocity(0.0, 0.0, 24 * HOUR_MS) == 1.0
