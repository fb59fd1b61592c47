"""A contest on streams whose click probabilities are known."""

import math
import random

import msgspec
import pytest

from streamapp.errors import ConfigurationError
from streamapp.learning.model_settings import ContestSettings, ModelSettings
from streamapp.signals import Example, FeatureSpec, Labels
from tests.unit.learning.contests import Taught
from tests.unit.learning.examples import World, example, sampled

NO_DECAY = ContestSettings(half_life_examples=math.inf)


def mean_loss(pairs: list[tuple[float, bool]]) -> float:
    return sum(-math.log(p if clicked else 1 - p) for p, clicked in pairs) / len(pairs)


def test_it_beats_the_item_rate_and_comes_near_the_truth():
    world, model = World(seed=1), Taught(NO_DECAY)
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
    model, rng = Taught(NO_DECAY), random.Random(4)
    shown, clicks = [0, 0], [0, 0]
    for number in range(30_000):
        item = rng.randrange(2)
        usual, other = (5, 1) if item == 0 else (1, 5)
        position = usual if rng.random() < 0.8 else other
        clicked = rng.random() < world.probability(0, item, position)
        shown[item] += 1
        clicks[item] += clicked
        model.learn(
            example(
                number,
                clicked=clicked,
                example_id=f"{number}:1",
                item_id=f"i{item}",
                position=position,
            )
        )
    low, high = (model.predict(example(item_id=f"i{item}", position=1)) for item in range(2))
    assert (clicks[1] / shown[1]) / (clicks[0] / shown[0]) > 1.6
    assert high / low == pytest.approx(1.0, abs=0.15)
    assert low == pytest.approx(world.probability(0, 0, 1), rel=0.15)


@pytest.mark.parametrize("rate", [1.0, 0.2, 0.05])
def test_what_it_promises_does_not_depend_on_the_share_of_negatives_kept(rate):
    world = World(seed=3)
    settings = ContestSettings(half_life_examples=math.inf, negative_keep_rate=rate)
    model = Taught(settings)
    for one, _ in sampled(world.shown(25_000), rate, random.Random(6)):
        model.learn(one)
    shown = list(world.shown(3_000))
    promised = sum(model.predict(one) for one, _ in shown)
    assert promised == pytest.approx(sum(truth for _, truth in shown), rel=0.1)
    assert model.metrics.calibration == pytest.approx(1.0, abs=0.1)


def test_metrics_over_sampled_negatives_estimate_those_over_all():
    rate = 0.2
    every, kept = Taught(NO_DECAY), Taught(NO_DECAY)
    for one, _ in World(seed=5).shown(30_000):
        every.learn(one)
    for one, _ in sampled(World(seed=5).shown(30_000), rate, random.Random(8)):
        kept.learn(one)
    for name in ("item_rate", "constant"):
        whole = every.metrics.baselines[name].log_loss
        assert kept.metrics.baselines[name].log_loss == pytest.approx(whole, rel=0.02)
    assert kept.metrics.log_loss == pytest.approx(every.metrics.log_loss, rel=0.04)


def test_it_stays_calibrated_when_the_keep_rate_changes():
    model = Taught(ContestSettings(half_life_examples=2_000))
    world, rng = World(seed=7), random.Random(9)
    for one, _ in world.shown(10_000):
        model.learn(one)
    for one, _ in sampled(world.shown(15_000), 0.1, rng):
        model.learn(one)
        # ln 0.1 taken for 0 would promise up to ten times too much.
        assert model.metrics.calibration == pytest.approx(1.0, abs=0.3)


def test_before_any_example_it_promises_the_prior():
    taught = Taught(ContestSettings(prior=0.07))
    assert taught.predict(example()) == pytest.approx(0.07, rel=1e-12)


def of_share(number: int, share: float) -> Example:
    labels = Labels(clicked=True, watched_share=share, completed=share == 1.0)
    shown = example(number * 50, example_id=f"{number}:1", item_id="a" if share > 0.5 else "b")
    return msgspec.structs.replace(shown, kind="completion", labels=labels)


def test_a_share_is_learned_as_the_mean_share():
    taught, rng = Taught(ContestSettings(prior=0.5), "watched_share"), random.Random(3)
    seen = [of_share(n, rng.choice([0.1, 0.3, 0.6, 1.0])) for n in range(6_000)]
    taught.learn_all(seen)
    assert taught.predict(of_share(0, 0.6)) == pytest.approx(0.8, abs=0.04)
    assert taught.predict(of_share(0, 0.3)) == pytest.approx(0.2, abs=0.04)
    assert taught.metrics.calibration == pytest.approx(1.0, abs=0.03)


def test_hides_among_sampled_negatives_keep_their_rate():
    taught, rng = Taught(ContestSettings(prior=0.1), "hide"), random.Random(5)
    shown = [
        msgspec.structs.replace(
            example(number * 50, example_id=f"{number}:1"),
            labels=Labels(
                clicked=clicked, actions=[] if clicked or rng.random() > 0.2 else ["hide"]
            ),
        )
        for number, clicked in enumerate(rng.random() < 0.3 for _ in range(15_000))
    ]
    kept = sampled(((one, 0.0) for one in shown), 0.25, rng)
    taught.learn_all(one for one, _ in kept)
    assert taught.metrics.calibration == pytest.approx(1.0, abs=0.07)


def restored(settings: ContestSettings, other: ContestSettings) -> Taught:
    original, rows = Taught(settings), dict[bytes, bytes]()
    original.learn(example(clicked=True, features={"category": "a"}))
    original.rows(rows)
    return Taught(other, rows=rows)


def of(spec: FeatureSpec) -> ContestSettings:
    model = ModelSettings(spec=spec, admission=1.0)
    return ContestSettings(champion=model, challenger=model)


def test_a_restored_model_may_learn_from_further_features():
    narrow, wide = of(FeatureSpec(names=("item",))), of(FeatureSpec(names=("item", "category")))
    assert restored(narrow, wide).predict(example()) == restored(narrow, narrow).predict(example())


@pytest.mark.parametrize("change", [{"bits": 18}, {"seed": 1}])
def test_a_model_whose_coordinates_would_mean_something_else_is_not_restored(change):
    names = ("item", "category")
    settings, other = of(FeatureSpec(names=names)), of(FeatureSpec(names=names, **change))
    with pytest.raises(ConfigurationError, match="another name"):
        restored(settings, other)


@pytest.mark.parametrize("wrong", [{"prior": 0.0}, {"prior": 1.0}, {"negative_keep_rate": 0.0}])
def test_rates_it_cannot_take_the_logarithm_of_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        ContestSettings(**wrong)


def test_a_turn_is_over_at_a_full_second_with_enough_examples_or_after_five():
    taught = Taught(ContestSettings(turn_examples=3))
    seen = []
    for at_ms in (100, 900, 1_500, 1_700, 2_100, 9_500, 9_800):
        taught.learn(example(at_ms))
        seen.append(taught.contest.champion.examples)
    #       100 900 1500 | not over: 2 of 3 at 1000; over at 2000 with 4; at 9000 since 7100
    assert seen == [0, 0, 0, 0, 4, 5, 5]
