"""Who is champion: promotion, rollback, and what drift does."""

from __future__ import annotations

import random

import msgspec
import pytest

from streamapp.features.decay import HOUR_MS
from streamapp.learning.duel import DuelSettings
from streamapp.learning.model_settings import ContestSettings, ModelSettings
from streamapp.signals import Example, Labels
from tests.unit.learning.contests import Taught
from tests.unit.learning.examples import World, example

QUICK = DuelSettings(block_ms=1_000)
TIMID = ModelSettings(alpha=1e-4)
NO_GUARD = 20
"""Examples held: too few to judge by."""


def honest(seed: int, count: int, start_ms: int = 0, interval_ms: int = 20) -> list[Example]:
    return [
        msgspec.structs.replace(
            one, example_id=f"{start_ms}:{number}", labelled_at_ms=start_ms + one.labelled_at_ms
        )
        for number, (one, _) in enumerate(World(seed=seed).shown(count, interval_ms))
    ]


def liked(start: int, count: int, item: str) -> list[Example]:
    """Two items, one of which nearly everybody clicks, and nearly nobody the other."""
    rng = random.Random(start)
    return [
        example(
            20 * n,
            example_id=f"{n}:1",
            item_id=shown,
            clicked=(shown == item) != (rng.random() < 0.1),
        )
        for n in range(start, start + count)
        for shown in (rng.choice("ab"),)
    ]


def end(taught: Taught, at_ms: int) -> None:
    taught.contest.advance(at_ms)


def test_a_challenger_that_is_proven_better_becomes_champion():
    settings = ContestSettings(champion=TIMID, challenger=ModelSettings(), duel=QUICK)
    taught = Taught(settings)
    taught.learn_all(honest(1, 4_000))
    contest = taught.contest
    assert contest.counts.promotions == 1
    assert contest.champion.id == "click-all.b"
    assert [contest.status(model) for model in contest.models] == ["challenger", "champion"]
    was, now = (contest.reason(model) for model in contest.models)
    assert was is not None
    assert was.startswith("replaced at ")
    assert now is not None
    assert now.startswith("promoted at ")
    assert now.endswith("viewer-block, over " + now.rsplit(" ", 1)[1])


def test_a_challenger_that_is_no_better_stays_one():
    settings = ContestSettings(champion=ModelSettings(), challenger=TIMID, duel=QUICK)
    taught = Taught(settings)
    taught.learn_all(honest(1, 4_000))
    assert taught.contest.counts.promotions == 0
    assert taught.contest.champion.id == "click-all"


def test_a_champion_worse_than_an_hour_ago_goes_back_to_its_weights():
    taught = Taught(ContestSettings(setback=QUICK, reservoir_capacity=NO_GUARD))
    contest = taught.contest
    taught.learn_all(honest(1, 3_000, HOUR_MS - 60_000))
    probe = honest(2, 20)
    end(taught, HOUR_MS + 2_000)
    before = [taught.accepted(one) for one in probe]
    began = HOUR_MS + 10_000
    taught.learn_all(
        msgspec.structs.replace(one, labels=Labels(clicked=True))
        for one in honest(1, 1_900, began, interval_ms=1)
    )
    end(taught, began + 2_000)
    poisoned = [taught.accepted(one) for one in probe]
    assert sum(poisoned) > 2 * sum(before)
    for shown in honest(1, 2_000, began + 3_000):
        taught.learn(shown)
        if contest.counts.rollbacks:
            break
    assert contest.counts.rollbacks == 1
    assert [taught.accepted(one) for one in probe] == pytest.approx(before, rel=0.05)
    assert contest.status(contest.champion) == "rolled_back"
    assert contest.champion.owed
    reason = contest.reason(contest.champion)
    assert reason is not None
    assert reason.startswith("rolled back at ")
    taught.learn_all(honest(4, 100, 2 * HOUR_MS))
    end(taught, 2 * HOUR_MS + 60_000)
    assert contest.status(contest.champion) == "champion"


def test_a_rollback_gives_exactly_the_weights_of_the_full_hour():
    taught = Taught()
    ftrl = taught.contest.champion.ftrl
    taught.learn_all(honest(1, 500, HOUR_MS - 10_000))
    end(taught, HOUR_MS)
    held = {one.index: one.w for one in ftrl._coordinates.values()}
    intercept = ftrl.intercept
    assert ftrl.hour == 1
    taught.learn_all(honest(2, 500, HOUR_MS + 20_000))
    end(taught, 2 * HOUR_MS - 1)
    assert ftrl.hour == 1
    taught.contest.champion.return_to_hour()
    for index in held.keys() | ftrl._coordinates.keys():
        assert ftrl.weight(index) == pytest.approx(held.get(index, 0.0), rel=1e-12, abs=1e-15)
    assert ftrl.intercept == pytest.approx(intercept, rel=1e-12)


def test_after_drift_the_challenger_begins_again_from_the_champion():
    settings = ContestSettings(
        drift_block=30, challenger=TIMID, warm_up_examples=10**9, reservoir_capacity=NO_GUARD
    )
    taught, seen = Taught(settings), []
    contest = taught.contest
    taught.learn_all(liked(0, 3_000, "a"))
    assert contest.counts.drifts == 0
    for shown in liked(3_000, 1_500, "b"):
        before = contest.counts.drifts
        taught.learn(shown)
        if contest.counts.drifts > before:
            champion, challenger = contest.champion.ftrl, contest.challenger.ftrl
            seen.append(
                max(
                    abs(challenger.accepted(one.index) - champion.accepted(one.index))
                    for one in champion._coordinates.values()
                )
            )
    assert seen
    assert max(seen) < 1e-12
    reason = contest.reason(contest.challenger)
    assert reason is not None
    assert reason.startswith("began again from the champion's weights at ")
