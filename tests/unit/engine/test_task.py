"""A task under any slicing, and under crashes: what it does depends on its inputs alone.

Timelines are event times; `│` is what the input has brought so far, `…` what may still come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.engine.admission import REJECTED, Rules
from streamapp.engine.merge import Record
from streamapp.engine.task import PROGRESS_KEY, Task
from streamapp.errors import ProcessorFailed
from streamapp.processors.base import Cut, Row
from tests.unit.engine.tally import (
    INPUTS,
    OUTPUT,
    Event,
    Fake,
    Handled,
    Kept,
    Tally,
    event_of,
    handled,
    record,
)

GRACE_MS = 40
RULES = Rules(grace_ms=GRACE_MS)
Logs = Mapping[str, Sequence[Fake]]


class Clock:
    """Monotonic seconds that stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def task_of(clock: Clock | None = None, rules: Rules = RULES) -> tuple[Task, Tally]:
    tally = Tally()
    return Task(7, [tally], clock or Clock(), rules), tally


def started(clock: Clock | None = None, rules: Rules = RULES) -> tuple[Task, Tally]:
    """A task of a new partition, as ownership hands it over."""
    task, tally = task_of(clock, rules)
    task.ready()
    task.seek(dict.fromkeys(INPUTS, 0))
    return task, tally


def ended(task: Task) -> None:
    """All inputs have told that there is nothing more."""
    for source in task.inputs.values():
        source.at_end = True


def told_ends(task: Task, logs: Logs) -> None:
    """Inputs whose logs were read whole have told so, as they do."""
    for topic, log in logs.items():
        if not log or task.inputs[topic].position > log[-1].offset:
            task.inputs[topic].at_end = True


def events(*times: int, key: str = "k") -> list[Fake]:
    return [record(offset, Event(key, at, at)) for offset, at in enumerate(times)]


def seen(tally: Tally) -> list[tuple[str, int]]:
    return [(topic, event.at) for topic, event in tally.seen]


# --- the definition, by brute force -------------------------------------------------------------


@dataclass
class Expected:
    """What comes of whole logs."""

    accepted: list[tuple[str, Event]] = field(default_factory=list)
    rejected: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def handled(self) -> Handled:
        return handled(event for _, event in self.accepted)


def expected(logs: Logs) -> Expected:
    """Take the least head each time; broken records at once; what is older than grace, out."""
    result, stream_time_ms = Expected(), 0
    queues = {topic: deque(records) for topic, records in logs.items()}
    while any(queues.values()):
        _, _, topic = min(
            (float("-inf") if broken(queue[0]) else event_of(queue[0].value).at, index, topic)
            for index, (topic, queue) in enumerate(queues.items())
            if queue
        )
        taken = queues[topic].popleft()
        if broken(taken):
            result.rejected.append((topic, taken.offset, "invalid_json"))
            continue
        event = event_of(taken.value)
        if event.at < stream_time_ms - GRACE_MS:
            result.rejected.append((topic, taken.offset, "too_late"))
        else:
            stream_time_ms = max(stream_time_ms, event.at)
            result.accepted.append((topic, event))
    return result


def broken(taken: Record) -> bool:
    return taken.value == b"{"


@st.composite
def logs_of_events(draw: st.DrawFn) -> Logs:
    """Inputs roughly in order, some records broken or far too late; offsets with gaps."""
    logs, number = {}, 0
    for topic in INPUTS:
        at, offset, records = 0, 0, []
        for _ in range(draw(st.integers(0, 10))):
            at += draw(st.integers(0, 25))
            offset += draw(st.integers(1, 3))
            number += 1
            late = draw(st.sampled_from([0, 0, 0, 10, 100]))
            key = draw(st.sampled_from("xyz"))
            made = record(offset, Event(key, max(at - late, 1), number))
            if draw(st.integers(0, 9)) == 0:
                made = made._replace(value=b"{")
            records.append(made)
        logs[topic] = records
    return logs


# --- any slicing --------------------------------------------------------------------------------

slicings = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from(INPUTS), st.integers(1, 4)),
        st.tuples(st.just("drive"), st.just(""), st.integers(1, 5)),
        st.tuples(st.just("cut"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def rejections(cut: Cut) -> list[tuple[str, int, str]]:
    told = [msgspec.json.decode(value or b"") for _, value, _ in cut.outputs.get(REJECTED, [])]
    return [(one["topic"], one["offset"], one["reason"]) for one in told]


@given(logs_of_events(), slicings)
def test_any_slicing_of_offers_drives_and_cuts_gives_the_same_order(logs, slicing):
    task, tally = started()
    left = {topic: list(records) for topic, records in logs.items()}
    cuts = []
    for action, topic, count in slicing:
        if action == "offer":
            task.offer(topic, left[topic][:count])
            del left[topic][:count]
            told_ends(task, logs)
        elif action == "drive":
            assert task.drive(count) <= count
        else:
            cuts.append(task.cut(0))
    for topic, records in left.items():
        task.offer(topic, records)
    ended(task)
    while task.drive(3):
        pass
    cuts.append(task.cut(0))
    assert tally.seen == expected(logs).accepted
    assert [one for cut in cuts for one in rejections(cut)] == expected(logs).rejected


@given(logs_of_events(), slicings)
def test_a_cut_reaches_exactly_to_the_first_record_that_was_not_processed(logs, slicing):
    task, tally = started()
    left = {topic: list(records) for topic, records in logs.items()}
    refused = 0
    for action, topic, count in slicing:
        if action == "offer":
            task.offer(topic, left[topic][:count])
            del left[topic][:count]
            told_ends(task, logs)
        elif action == "drive":
            task.drive(count)
        else:
            refused += len(rejections(task.cut(0)))
            before = sum(
                one.offset < task.offsets[topic] for topic, log in logs.items() for one in log
            )
            assert before == len(tally.seen) + refused


# --- exactly once -------------------------------------------------------------------------------


@dataclass
class Committed:
    """What transactions have written: all that outlives a crash."""

    rows: list[Row] = field(default_factory=list)
    outputs: list[tuple[str, bytes | None, bytes | None]] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INPUTS, 0))

    def add(self, cut: Cut, offsets: Mapping[str, int]) -> None:
        self.rows += cut.rows.get("tally", [])
        self.outputs += [(t, key, value) for t, out in cut.outputs.items() for key, value, _ in out]
        self.offsets = dict(offsets)

    def compacted(self) -> list[Row]:
        """The rows as compaction may leave them: the last of each key."""
        return list(dict(self.rows).items())

    @property
    def kept(self) -> dict[str, Kept]:
        return {
            key.decode(): msgspec.json.decode(value, type=Kept)
            for key, value in self.compacted()
            if key != PROGRESS_KEY and value is not None
        }

    def told(self, topic: str) -> list[tuple[str, bytes]]:
        return [(k.decode(), v) for t, k, v in self.outputs if t == topic and k and v is not None]


def restored(committed: Committed, step: int, *, compacted: bool) -> Task:
    """A task that has taken what was committed, some rows at a time."""
    task, _ = task_of()
    rows = committed.compacted() if compacted else committed.rows
    for start in range(0, len(rows), step):
        task.restore("tally", rows[start : start + step])
    task.ready()
    if committed.rows:
        assert task.restored_offsets == committed.offsets
    task.seek(committed.offsets)
    return task


def offer_next(task: Task, logs: Logs, topic: str, count: int) -> None:
    """Read on at the task's own position, as the consumer does after a seek."""
    position = task.inputs[topic].position
    task.offer(topic, [one for one in logs[topic] if one.offset >= position][:count])
    told_ends(task, logs)


def finish(task: Task, logs: Logs, committed: Committed) -> None:
    for topic in INPUTS:
        offer_next(task, logs, topic, 1000)
    ended(task)
    while task.drive(4):
        pass
    committed.add(task.cut(0), task.offsets)


def agrees(committed: Committed, logs: Logs) -> None:
    """What was committed is what the logs give when nothing ever goes wrong."""
    right = expected(logs)
    assert committed.kept == right.handled.kept
    assert committed.told(OUTPUT) == right.handled.closed
    refused = [msgspec.json.decode(v or b"") for t, _, v in committed.outputs if t == REJECTED]
    assert [(r["topic"], r["offset"], r["reason"]) for r in refused] == right.rejected


adventures = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from(INPUTS), st.integers(1, 4)),
        st.tuples(st.just("drive"), st.just(""), st.integers(1, 5)),
        st.tuples(
            st.sampled_from(
                [
                    "commit",
                    "crash",
                    "crash after the cut",  # the transaction was aborted
                    "crash after the commit",  # it was written, and nobody was told
                ]
            ),
            st.just(""),
            st.integers(1, 3),
        ),
    ),
    max_size=40,
)


@given(logs_of_events(), adventures, st.booleans())
def test_every_record_counts_exactly_once_whenever_the_worker_crashes(logs, adventure, compacted):
    committed = Committed()
    task = restored(committed, 1, compacted=compacted)
    for action, topic, count in adventure:
        if action == "offer":
            offer_next(task, logs, topic, count)
        elif action == "drive":
            task.drive(count)
        elif action in ("commit", "crash after the commit"):
            committed.add(task.cut(0), task.offsets)
        elif action == "crash after the cut":
            task.cut(0)
        if action.startswith("crash"):
            task = restored(committed, count, compacted=compacted)
    finish(task, logs, committed)
    agrees(committed, logs)


@given(logs_of_events(), st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_a_restore_after_any_commit_goes_on_to_the_same_end(logs, steps):
    committed = Committed()
    task = restored(committed, 1, compacted=False)
    history = []
    for step in steps:
        for topic in INPUTS:
            offer_next(task, logs, topic, step)
        task.drive(step)
        committed.add(task.cut(0), task.offsets)
        history.append(Committed(committed.rows[:], committed.outputs[:], dict(committed.offsets)))
    for past in history:
        finish(restored(past, 3, compacted=True), logs, past)
        agrees(past, logs)


# --- stream time --------------------------------------------------------------------------------


def test_an_input_that_was_not_read_yet_holds_the_others_back():
    # a  ─ 10 ─ 20 │ …
    # b            │ …   the first fetch after the seek has not brought it yet
    # c            │ end
    task, tally = started()
    task.inputs["c"].at_end = True
    task.offer("a", events(10, 20))
    assert task.drive(10) == 0
    task.offer("b", events(5))
    task.inputs["b"].at_end = True
    assert task.drive(10) == 3
    assert seen(tally) == [("b", 5), ("a", 10), ("a", 20)]


def test_an_input_that_stays_silent_is_waited_for_no_longer_than_max_idle():
    # a  ─ 10 ─ 20 │ …
    # b            │ …   silent for 2 s
    # c            │ end
    task, tally = started()
    task.inputs["c"].at_end = True
    task.offer("a", events(10, 20))
    task.inputs["b"].silent = 2.0
    assert task.drive(10) == 0
    task.inputs["b"].silent = 2.1
    assert task.drive(10) == 2
    assert seen(tally) == [("a", 10), ("a", 20)]


def test_time_that_passes_while_nobody_looks_is_no_silence():
    # a  ─ 10 ─ 20 │ …
    # b  ─ 5       │ …   its next records are read, and wait behind the work on these
    clock = Clock()
    task, tally = started(clock)
    task.inputs["c"].at_end = True
    task.inputs["b"].silent = 3600.0
    task.offer("b", events(5))
    task.offer("a", events(10, 20))
    clock.now += 3600.0
    assert task.drive(10) == 1
    task.offer("b", [record(1, Event("k", 15, 15))])
    assert task.drive(10) == 2
    assert seen(tally) == [("b", 5), ("a", 10), ("b", 15)]


def test_stream_time_is_told_before_the_event_that_moves_it_and_never_goes_back():
    # a  ─ 10 ──── 30 ─ 20 │ end
    # b  ───── 15          │ end
    task, tally = started()
    task.offer("a", events(10, 30, 20))
    task.offer("b", events(15))
    ended(task)
    task.drive(2)
    assert tally.times == [10, 15]
    task.drive(2)
    assert tally.times == [10, 15, 30]
    assert task.stream_time_ms == 30


def test_a_window_closes_when_stream_time_is_past_its_end_and_not_at_it():
    #      │◀── 20 ms ──▶│
    # a  ─ 10 ───────── 30 ─ 31 │ end      an event at exactly 30 still counts for it
    task, _ = started()
    task.offer("a", events(10, 30))
    ended(task)
    task.drive(10)
    assert OUTPUT not in task.cut(0).outputs
    task.offer("a", [record(2, Event("k", 31, 31))])
    task.drive(10)
    ((_, told, _),) = task.cut(0).outputs[OUTPUT]
    assert msgspec.json.decode(told or b"")["count"] == 2


def test_while_all_is_quiet_stream_time_goes_on_with_the_clock():
    clock = Clock()
    task, _ = started(clock)
    task.offer("a", events(10))
    ended(task)
    task.drive(10)
    task.idle()
    clock.now += 0.25
    task.idle()
    assert task.stream_time_ms == 260
    clock.now += 0.5
    task.idle()
    assert task.stream_time_ms == 760
    assert len(task.cut(0).outputs[OUTPUT]) == 1


def test_the_quiet_begins_anew_after_every_record():
    clock = Clock()
    task, _ = started(clock)
    task.offer("a", events(10))
    ended(task)
    task.drive(10)
    task.idle()
    clock.now += 5.0
    task.offer("a", [record(1, Event("k", 12, 12))])
    task.drive(10)
    task.idle()
    assert task.stream_time_ms == 12


def test_stream_time_waits_while_an_input_may_still_bring_something():
    clock = Clock()
    task, _ = started(clock)
    task.offer("a", events(10))
    ended(task)
    task.inputs["b"].at_end = False
    task.inputs["b"].silent = 3.0
    task.drive(10)
    for _ in range(2):
        task.idle()
        clock.now += 1.0
    assert task.stream_time_ms == 10


def test_stream_time_does_not_begin_before_the_first_event():
    clock = Clock()
    task, _ = started(clock)
    ended(task)
    for _ in range(3):
        task.idle()
        clock.now += 10.0
    assert task.stream_time_ms == 0


def test_what_the_quiet_made_due_is_part_of_a_cut_and_a_restore_goes_on_from_there():
    clock, committed = Clock(), Committed()
    task, _ = started(clock)
    task.offer("a", events(10))
    ended(task)
    task.drive(10)
    task.idle()
    clock.now += 0.5
    task.idle()
    committed.add(task.cut(0), task.offsets)
    assert len(committed.told(OUTPUT)) == 1
    again = restored(committed, 10, compacted=True)
    assert again.stream_time_ms == task.stream_time_ms == 510
    ended(again)
    again.idle()
    assert again.cut(0).empty


# --- the rest of it -----------------------------------------------------------------------------


def test_an_event_as_old_as_the_grace_counts_and_an_older_one_is_too_late():
    # a  ─ 100 ─ 60 ─ 59 │ end     grace 40
    task, tally = started()
    task.offer("a", events(100, 60, 59))
    ended(task)
    assert task.drive(10) == 3
    assert seen(tally) == [("a", 100), ("a", 60)]
    assert rejections(task.cut(0)) == [("a", 2, "too_late")]


def test_a_cut_is_given_once():
    task, _ = started()
    task.offer("a", events(10))
    ended(task)
    task.drive(10)
    assert not task.cut(0).empty
    assert task.cut(0).empty


def test_offsets_alone_make_a_cut():
    task, _ = started()
    task.offer("a", [Fake(4, b"k", b"{")])
    ended(task)
    assert task.cut(0).empty is False, "what was read and what was not must be told apart"
    task.drive(10)
    assert task.offsets["a"] == 5
    assert not task.cut(0).empty


def test_only_as_many_records_are_driven_as_asked_for_and_none_of_a_later_time():
    task, tally = started()
    task.offer("a", events(10, 20, 30, 40))
    ended(task)
    assert task.drive(1) == 1
    assert task.drive(10, until_ms=30) == 2
    assert task.waiting == 1
    assert seen(tally)[-1] == ("a", 30)


def test_a_raising_processor_is_told_with_the_record_and_how_to_skip_it():
    task, tally = started()
    task.offer("b", [record(41, Event("k", 10, 1)), record(43, Event("k", 11, 2, fail=True))])
    ended(task)
    with pytest.raises(ProcessorFailed, match=r"b:7:43 raised ValueError.*STREAMAPP_SKIP=b:7:43$"):
        task.drive(10)
    assert len(tally.seen) == 1


def test_a_timer_that_raises_is_told_with_the_record_that_moved_the_time(monkeypatch):
    task, tally = started()
    task.offer("b", events(10, 20))
    ended(task)
    task.drive(1)
    monkeypatch.setattr(tally, "advance", {}.__getitem__)
    with pytest.raises(ProcessorFailed, match=r"b:7:1 raised KeyError"):
        task.drive(1)


def test_a_decoder_that_raises_what_is_no_rejection_is_told_with_the_record(monkeypatch):
    task, tally = started()
    monkeypatch.setitem(task._decoders, "c", lambda value: tally.kept[value])
    with pytest.raises(ProcessorFailed, match=r"c:7:0 raised KeyError"):
        task.offer("c", events(10))


def test_a_record_named_to_be_skipped_is_rejected_and_the_rest_goes_on():
    task, tally = started(rules=Rules(skip=frozenset({("b", 7, 43)})))
    fatal = record(43, Event("k", 11, 2, fail=True))
    task.offer("b", [record(41, Event("k", 10, 1)), fatal, record(44, Event("k", 12, 3))])
    ended(task)
    task.drive(10)
    assert seen(tally) == [("b", 10), ("b", 12)]
    assert rejections(task.cut(0)) == [("b", 43, "skipped")]


def test_processors_share_an_input_and_keep_their_rows_apart():
    class Other(Tally):
        name: ClassVar[str] = "other"
        inputs: ClassVar[tuple[str, ...]] = ("b",)

    first, second = Tally(), Other()
    task = Task(0, [first, second], Clock(), RULES)
    assert list(task.inputs) == ["a", "b", "c"]
    task.seek(dict.fromkeys(INPUTS, 0))
    task.offer("a", events(10))
    task.offer("b", events(20))
    ended(task)
    task.drive(10)
    assert seen(first) == [("a", 10), ("b", 20)]
    assert seen(second) == [("b", 20)]
    rows = task.cut(0).rows
    assert [key for key, _ in rows["tally"]] == [b"k", PROGRESS_KEY]
    assert [key for key, _ in rows["other"]] == [b"k"]
    again, other = Tally(), Other()
    fresh = Task(0, [again, other], Clock(), RULES)
    fresh.restore("tally", rows["tally"])
    fresh.restore("other", rows["other"])
    assert (again.kept["k"].count, other.kept["k"].count) == (2, 1)
    assert fresh.restored_offsets == {"a": 1, "b": 1, "c": 0}


def test_a_seek_forgets_what_was_waiting_and_the_end_that_was_seen():
    task, tally = started()
    task.offer("a", events(10, 20))
    ended(task)
    task.seek({"a": 1, "b": 0, "c": 0})
    assert task.waiting == 0
    assert task.offsets == {"a": 1, "b": 0, "c": 0}
    task.offer("a", events(10, 20)[1:])
    assert task.drive(10) == 0, "the ends have to be seen again"
    ended(task)
    task.drive(10)
    assert seen(tally) == [("a", 20)]


def test_a_change_of_a_view_is_told_to_the_processors():
    task, tally = started()
    task.follow("catalog.items", "i7")
    assert tally.followed == [("catalog.items", "i7")]
    assert tally.is_ready


def test_rejections_and_samples_are_told_once_to_the_metrics():
    task, _ = started()
    task.offer("a", [*events(100, 10), Fake(2, b"k", b"{")])
    ended(task)
    task.drive(10)
    assert task.observed() == ({"too_late": 1, "invalid_json": 1}, [100])
    assert task.observed() == ({}, [])


def test_a_restored_processor_hears_the_stream_time_it_had(monkeypatch):
    task, _ = task_of()
    task.offer("a", [record(0, Event("k", 700, 1))])
    ended(task)
    task.drive(1)
    cut = task.cut(0)
    after, _ = task_of()
    heard: list[int] = []
    monkeypatch.setattr(after.processors[0], "advance", heard.append)
    after.restore("tally", cut.rows["tally"])
    after.ready()
    assert heard == [700]
    heard.clear()
    fresh, _ = task_of()
    monkeypatch.setattr(fresh.processors[0], "advance", heard.append)
    fresh.ready()
    assert heard == []
