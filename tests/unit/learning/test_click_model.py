"""The click model on streams whose click probabilities are known."""

import math
import random

import pytest

from streamapp.errors import ConfigurationError
from streamapp.learning.click_model import ClickModel, ModelSettings
from streamapp.signals import FeatureSpec
from tests.unit.learning.examples import World, example, sampled

NO_DECAY = ModelSettings(half_life_examples=math.inf)


def mean_loss(pairs: list[tuple[float, bool]]) -> float:
    return sum(-math.log(p if clicked else 1 - p) for p, clicked in pairs) / len(pairs)


def test_it_beats_the_item_rate_and_comes_near_the_truth():
    world, model = World(seed=1), ClickModel("click-all", NO_DECAY)
    learned, best = [], []
    for one, truth in world.shown(25_000):
        learned.append((model.learn(one), one.labels.clicked))
        best.append((truth, one.labels.clicked))
    metrics = model.metrics
    item_rate, constant = metrics.baselines["item_rate"], metrics.baselines["constant"]
    assert metrics.log_loss == pytest.approx(mean_loss(learned), rel=1e-9)
    assert metrics.log_loss is not None
    assert item_rate.log_loss is not None
    assert constant.log_loss is not None
    assert metrics.log_loss < item_rate.log_loss - 0.01
    assert item_rate.log_loss < constant.log_loss - 0.005
    late = slice(20_000, None)
    assert mean_loss(learned[late]) < mean_loss(best[late]) + 0.015
    assert metrics.calibration == pytest.approx(1.0, abs=0.03)
    assert metrics.auc is not None
    assert item_rate.auc is not None
    assert metrics.auc > item_rate.auc + 0.05


def test_a_prediction_at_position_1_is_free_of_where_an_item_was_shown():
    # Two equally good items, one mostly shown low, one mostly on top: raw rates differ a lot.
    world = World(seed=2, viewers=1, items=2, categories=1)
    world.appeal = {0: 0.0, 1: 0.0}
    world.taste = {(0, 0): 0.0}
    model, rng = ClickModel("click-all", NO_DECAY), random.Random(4)
    shown, clicks = [0, 0], [0, 0]
    for number in range(30_000):
        item = rng.randrange(2)
        usual, other = (5, 1) if item == 0 else (1, 5)
        position = usual if rng.random() < 0.8 else other
        clicked = rng.random() < world.probability(0, item, position)
        shown[item] += 1
        clicks[item] += clicked
        model.learn(example(number, clicked=clicked, item_id=f"i{item}", position=position))
    low, high = (model.predict(example(item_id=f"i{item}", position=1)) for item in range(2))
    assert (clicks[1] / shown[1]) / (clicks[0] / shown[0]) > 1.6
    assert high / low == pytest.approx(1.0, abs=0.15)
    assert low == pytest.approx(world.probability(0, 0, 1), rel=0.15)


@pytest.mark.parametrize("rate", [1.0, 0.2, 0.05])
def test_what_it_promises_does_not_depend_on_the_share_of_negatives_kept(rate):
    world = World(seed=3)
    settings = ModelSettings(half_life_examples=math.inf, negative_keep_rate=rate)
    model = ClickModel("click-all", settings)
    for one, _ in sampled(world.shown(25_000), rate, random.Random(6)):
        model.learn(one)
    shown = list(world.shown(3_000))
    promised = sum(model.predict(one) for one, _ in shown)
    assert promised == pytest.approx(sum(truth for _, truth in shown), rel=0.1)
    assert model.metrics.calibration == pytest.approx(1.0, abs=0.1)


def test_metrics_over_sampled_negatives_estimate_those_over_all():
    rate = 0.2
    every, kept = ClickModel("click-all", NO_DECAY), ClickModel("click-all", NO_DECAY)
    for one, _ in World(seed=5).shown(30_000):
        every.learn(one)
    for one, _ in sampled(World(seed=5).shown(30_000), rate, random.Random(8)):
        kept.learn(one)
    for name in ("item_rate", "constant"):
        whole = every.metrics.baselines[name].log_loss
        assert kept.metrics.baselines[name].log_loss == pytest.approx(whole, rel=0.02)
    assert kept.metrics.log_loss == pytest.approx(every.metrics.log_loss, rel=0.04)


def test_it_stays_calibrated_when_the_keep_rate_changes():
    model = ClickModel("click-all", ModelSettings(half_life_examples=2_000))
    world, rng = World(seed=7), random.Random(9)
    for one, _ in world.shown(10_000):
        model.learn(one)
    for one, _ in sampled(world.shown(15_000), 0.1, rng):
        model.learn(one)
        # ln 0.1 taken for 0 would promise up to ten times too much.
        assert model.metrics.calibration == pytest.approx(1.0, abs=0.3)


def test_before_any_example_it_promises_the_prior():
    assert ClickModel("click-all", ModelSettings(prior=0.07)).predict(example()) == pytest.approx(
        0.07, rel=1e-12
    )


def test_a_value_out_of_range_is_counted_and_the_example_still_learned_from():
    model = ClickModel("click-all", ModelSettings())
    model.learn(example(clicked=True, features={"duration_ms": math.inf, "category": "a"}))
    assert model.refused == 1
    assert model.examples == 1
    assert math.isfinite(model.intercept)


def restored(settings: ModelSettings, other: ModelSettings) -> ClickModel:
    original, copy = ClickModel("click-all", settings), ClickModel("click-all", other)
    original.learn(example(clicked=True, features={"category": "a"}))
    for key, value in original.rows():
        copy.restore(key.decode().partition("/")[2], value)
    copy.ready()
    return copy


def test_a_restored_model_may_learn_from_further_features():
    narrow = ModelSettings(spec=FeatureSpec(names=("item",)))
    wide = ModelSettings(spec=FeatureSpec(names=("item", "category")))
    assert restored(narrow, wide).predict(example()) == restored(narrow, narrow).predict(example())


@pytest.mark.parametrize("change", [{"bits": 18}, {"seed": 1}])
def test_a_model_whose_coordinates_would_mean_something_else_is_not_restored(change):
    names = ("item", "category")
    settings = ModelSettings(spec=FeatureSpec(names=names))
    other = ModelSettings(spec=FeatureSpec(names=names, **change))
    with pytest.raises(ConfigurationError, match="another name"):
        restored(settings, other)


@pytest.mark.parametrize("wrong", [{"prior": 0.0}, {"prior": 1.0}, {"negative_keep_rate": 0.0}])
def test_rates_it_cannot_take_the_logarithm_of_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        ModelSettings(**wrong)
