from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.sessions import GAP_MS, Session, Sessions, newest

MINUTE = 60_000
times = st.integers(0, 300).map(lambda minutes: minutes * MINUTE)


def sessions(of: list[int], since_ms: int = 0) -> Sessions:
    kept = Sessions()
    for time_ms in of:
        kept.add(time_ms, since_ms, impressions=1, watched_ms=time_ms)
    return kept


def expected(of: list[int]) -> list[Session]:
    chains: list[list[int]] = []
    for time_ms in sorted(of):
        if chains and time_ms - chains[-1][-1] < GAP_MS:
            chains[-1].append(time_ms)
        else:
            chains.append([time_ms])
    return [Session(c[0], c[-1], len(c), 0, 0, sum(c)) for c in reversed(chains)]


@given(of=st.lists(times, min_size=1, max_size=30))
def test_sessions_are_chains_of_events_in_any_order_of_arrival(of):
    assert sessions(of).all() == expected(of)
    assert newest(sessions(of)) == expected(of)[0]


def test_a_late_event_that_bridges_two_sessions_merges_them():
    # 0 min ── 50 min, and 25 min comes last
    assert len(sessions([0, 50 * MINUTE]).all()) == 2
    (merged,) = sessions([0, 50 * MINUTE, 25 * MINUTE]).all()
    assert (merged.started_at_ms, merged.last_ms, merged.impressions) == (0, 50 * MINUTE, 3)


def test_a_gap_of_30_minutes_is_one_too_many():
    assert len(sessions([0, GAP_MS]).all()) == 2
    assert len(sessions([0, GAP_MS - 1]).all()) == 1


def test_sessions_that_no_event_can_reach_are_dropped_but_the_newest_never():
    kept = sessions([n * GAP_MS for n in range(100)], since_ms=95 * GAP_MS)
    assert [s.started_at_ms // GAP_MS for s in kept.all()] == [99, 98, 97, 96, 95]
    assert len(sessions([0], since_ms=99 * GAP_MS).all()) == 1
    kept.add(96 * GAP_MS - 1, 98 * GAP_MS)
    assert [s.started_at_ms // GAP_MS for s in kept.all()] == [99, 98]


def test_what_a_client_claims_to_have_watched_never_overflows():
    kept = Sessions()
    for time_ms in (0, 1, GAP_MS * 2, GAP_MS * 2 - 1, GAP_MS):
        kept.add(time_ms, 0, watched_ms=(1 << 62) - 1)
    kept.add(GAP_MS - 1, 0, watched_ms=5)
    assert {s.watched_ms for s in kept.all()} <= {1 << 62, (1 << 62) - 1}


@given(of=st.lists(times, max_size=30), time_ms=times)
def test_an_event_joins_the_session_it_makes_with_those_around_it(of, time_ms):
    joined = next(s for s in expected([*of, time_ms]) if s.started_at_ms <= time_ms <= s.last_ms)
    assert sessions(of).span(time_ms) == (joined.started_at_ms, joined.last_ms)


@given(of=st.lists(times, max_size=30))
def test_they_come_back_from_what_they_are_packed_in(of):
    packed = sessions(of).pack()
    assert Sessions(packed).pack() == packed
    assert Sessions(packed).all() == sessions(of).all()
