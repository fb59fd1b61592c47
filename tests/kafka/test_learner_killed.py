"""A learner that is killed again and again, on a real broker, beside one that never was.

broker   │ a backlog of examples ─▶ learn, killed three times on its way ─▶ changelogs
here     │ the same examples ─▶ the same processors, undisturbed
the end  │ weights, factors, metrics and champion are the same, to the last bit
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import msgspec
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streamapp.processors.base import Cut
from streamapp.processors.factors import Factors, FactorsSettings
from streamapp.processors.learner import Learner
from streamapp.processors.learner_settings import LearnerSettings
from streamapp.settings import Settings
from streamapp.signals import Example
from tests.kafka.cluster import Sent, committed, last_by_key, make_topics, read_all, send, until
from tests.kafka.workers import WorkerProcess
from tests.unit.learning.examples import World
from tests.unit.processors.learnt import seen

TOPIC = "training.examples"
EXAMPLES, EACH_MS, SLATE = 40_000, 20, 4
KILLS = 3
START_MS = 1_700_000_000_000

FACTORS = (b"-all/viewer/", b"-all/item/", b"-all/bias/")
"""What is learned, of the rows of factors; the others also say what was published when."""

Rows = dict[bytes | None, bytes | None]


def examples() -> list[Example]:
    """Return examples of requests with four slots each."""
    return [
        msgspec.structs.replace(
            one,
            example_id=f"r{number // SLATE}:{number % SLATE}",
            request_id=f"r{number // SLATE}",
            viewer_id=f"v{number // SLATE % 60}",
            served_at_ms=START_MS + one.labelled_at_ms - 120_000,
            labelled_at_ms=START_MS + one.labelled_at_ms,
        )
        for number, (one, _) in enumerate(World(seed=5).shown(EXAMPLES, EACH_MS))
    ]


def undisturbed(shown: Iterable[Example]) -> tuple[Learner, Rows]:
    """Return a learner of these examples, and the rows of factors of the same."""
    learner, factors = Learner(LearnerSettings()), Factors(FactorsSettings())
    rows: Rows = {}
    for processor in (learner, factors):
        processor.ready()

    def cut(at_ms: int) -> None:
        for processor in (learner, factors):
            processor.advance(at_ms)
        list(learner.cut(Cut(at_ms, 0)))
        rows.update(factors.cut(Cut(at_ms, 0)))

    now = 0
    for number, one in enumerate(shown):
        now = one.labelled_at_ms
        for processor in (learner, factors):
            processor.advance(now)
            processor.process(TOPIC, one)
        if number % 1_000 == 0:
            cut(now)
    cut(now + 60_000)
    return learner, rows


async def test_it_ends_as_one_that_was_never_killed(settings: Settings, tmp_path: Any):
    settings = replace(settings, partitions=1)
    shown = examples()
    await make_topics(settings)
    await send(settings, [Sent(TOPIC, b"all", msgspec.json.encode(one)) for one in shown])
    draw = Random(7)
    with WorkerProcess("learn", settings, tmp_path / "learn") as worker:
        for kill in range(1, KILLS + 1):
            at = EXAMPLES * (kill - draw.random() / 2) / (KILLS + 1)
            await until(partial(beyond, settings, at), f"{at:.0f} examples", 90)
            worker.kill()
            assert not await beyond(settings, EXAMPLES), "it is to be killed on its way"
            worker.start()
        await until(lambda: learned_all(settings), "the last turn to be published", 90)
        assert worker.stop() == 0

    live = Learner(LearnerSettings())
    live.restore(rows_of(await rows(settings, "learner")))
    live.ready()
    expected, factors = undisturbed(shown)
    assert seen(live) == seen(expected)
    assert live._contests["click-all"].champion.id == expected._contests["click-all"].champion.id
    of_factors = learned_factors(await rows(settings, "factors"))
    assert of_factors == learned_factors(factors)
    assert len(of_factors) > 100


async def beyond(settings: Settings, count: float) -> bool:
    try:
        done = await committed(settings, "learn", [TOPIC])
    except GroupCoordinatorNotAvailableError:  # of a group that begins
        return False
    return done.get((TOPIC, 0), 0) >= count


async def learned_all(settings: Settings) -> bool:
    """Say whether what was published has learned from every example."""
    last = last_by_key(await read_all(settings, ["models.versions"]))
    said = {key: msgspec.json.decode(value) for key, value in last.items() if value}
    models = [said.get(key) for key in (b"click-all", b"click-all.b", b"factors-all")]
    return all(one is not None and one["examples"] == EXAMPLES for one in models)


async def rows(settings: Settings, processor: str) -> Rows:
    """Return what the changelog of a processor says now."""
    changelog = settings.changelog("learn", processor).removeprefix(settings.topic_prefix)
    found = last_by_key(await read_all(settings, [changelog]))
    return {key: value for key, value in found.items() if key != b"@task"}


def rows_of(found: Rows) -> list[tuple[bytes, bytes | None]]:
    return [(key, value) for key, value in found.items() if key is not None]


def learned_factors(found: Rows) -> dict[bytes, bytes]:
    return {
        key: value
        for key, value in rows_of(found)
        if value is not None and any(kind in key for kind in FACTORS)
    }
