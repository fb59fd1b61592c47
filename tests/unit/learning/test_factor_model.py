"""The factor model of a segment: it ranks where tastes differ, and nonsense does not reach readers.

The world is `streamapp.simulate`'s: eight categories, each viewer with a taste of their own for
each; items differ in quality besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from random import Random

import msgspec
import pytest

from streamapp.learning.factor_model import FactorModel, FactorSettings
from streamapp.learning.factor_table import score
from streamapp.signals import Example, Labels
from streamapp.simulate import World
from tests.unit.learning.examples import BASE

Choose = Callable[[float, Random], bool]
"""Says by the true probability whether a slot is clicked."""

WORLD = World(seed=3, viewers=100, items=120)
HOME = WORLD.surfaces[0]
TAUGHT = 4_000
"""Slates the model has learned from."""


def truly(probability: float, draw: Random) -> bool:
    return draw.random() < probability


def requests(
    world: World, count: int, choose: Choose = truly, *, seed: int = 1, start: int = 0
) -> Iterator[list[Example]]:
    """Yield the labels of so many slates, five a second."""
    draw, pool = Random(seed), world.pool(HOME)
    for number in range(start, start + count):
        viewer = world.viewer(draw.randrange(world.viewers))
        yield [
            msgspec.structs.replace(
                BASE,
                example_id=f"r{number}:{position}",
                request_id=f"r{number}",
                viewer_id=viewer.viewer_id,
                item_id=item.item_id,
                surface=HOME.name,
                position=position,
                features={"category": item.category, "creator_id": item.creator_id},
                labels=Labels(
                    clicked=choose(world.click_probability(viewer, item, HOME, position, 0), draw)
                ),
                labelled_at_ms=number * 200,
            )
            for position, item in enumerate(draw.sample(pool, 10), 1)
        ]


def learn(model: FactorModel, slates: Iterator[list[Example]]) -> int:
    """Learn, and publish every five slates, once a second; return how often that was refused."""
    refused = 0
    for number, slate in enumerate(slates, 1):
        for one in slate:
            model.learn(one, one.labelled_at_ms)
        if number % 5 == 0:
            refused += model.publish(slate[0].labelled_at_ms) is None
    return refused


def told(model: FactorModel) -> Callable[[str, str], float]:
    return partial(score, model.publication.table.get)


def accuracy(world: World, score: Callable[[str, str], float]) -> float:
    """How often of two items, both shown to nobody before, that liked better scores higher."""
    draw, right = Random("held out"), 0.0
    for _ in range(4_000):
        viewer = world.viewer(draw.randrange(world.viewers))
        one, other = draw.sample(world.catalog, 2)
        if world.liking(viewer, one, 0) < world.liking(viewer, other, 0):
            one, other = other, one
        x = score(viewer.viewer_id, one.item_id) - score(viewer.viewer_id, other.item_id)
        right += (x > 0) + (x == 0) / 2
    return right / 4_000


@cache
def _taught() -> FactorModel:
    model = FactorModel("factors-all", FactorSettings())
    assert learn(model, requests(WORLD, TAUGHT)) == 0
    return model


def taught() -> FactorModel:
    """Return a model that has learned from `TAUGHT` slates, each time a new one."""
    return deepcopy(_taught())


def test_it_ranks_what_viewers_like_far_better_than_item_biases():
    model = taught()
    own = accuracy(WORLD, model.bpr.predict_one)
    biases = accuracy(WORLD, lambda _, item: model.baseline.predict_one(item))
    published = accuracy(WORLD, told(model))
    assert biases > 0.6
    assert own > biases + 0.06
    assert published == pytest.approx(own, abs=0.01)
    metrics = model.metrics
    baseline = metrics.baselines["item_bias"]
    assert metrics.auc is not None
    assert metrics.log_loss is not None
    assert baseline.auc is not None
    assert baseline.log_loss is not None
    assert metrics.auc > baseline.auc + 0.01
    assert metrics.log_loss < baseline.log_loss - 0.01
    assert metrics.calibration == pytest.approx(1.0, abs=0.1)


def test_where_all_viewers_are_alike_it_loses_little_to_item_biases():
    world = World(seed=3, viewers=100, items=120, taste_spread=0.0)
    model = FactorModel("factors-all", FactorSettings())
    learn(model, requests(world, 3_000))
    biases = accuracy(world, lambda _, item: model.baseline.predict_one(item))
    assert accuracy(world, model.bpr.predict_one) > biases - 0.1
    assert biases > 0.8


def test_labels_that_follow_nothing_are_told_no_better_than_by_chance():
    # Were a pair predicted after another of its click was learned from, this would be above.
    model = FactorModel("factors-all", FactorSettings(viewer_rate=1.0, item_rate=1.0, admission=1))
    learn(model, requests(WORLD, 1_000, lambda _, draw: draw.random() < 0.1))
    assert model.metrics.auc == pytest.approx(0.5, abs=0.03)


# --- safety -------------------------------------------------------------------------------------


def contrary(probability: float, draw: Random) -> bool:
    """Click what viewers like least."""
    return draw.random() < 0.6 * (probability < 0.05)


def everything(_: float, draw: Random) -> bool:  # noqa: ARG001
    return True


def nothing(_: float, draw: Random) -> bool:  # noqa: ARG001
    return False


@pytest.mark.parametrize("choose", [contrary, everything, nothing])
def test_a_burst_of_labels_that_mislead_does_not_reach_readers(choose):
    model = taught()
    before = accuracy(WORLD, told(model))
    count = len(model.publication.table)
    for one in (e for s in requests(WORLD, 200, choose, seed=7, start=TAUGHT) for e in s):
        model.learn(one, TAUGHT * 200)  # 2,000 labels within a second
    model.publish(TAUGHT * 200)
    after = accuracy(WORLD, told(model))
    assert after > before - 0.02
    if choose is contrary:
        assert model.alarms == 1
        assert (after, len(model.publication.table)) == (before, count)
        assert accuracy(WORLD, model.bpr.predict_one) == pytest.approx(before, abs=0.005)


def test_after_a_burst_it_learns_on_as_if_there_had_been_none():
    model = taught()
    for one in (e for s in requests(WORLD, 200, contrary, seed=7, start=TAUGHT) for e in s):
        model.learn(one, TAUGHT * 200)
    assert model.publish(TAUGHT * 200) is None
    epoch = model.publication.epoch
    assert learn(model, requests(WORLD, 500, seed=8, start=TAUGHT + 5)) == 0
    assert model.publication.epoch == epoch + 100
    untouched = taught()
    learn(untouched, requests(WORLD, 500, seed=8, start=TAUGHT + 5))
    assert accuracy(WORLD, told(model)) > (accuracy(WORLD, told(untouched)) - 0.02)
