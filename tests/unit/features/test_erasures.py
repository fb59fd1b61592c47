from __future__ import annotations

from streamapp.features.erasures import Erasures

HOUR = 3_600_000


def test_a_request_is_remembered_until_no_event_can_run_up_against_it():
    erasures = Erasures(grace_ms=2 * HOUR)
    erasures.add("v", 90)
    assert erasures.requested_ms == {"v": 90}
    assert list(erasures.expire(2 * HOUR + 90)) == []
    assert list(erasures.expire(3 * HOUR)) == [(b"ev", None)]
    assert erasures.requested_ms == {}


def test_a_later_request_prolongs_it_and_an_earlier_one_does_not_shorten_it():
    erasures = Erasures(grace_ms=2 * HOUR)
    rows = dict([erasures.add("v", HOUR), erasures.add("v", 5 * HOUR), erasures.add("v", 0)])
    assert erasures.requested_ms == {"v": 5 * HOUR}
    assert list(erasures.expire(4 * HOUR)) == []
    restored = Erasures(grace_ms=2 * HOUR)
    for key, row in rows.items():
        restored.restore(key, row)
    assert restored.requested_ms == {"v": 5 * HOUR}
    assert list(restored.expire(8 * HOUR)) == list(erasures.expire(8 * HOUR)) == [(b"ev", None)]
    restored.restore(b"ev", None)
    assert restored.requested_ms == {}
