"""Tastes and qualities drift at the stated rate, and otherwise stay what they are."""

import math
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from streamapp.errors import ConfigurationError
from streamapp.simulate import World
from streamapp.simulate.drift import HOUR_MS, STEPS_AN_HOUR, Walk, memory

START = 1_700_000_000_000
STEP_MS = HOUR_MS // STEPS_AN_HOUR


def drifting(**arguments) -> World:
    given = {"seed": 5, "viewers": 400, "items": 300, "drift": 0.6, "drift_from_ms": START}
    return World(**(given | arguments))


def tastes(world: World, at_ms: int) -> list[float]:
    viewers = map(world.viewer, range(world.viewers))
    return [like for viewer in viewers for like in world.taste(viewer, at_ms)[:-1]]


def test_an_hour_changes_tastes_by_the_stated_standard_deviation():
    world = drifting()
    for hour in (0, 7):
        before, after = (tastes(world, START + h * HOUR_MS) for h in (hour, hour + 1))
        changes = [new - old for old, new in zip(before, after, strict=True)]
        assert pstdev(changes) == pytest.approx(0.6, rel=0.05)
        assert fmean(changes) == pytest.approx(0.0, abs=0.05)


def test_tastes_differ_as_much_as_ever_however_long_they_drift():
    world = drifting()
    for hours in (0, 1, 24):
        assert pstdev(tastes(world, START + hours * HOUR_MS)) == pytest.approx(1.2, rel=0.05)


def test_qualities_drift_in_proportion_within_their_bounds():
    world = drifting(items=2_000)
    before = [world.quality(item, START) for item in world.catalog]
    after = [world.quality(item, START + HOUR_MS) for item in world.catalog]
    changes = [new - old for old, new in zip(before, after, strict=True)]
    assert pstdev(changes) == pytest.approx(0.6 * 0.7 / 1.2, rel=0.07)
    assert max(map(abs, after)) <= 1.5


def test_a_world_without_drift_is_what_a_drifting_one_begins_as():
    still, moving = World(seed=5, viewers=50, items=30), drifting(viewers=50, items=30)
    for number in range(50):
        one, other = still.viewer(number), moving.viewer(number)
        for item in still.catalog:
            expected = still.liking(one, item, START + 9 * HOUR_MS)
            assert moving.liking(other, item, START) == expected
            assert moving.liking(other, item, START - HOUR_MS) == expected


def test_a_click_follows_the_taste_and_the_quality_of_its_time():
    world = drifting()
    viewer, item, at_ms = world.viewer(3), world.catalog[8], START + 3 * HOUR_MS
    likes = sum(
        t * share for t, share in zip(world.taste(viewer, at_ms), item.vector[:-1], strict=False)
    )
    liking = likes + world.quality(item, at_ms)
    assert world.liking(viewer, item, at_ms) == pytest.approx(liking)
    assert liking != pytest.approx(world.liking(viewer, item, START))
    chance = world.click_probability(viewer, item, world.surfaces[0], 1, at_ms)
    assert chance == pytest.approx(0.95 / (1.0 + math.exp(1.8 - liking)))


def test_the_same_arguments_drift_alike_in_whatever_order_one_asks():
    one, other = drifting(), drifting()
    times = [START + step * STEP_MS for step in (0, 5, 40, 3)]
    forth = [one.taste(one.viewer(1), at_ms) for at_ms in times]
    back = [other.taste(other.viewer(1), at_ms) for at_ms in reversed(times)]
    assert forth == back[::-1]
    assert len(set(forth)) == 4
    assert drifting(seed=6).viewer(1).taste != one.viewer(1).taste


def test_who_lives_faster_changes_faster():
    slow, fast = drifting(), drifting(pace=0.01)
    for step in (1, 6, 30):
        here = slow.taste(slow.viewer(2), START + step * STEP_MS)
        assert fast.taste(fast.viewer(2), START + step * STEP_MS // 100) == here


def test_within_five_minutes_nothing_changes():
    walk = Walk("w", (0.0,), 1.0, memory(0.5, 1.0))
    assert walk.at(-3) == walk.at(0) == (0.0,)
    world = drifting()
    viewer = world.viewer(0)
    steps = [world.taste(viewer, START + ms) for ms in range(0, 3 * STEP_MS, STEP_MS // 4)]
    assert sum(before != after for before, after in pairwise(steps)) == 2


@pytest.mark.parametrize("drift", [-0.1, 1.7, math.nan, math.inf])
def test_a_drift_that_leaves_nothing_after_an_hour_is_refused(drift: float):
    with pytest.raises(ConfigurationError, match="drift"):
        World(seed=1, drift=drift)
