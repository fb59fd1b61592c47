"""Copies of models: whole versions only, wherever a reader begins and whatever compaction took.

records   w1  w2  @1 │ w1  @2 │ ✗w2  w3  @3 │ …
          ─────────────▲ a reader may begin here, or find any superseded record gone
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.reader.state import FACTORS, WEIGHTS, State
from streamapp.signals import FeatureSpec
from tests.unit.reader.worlds import SPEC, Author, FactorAuthor, Sent, feed, version

MODEL = "click-all"

weights = st.sampled_from([0.0, 0.25, -1.5, 0.1])
histories = st.lists(
    st.dictionaries(st.integers(0, 5), weights, max_size=4), min_size=1, max_size=6
)
rows = st.none() | st.lists(st.sampled_from([0.0, 1.0, -0.5]), min_size=3, max_size=3)
factor_histories = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(["viewer", "item"]), st.sampled_from(["a", "b/c", "@epoch"])),
        rows,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


def compacted(
    records: list[Sent], clean_until: int, tombstones_until: int, kept: set[int]
) -> list[Sent]:
    """Leave out what a log cleaner may have taken.

    Args:
        clean_until: records before this may go if a later one of their key is before it as well.
        tombstones_until: deletions before this may go once nothing of the key is before them.
        kept: places of records that could go and have not gone yet.
    """
    last = {record.key: place for place, record in enumerate(records[:clean_until])}
    left = []
    for place, record in enumerate(records):
        superseded = place < clean_until and last[record.key] > place
        gone = record.value is None and place < min(tombstones_until, clean_until)
        if not (superseded and place not in kept) and not gone:
            left.append(record)
    # A deletion goes only when nothing before it is left that it deletes.
    for place, record in enumerate(records[: min(tombstones_until, clean_until)]):
        if record.value is None and any(
            other.key == record.key and records.index(other) < place for other in left
        ):
            return records
    return left


@given(histories, st.data())
def test_a_reader_that_begins_anywhere_holds_exactly_one_published_version(history, data):
    author = Author()
    published: dict[int, dict[int, float]] = {}
    log: list[Sent] = []
    for changes in history:
        log += author.publish(changes, intercept=float(author.epoch))
        published[author.epoch] = dict(author.weights)
    clean_until = data.draw(st.integers(0, len(log)))
    tombstones_until = data.draw(st.integers(0, len(log)))
    kept = data.draw(st.sets(st.integers(0, len(log))))
    state = State()
    for record in compacted(log, clean_until, tombstones_until, kept):
        state.update(*record)
        copy = state.weights.get(MODEL)
        assert copy is not None
        if copy.close is not None:
            assert dict(copy.weights.items()) == published[copy.epoch]
            assert copy.close.intercept == copy.epoch - 1
    copy = state.weights.get(MODEL)
    assert copy is not None
    assert copy.epoch == author.epoch
    assert dict(copy.weights.items()) == author.weights


@given(histories, st.integers(0, 30))
def test_a_record_that_was_missed_keeps_the_old_version_until_all_fits_again(history, missed):
    author, state = Author(), State()
    published: dict[int, dict[int, float]] = {}
    log = []
    for changes in history:
        log += author.publish(changes)
        published[author.epoch] = dict(author.weights)
    for place, record in enumerate(log):
        if place != missed % len(log):
            state.update(*record)
        copy = state.weights.get(MODEL)
        if copy is not None and copy.close is not None:
            assert dict(copy.weights.items()) == published[copy.epoch]
    repair = author.publish({index: author.weights.get(index, 0.0) for index in range(6)})
    feed(state, repair)
    copy = state.weights.get(MODEL)
    assert copy is not None
    assert (dict(copy.weights.items()), copy.epoch, copy.torn) == (author.weights, author.epoch, 0)


@given(factor_histories, st.data())
def test_factors_too_are_those_of_exactly_one_version(history, data):
    author, state = FactorAuthor(), State()
    published: dict[int, dict[tuple[str, str], list[float]]] = {}
    log: list[Sent] = []
    for changes in history:
        log += author.publish(changes)
        published[author.epoch] = dict(author.rows)
    log = compacted(log, data.draw(st.integers(0, len(log))), 0, set())
    for record in log:
        state.update(*record)
        copy = state.factors.get(author.model)
        assert copy is not None
        if copy.close is None:
            assert copy.nearest("a", 9) == []
            continue
        held = published[copy.epoch]
        for viewer in ("a", "b/c", "@epoch"):
            of_viewer = held.get(("viewer", viewer), [0.0] * 3)
            expected = {
                name: row[0] + sum(v * i for v, i in zip(of_viewer[1:], row[1:], strict=True))
                for (kind, name), row in held.items()
                if kind == "item"
            }
            for name, score in expected.items():
                assert copy.score(viewer, name) == pytest.approx(score)
            assert copy.score(viewer, "unknown") == 0.0
            near = copy.nearest(viewer, 2)
            if ("viewer", viewer) in held:
                assert [expected[name] for name in near] == pytest.approx(
                    sorted(expected.values(), reverse=True)[:2]
                )
            else:
                assert near == []
    assert state.factors.get(author.model).epoch == author.epoch  # type: ignore[union-attr]


def test_changes_wait_for_the_record_that_closes_them():
    author, state = Author(), State()
    feed(state, author.publish({1: 0.5}))
    *changes, close = author.publish({1: 0.0, 2: 0.25})
    feed(state, changes)
    copy = state.weights.get(MODEL)
    assert copy is not None
    assert (dict(copy.weights.items()), copy.epoch) == ({1: 0.5}, 1)
    feed(state, [close])
    assert (dict(copy.weights.items()), copy.epoch, copy.applied) == ({2: 0.25}, 2, 2)


def test_a_wrong_number_keeps_the_old_version_and_is_counted():
    author, state = Author(), State()
    feed(state, author.publish({1: 0.5}))
    first, second, close = author.publish({2: 0.25, 3: 0.125})
    feed(state, [first, close])
    copy = state.weights.get(MODEL)
    assert copy is not None
    assert (dict(copy.weights.items()), copy.epoch, copy.torn) == ({1: 0.5}, 1, 1)
    assert state.gauges()["versions_torn"] == 1
    feed(state, [second, close])
    assert (copy.epoch, copy.torn) == (2, 0)


def test_what_cannot_be_used_is_counted_and_the_old_version_stays():
    author, state = Author(), State()
    feed(state, [*author.publish({1: 0.5}), author.version()])
    feed(
        state,
        [
            Sent(WEIGHTS, f"{MODEL}/2", b"{"),
            Sent(WEIGHTS, f"{MODEL}/two", b'{"weight":1.0}'),
            Sent(WEIGHTS, f"{MODEL}/@epoch", b'{"epoch":2}'),
        ],
    )
    assert state.rejected[WEIGHTS] == 3
    assert state.champions("all")["click"].epoch == 1
    author.spec = msgspec.structs.replace(SPEC, hash="a new one")
    feed(state, author.publish({2: 1.0}))
    assert "a new one" in str(state.trouble)
    assert state.champions("all")["click"].epoch == 1


def test_a_new_spec_comes_into_use_with_its_weights():
    author, state = Author(), State()
    feed(state, [*author.publish({1: 0.5}), author.version()])
    author.spec = FeatureSpec(names=("item",), bits=16)
    *changes, close = author.publish({1: 0.25})
    feed(state, changes)
    assert state.champions("all")["click"].encoder.spec == SPEC
    feed(state, [close])
    assert state.champions("all")["click"].encoder.spec == author.spec


def test_a_model_that_is_taken_back_is_used_no_more_and_may_come_again():
    author, state = Author(), State()
    feed(state, [*author.publish({1: 0.5}), author.version()])
    feed(state, [Sent(WEIGHTS, f"{MODEL}/@epoch", None)])
    assert state.champions("all") == {}
    feed(state, author.publish({2: 0.5}))
    assert dict(state.champions("all")["click"].weights.items()) == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize("topic", [WEIGHTS, FACTORS])
def test_after_a_missed_deletion_reading_again_brings_the_version_of_now(topic):
    author: Any = Author() if topic == WEIGHTS else FactorAuthor()
    one: Any = {1: 0.5} if topic == WEIGHTS else {("item", "a"): [1.0, 0.0, 0.0]}
    none: Any = {1: 0.0} if topic == WEIGHTS else {("item", "a"): None}
    two: Any = {2: 0.5} if topic == WEIGHTS else {("item", "b"): [2.0, 0.0, 0.0]}
    state = feed(State(), author.publish(one))
    copies: Any = state.copies()[topic]
    _, *deleted = author.publish(none)  # the deletion itself is gone when the reader is back
    feed(state, deleted)
    last = author.publish(two)
    feed(state, last)
    assert copies.torn
    assert copies.get(author.model).epoch == 1
    copies.read_again()
    feed(state, last)
    assert copies.get(author.model).epoch == 1  # until all is read
    state.read_through(topic)
    assert not copies.torn
    assert copies.get(author.model).epoch == 3
    feed(state, author.publish(one))
    assert copies.get(author.model).epoch == 4


def test_models_without_a_whole_version_are_no_champions():
    state = feed(State(), [version("click-all", 1)])
    assert state.champions("all") == {}
