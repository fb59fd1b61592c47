"""A restore longer than Faust's request timeout: nothing hangs, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from streamapp.engine.partitioner import by_murmur2
from streamapp.engine.records import Record
from streamapp.settings import Settings
from tests.kafka.cluster import make_topics, read_all, read_until, send
from tests.kafka.events import click, clicks_in
from tests.kafka.workers import WorkerProcess

FAUST_SECONDS = 15
"""After which Faust's own recovery would stop without a word: its request timeout, made short."""

SECONDS = 2 * FAUST_SECONDS

SLOW = 1
VIEWERS = [f"v{n}" for n in range(120)]
PARTITIONS = 3


def partition_of(viewer: str) -> int:
    return by_murmur2(viewer.encode(), PARTITIONS)


ON_SLOW = [viewer for viewer in VIEWERS if partition_of(viewer) == SLOW]


class Clicks:
    """Sends one click of every viewer at a time, and knows how many there are in all."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sent = 0
        self.rounds = 0

    async def round(self) -> None:
        numbered = enumerate(VIEWERS, self.sent)
        await send(self._settings, [click(number, viewer) for number, viewer in numbered])
        self.sent += len(VIEWERS)
        self.rounds += 1

    async def published(self, count: int, within: float = 20.0) -> None:
        """Wait until so many clicks have been published; more would be wrong."""

        def all_there(records: Sequence[Record]) -> bool:
            return clicks_in(records) >= count

        records = await read_until(self._settings, ["activity.items"], all_there, within)
        assert clicks_in(records) == count


@pytest.fixture
async def clicks(settings: Settings, tmp_path: Path) -> Clicks:
    """Clicks whose state is in the changelogs."""
    await make_topics(settings)
    clicks = Clicks(settings)
    with WorkerProcess("ingest", settings, tmp_path / "before") as worker:
        await clicks.round()
        await clicks.round()
        await clicks.published(clicks.sent, within=40.0)
        assert worker.stop() == 0
    return clicks


def slow_worker(settings: Settings, directory: Path) -> WorkerProcess:
    env = {
        "STREAMAPP_TEST_SLOW_PARTITION": str(SLOW),
        "STREAMAPP_TEST_SLOW_STEPS": "25",
        "STREAMAPP_TEST_SLOW_SECONDS": str(SECONDS),
        "BROKER_REQUEST_TIMEOUT": str(FAUST_SECONDS),  # Faust's own
    }
    script = Path(__file__).with_name("slow_worker.py")
    return WorkerProcess("ingest", settings, directory, env, [str(script)])


def others_run(worker: WorkerProcess) -> bool:
    status, told = worker.health()
    return status == 200 and told["running"] == [0, 2]


def remaining(worker: WorkerProcess) -> int | None:
    """Rows still to be restored, as /health tells it; None when nothing restores."""
    status, told = worker.health()
    assert status == 200, told
    if not told["restoring"]:
        return None
    assert told["state"] == "restoring"
    assert list(told["restoring"]) == [str(SLOW)]
    left = told["restoring"][str(SLOW)]["remaining_rows"]
    assert worker.metrics()["streamapp_restore_remaining_rows"] <= left
    assert isinstance(left, int)
    return left


async def test_slow_restore_of_one_partition_beyond_fausts_timeout_ends_well(
    clicks, settings, tmp_path
):
    with slow_worker(settings, tmp_path / "slow") as worker:
        worker.until(others_run, "partitions 0 and 2 to run", 30.0)
        began = time.monotonic()
        told: list[int] = []
        expected = clicks.sent
        while (left := remaining(worker)) is not None:
            told.append(left)
            elapsed = time.monotonic() - began
            assert elapsed < SECONDS + 30, f"still restoring: {told}"
            # In the beginning, in the middle, and once Faust would have given up.
            if elapsed > (1, 8, FAUST_SECONDS + 2)[min(clicks.rounds - 2, 2)] and clicks.rounds < 5:
                await clicks.round()
                expected += len(VIEWERS) - len(ON_SLOW)
                await clicks.published(expected)
            assert worker.alive, worker.log[-4000:]
            await asyncio.sleep(0.5)
        assert time.monotonic() - began > FAUST_SECONDS
        assert clicks.rounds == 5
        assert told == sorted(told, reverse=True)
        assert len(set(told)) > 15, f"it did not say how far it is: {told}"

        worker.until_running(PARTITIONS)
        await clicks.published(clicks.sent)
        assert worker.stop() == 0
    await every_viewer_has_every_click(clicks, settings)
    assert "Traceback" not in worker.log


async def every_viewer_has_every_click(clicks: Clicks, settings: Settings) -> None:
    """What was restored and what came during the restore are in one state."""
    last = {r.key: r.value for r in await read_all(settings, ["signals.viewers"])}
    assert len(last) == len(VIEWERS)
    for viewer in VIEWERS:
        signal = msgspec.json.decode(last[viewer.encode()] or b"{}")
        assert len(signal["recent"]) == clicks.rounds, viewer
