"""Rows of factors: who gets one, who loses it, and what a row begins with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.factor_rows import Beginning, Entry, FactorRows, hashed

BEGIN = Beginning(4, 0.1, (0.5, 0.1))
names = st.lists(st.sampled_from("abcdef"), max_size=40)


def rows(capacity: int = 3, admission: int = 2) -> FactorRows:
    return FactorRows("item", BEGIN.of_item, capacity, admission)


@given(names)
def test_those_used_last_have_rows_once_they_were_used_often_enough(history):
    table = rows()
    waiting: dict[str, int] = {}  # by last use, as are those held
    held: dict[str, int] = {}
    for name in history:
        table.use(name)
        events = held.pop(name, 0) or waiting.pop(name, 0)
        home = held if events + 1 >= 2 else waiting
        if len(home) == 3:
            del home[next(iter(home))]
        home[name] = events + 1
    assert list(table.names()) == list(held)
    assert table.size == len(held) + len(waiting)
    for name, events in (held | waiting).items():
        entry = table.entry(name)
        assert entry is not None
        assert entry.events == events
        assert (entry.row is not None) == (name in held)


@given(names, st.integers(0, 40))
def test_a_restore_from_the_entries_touched_changes_nothing(history, at):
    table, kept = rows(), dict[str, Entry]()

    def keep() -> None:
        for name in table.take_touched():
            kept.pop(name, None)
            entry = table.entry(name)
            if entry is not None:
                kept[name] = Entry(entry.order, entry.events, entry.row)

    for name in history[:at]:
        table.use(name)
    keep()
    again = rows()
    again.restore(kept.items())
    for one in (table, again):
        for name in history[at:]:
            one.use(name)
    assert list(again.names()) == list(table.names())
    for name in "abcdef":
        assert repr(again.entry(name)) == repr(table.entry(name))


def test_a_row_follows_from_the_id_its_category_and_creator():
    one, other = rows(admission=1), rows(admission=1)
    first = one.use("a", ("drama", "c1")).row
    assert first is not None
    assert first[0] == 0.0
    other.use("b", ("drama", "c1"))
    np.testing.assert_array_equal(other.use("a", ("drama", "c1")).row, first)
    own, drama, creator = (
        hashed("item/a", 4),
        hashed("category/drama", 4),
        hashed("creator_id/c1", 4),
    )
    np.testing.assert_allclose(first[1:], 0.1 * own + 0.5 * drama + 0.1 * creator)
    np.testing.assert_allclose(rows(admission=1).use("a", (None, None)).row[1:], 0.1 * own)  # type: ignore[index]


def test_hashed_numbers_have_mean_zero_and_deviation_one():
    drawn = np.concatenate([hashed(f"item/{n}", 16) for n in range(2_000)])
    assert drawn.mean() == pytest.approx(0.0, abs=0.02)
    assert drawn.std() == pytest.approx(1.0, abs=0.02)
    assert abs(drawn).max() <= 3**0.5


def test_what_is_put_back_is_used_last_and_none_takes_a_row_away():
    table = rows(admission=1)
    table.use("a")
    table.use("b")
    row = np.ones(5)
    table.put_back("a", row)
    assert list(table.names()) == ["b", "a"]
    assert table.get("a") is row
    table.put_back("b", None)
    table.put_back("gone", row)
    assert list(table.names()) == ["a", "gone"]
    assert table.take_touched() == {"a", "b", "gone"}
