"""The published copy of a factor model: its checksum follows each change, and says which rows."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.factor_table import KINDS, FactorTable, checksum_of, row_of, score

numbers = st.floats(-4, 4)
rows = st.none() | st.builds(row_of, numbers, st.lists(numbers, min_size=3, max_size=3))
changes = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b/c", "é"]), rows))


def checksum_by_hand(kind: str, name: str, bias: float, vector: list[float]) -> int:
    raw = kind.encode() + b"/" + name.encode() + b"\x00"
    for number in (bias, *vector):
        raw += struct.pack("<d", number)
    return zlib.crc32(raw)


@given(changes)
def test_the_checksum_is_that_of_the_rows_held_whatever_happened_before(history):
    table = FactorTable()
    held: dict[tuple[str, str], list[float]] = {}
    for kind, name, row in history:
        table.update(kind, name, row)
        held.pop((kind, name), None)
        if row is not None:
            held[kind, name] = row.tolist()
    assert len(table) == len(held)
    assert table.checksum == sum(
        checksum_by_hand(kind, name, row[0], row[1:]) for (kind, name), row in held.items()
    ) % (2**32)
    for kind in KINDS:
        assert {n: row.tolist() for n, row in table.items(kind)} == {
            n: row for (k, n), row in held.items() if k == kind
        }


def test_a_row_of_a_viewer_is_told_from_that_of_an_item_of_the_same_name():
    row = row_of(0.0, [1.0])
    assert checksum_of("viewer", "7", row) != checksum_of("item", "7", row)


def test_whoever_is_not_known_counts_as_zeros():
    table = FactorTable()
    table.update("viewer", "v", row_of(0.0, [1.0, 2.0]))
    table.update("item", "i", row_of(0.5, [3.0, -1.0]))
    assert score(table.get, "v", "i") == pytest.approx(0.5 + 3.0 - 2.0)
    assert score(table.get, "someone", "i") == 0.5
    assert score(table.get, "v", "something") == 0.0
    assert table.get("item", "something") is None
