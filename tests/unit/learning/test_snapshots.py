"""What readers hold, against a plain dictionary."""

import struct
import zlib
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.snapshots import Publication, Told
from streamapp.learning.staged_coordinate import StagedCoordinate

weights = st.floats(-3, 3, allow_subnormal=False) | st.just(0.0)
updates = st.lists(st.tuples(st.integers(0, 6), weights), max_size=40)
TURN = 1


class Weights:
    """The coordinates of a model, each with a weight that was accepted."""

    def __init__(self) -> None:
        self.all: dict[int, StagedCoordinate] = {}

    def put(self, changes: Iterable[tuple[int, float]]) -> list[StagedCoordinate]:
        changed = []
        for index, weight in changes:
            one = self.all.setdefault(index, StagedCoordinate(index))
            one.w = weight
            changed.append(one)
        return changed


def told(due: list[StagedCoordinate]) -> list[tuple[int, float]]:
    return [(one.index, one.told) for one in due]


def checksum_from_scratch(table: dict[int, float]) -> int:
    entries = (struct.pack("<Q", i) + struct.pack("<d", w) for i, w in table.items())
    return sum(zlib.crc32(entry) for entry in entries) % 2**32


@given(updates)
def test_count_and_checksum_are_those_of_all_weights_other_than_0(changes):
    all_told = Told()
    plain: dict[int, float] = {}
    for index, weight in changes:
        all_told.change(index, plain.get(index, 0.0), weight)
        plain[index] = weight
    plain = {index: weight for index, weight in plain.items() if weight}
    assert all_told.count == len(plain)
    assert all_told.checksum == checksum_from_scratch(plain)


@given(st.lists(updates, max_size=5))
def test_readers_are_never_off_by_more_than_the_threshold(rounds):
    publication, model = Publication(threshold=0.5), Weights()
    reader: dict[int, float] = {}
    for number, changes in enumerate(rounds):
        publication.touch(model.put(changes))
        due = told(publication.publish(TURN, number))
        reader.update(due)
        assert publication.epoch == number + 1
        assert [index for index, _ in due] == sorted({index for index, _ in due})
        for index, one in model.all.items():
            assert reader.get(index, 0.0) == one.told
            assert abs(one.w - one.told) < 0.5
        held = {index: weight for index, weight in reader.items() if weight}
        assert publication.told.count == len(held)
        assert publication.told.checksum == checksum_from_scratch(held)


def test_small_changes_are_withheld_until_they_add_up():
    publication, model, published = Publication(threshold=1e-4), Weights(), []
    for number in range(6):
        publication.touch(model.put([(1, (number + 1) * 0.4e-4)]))
        published.append(publication.publish(TURN, number))
    assert [bool(changes) for changes in published] == [False, False, True, False, False, True]


def test_a_weight_that_returns_to_0_is_deleted():
    publication, model = Publication(), Weights()
    publication.touch(model.put([(4, 0.3)]))
    publication.publish(TURN, 0)
    publication.touch(model.put([(4, 0.0)]))
    assert told(publication.publish(TURN, 1)) == [(4, 0.0)]
    assert publication.told.count == 0
    assert publication.told.checksum == 0


def test_what_the_present_turn_taught_is_not_told():
    publication, model = Publication(), Weights()
    [one] = model.put([(4, 0.3)])
    one.turn, one.old_w = TURN, 0.2
    publication.touch([one])
    assert told(publication.publish(TURN, 0)) == [(4, 0.2)]


@given(updates, updates)
def test_a_restored_publication_owes_what_the_original_owes(first, second):
    model, copy = Weights(), Weights()
    original, restored = Publication(), Publication()
    original.touch(model.put(first))
    original.publish(TURN, 7)
    original.touch(model.put(second))
    copy.put((index, one.w) for index, one in model.all.items())
    for index, one in copy.all.items():
        one.told = model.all[index].told
    restored.restore(list(copy.all.values()), TURN)
    assert restored.told.checksum == original.told.checksum
    owed = told(original.publish(TURN, 8))
    assert told(restored.publish(TURN, 8)) == owed
