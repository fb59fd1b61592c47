"""The roles: what is deployed, and the bounds on what each takes in."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest

from streamapp.engine.roles import Role, Views, role
from streamapp.engine.task import Task
from streamapp.errors import ConfigurationError, Rejection
from streamapp.settings import Settings

NOW = 1_700_000_000_000
DAY = 86_400_000


class Given(NamedTuple):
    offset: int
    timestamp: int
    key: bytes
    value: bytes


def reasons(of: Role, topic: str, records: list[Given]) -> list[str]:
    """Return why records are refused when a task of the role takes them in this order."""
    settings = Settings()
    task = Task(0, of.build(Views.empty(), settings), lambda: 0.0, of.rules(settings))
    for source in task.inputs.values():
        source.at_end = True
    task.offer(topic, records)
    assert task.drive(100) == len(records)
    refused = task.cut(NOW).outputs.get("events.rejected", [])
    return [msgspec.json.decode(value)["reason"] for _, value, _ in refused if value is not None]


def delta(offset: int, at_ms: int, written_ms: int) -> Given:
    value = {"as_of_ms": at_ms, "first_ms": at_ms, "deltas": {"watches": [1.0, 1.0, 1.0, 1.0]}}
    return Given(offset, written_ms, b"i1", msgspec.json.encode({"item_id": "i1"} | value))


def click(offset: int, at_ms: int, written_ms: int) -> Given:
    value = {"event_id": f"e{offset}", "occurred_at_ms": at_ms, "viewer_id": "v1"}
    value |= {"item_id": "i1", "action": "click"}
    return Given(offset, written_ms, b"v1", msgspec.json.encode(value))


def test_events_are_refused_when_too_late_or_in_the_future():
    records = [click(0, NOW, NOW), click(1, NOW - DAY - 1, NOW), click(2, NOW, NOW - 300_001)]
    records += [click(3, NOW - DAY, NOW), click(4, NOW, NOW - 300_000)]
    assert reasons(role("ingest"), "events.clicks", records) == ["too_late", "in_future"]


def test_an_erasure_is_never_too_late_but_what_is_none_is_refused():
    def erasure(offset: int, at_ms: int) -> Given:
        value = msgspec.json.encode({"viewer_id": "v1", "requested_at_ms": at_ms})
        return Given(offset, NOW, b"v1", value)

    records = [erasure(0, NOW), erasure(1, NOW - 90 * DAY), Given(2, NOW, b"v1", b"{}")]
    assert reasons(role("ingest"), "privacy.erasures", records) == ["missing_field"]


def test_what_ingest_accepted_is_never_refused_for_its_time_further_on():
    # One partition of ingest may be months ahead of another while a backlog is worked off.
    records = [delta(0, NOW, NOW), delta(1, NOW - 90 * DAY, NOW), delta(2, NOW, NOW - 600_000)]
    assert reasons(role("signals"), "activity.items", records) == []


def test_an_unknown_role_is_told_with_those_there_are():
    with pytest.raises(ConfigurationError, match="ingest, signals, learn"):
        role("signal")


def test_ingest_reads_signals_of_items_unless_told_not_to():
    ingest, signals = role("ingest"), role("signals")
    assert ingest.reads(Settings()) == ("catalog.items", "control.parameters", "signals.items")
    without = ingest.reads(Settings(item_features=False))
    assert without == ("catalog.items", "control.parameters")
    assert signals.reads(Settings()) == without


def test_the_learn_role_is_told_of_each_later_request_for_erasure_once():
    def request(viewer: str, at_ms: int) -> bytes:
        return msgspec.json.encode({"viewer_id": viewer, "requested_at_ms": at_ms})

    views = Views.empty()
    assert role("learn").reads(Settings()) == ("privacy.erasures",)
    told = [views.update("privacy.erasures", "v1", request("v1", NOW + n)) for n in (0, 0, -1, 1)]
    assert told == [True, False, False, True]
    assert not views.update("privacy.erasures", "v1", None)
    assert views.erasures.requested_ms == {"v1": NOW + 1}
    with pytest.raises(Rejection, match="record key 'v2'"):
        views.update("privacy.erasures", "v2", request("v1", NOW))


def test_nobody_is_told_of_signals_of_items_but_they_are_known():
    views = Views.empty()
    signal = {"item_id": "i1", "as_of_ms": NOW, "ctr": 0.5, "coec": 1, "completion_rate": 0.3}
    value = msgspec.json.encode(signal | {"watch_ratio": 0.5, "velocity": 2})
    assert not views.update("signals.items", "i1", value)
    assert views.item_signals.texts(["i1"], NOW) == "A0.5B1C0.3D0.5E2"
