"""Ownership: every partition is fenced, restored and sought, in this order, whatever comes between.

The ledger and the reading are fakes that write down what is asked of them and wait where a test
holds them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.engine import ownership as module
from streamapp.engine.ownership import RESTORES_AT_ONCE, Ownership
from streamapp.engine.task import PROGRESS_KEY, Progress, Task
from streamapp.errors import BrokersUnavailable, ConfigurationError, StreamappError
from streamapp.processors.base import Row
from tests.unit.engine.tally import Event, Kept, Tally, record

INPUTS = ("a", "b", "c")
STEPS = ("fence", "restore", "committed", "earliest")
NOTHING: dict[str, int] = {}


@dataclass
class Broker:
    """What the fakes share: what is stored, what goes wrong, and all that was asked."""

    journal: list[tuple[str, int]] = field(default_factory=list)
    rows: dict[int, list[Row]] = field(default_factory=dict)
    committed: dict[int, dict[str, int]] = field(default_factory=dict)
    earliest: dict[int, dict[str, int]] = field(default_factory=dict)
    held: dict[tuple[str, int], asyncio.Event] = field(default_factory=dict)
    errors: dict[tuple[str, int], list[Exception]] = field(default_factory=dict)
    ledgers: list[FakeLedger] = field(default_factory=list)
    sought: dict[int, dict[str, int]] = field(default_factory=dict)
    assigned: set[int] = field(default_factory=set)
    member: bool = True

    def hold(self, step: str, partition: int) -> Callable[[], None]:
        """Let this step of this partition wait; returns what lets it go on."""
        gate = self.held[step, partition] = asyncio.Event()
        return gate.set

    async def step(self, step: str, partition: int) -> None:
        self.journal.append((step, partition))
        await asyncio.sleep(0)
        if (step, partition) in self.held:
            await self.held[step, partition].wait()
        if self.errors.get((step, partition)):
            raise self.errors[step, partition].pop(0)

    def steps(self, partition: int) -> list[str]:
        return [step for step, of in self.journal if of == partition]


class FakeLedger:
    """Stands for `Ledger`."""

    def __init__(self, broker: Broker, partition: int) -> None:
        self.broker, self.partition = broker, partition
        self.fenced = 0
        self.closed = False
        broker.ledgers.append(self)

    async def fence(self) -> None:
        self.fenced += 1
        await self.broker.step("fence", self.partition)

    async def restore(
        self, take: Callable[[str, Sequence[Row]], None], progress: Callable[[int, int], None]
    ) -> None:
        rows = self.broker.rows.get(self.partition, [])
        progress(0, len(rows))
        for done, row in enumerate(rows, 1):
            take("tally", [row])
            progress(done, len(rows) - done)
            if done == 1:
                await self.broker.step("first row", self.partition)
        await self.broker.step("restore", self.partition)

    async def committed(self) -> dict[str, int]:
        await self.broker.step("committed", self.partition)
        return dict(self.broker.committed.get(self.partition, NOTHING))

    async def earliest(self) -> dict[str, int]:
        await self.broker.step("earliest", self.partition)
        return dict.fromkeys(INPUTS, 0) | self.broker.earliest.get(self.partition, NOTHING)

    async def close(self) -> None:
        self.closed = True
        await self.broker.step("close", self.partition)


class FakeReading:
    """Stands for the consumer: which partitions are read, and from where.

    What is assigned changes before the ownership is told, as with Kafka.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.reads: set[int] = set()

    def hold(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self.reads.discard(partition)
            self.broker.journal.append(("hold", partition))

    async def is_member(self) -> bool:
        return self.broker.member

    async def resume(self, positions: Mapping[int, Mapping[str, int]]) -> bool:
        await asyncio.sleep(0)
        if not positions.keys() <= self.broker.assigned:
            return False
        for partition, offsets in positions.items():
            self.reads.add(partition)
            self.broker.sought[partition] = dict(offsets)
            self.broker.journal.append(("resume", partition))
        return True


@dataclass
class World:
    """An ownership and everything around it."""

    broker: Broker
    reading: FakeReading
    ownership: Ownership
    failures: list[BaseException]

    def task(self, partition: int) -> Task:
        return self.ownership.owned[partition].task

    def running(self) -> set[int]:
        return {p for p in self.ownership.owned if self.ownership.running(p)}

    async def assign(self, *partitions: int) -> None:
        await self.assign_quickly(partitions)
        await settle()

    async def assign_quickly(self, partitions: Iterable[int]) -> None:
        self.broker.assigned = set(partitions)
        self.reading.reads &= self.broker.assigned
        await self.ownership.assign(partitions)


def world() -> World:
    broker = Broker()
    reading = FakeReading(broker)
    failures: list[BaseException] = []

    def make(partition: int) -> tuple[Task, FakeLedger]:
        task = Task(partition, [Tally()], lambda: 0.0)
        return task, FakeLedger(broker, partition)

    # The fake stands for a class; it need not inherit from it.
    ownership = Ownership(make, reading, failures.append)  # type: ignore[arg-type]
    return World(broker, reading, ownership, failures)


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world in which waiting for others takes no time; nothing may fail unnoticed."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    made = world()
    yield made
    assert made.failures == []
    for gate in made.broker.held.values():
        gate.set()
    await made.ownership.close()


async def settle() -> None:
    """Let everything that can happen now happen."""
    for _ in range(60):
        await asyncio.sleep(0)


def progress_row(stream_time_ms: int, **offsets: int) -> Row:
    return PROGRESS_KEY, msgspec.json.encode(Progress(stream_time_ms, offsets))


def kept_row(key: str, count: int) -> Row:
    return key.encode(), msgspec.json.encode(Kept(count))


# --- taking a partition -------------------------------------------------------------------------


async def test_a_partition_is_fenced_then_restored_then_sought_and_only_then_read(here):
    await here.assign(3)
    assert here.broker.steps(3) == ["hold", *STEPS, "resume"]
    assert here.running() == {3}
    assert here.reading.reads == {3}


async def test_a_restored_task_goes_on_from_the_committed_offsets(here):
    offsets = {"a": 5, "b": 6, "c": 7}
    here.broker.rows[3] = [kept_row("k", 9), progress_row(1234, **offsets)]
    here.broker.committed[3] = offsets
    await here.assign(3)
    task = here.task(3)
    assert task.offsets == here.broker.sought[3] == offsets
    assert task.stream_time_ms == 1234
    (tally,) = task.processors
    assert isinstance(tally, Tally)
    assert tally.kept == {"k": Kept(9)}
    assert tally.is_ready


async def test_a_new_partition_is_read_from_the_earliest_record_and_nothing_was_lost(here):
    here.broker.earliest[3] = {"a": 4}
    await here.assign(3)
    assert here.broker.sought[3] == {"a": 4, "b": 0, "c": 0}
    assert here.ownership.truncated == 0


async def test_it_is_told_how_far_a_restore_is(here):
    here.broker.rows[3] = [kept_row(key, 1) for key in "xyz"]
    go_on = here.broker.hold("first row", 3)
    await here.assign(3)
    owned = here.ownership.owned[3]
    assert (owned.running, owned.read, owned.remaining) == (False, 1, 2)
    go_on()
    await settle()
    assert (owned.running, owned.read, owned.remaining) == (True, 3, 0)


@pytest.mark.parametrize("step", STEPS)
async def test_no_record_is_taken_and_no_cut_before_a_task_runs(here, step):
    go_on = here.broker.hold(step, 3)
    await here.assign(3)
    assert here.ownership.running(3) is None
    assert here.reading.reads == set()
    go_on()
    await settle()
    assert here.ownership.running(3) is here.ownership.owned[3]


async def test_each_partition_is_read_as_soon_as_it_is_restored_while_others_still_restore(here):
    go_on = here.broker.hold("restore", 1)
    await here.assign(0, 1, 2)
    assert here.running() == here.reading.reads == {0, 2}
    go_on()
    await settle()
    assert here.running() == here.reading.reads == {0, 1, 2}


async def test_only_so_many_partitions_restore_at_once(here):
    gates = [here.broker.hold("restore", partition) for partition in range(8)]
    await here.assign(*range(8))
    assert sum(step == "fence" for step, _ in here.broker.journal) == RESTORES_AT_ONCE
    for gate in gates:
        gate()
    await settle()
    assert here.running() == set(range(8))


# --- assignments that change --------------------------------------------------------------------


async def test_the_same_assignment_again_changes_nothing(here):
    await here.assign(1, 2)
    before = dict(here.ownership.owned)
    await here.assign(1, 2)
    assert here.ownership.owned == before
    assert all(here.ownership.owned[p] is before[p] for p in before)
    assert len(here.broker.ledgers) == 2


async def test_a_partition_that_stays_keeps_its_task_and_is_read_on_where_the_task_is(here):
    await here.assign(1, 2)
    task = here.task(1)
    task.offer("a", [record(offset, Event("k", 10, offset)) for offset in (0, 1, 4)])
    del here.broker.journal[:]
    await here.assign(1)
    assert here.task(1) is task
    assert here.broker.steps(1) == ["hold", "resume"]
    assert here.broker.sought[1] == {"a": 5, "b": 0, "c": 0}


async def test_a_restore_goes_on_through_a_rebalance_that_leaves_it_the_partition(here):
    go_on = here.broker.hold("restore", 1)
    await here.assign(1)
    await here.assign(1, 2)
    assert here.running() == {2}
    go_on()
    await settle()
    assert here.running() == here.reading.reads == {1, 2}
    assert here.broker.steps(1).count("fence") == 1


async def test_a_partition_that_leaves_is_closed_and_read_no_more(here):
    await here.assign(1, 2)
    left = here.ownership.owned[2]
    await here.assign(1)
    assert here.running() == {1}
    assert left.running is False
    assert [ledger.partition for ledger in here.broker.ledgers if ledger.closed] == [2]


@pytest.mark.parametrize("step", STEPS)
async def test_a_partition_that_leaves_while_it_is_taken_never_runs(here, step):
    here.broker.hold(step, 3)
    await here.assign(3)
    owned = here.ownership.owned[3]
    await here.assign()
    assert here.ownership.owned == {}
    assert here.broker.ledgers[0].closed
    here.broker.held[step, 3].set()
    await settle()
    assert owned.running is False
    assert "resume" not in here.broker.steps(3)
    assert here.broker.steps(3)[-1] == "close"


@pytest.mark.parametrize("step", STEPS)
async def test_a_partition_that_leaves_and_comes_back_is_taken_anew(here, step):
    go_on = here.broker.hold(step, 3)
    await here.assign(3)
    first = here.ownership.owned[3]
    await here.assign()
    go_on()
    await here.assign(3)
    assert here.ownership.owned[3] is not first
    assert here.running() == {3}
    old, new = here.broker.ledgers
    assert (old.closed, new.closed) == (True, False)


async def test_a_restore_that_leaves_makes_room_for_the_others(here):
    for partition in range(RESTORES_AT_ONCE):
        here.broker.hold("restore", partition)
    await here.assign(*range(RESTORES_AT_ONCE))
    await here.assign(9)
    assert here.running() == {9}


async def test_an_assignment_that_was_cancelled_half_way_is_made_good_by_the_next(here):
    await here.assign(1)
    half_way = asyncio.create_task(here.assign_quickly([1, 2]))
    await asyncio.sleep(0)
    half_way.cancel()
    await asyncio.gather(half_way, return_exceptions=True)
    await here.assign(1, 2)
    assert here.running() == here.reading.reads == {1, 2}


async def test_a_task_whose_partition_went_meanwhile_waits_for_the_next_assignment(here):
    go_on = here.broker.hold("earliest", 3)
    await here.assign(3)
    here.broker.assigned.clear()
    go_on()
    await settle()
    assert here.reading.reads == set()
    await here.assign(3)
    assert here.reading.reads == {3}
    assert here.broker.steps(3).count("fence") == 1


@given(st.lists(st.tuples(st.sets(st.integers(0, 4)), st.integers(0, 25)), min_size=1, max_size=8))
@settings(max_examples=60)
def test_whatever_assignments_come_how_fast_the_last_one_holds(assignments):
    async def run() -> None:
        here = world()
        for partitions, turns in assignments:
            await here.assign_quickly(partitions)
            for _ in range(turns):
                await asyncio.sleep(0)
        await settle()
        wanted = assignments[-1][0]
        assert here.running() == here.reading.reads == wanted
        in_use = {id(owned.ledger) for owned in here.ownership.owned.values()}
        assert [id(one) in in_use for one in here.broker.ledgers] == [
            not one.closed for one in here.broker.ledgers
        ]
        assert all(one.fenced <= 1 for one in here.broker.ledgers)
        assert here.failures == []
        await here.ownership.close()
        assert all(one.closed for one in here.broker.ledgers)

    asyncio.run(run())


# --- what goes wrong ----------------------------------------------------------------------------


async def test_after_a_failed_commit_the_task_is_dropped_and_the_partition_taken_anew(here):
    await here.assign(3)
    lost = here.ownership.owned[3]
    here.broker.committed[3] = {"a": 2}
    here.ownership.retake(3, lost)
    assert lost.running is False
    assert here.reading.reads == set(), "what is in flight belongs to the lost task"
    await settle()
    assert here.ownership.owned[3] is not lost
    assert here.broker.sought[3] == {"a": 2, "b": 0, "c": 0}
    assert [one.closed for one in here.broker.ledgers] == [True, False]


async def test_a_worker_that_the_group_no_longer_knows_fences_nobody(here, monkeypatch):
    monkeypatch.setattr(module, "MEMBER_SECONDS", 0.0)
    await here.assign(3, 4)
    here.broker.member = False  # it was away, and others have its partitions
    here.broker.journal.clear()
    here.ownership.retake(3, here.ownership.owned[3])
    await settle()
    assert "fence" not in here.broker.steps(3)
    await here.assign(4)
    here.broker.member = True
    await settle()
    assert "fence" not in here.broker.steps(3)
    assert here.running() == {4}


async def test_a_worker_that_the_group_knows_again_goes_on_taking(here, monkeypatch):
    monkeypatch.setattr(module, "MEMBER_SECONDS", 0.0)
    here.broker.member = False
    await here.assign(3)
    assert not here.running()
    here.broker.member = True
    await settle()
    assert here.running() == {3}


async def test_a_commit_that_fails_late_takes_nothing_from_its_successor(here):
    await here.assign(3)
    lost = here.ownership.owned[3]
    here.ownership.retake(3, lost)
    successor = here.ownership.owned[3]
    here.ownership.retake(3, lost)
    await settle()
    assert here.ownership.owned[3] is successor
    assert len(here.broker.ledgers) == 2


async def test_a_commit_that_fails_after_the_partition_left_does_not_bring_it_back(here):
    await here.assign(3)
    lost = here.ownership.owned[3]
    await here.assign()
    here.ownership.retake(3, lost)
    await settle()
    assert here.ownership.owned == {}


@pytest.mark.parametrize("step", STEPS)
async def test_what_may_pass_is_tried_again_from_the_fence_on(here, step):
    here.broker.errors[step, 3] = [BrokersUnavailable("away"), BrokersUnavailable("still")]
    await here.assign(3)
    await settle()
    assert here.running() == {3}
    assert here.broker.steps(3).count("fence") == 3
    assert [one.closed for one in here.broker.ledgers] == [True, True, False]


async def test_a_partition_that_leaves_between_two_tries_is_not_tried_again(here, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 3600.0)
    here.broker.errors["fence", 3] = [BrokersUnavailable("away")]
    await here.assign(3)
    await here.assign()
    assert here.broker.steps(3).count("fence") == 1
    assert all(one.closed for one in here.broker.ledgers)


@pytest.mark.parametrize("error", [ConfigurationError("no changelog"), RuntimeError("a defect")])
@pytest.mark.parametrize("step", STEPS)
async def test_what_cannot_pass_ends_the_worker_and_no_record_is_taken(here, step, error):
    here.broker.errors[step, 3] = [error]
    await here.assign(3)
    assert here.failures == [error]
    assert here.running() == here.reading.reads == set()
    del here.failures[:]


async def test_a_row_that_cannot_be_read_ends_the_worker(here):
    here.broker.rows[3] = [(b"k", b"{")]
    await here.assign(3)
    assert [type(failure) for failure in here.failures] == [msgspec.DecodeError]
    assert here.running() == set()
    del here.failures[:]


async def test_a_producer_that_cannot_be_closed_is_left_to_the_next_fence(here):
    here.broker.errors["close", 3] = [StreamappError("away")]
    await here.assign(3)
    await here.assign()
    await here.assign(3)
    assert here.running() == {3}


async def test_what_is_assigned_after_closing_is_not_taken(here):
    await here.assign(3)
    await here.ownership.close()
    await here.assign(3, 4)
    assert not here.ownership.owned


async def test_closing_leaves_every_partition_and_waits_until_all_are_closed(here):
    here.broker.hold("restore", 1)
    await here.assign(0, 1, 2)
    await here.ownership.close()
    assert here.ownership.owned == {}
    assert all(one.closed for one in here.broker.ledgers)
    assert len(here.broker.ledgers) == 3


# --- offsets ------------------------------------------------------------------------------------


async def test_offsets_beyond_retention_are_told_and_the_earliest_record_is_next(here, caplog):
    here.broker.rows[3] = [progress_row(1, a=5, b=6, c=7)]
    here.broker.committed[3] = {"a": 5, "b": 6, "c": 7}
    here.broker.earliest[3] = {"a": 12, "b": 6}
    await here.assign(3)
    assert here.broker.sought[3] == here.task(3).offsets == {"a": 12, "b": 6, "c": 7}
    assert here.ownership.truncated == 1
    (told,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert told.getMessage() == (
        "a partition 3: offset 5 is beyond retention, 7 records were never processed; "
        "resuming at 12"
    )


async def test_committed_offsets_that_lag_behind_the_changelog_are_waited_for(here, caplog):
    here.broker.rows[3] = [progress_row(1, a=5, b=6, c=7)]
    here.broker.committed[3] = {"a": 4, "b": 6, "c": 7}
    await here.assign(3)
    assert here.running() == set()
    here.broker.committed[3] = {"a": 5, "b": 6, "c": 7}
    await asyncio.sleep(0.2)
    assert here.running() == {3}
    assert here.broker.sought[3]["a"] == 5
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_offsets_somebody_has_reset_are_followed_and_told(here, caplog, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.15)
    here.broker.rows[3] = [progress_row(1, a=5, b=6, c=7)]
    here.broker.committed[3] = {"a": 0, "b": 6, "c": 7}
    await here.assign(3)
    assert here.running() == set()
    await asyncio.sleep(0.4)
    assert here.broker.sought[3] == {"a": 0, "b": 6, "c": 7}
    (told,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "replay into a new app id" in told.getMessage()


async def test_offsets_that_expired_are_taken_from_the_changelog(here):
    here.broker.rows[3] = [progress_row(1, a=5, b=6, c=7)]
    here.broker.committed[3] = {"b": 6}
    await here.assign(3)
    assert here.broker.sought[3] == {"a": 5, "b": 6, "c": 7}


async def test_an_input_added_since_the_last_commit_is_read_from_its_earliest_record(here):
    here.broker.rows[3] = [progress_row(1, a=5, b=6)]
    here.broker.committed[3] = {"a": 5, "b": 6}
    here.broker.earliest[3] = {"c": 30}
    await here.assign(3)
    assert here.broker.sought[3] == {"a": 5, "b": 6, "c": 30}
    assert here.ownership.truncated == 0
