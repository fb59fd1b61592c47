"""The merge of a task's inputs, against sorting and against choosing the least head each time.

Timelines are event times; `│` is what the input has brought so far, `…` what may still come.
"""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.engine.merge import AT_ONCE, NO_BOUND, Input, Merge
from tests.unit.engine.tally import Fake

MAX_IDLE = 2.0
NAMES = ("a", "b", "c", "d")

times = st.integers(0, 30)
inputs_of_times = st.lists(st.lists(times, max_size=12), min_size=1, max_size=4)


def filled(timelines, *, at_end=True) -> list[Input]:
    """Inputs that have brought these event times, in this order."""
    made = []
    for name, timeline in zip(NAMES, timelines, strict=False):
        source = Input(name)
        source.queue.extend(
            (at, f"{name}{offset}", Fake(offset, None, None)) for offset, at in enumerate(timeline)
        )
        source.position = len(timeline)
        source.at_end = at_end
        made.append(source)
    return made


def take(merge: Merge, until_ms: int = NO_BOUND, most_a_run=None) -> list[str]:
    """All that the merge gives, taking at most so many of each run (as a drive's limit would)."""
    taken = []
    for topic, queue, bound in merge.runs(until_ms):
        left = most_a_run() if most_a_run else len(queue)
        assert queue[0][0] <= bound
        while left and queue and queue[0][0] <= bound:
            _, event, _ = queue.popleft()
            assert event.startswith(topic)
            taken.append(event)
            left -= 1
    return taken


def least_head_each_time(timelines) -> list[str]:
    """The definition: again and again the smallest head; of equal ones the earlier input's."""
    queues = [deque(enumerate(timeline)) for timeline in timelines]
    taken = []
    while any(queues):
        _, index = min((queue[0][1], index) for index, queue in enumerate(queues) if queue)
        offset, _ = queues[index].popleft()
        taken.append(f"{NAMES[index]}{offset}")
    return taken


@given(inputs_of_times)
def test_inputs_in_order_come_out_sorted_and_ties_go_to_the_earlier_input(timelines):
    timelines = [sorted(timeline) for timeline in timelines]
    every = [
        (at, index, offset)
        for index, timeline in enumerate(timelines)
        for offset, at in enumerate(timeline)
    ]
    expected = [f"{NAMES[index]}{offset}" for _, index, offset in sorted(every)]
    assert take(Merge(filled(timelines), MAX_IDLE)) == expected


@given(inputs_of_times, st.data())
def test_whatever_part_of_a_run_is_taken_the_least_head_goes_next(timelines, data):
    expected = least_head_each_time(timelines)
    some = lambda: data.draw(st.integers(1, 3))  # noqa: E731
    assert take(Merge(filled(timelines), MAX_IDLE), most_a_run=some) == expected


@given(inputs_of_times, times)
def test_what_comes_later_than_the_bound_stays(timelines, until_ms):
    timelines = [sorted(timeline) for timeline in timelines]
    inputs = filled(timelines)
    taken = take(Merge(inputs, MAX_IDLE), until_ms=until_ms)
    assert len(taken) == sum(at <= until_ms for timeline in timelines for at in timeline)
    assert all(at > until_ms for source in inputs for at, _, _ in source.queue)


def test_an_empty_input_that_is_behind_holds_the_others_back():
    # a  ─ 10 ─ 20 │ …
    # b            │ …   may still bring a 5
    inputs = filled([[10, 20], []], at_end=False)
    assert take(Merge(inputs, MAX_IDLE)) == []
    assert len(inputs[0].queue) == 2


def test_what_has_come_is_taken_up_to_where_an_input_runs_empty():
    # a  ─ 10 ──── 30 │ …
    # b  ───── 20     │ …   20 goes, and then b may still bring a 25
    assert take(Merge(filled([[10, 30], [20]], at_end=False), MAX_IDLE)) == ["a0", "b0"]


def test_an_input_at_its_end_holds_nobody_back():
    # a  ─ 10 ─ 20 │ …
    # b            │ end
    inputs = filled([[10, 20], []], at_end=False)
    inputs[1].at_end = True
    assert take(Merge(inputs, MAX_IDLE)) == ["a0", "a1"]


@pytest.mark.parametrize(("silent", "waits"), [(MAX_IDLE, True), (MAX_IDLE + 0.001, False)])
def test_an_input_silent_for_longer_than_max_idle_is_no_longer_waited_for(silent, waits):
    inputs = filled([[10, 20], []], at_end=False)
    inputs[1].silent = silent
    assert take(Merge(inputs, MAX_IDLE)) == ([] if waits else ["a0", "a1"])


def test_an_input_with_records_waiting_is_never_passed_over_however_long_it_brings_nothing():
    # a  ─ 10 ──── 30 │ end
    # b  ───── 20     │ …     its 20 has waited for an hour
    inputs = filled([[10, 30], [20]], at_end=False)
    inputs[0].at_end = True
    inputs[1].silent = 3600.0
    assert take(Merge(inputs, MAX_IDLE)) == ["a0", "b0", "a1"]


def test_a_rejected_record_goes_as_soon_as_it_is_head_and_not_before():
    # a  ─ 10 ─ (rejected) ─ 20 │ end
    # b  ─ 5 ────────────── 15  │ end
    inputs = filled([[10, AT_ONCE, 20], [5, 15]])
    assert take(Merge(inputs, MAX_IDLE)) == ["b0", "a0", "a1", "b1", "a2"]


def test_the_next_offset_is_that_of_the_head_and_else_the_position():
    source = filled([[10, 20]])[0]
    assert source.next_offset == 0
    source.queue.popleft()
    assert source.next_offset == 1
    source.queue.popleft()
    assert source.next_offset == source.position == 2


def test_quiet_is_when_all_inputs_are_at_their_end_and_nothing_waits():
    inputs = filled([[], []])
    assert Merge(inputs, MAX_IDLE).quiet
    inputs[1].at_end = False
    assert not Merge(inputs, MAX_IDLE).quiet
    inputs[1].at_end = True
    inputs[0].queue.append((1, "a0", Fake(0, None, None)))
    assert not Merge(inputs, MAX_IDLE).quiet
