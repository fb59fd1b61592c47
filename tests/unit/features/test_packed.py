from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.dedupe import EventIds
from streamapp.features.packed import BUCKET_RECORDS, PackedTable, find

keys = st.binary(min_size=8, max_size=8)


def add(table: PackedTable, record: bytes) -> None:
    table.append(table.bucket(record), record)


@given(records=st.lists(st.binary(min_size=12, max_size=12), max_size=40), key=keys)
def test_a_record_is_found_at_its_beginning_only(records: list[bytes], key: bytes) -> None:
    data = b"".join(records)
    expected = next((12 * i for i, r in enumerate(records) if r.startswith(key)), -1)
    assert find(data, key, 12) == expected


def test_a_key_that_lies_across_two_records_is_not_found() -> None:
    assert find(b"xxxxABCDEFGHxxxx", b"ABCDEFGH", 8) == -1


def test_a_table_of_thousands_finds_each_record_in_a_small_bucket() -> None:
    table = EventIds()
    records = [i.to_bytes(2, "big") * 4 + i.to_bytes(8, "big") for i in range(5_000)]
    for record in records:
        add(table, record)
    assert table.held == len(table.records()) == 5_000
    for record in records:
        bucket = table.bucket(record[:8])
        at = find(bucket, record[:8], 16)
        assert bucket[at : at + 16] == record
    assert max(len(bucket) for bucket in table.buckets) <= 4 * 16 * BUCKET_RECORDS


def test_within_a_bucket_records_keep_their_order_when_it_splits() -> None:
    table = EventIds()
    for number in range(2 * BUCKET_RECORDS):
        add(table, bytes(8) + bytes([number]) * 8)
    assert [record[8] for record in table.records()] == list(range(2 * BUCKET_RECORDS))


def test_a_dropped_record_is_gone() -> None:
    table = EventIds()
    for number in range(3):
        add(table, b"aaaaaaa%d........" % number)
    table.drop(table.bucket(b"aaaaaaa1"), 16)
    assert table.records() == [b"aaaaaaa0........", b"aaaaaaa2........"]
    assert table.held == 2
