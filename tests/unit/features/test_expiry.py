from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.expiry import Expiry

HOUR_MS = 3_600_000


def test_a_key_expires_at_the_first_full_hour_after_its_idle_time() -> None:
    expiry = Expiry(idle_ms=2 * HOUR_MS)
    assert expiry.due_ms(0) == 3 * HOUR_MS
    assert expiry.due_ms(HOUR_MS - 1) == 3 * HOUR_MS
    assert expiry.due_ms(HOUR_MS) == 4 * HOUR_MS


def test_nothing_is_pending_before_something_is_due() -> None:
    expiry = Expiry(idle_ms=HOUR_MS)
    assert not expiry.pending(10**15)
    expiry.add("a", 0)
    assert not expiry.pending(2 * HOUR_MS - 1)
    assert expiry.pending(2 * HOUR_MS)
    assert expiry.take(2 * HOUR_MS) == ["a"]
    assert not expiry.pending(10**15)


def test_it_says_when_to_look_next() -> None:
    expiry = Expiry(idle_ms=10, step_ms=5)
    assert expiry.next_ms(100) == 100
    expiry.add("a", 7)
    expiry.add("b", 1)
    assert (expiry.next_ms(100), expiry.next_ms(12)) == (15, 12)
    assert expiry.take(15) == ["b"]
    assert expiry.next_ms(100) == 20


@given(
    seen=st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 200), min_size=1)),
    steps=st.lists(st.integers(0, 30), min_size=1),
)
def test_each_key_expires_once_and_in_its_hour_however_often_it_was_seen(
    seen: dict[str, list[int]], steps: list[int]
) -> None:
    expiry = Expiry(idle_ms=10 * HOUR_MS)
    newest = {key: max(hours) * HOUR_MS for key, hours in seen.items()}
    for key, hours in seen.items():
        expiry.add(key, hours[0] * HOUR_MS)
    now, expired = 0, dict.fromkeys(newest, 0)
    for step in [*steps, 1000]:
        now += step * HOUR_MS
        for key in expiry.take(now) if expiry.pending(now) else ():
            if expiry.due_ms(newest[key]) <= now:
                expired[key] += 1
                assert now - step * HOUR_MS < expiry.due_ms(newest[key])
            else:
                expiry.add(key, newest[key])
    assert set(expired.values()) <= {1}
