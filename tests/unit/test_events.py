from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import Rejection
from streamapp.events import (
    MAX_DETAIL,
    REASONS,
    Impression,
    decode_catalog_item,
    decode_click,
    decode_impression,
    decode_parameter,
    decode_watch,
)

DECODERS = (
    decode_impression,
    decode_click,
    decode_watch,
    decode_catalog_item,
    decode_parameter,
)

IMPRESSION: dict[str, Any] = {
    "event_id": "e1",
    "occurred_at_ms": 1_700_000_000_000,
    "viewer_id": "v1",
    "request_id": "r1",
    "surface": "home",
    "items": [{"item_id": "i1", "position": 1}, {"item_id": "i2", "position": 2}],
}
CLICK: dict[str, Any] = {
    "event_id": "e2",
    "occurred_at_ms": 1_700_000_000_500,
    "viewer_id": "v1",
    "item_id": "i1",
    "action": "click",
}
WATCH: dict[str, Any] = {
    "event_id": "e3",
    "occurred_at_ms": 1_700_000_001_000,
    "viewer_id": "v1",
    "item_id": "i1",
    "playback_id": "p1",
    "state": "progress",
    "watched_ms": 1000,
}
EVENTS = {
    "impression": (decode_impression, IMPRESSION),
    "click": (decode_click, CLICK),
    "watch": (decode_watch, WATCH),
}


def rejected(decode: Any, value: bytes | None) -> Rejection:
    with pytest.raises(Rejection) as caught:
        decode(value)
    return caught.value


def test_an_impression_holds_its_slots_in_order() -> None:
    event = decode_impression(msgspec.json.encode(IMPRESSION))
    assert isinstance(event, Impression)
    assert [(slot.item_id, slot.position) for slot in event.items] == [("i1", 1), ("i2", 2)]
    assert (event.key, event.occurred_at_ms) == ("v1", 1_700_000_000_000)


def test_an_impression_without_items_is_a_search_without_results() -> None:
    assert decode_impression(msgspec.json.encode(IMPRESSION | {"items": []})).items == ()


@pytest.mark.parametrize("kind", EVENTS)
def test_optional_fields_may_be_null_and_unknown_fields_are_ignored(kind: str) -> None:
    decode, event = EVENTS[kind]
    optional = dict.fromkeys(("session_id", "device", "country", "experiments"))
    more = event | optional | {"colour": {"a": [1, None]}}
    assert decode(msgspec.json.encode(more)) == decode(msgspec.json.encode(event))


@pytest.mark.parametrize("kind", EVENTS)
def test_each_required_field_is_missed_by_name(kind: str) -> None:
    decode, event = EVENTS[kind]
    for name in event:
        short = {field: value for field, value in event.items() if field != name}
        rejection = rejected(decode, msgspec.json.encode(short))
        assert (rejection.reason, rejection.detail) == ("missing_field", f"{name}: required")


@pytest.mark.parametrize("kind", EVENTS)
def test_a_required_field_that_is_null_is_invalid(kind: str) -> None:
    decode, event = EVENTS[kind]
    for name in event:
        rejection = rejected(decode, msgspec.json.encode(event | {name: None}))
        assert rejection.reason == "invalid_field"
        assert rejection.detail.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("kind", "fields", "at"),
    [
        ("click", {"action": "wave"}, "action"),
        ("watch", {"state": "paused"}, "state"),
        ("watch", {"watched_ms": -1}, "watched_ms"),
        ("watch", {"watched_ms": 1.5}, "watched_ms"),
        ("watch", {"watched_ms": "1"}, "watched_ms"),
        ("watch", {"watched_ms": 10**30}, "watched_ms"),
        ("watch", {"duration_ms": -1}, "duration_ms"),
        ("watch", {"live": "yes"}, "live"),
        ("click", {"occurred_at_ms": -1}, "occurred_at_ms"),
        ("click", {"occurred_at_ms": 10**15}, "occurred_at_ms"),
        ("click", {"occurred_at_ms": True}, "occurred_at_ms"),
        ("click", {"event_id": ""}, "event_id"),
        ("click", {"viewer_id": "v" * 257}, "viewer_id"),
        ("click", {"item_id": 7}, "item_id"),
        ("click", {"position": 0}, "position"),
        ("impression", {"items": {}}, "items"),
        ("impression", {"items": [{"item_id": "i", "position": 1}] * 501}, "items"),
        ("impression", {"items": [{"item_id": "", "position": 1}]}, "items[0].item_id"),
        ("impression", {"items": [{"item_id": "i", "position": 0}]}, "items[0].position"),
        (
            "impression",
            {"items": [{"item_id": "i", "position": 1, "propensity": 0}]},
            "items[0].propensity",
        ),
        (
            "impression",
            {"items": [{"item_id": "i", "position": 1, "features": {"f": []}}]},
            "items[0].features[...]",
        ),
    ],
)
def test_a_field_that_cannot_be_used_is_named(kind: str, fields: dict[str, Any], at: str) -> None:
    decode, event = EVENTS[kind]
    rejection = rejected(decode, msgspec.json.encode(event | fields))
    assert rejection.reason == "invalid_field"
    assert rejection.detail.startswith(f"{at}: ")


def test_a_slot_that_lacks_a_field_is_named_by_its_place() -> None:
    value = msgspec.json.encode(IMPRESSION | {"items": [{"item_id": "i"}]})
    rejection = rejected(decode_impression, value)
    assert (rejection.reason, rejection.detail) == (
        "missing_field",
        "items[0].position: required",
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "invalid_json"),
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"event_id": "\xff"}', "invalid_json"),
        (b'{"event_id": "\xed\xa0\x80"}', "invalid_json"),
        (b'{"event_id": "\\ud800"}', "invalid_json"),
        (b'{"occurred_at_ms": NaN}', "invalid_json"),
        (b'{"other": ' + b"[" * 100_000, "invalid_json"),
        (msgspec.json.encode(CLICK) + b"{}", "invalid_json"),
        (b"null", "invalid_field"),
        (b"[]", "invalid_field"),
        (b'"click"', "invalid_field"),
        (b"{}", "missing_field"),
    ],
)
def test_what_is_no_event_is_rejected_with_its_reason(value: bytes | None, reason: str) -> None:
    assert rejected(decode_click, value).reason == reason


def test_a_number_beyond_a_float_is_invalid() -> None:
    value = msgspec.json.encode(CLICK)[:-1] + b',"price":1e999}'
    assert rejected(decode_click, value).detail.startswith("price: ")


def test_the_detail_stays_short_whatever_the_record_holds() -> None:
    rejection = rejected(decode_click, msgspec.json.encode(CLICK | {"action": "x" * 100_000}))
    assert len(rejection.detail) <= MAX_DETAIL


def test_features_as_served_may_be_numbers_strings_flags_and_null() -> None:
    features = {"a": 1, "b": 0.5, "c": "x", "d": True, "e": None}
    slot = {"item_id": "i", "position": 1, "features": features}
    event = decode_impression(msgspec.json.encode(IMPRESSION | {"items": [slot]}))
    assert event.items[0].features == features


@pytest.mark.parametrize("value", [0.5, [0.5, 0.25]])
def test_a_parameter_is_a_number_or_a_list(value: Any) -> None:
    record = {"name": "prior/ctr", "valid_from_ms": 1, "value": value}
    decoded = decode_parameter(msgspec.json.encode(record)).value
    assert decoded == (tuple(value) if isinstance(value, list) else value)


def rejection_of(decode: Any, value: bytes) -> Rejection | None:
    try:
        decode(value)
    except Rejection as rejection:
        return rejection
    return None


def assert_decodes_or_rejects(value: bytes) -> None:
    for decode in DECODERS:
        rejection = rejection_of(decode, value)
        if rejection is not None:
            assert rejection.reason in REASONS
            assert 0 < len(rejection.detail) <= MAX_DETAIL


@given(value=st.binary())
def test_any_bytes_decode_or_are_rejected(value: bytes) -> None:
    assert_decodes_or_rejects(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data(), kind=st.sampled_from(sorted(EVENTS)))
def test_an_event_with_any_value_anywhere_decodes_or_is_rejected(
    data: st.DataObject, kind: str
) -> None:
    event = dict(EVENTS[kind][1])
    names = sorted({*event, "duration_ms", "price", "experiments", "request_id", "position"})
    for name in data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=3)):
        event[name] = data.draw(json_values)
    assert_decodes_or_rejects(msgspec.json.encode(event))


@given(data=st.data(), kind=st.sampled_from(sorted(EVENTS)))
def test_an_event_with_broken_bytes_decodes_or_is_rejected(data: st.DataObject, kind: str) -> None:
    value = bytearray(msgspec.json.encode(EVENTS[kind][1]))
    for at in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=5)):
        value[at] = data.draw(st.integers(0, 255))
    assert_decodes_or_rejects(bytes(value))
