"""Arms rank by what they have read, and differ in nothing else."""

from random import Random

import msgspec
import pytest

from streamapp.demo.arms import ARMS, Arm
from streamapp.signals import ItemSignal
from streamapp.simulate import Item, Placed, World, catalog

NOW = 1_700_000_000_000
HOUR = 3_600_000
FULL = NOW - NOW % HOUR + HOUR
WORLD = World(seed=2, viewers=5, items=40)
SURFACE = WORLD.surfaces[0]
POOL = WORLD.pool(SURFACE)


def arm(name: str, *, explored: float = 0.0, log_features: bool = False) -> Arm:
    made = Arm.named(name, explored=explored, hour_ms=HOUR, log_features=log_features)
    for sent in catalog(WORLD, NOW):
        made.take(sent.topic, sent.key.encode(), sent.value)
    return made


def signal(item: Item, ctr: float) -> tuple[str, bytes, bytes]:
    record = ItemSignal(
        item_id=item.item_id,
        as_of_ms=NOW,
        computed_at_ms=NOW,
        status="active",
        category=item.category,
        creator_id=item.creator_id,
        counters={},
        ctr=ctr,
        coec=1.0,
        completion_rate=0.3,
        watch_ratio=0.5,
        velocity=1.0,
        viewers=1,
    )
    return "signals.items", item.item_id.encode(), msgspec.json.encode(record)


def slate(made: Arm, at_ms: int = NOW, seed: int = 1) -> list[Placed]:
    return made.rank(WORLD, WORLD.viewer(0), SURFACE, POOL, at_ms, Random(seed))


def top(made: Arm, at_ms: int = NOW) -> str:
    return slate(made, at_ms)[0].item.item_id


@pytest.mark.parametrize("name", ARMS)
def test_before_anything_is_known_any_item_may_come_first(name: str):
    made = arm(name)
    tops = {slate(made, seed=seed)[0].item.item_id for seed in range(20)}
    assert len(tops) > 5
    assert len(slate(made)) == len(SURFACE.theta)


def test_what_is_published_counts_at_once_but_for_the_hour_old_arm():
    made = {name: arm(name) for name in ARMS}
    for one in made.values():
        one.turn(NOW)
        one.take(*signal(POOL[7], 0.4))
        one.turn(NOW + 1)
    assert top(made["popularity"]) == top(made["fresh"]) == POOL[7].item_id
    tops = {slate(made["hour_old"], seed=seed)[0].item.item_id for seed in range(9)}
    assert len(tops) > 1


def test_the_hour_old_arm_ranks_by_what_there_was_when_the_hour_was_full():
    made = arm("hour_old")
    made.turn(NOW)
    made.take(*signal(POOL[3], 0.2))
    made.take(*signal(POOL[7], 0.4))
    made.turn(FULL)
    made.take(*signal(POOL[3], 0.9))
    made.turn(FULL + HOUR - 1)
    assert top(made, FULL + HOUR - 1) == POOL[7].item_id
    made.turn(FULL + HOUR)
    assert top(made, FULL + HOUR) == POOL[3].item_id


def test_all_arms_explore_the_same_slates_and_say_how_likely_they_were():
    made = [arm(name, explored=0.5) for name in ARMS]
    for one in made:
        one.take(*signal(POOL[7], 0.4))
    explored = 0
    for seed in range(200):
        shown = [slate(one, seed=seed) for one in made]
        if shown[0][0].propensity is None:
            continue
        explored += 1
        assert shown[0] == shown[1] == shown[2]
        assert {placed.propensity for placed in shown[0]} == {1.0 / len(POOL)}
    assert 70 < explored < 130


def test_features_are_said_where_they_are_to_be_logged():
    assert all(placed.features is None for placed in slate(arm("fresh")))
    logged = slate(arm("fresh", log_features=True))
    assert all((placed.features or {})["category"] == placed.item.category for placed in logged)
