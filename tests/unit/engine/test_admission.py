"""Admission: what makes a record unusable besides its bytes, and what is kept of it."""

from __future__ import annotations

import base64
import hashlib
from collections import deque

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.engine import admission
from streamapp.engine.admission import (
    KEPT_BYTES,
    REJECTED,
    Admission,
    Refused,
    Routing,
    Rules,
    too_late,
)
from streamapp.engine.merge import AT_ONCE, Entry
from streamapp.engine.partitioner import by_crc32
from streamapp.errors import Rejection
from streamapp.events import REASONS
from streamapp.processors.base import Cut
from streamapp.signals import RejectedRecord
from tests.unit.engine.tally import Event, Fake, decode_event, record

NOW_MS = 1_700_000_000_000
RULES = Rules(grace_ms=1000, in_future_ms=300, max_event_bytes=200)


def admit(given: Fake, rules: Rules = RULES, routing: Routing | None = None, partition: int = 3):
    """The entry that becomes of one record of topic `a`."""
    queue: deque[Entry] = deque()
    Admission(partition, rules, routing).admit("a", [given], decode_event, queue)
    (entry,) = queue
    assert entry[2] is given
    return entry


def rejection(given: Fake, rules: Rules = RULES, **others) -> Rejection:
    time_ms, rejected, _ = admit(given, rules, **others)
    assert time_ms == AT_ONCE
    assert isinstance(rejected, Rejection)
    assert rejected.reason in REASONS
    return rejected


def good(at: int = NOW_MS, key: str = "k", timestamp: int = -1) -> Fake:
    return record(5, Event(key, at, 1), timestamp)


def test_a_good_record_is_queued_with_its_time():
    assert admit(good())[:2] == (NOW_MS, Event("k", NOW_MS, 1))


def test_records_keep_their_order_whatever_becomes_of_each():
    records = [good(3), Fake(6, b"k", b"{"), good(1), Fake(7, b"k", None)]
    queue: deque[Entry] = deque()
    Admission(3, RULES, None).admit("a", records, decode_event, queue)
    assert [entry[2] for entry in queue] == records
    assert [entry[0] for entry in queue] == [3, AT_ONCE, 1, AT_ONCE]


def test_what_decoding_says_is_kept():
    assert rejection(Fake(5, b"k", b"{")).reason == "invalid_json"
    assert rejection(Fake(5, b"k", b"{}")).reason == "invalid_field"


def test_a_record_without_a_value_is_no_json():
    assert rejection(Fake(5, b"k", None)).reason == "invalid_json"


@pytest.mark.parametrize("key", [b"other", b"", b"\xff", None])
def test_the_records_key_must_be_the_key_field(key):
    assert rejection(good()._replace(key=key)).reason == "key_mismatch"


def test_keys_are_compared_as_utf_8():
    assert admit(good(key="kim-치"))[1].key == "kim-치"


@pytest.mark.parametrize(("ahead", "fine"), [(300, True), (301, False)])
def test_an_event_may_be_so_far_ahead_of_its_kafka_timestamp(ahead, fine):
    given = good(NOW_MS + ahead, timestamp=NOW_MS)
    if fine:
        assert admit(given)[0] == NOW_MS + ahead
    else:
        assert rejection(given).reason == "in_future"


def test_without_a_kafka_timestamp_no_event_is_in_the_future():
    assert admit(good(10 * NOW_MS, timestamp=-1))[0] == 10 * NOW_MS


def test_too_late_is_told_with_both_times():
    told = too_late(Event("k", NOW_MS - 1001, 1), NOW_MS, RULES)
    assert told.reason == "too_late"
    assert str(NOW_MS - 1001) in told.detail
    assert str(NOW_MS) in told.detail


def sized(size: int) -> Fake:
    """A good record whose value has this many bytes."""
    value = good().value
    assert value is not None
    return good()._replace(value=value + b" " * (size - len(value)))


def test_a_value_of_the_largest_size_is_fine_and_a_larger_one_is_not_even_decoded():
    assert admit(sized(200))[0] == NOW_MS
    assert rejection(sized(201)).reason == "oversized"
    assert rejection(Fake(5, b"k", b"{" * 201)).reason == "oversized"


def routed(partitions: int) -> Routing:
    return Routing(by_crc32, "crc32", partitions)


def test_a_record_on_another_partition_than_its_keys_is_misrouted_and_told_why():
    belongs = by_crc32(b"k", 12)
    assert admit(good(), routing=routed(12), partition=belongs)[0] == NOW_MS
    told = rejection(good(), routing=routed(12), partition=belongs + 1)
    assert told.reason == "misrouted"
    for part in ("crc32", f"partition {belongs} of 12", "STREAMAPP_PARTITIONER"):
        assert part in told.detail


def test_a_wrong_key_is_told_as_such_and_not_as_misrouted():
    belongs = by_crc32(b"other", 12)
    given = good()._replace(key=b"other")
    assert rejection(given, routing=routed(12), partition=belongs + 1).reason == "key_mismatch"


def test_a_key_found_right_once_is_right_again_and_no_other_is(monkeypatch):
    monkeypatch.setattr(admission, "REMEMBERED_KEYS", 2)
    keys = ["k", "l", "k", "m", "l", "k"]
    records = [good(key=key) for key in keys]
    records.insert(3, good(key="k")._replace(key=b"l"))
    records.insert(5, good(key="x")._replace(key=b"k"))
    queue: deque[Entry] = deque()
    Admission(3, RULES, Routing(lambda _key, _partitions: 3, "all", 12)).admit(
        "a", records, decode_event, queue
    )
    told = [entry[1] for entry in queue]
    assert [one.reason for one in told if isinstance(one, Rejection)] == ["key_mismatch"] * 2
    assert [one.key for one in told if isinstance(one, Event)] == keys


@pytest.mark.parametrize("value", [b"{", None, b"x" * 1000, good().value])
def test_a_record_named_to_be_skipped_is_skipped_whatever_it_holds(value):
    rules = Rules(max_event_bytes=200, skip=frozenset({("a", 3, 5)}))
    assert rejection(Fake(5, b"k", value), rules).reason == "skipped"


@pytest.mark.parametrize("named", [("b", 3, 5), ("a", 4, 5), ("a", 3, 6)])
def test_only_the_record_named_is_skipped(named):
    assert admit(good(), Rules(skip=frozenset({named})))[0] == NOW_MS


# --- what goes to events.rejected ---------------------------------------------------------------


def emitted(key: bytes | None, value: bytes | None) -> tuple[bytes | None, RejectedRecord]:
    cut = Cut(stream_time_ms=7, computed_at_ms=8)
    Refused("a", 3, Fake(5, key, value), Rejection("invalid_json", "what")).emit(cut)
    ((kafka_key, row, by),) = cut.outputs[REJECTED]
    assert by == kafka_key
    assert row is not None
    return kafka_key, msgspec.json.decode(row, type=RejectedRecord)


def test_a_rejected_record_is_told_with_its_place_and_its_reason():
    key, told = emitted(b"k", b"{")
    assert key == b"k"
    place = (told.topic, told.partition, told.offset, told.reason, told.detail)
    assert place == ("a", 3, 5, "invalid_json", "what")
    assert (told.as_of_ms, told.computed_at_ms) == (7, 8)


@given(st.one_of(st.none(), st.binary()), st.one_of(st.none(), st.binary()))
def test_its_bytes_and_its_key_come_back_exactly(key, value):
    kafka_key, told = emitted(key, value)
    assert kafka_key == key
    assert (None if told.key is None else base64.b64decode(told.key)) == key
    assert (None if told.record is None else base64.b64decode(told.record)) == value
    assert (told.truncated, told.size, told.sha256) == (False, len(value or b""), None)


@pytest.mark.parametrize(("size", "truncated"), [(KEPT_BYTES, False), (KEPT_BYTES + 1, True)])
def test_of_a_long_one_the_start_is_kept_with_size_and_checksum(size, truncated):
    value = bytes(n % 251 for n in range(size))
    _, told = emitted(b"k", value)
    assert base64.b64decode(told.record or "") == value[:KEPT_BYTES]
    assert (told.truncated, told.size) == (truncated, size)
    assert told.sha256 == (hashlib.sha256(value).hexdigest() if truncated else None)


def test_a_huge_key_makes_no_record_that_a_broker_refuses():
    key, told = emitted(b"k" * 1_000_000, b"v" * 1_000_000)
    assert len(key or b"") == KEPT_BYTES
    assert len(key or b"") + len(msgspec.json.encode(told)) < 512 * 1024
