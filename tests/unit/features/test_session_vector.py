from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.session_vector import FEATURES, vector
from streamapp.features.sessions import Session
from tests.oracles.trust import vector_of

counts = st.integers(0, 10**6)


@given(
    counts,
    counts,
    counts,
    st.integers(0, 1 << 62),
    st.integers(0, 1 << 40),
    st.lists(st.integers(0, 1 << 41), max_size=50),
)
def test_a_vector_is_what_the_oracle_gives_and_within_bounds(
    shown, clicks, watches, watched_ms, length_ms, times
):
    session = Session(5, 5 + length_ms, shown, clicks, watches, watched_ms)
    acted = sorted(times, reverse=True)
    expected = vector_of(
        {
            "started_at_ms": 5,
            "impressions": shown,
            "clicks": clicks,
            "watches": watches,
            "watched_ms": watched_ms,
        },
        5 + length_ms,
        acted,
    )
    made = vector(session, acted)
    assert len(made) == len(FEATURES)
    assert all(0.0 <= x <= 1.0 for x in made)
    # Rounded to 4 digits, after sums in another order.
    assert all(abs(x - y) <= 1.01e-4 for x, y in zip(made, expected, strict=True))


def test_one_action_has_no_interval():
    assert vector(Session(0, 0, 0, 1), [0])[7:] == (0.0, 0.0)
    assert vector(Session(0, 0), [])[7:] == (0.0, 0.0)
