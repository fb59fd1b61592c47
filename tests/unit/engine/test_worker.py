"""What a worker says of its health: ready exactly while input becomes commits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.exposition import generate_latest

from streamapp.engine.ownership import Owned
from streamapp.engine.roles import ROLES
from streamapp.engine.task import Task
from streamapp.engine.worker import STALLED_SECONDS, Worker
from streamapp.errors import ConfigurationError, StreamappError
from streamapp.features.slates import MAX_OPEN
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.settings import Settings
from tests.oracles.pipeline import Pipeline
from tests.unit.engine.tally import INPUTS, Event, Tally, record
from tests.unit.processors.test_viewers import acted, shown, viewers


class FakeReading:
    """Stands for `FaustReading`."""

    in_touch = True


class FakeOwnership:
    """Stands for `Ownership`."""

    def __init__(self) -> None:
        self.owned: dict[int, Owned] = {}
        self.truncated = 0


@pytest.fixture
def worker() -> Iterator[Any]:
    worker: Any = Worker(ROLES["ingest"], Settings(), 0)
    worker._ownership, worker._reading = FakeOwnership(), FakeReading()
    worker._state = "running"
    yield worker
    worker._web._server.server_close()


def own(worker: Any, partition: int, *, running: bool = True) -> Owned:
    task = Task(partition, [Tally()], lambda: 0.0)
    task.seek(dict.fromkeys(INPUTS, 0))
    owned = Owned(task, None, running=running)  # type: ignore[arg-type]
    worker._ownership.owned[partition] = owned
    return owned


def said(worker: Any) -> tuple[bool, str]:
    ready, told = worker.health()
    return ready, told["state"]


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_a_worker_that_starts_or_stops_is_not_ready(worker, state):
    worker._state = state
    assert said(worker) == (False, state)


def test_a_worker_is_ready_while_its_partitions_run(worker):
    own(worker, 4)
    own(worker, 2)
    ready, told = worker.health()
    assert ready
    assert told == {
        "state": "running",
        "role": "ingest",
        "running": [2, 4],
        "restoring": {},
        "stalled": [],
    }


def test_a_worker_without_partitions_stands_by(worker):
    assert said(worker) == (True, "running")


def test_a_worker_is_not_ready_while_the_brokers_do_not_answer(worker):
    own(worker, 2)
    worker._reading.in_touch = False
    assert said(worker) == (False, "disconnected")


def test_how_far_each_restore_is_is_told_and_some_may_run_meanwhile(worker):
    own(worker, 2)
    restoring = own(worker, 4, running=False)
    restoring.read, restoring.remaining = 10, 90
    ready, told = worker.health()
    assert ready
    assert told["state"] == "restoring"
    assert told["restoring"] == {"4": {"restored_rows": 10, "remaining_rows": 90}}


def test_a_worker_all_of_whose_partitions_restore_is_not_ready(worker):
    own(worker, 4, running=False)
    assert said(worker) == (False, "restoring")


@pytest.mark.parametrize("stalled", [False, True])
def test_a_partition_that_has_input_and_commits_nothing_is_stalled(worker, stalled):
    owned = own(worker, 2)
    owned.task.offer("a", [record(0, Event("k", 10, 1))])
    since = STALLED_SECONDS + 1 if stalled else STALLED_SECONDS - 1
    worker.observer.committed_at[2] = time.monotonic() - since
    ready, told = worker.health()
    assert (ready, told["stalled"]) == ((False, [2]) if stalled else (True, []))


def test_a_partition_without_input_may_commit_nothing_for_as_long_as_it_likes(worker):
    own(worker, 2)
    worker.observer.committed_at[2] = time.monotonic() - 1000
    assert said(worker) == (True, "running")


def test_a_commit_that_takes_too_long_is_a_stall(worker):
    async def run() -> None:
        owned = own(worker, 2)
        owned.commit = asyncio.create_task(asyncio.sleep(60))
        worker.observer.committed_at[2] = time.monotonic() - STALLED_SECONDS - 1
        assert said(worker) == (False, "stalled")
        owned.commit.cancel()

    asyncio.run(run())


def test_a_partition_added_while_it_runs_is_not_taken(worker):
    # It has no changelog, and keys would go to other tasks than their state.
    worker.partitions = 3
    assert worker._make(2)[0].partition == 2
    with pytest.raises(ConfigurationError, match=r"partition 3 .* `streamapp topics check`"):
        worker._make(3)


def test_the_first_failure_is_the_one_told(worker):
    first, second = StreamappError("first"), StreamappError("second")
    worker.fail(first)
    worker.fail(second)
    assert worker._failure is first
    assert worker._end.is_set()


def test_a_failure_nobody_can_name_is_one_all_the_same(worker):
    worker.fail(None)
    assert isinstance(worker._failure, StreamappError)


def test_what_a_processor_shows_of_itself_is_told_by_partition_and_its_own_labels(worker):
    class Showing(Tally):
        def gauges(self) -> dict[str, float]:
            return {"model_auc": 0.5}

        def labelled_gauges(self) -> list[tuple[str, dict[str, str], float]]:
            return [("viewers_by_trust", {"trust": "bot"}, 3.0)]

    own(worker, 4).task.processors = [Showing()]
    own(worker, 5)
    worker._reading = None
    shown = [tuple(gauge) for gauge in worker._gauges()]
    assert ("model_auc", {"partition": "4"}, 0.5) in shown
    assert ("viewers_by_trust", {"partition": "4", "trust": "bot"}, 3.0) in shown
    assert not [name for name, labels, _ in shown if labels.get("partition") == "5"]


def test_dropped_events_and_impressions_without_an_example_show_in_the_metrics(worker):
    pipeline = Pipeline(ViewersSettings())
    slates = [shown(f"e{n}", n / 100, "a") for n in range(MAX_OPEN + 2)]
    late = [acted("c", 10, "a", viewer_id="w"), shown("e", 9, "a", viewer_id="w")]
    again = [acted("c", 10, "a", viewer_id="w")]
    pipeline.play([*slates, *late, *again])
    own(worker, 4).task.processors = [viewers(pipeline)]
    worker._reading = None
    told = generate_latest(worker.observer.registry).decode().splitlines()
    assert 'streamapp_crowded_impressions{partition="4"} 2.0' in told
    assert 'streamapp_late_impressions{partition="4"} 1.0' in told
    assert 'streamapp_duplicates{partition="4"} 1.0' in told
    assert 'streamapp_erased_events{partition="4"} 0.0' in told
