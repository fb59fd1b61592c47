"""The runner: batches in, cuts out, one commit at a time a task; and how a worker ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from streamapp.engine import runner as module
from streamapp.engine.ownership import Owned
from streamapp.engine.runner import Runner
from streamapp.engine.task import Task
from streamapp.engine.transport import RecordBatch
from streamapp.errors import CommitFailed, ProcessorFailed, RecordTooLarge
from streamapp.metrics import Observer
from streamapp.processors.base import Cut
from tests.unit.engine.tally import INPUTS, Event, Fake, Tally, record


@dataclass
class FakeLedger:
    """Stands for `Ledger`: commits wait for `gate` when there is one."""

    commits: list[tuple[Cut, Mapping[str, int]]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    error: Exception | None = None

    async def commit(self, cut: Cut, offsets: Mapping[str, int]) -> None:
        self.commits.append((cut, offsets))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error


@dataclass
class FakeOwnership:
    """Stands for `Ownership`."""

    owned: dict[int, Owned] = field(default_factory=dict)
    retaken: list[int] = field(default_factory=list)

    def running(self, partition: int) -> Owned | None:
        owned = self.owned.get(partition)
        return owned if owned is not None and owned.running else None

    def retake(self, partition: int, lost: Owned) -> None:
        lost.running = False
        self.retaken.append(partition)


@dataclass
class FakeReading:
    """Stands for `FaustReading`."""

    current: int = 1
    paused: set[tuple[str, int]] = field(default_factory=set)
    behind: int = 0

    def epoch(self, topic: str, partition: int) -> int:  # noqa: ARG002
        return self.current

    def hold_back(self, topic: str, partition: int) -> None:
        self.paused.add((topic, partition))

    def unread(self, partition: int) -> int:  # noqa: ARG002
        return self.behind

    def let_on(self, topic: str, partition: int) -> None:
        self.paused.discard((topic, partition))


@dataclass
class World:
    ownership: FakeOwnership
    reading: FakeReading
    runner: Runner
    failures: list[BaseException]

    def start(self, partition: int, ledger: FakeLedger) -> Tally:
        """Hand over a running task, as the ownership does."""
        tally = Tally()
        task = Task(partition, [tally], lambda: 0.0)
        task.seek(dict.fromkeys(INPUTS, 0))
        owned = Owned(task, ledger, running=True)  # type: ignore[arg-type]
        self.ownership.owned[partition] = owned
        return tally

    async def deliver(self, records: list[Fake], topic: str = "a", partition: int = 0) -> None:
        """Bring these records, and the end of all inputs before."""
        for source in self.ownership.owned[partition].task.inputs.values():
            source.at_end = True
        batch = RecordBatch(topic, partition, records, 1, at_end=True)
        await self.runner.deliver(batch)


@pytest.fixture
def here() -> World:
    ownership, reading = FakeOwnership(), FakeReading()
    failures: list[BaseException] = []
    runner = Runner(
        ownership,  # type: ignore[arg-type]
        reading,  # type: ignore[arg-type]
        lambda: 77,
        0.0,
        Observer(lambda: 0),
        failures.append,
    )
    return World(ownership, reading, runner, failures)


def events(*times: int, fail_at: int | None = None) -> list[Fake]:
    return [record(n, Event("k", at, n, fail=at == fail_at)) for n, at in enumerate(times)]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_batch_is_processed_when_it_comes_and_committed_at_the_interval(here):
    ledger = FakeLedger()
    tally = here.start(0, ledger)
    await here.deliver(events(10, 20))
    assert len(tally.seen) == 2
    assert ledger.commits == []
    here.runner.commit_soon(0, here.ownership.owned[0])
    await settle()
    ((cut, offsets),) = ledger.commits
    assert offsets == {"a": 2, "b": 0, "c": 0}
    assert (cut.stream_time_ms, cut.computed_at_ms) == (20, 77)


async def test_a_task_far_behind_commits_less_often(here):
    here.start(0, FakeLedger())
    owned = here.ownership.owned[0]

    def commits(intervals: int) -> int:
        return sum(here.runner._due(0, owned) for _ in range(intervals))

    here.reading.behind = module.FAR_BEHIND
    assert commits(20) == 20
    here.reading.behind += 1
    assert commits(20) == 20 // module.INTERVALS_BEHIND
    here.reading.behind = 0
    assert commits(1) == 1, "as soon as it has caught up"


async def test_a_role_with_turns_commits_when_stream_time_passes_the_end_of_one(here):
    here.start(0, FakeLedger())
    owned, runner = here.ownership.owned[0], here.runner
    runner._turn_ms = 1_000
    await here.deliver(events(5_400))
    runner.commit_soon(0, owned)
    await here.deliver(events(5_500, 5_999))
    assert not runner._due(0, owned)
    await here.deliver(events(6_000))
    assert runner._due(0, owned)
    runner.commit_soon(0, owned)
    waits = [runner._due(0, owned) for _ in range(2 * module.LONGEST_WAIT)]
    assert waits == ([False] * (module.LONGEST_WAIT - 1) + [True]) * 2


async def test_a_quiet_task_waits_for_the_end_of_the_turn_by_the_clock(here):
    here.start(0, FakeLedger())
    owned, runner = here.ownership.owned[0], here.runner
    runner._turn_ms, now = 1_000, 100.0
    owned.task._clock = lambda: now
    await here.deliver(events(5_400))
    runner.commit_soon(0, owned)
    assert not runner._due(0, owned)
    now += 0.5
    assert not runner._due(0, owned)
    now += 0.2
    assert runner._due(0, owned)


async def test_a_batch_of_before_the_last_seek_is_dropped(here):
    tally = here.start(0, FakeLedger())
    here.reading.current = 2
    await here.deliver(events(10, 20))
    assert tally.seen == []
    assert here.ownership.owned[0].task.offsets["a"] == 0


async def test_a_batch_for_a_task_that_does_not_run_is_dropped(here):
    tally = here.start(0, FakeLedger())
    here.ownership.owned[0].running = False
    await here.deliver(events(10, 20))
    assert tally.seen == []


async def test_one_commit_at_a_time_and_the_next_has_all_that_came_meanwhile(here):
    ledger = FakeLedger(gate=asyncio.Event())
    here.start(0, ledger)
    await here.deliver(events(10, 20))
    owned = here.ownership.owned[0]
    here.runner.commit_soon(0, owned)
    await settle()
    assert owned.committing
    await here.deliver([record(2, Event("k", 30, 2)), record(3, Event("k", 40, 3))])
    here.runner.commit_soon(0, owned)
    await settle()
    assert len(ledger.commits) == 1
    assert ledger.gate is not None
    ledger.gate.set()
    await settle()
    assert not owned.committing
    here.runner.commit_soon(0, owned)
    await settle()
    assert [offsets["a"] for _, offsets in ledger.commits] == [2, 4]


async def test_nothing_new_commits_nothing(here):
    ledger = FakeLedger()
    here.start(0, ledger)
    await here.deliver(events(10))
    for _ in range(3):
        here.runner.commit_soon(0, here.ownership.owned[0])
        await settle()
    assert len(ledger.commits) == 1


async def test_commits_go_on_while_a_backlog_is_worked_off(here, monkeypatch):
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    ledger = FakeLedger()
    here.start(0, ledger)
    running = asyncio.create_task(here.runner.run())
    await here.deliver(events(*range(2_000)))
    running.cancel()
    reached = [offsets["a"] for _, offsets in ledger.commits]
    assert reached[0] <= 500
    assert len(reached) >= 3


async def test_what_is_processed_between_two_commits_is_bounded(here, monkeypatch):
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(module, "MOST_UNCUT_SECONDS", 0.0)
    ledger = FakeLedger(gate=asyncio.Event())
    here.start(0, ledger)
    here.reading.behind = module.FAR_BEHIND + 1
    delivered = asyncio.create_task(here.deliver(events(*range(1_000))))
    await settle()
    assert not delivered.done(), "it waits for the commit under way"
    assert [offsets["a"] for _, offsets in ledger.commits] == [module.SLICE_RECORDS]
    assert ledger.gate is not None
    ledger.gate.set()
    await delivered
    await settle()
    reached = [offsets["a"] for _, offsets in ledger.commits]
    assert reached == list(range(100, 1_001, 100))


async def test_of_those_far_behind_only_some_commit_at_once(here):
    gate = asyncio.Event()
    here.reading.behind = module.FAR_BEHIND + 1
    for partition in range(module.COMMITS_BEHIND + 1):
        here.start(partition, FakeLedger(gate=gate))
        owned = here.ownership.owned[partition]
        owned.skipped = module.INTERVALS_BEHIND
        owned.commit = None
        if partition < module.COMMITS_BEHIND:
            owned.commit = asyncio.create_task(gate.wait())
    assert not here.runner._due(module.COMMITS_BEHIND, owned)
    gate.set()
    await settle()
    assert here.runner._due(module.COMMITS_BEHIND, owned)


async def test_a_failed_commit_drops_the_task_and_its_cut_is_not_sent_again(here):
    ledger = FakeLedger(error=CommitFailed("fenced"))
    here.start(0, ledger)
    await here.deliver(events(10))
    owned = here.ownership.owned[0]
    here.runner.commit_soon(0, owned)
    await settle()
    assert here.ownership.retaken == [0]
    here.runner.commit_soon(0, owned)
    await settle()
    assert len(ledger.commits) == 1
    assert here.failures == []


@pytest.mark.parametrize(
    "error", [RecordTooLarge("t", 0, b"k", 2_000_000), RuntimeError("a defect")]
)
async def test_a_cut_that_can_never_be_written_ends_the_worker_and_no_other_is_written(here, error):
    ledger = FakeLedger(error=error)
    here.start(0, ledger)
    await here.deliver(events(10))
    owned = here.ownership.owned[0]
    here.runner.commit_soon(0, owned)
    await settle()
    assert here.failures == [error]
    assert here.ownership.retaken == []
    await here.deliver(events(10, 20)[1:])
    here.runner.commit_soon(0, owned)
    await here.runner.drain()
    assert len(ledger.commits) == 1


async def nothing_more_is_taken_or_committed(here: World, tally: Tally, ledger: FakeLedger) -> None:
    done = len(tally.seen)
    await here.deliver(events(10, 20, 30, 40)[3:])
    here.runner.commit_soon(0, here.ownership.owned[0])
    await here.runner.drain()
    await settle()
    assert len(tally.seen) == done
    assert ledger.commits == []


async def test_a_raising_processor_ends_the_worker_and_nothing_of_the_batch_is_committed(here):
    ledger = FakeLedger()
    tally = here.start(0, ledger)
    await here.deliver(events(10, 20, 30, fail_at=20))
    (failure,) = here.failures
    assert isinstance(failure, ProcessorFailed)
    assert (failure.topic, failure.partition, failure.offset) == ("a", 0, 1)
    await nothing_more_is_taken_or_committed(here, tally, ledger)


async def test_a_raising_decoder_ends_the_worker_just_so(here, monkeypatch):
    ledger = FakeLedger()
    tally = here.start(0, ledger)
    task = here.ownership.owned[0].task
    monkeypatch.setitem(task._decoders, "a", lambda value: tally.kept[value])
    await here.deliver(events(10, 20))
    (failure,) = here.failures
    assert isinstance(failure, ProcessorFailed)
    monkeypatch.undo()
    await nothing_more_is_taken_or_committed(here, tally, ledger)


async def test_the_other_tasks_of_a_worker_whose_processor_raised_are_still_consistent(here):
    ledger = FakeLedger()
    here.start(0, FakeLedger())
    here.start(1, ledger)
    await here.deliver(events(10, 20), partition=1)
    await here.deliver(events(10, fail_at=10), partition=0)
    here.runner.commit_soon(1, here.ownership.owned[1])
    await settle()
    assert [offsets["a"] for _, offsets in ledger.commits] == [2]


@pytest.mark.parametrize("under_way", [False, True])
async def test_a_drain_commits_all_that_was_processed(here, under_way):
    ledger = FakeLedger(gate=asyncio.Event())
    here.start(0, ledger)
    await here.deliver(events(10, 20))
    if under_way:
        here.runner.commit_soon(0, here.ownership.owned[0])
        await here.deliver([record(2, Event("k", 30, 2))])
    draining = asyncio.create_task(here.runner.drain())
    await settle()
    assert not draining.done()
    assert ledger.gate is not None
    ledger.gate.set()
    await draining
    assert ledger.commits[-1][1]["a"] == (3 if under_way else 2)


# --- an input that is ahead of the others -------------------------------------------------------


async def test_a_silent_input_is_passed_over_and_waited_for_again_when_it_has_spoken(here):
    tally = here.start(0, FakeLedger())
    await here.runner.deliver(RecordBatch("c", 0, [], 1, at_end=True))
    await here.runner.deliver(RecordBatch("a", 0, events(10, 20), 1, at_end=False))
    await here.runner.deliver(RecordBatch("b", 0, [], 1, at_end=False, silent=1.9))
    assert not tally.seen
    await here.runner.deliver(RecordBatch("b", 0, [], 1, at_end=False, silent=2.1))
    assert [event.at for _, event in tally.seen] == [10, 20]
    await here.runner.deliver(RecordBatch("b", 0, events(15), 1, at_end=False))
    await here.runner.deliver(RecordBatch("a", 0, events(10, 20, 30)[2:], 1, at_end=False))
    assert [event.at for _, event in tally.seen] == [10, 20, 15]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HIGH_WATER", 5)
    monkeypatch.setattr(module, "LOW_WATER", 3)


def held(here: World) -> Callable[[list[Fake]], Awaitable[None]]:
    """Deliver to `a` while `b` holds it back."""

    async def deliver(records: list[Fake]) -> None:
        task = here.ownership.owned[0].task
        task.inputs["b"].at_end, task.inputs["c"].at_end = False, True
        batch = RecordBatch("a", 0, records, 1, at_end=False)
        await here.runner.deliver(batch)

    return deliver


@pytest.mark.usefixtures("narrow")
async def test_an_input_far_ahead_is_read_no_further_until_the_others_have_come_up(here):
    here.start(0, FakeLedger())
    await held(here)(events(1, 2, 3, 4, 5))
    assert here.reading.paused == set()
    await held(here)(events(1, 2, 3, 4, 5, 6)[5:])
    assert here.reading.paused == {("a", 0)}
    await here.deliver(events(4), topic="b")
    assert here.ownership.owned[0].task.waiting == 0
    assert here.reading.paused == set()


@pytest.mark.usefixtures("narrow")
async def test_an_input_far_ahead_is_held_back_again_after_a_rebalance_let_it_on(here):
    here.start(0, FakeLedger())
    await held(here)(events(1, 2, 3, 4, 5, 6))
    here.reading.paused.clear()
    await held(here)(events(1, 2, 3, 4, 5, 6, 7)[6:])
    assert here.reading.paused == {("a", 0)}


async def test_batches_of_one_fetch_are_processed_together_whichever_comes_first(here):
    #  fetch   clicks 20 (more follows) ─ impressions 10 (last)
    #  a       ········ processed ······ 10, 20
    here.start(0, FakeLedger())
    owned = here.ownership.owned[0]
    for source in owned.task.inputs.values():
        source.at_end = True
    await here.runner.deliver(RecordBatch("b", 0, events(20), 1, at_end=True, more=True))
    assert owned.task.waiting == 1
    await here.runner.deliver(RecordBatch("a", 0, events(10), 1, at_end=True))
    tally = owned.task.processors[0]
    assert [event.at for _, event in tally.seen] == [10, 20]
