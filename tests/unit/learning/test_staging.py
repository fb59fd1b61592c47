"""Learning on trial: undone, it never was; accepted, it is FTRL; older states are kept exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.ftrl import FtrlLogistic
from streamapp.learning.model_settings import ModelSettings
from streamapp.learning.staged_coordinate import BIAS
from streamapp.learning.staging import StagedFtrl

AT_ONCE = ModelSettings(admission=1.0)
shown = st.lists(
    st.tuples(st.lists(st.integers(0, 7), max_size=5, unique=True), st.floats(0, 1)), max_size=12
)
turns = st.lists(st.tuples(shown, st.booleans()), max_size=8)


def staged(settings: ModelSettings = AT_ONCE) -> StagedFtrl:
    return StagedFtrl(settings, -1.0)


def restored(original: StagedFtrl) -> StagedFtrl:
    copy = staged()
    copy.turn, copy.hour, copy.day = original.turn, original.hour, original.day
    copy.restore(BIAS, original.bias)
    for index in range(8):
        state = original.snapshot(index)
        if state is not None:
            copy.restore(index, state)
    copy.ready()
    return copy


@given(turns, st.booleans())
def test_what_is_accepted_is_ftrl_over_the_accepted_turns(history, restarts):
    one = staged()
    reference = FtrlLogistic(alpha=0.2, beta=1.0, l2=1.0, intercept_init=-1.0)
    for examples, accepted in history:
        for indices, y in examples:
            one.learn(indices, y)
            if accepted:
                reference.learn_indices(indices, y)
            if restarts:
                one = restored(one)
        if accepted:
            one.accept(0, 0)
        else:
            one.undo()
        assert one.accepted_intercept == one.intercept == reference.intercept
        for index in range(8):
            assert one.accepted(index) == one.weight(index) == reference.weight(index)


@given(turns)
def test_while_a_turn_lasts_what_was_accepted_does_not_move(history):
    one = staged()
    for examples, accepted in history:
        before = [one.accepted(index) for index in range(8)], one.accepted_intercept
        for indices, y in examples:
            one.learn(indices, y)
            assert ([one.accepted(index) for index in range(8)], one.accepted_intercept) == before
        if accepted:
            one.accept(0, 0)
        else:
            one.undo()


@given(turns, st.lists(st.integers(0, 1), min_size=8, max_size=8), st.booleans())
def test_the_hours_copy_predicts_as_the_model_did_when_the_hour_began(history, hours, restarts):
    one, hour = staged(), 0
    then = dict.fromkeys(range(8), 0.0), -1.0
    for (examples, accepted), passed in zip(history, hours, strict=False):
        for indices, y in examples:
            _, old, _ = one.learn(indices, y)
            assert old == pytest.approx(then[1] + sum(then[0][i] for i in indices), abs=1e-12)
            if restarts:
                one = restored(one)
        if not accepted:
            one.undo()
            continue
        hour += passed
        one.accept(hour, 0)
        if passed:
            then = {index: one.weight(index) for index in range(8)}, one.intercept


def test_a_rare_coordinate_is_held_at_its_nth_example_on_average():
    waits = []
    for index in range(400):
        one, example = staged(ModelSettings(admission=5.0)), 0
        while one.size == 0:
            example += 1
            one.learn([index], 1.0, draw=hash((index, example)) % 2**32)
        waits.append(example)
    assert sum(waits) / len(waits) == pytest.approx(5.0, rel=0.2)


def test_an_example_that_stands_for_many_admits_as_many_would():
    one = staged(ModelSettings(admission=5.0))
    one.learn([1, 2, 3], 0.0, draw=12345, weight=5.0)
    assert one.size == 3


def test_the_draw_does_not_look_at_the_label():
    clicked, ignored = staged(ModelSettings(admission=3.0)), staged(ModelSettings(admission=3.0))
    for example in range(50):
        clicked.learn([example % 20], 1.0, draw=example * 7_919_003)
        ignored.learn([example % 20], 0.0, draw=example * 7_919_003)
    assert 0 < clicked.size < 20
    assert [clicked.snapshot(i) is None for i in range(20)] == [
        ignored.snapshot(i) is None for i in range(20)
    ]


def test_coordinates_not_touched_for_days_are_forgotten():
    one = staged()
    for day in range(5):
        one.learn([day, 7], 1.0)
        one.accept(0, day + 1)
    assert [gone.index for gone in one.expire(3)] == [0, 1, 2]
    assert one.size == 3
    assert one.weight(0) == 0.0
    assert sorted(changed.index for changed in one.take_dirty()) == [0, 1, 2, 3, 4, 7]
    assert one.take_dirty() == []


def test_what_readers_hold_of_a_forgotten_coordinate_is_known_until_they_are_told():
    one = staged()
    one.learn([5], 1.0)
    [held] = one.accept(0, 1)
    held.told = held.w
    one.take_dirty()
    assert one.expire(2) == [held]
    assert (one.size, one.snapshot(5), one.weight(5)) == (0, None, 0.0)
    assert one.take_dirty() == [held]
    one.learn([5], 1.0)
    assert (one.size, held.held) == (1, True)
    assert held.told != 0.0
    one.undo()
    assert (one.size, one.snapshot(5)) == (0, None)
    held.told = 0.0
    one.tell([held])
    assert one.take_dirty() == [held]
    one.learn([5], 1.0)
    assert not held.held
    assert one.size == 1


def test_a_coordinate_that_changed_in_two_turns_is_written_once():
    one = staged()
    one.learn([3], 1.0)
    one.undo()
    one.learn([3, 4], 0.0)
    assert [changed.index for changed in one.take_dirty()] == [3, 4]


@given(turns, st.booleans())
def test_what_is_found_beside_another_is_what_is_looked_up(history, restarts):
    settings = ModelSettings(admission=1.5, alpha=0.1)
    first, second, alone = staged(), staged(settings), staged(settings)
    for number, (examples, accepted) in enumerate(history):
        for indices, y in examples:
            draw = number * 7_919_003
            first.learn(indices, y, draw=draw)
            told = second.learn(indices, y, draw=draw, beside=first)
            assert told == alone.learn(indices, y, draw=draw)
        if accepted:
            first.accept(0, number)
        else:
            first.undo()
        for one in (second, alone):
            if accepted:
                one.undo()
            else:
                one.accept(0, number)
            one.expire(number - 1)
            one.take_dirty()
        if restarts:
            first.follow(second)
        assert [second.snapshot(index) for index in range(8)] == [
            alone.snapshot(index) for index in range(8)
        ]
