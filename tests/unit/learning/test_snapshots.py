"""What readers hold, against a plain dictionary."""

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.snapshots import Publication, WeightTable

weights = st.floats(-3, 3, allow_subnormal=False) | st.just(0.0)
updates = st.lists(st.tuples(st.integers(0, 6), weights), max_size=40)


def checksum_from_scratch(table: dict[int, float]) -> int:
    entries = (struct.pack("<Q", i) + struct.pack("<d", w) for i, w in table.items())
    return sum(zlib.crc32(entry) for entry in entries) % 2**32


@given(updates)
def test_count_and_checksum_are_those_of_all_weights_other_than_0(changes):
    table, plain = WeightTable(), {}
    for index, weight in changes:
        table.update(index, weight)
        plain[index] = weight
    plain = {index: weight for index, weight in plain.items() if weight}
    assert len(table) == len(plain)
    assert table.checksum == checksum_from_scratch(plain)
    assert {index: table.get(index) for index in plain} == plain


@given(updates)
def test_the_order_of_changes_does_not_show_in_the_checksum(changes):
    final = dict(changes)
    one, other = WeightTable(), WeightTable()
    for index, weight in changes:
        one.update(index, weight)
    for index in sorted(final, reverse=True):
        other.update(index, final[index])
    assert one.checksum == other.checksum


@given(st.lists(updates, max_size=5))
def test_readers_are_never_off_by_more_than_the_threshold(rounds):
    publication = Publication(threshold=0.5)
    model: dict[int, float] = {}
    reader: dict[int, float] = {}
    for number, changes in enumerate(rounds):
        model.update(changes)
        publication.touch(index for index, _ in changes)
        told = publication.publish(lambda index: model.get(index, 0.0), number)
        reader.update(told)
        assert publication.epoch == number + 1
        assert [index for index, _ in told] == sorted({index for index, _ in told})
        for index, weight in model.items():
            held = reader.get(index, 0.0)
            assert held == publication.table.get(index)
            assert abs(weight - held) < 0.5


def test_small_changes_are_withheld_until_they_add_up():
    publication, model, published = Publication(threshold=1e-4), {1: 0.0}, []
    for number in range(6):
        model[1] += 0.4e-4
        publication.touch([1])
        published.append(publication.publish(model.__getitem__, number))
    assert [bool(changes) for changes in published] == [False, False, True, False, False, True]


def test_a_weight_that_returns_to_0_is_deleted():
    publication = Publication()
    publication.touch([4])
    publication.publish(lambda _: 0.3, 0)
    publication.touch([4])
    assert publication.publish(lambda _: 0.0, 1) == [(4, 0.0)]
    assert len(publication.table) == 0
    assert publication.table.checksum == 0


@given(updates, updates)
def test_a_restored_publication_owes_what_the_original_owes(first, second):
    model, original = dict(first), Publication()
    original.touch(model)
    original.publish(model.__getitem__, 7)
    for index, weight in second:
        model[index] = weight
        original.touch([index])
    restored = Publication()
    for index, weight in model.items():
        restored.table.update(index, original.table.get(index))
        restored.restore(index, weight)
    assert restored.table.checksum == original.table.checksum
    owed = original.publish(model.__getitem__, 8)
    assert restored.publish(model.__getitem__, 8) == owed
