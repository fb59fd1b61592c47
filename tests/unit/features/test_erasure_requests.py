"""Requests for erasure as a view, and who came back after one."""

from __future__ import annotations

import msgspec

from streamapp.features.erasure_requests import ErasureRequests, Returns


def ask(requests: ErasureRequests, viewer: str, at_ms: int) -> bool:
    request = {"viewer_id": viewer, "requested_at_ms": at_ms}
    return requests.update(viewer, msgspec.json.encode(request))


def test_the_request_of_longest_ago_is_forgotten_first_in_whatever_order_they_come():
    requests = ErasureRequests(capacity=2)
    assert [ask(requests, f"v{at}", at) for at in (30, 10, 20, 5)] == [True, True, True, False]
    assert requests.requested_ms == {"v30": 30, "v20": 20}


def test_who_came_back_is_known_after_a_restart_until_the_request_is_gone():
    requests = ErasureRequests()
    ask(requests, "v1", 10)
    ask(requests, "v/2", 10)
    returns = Returns(requests)
    assert [returns.is_erased("v1", at) for at in (9, 10, 11)] == [True, True, False]
    assert not returns.is_erased("v3", 1)
    rows = dict(returns.rows())
    assert list(rows) == [b"!back/v1"]
    assert list(returns.rows()) == []
    again = Returns(requests)
    assert list(again.restore([*rows.items(), (b"click-all", b"other")])) == [
        (b"click-all", b"other")
    ]
    assert list(again.ready()) == ["v/2"]
    much_later = Returns(ErasureRequests())
    assert list(much_later.restore([*rows.items(), (b"click-all", b"other")])) == [
        (b"click-all", b"other")
    ]
    assert list(much_later.ready()) == []
    assert list(much_later.rows()) == [(b"!back/v1", None)]
