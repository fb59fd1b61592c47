"""FTRL against its definition, computed from the whole history at every step."""

import math
import random
import sys
import types
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks

from streamapp.errors import ConfigurationError
from streamapp.learning.coordinate import sigmoid
from streamapp.learning.ftrl import MAX_MAGNITUDE, FtrlLogistic

INTERCEPT = "the intercept"

Features = dict[int, float]


class FromHistory:
    """Algorithm 1 from all past gradients; nothing but the history is kept.

    The weight of a coordinate minimises Σ gₛ·w + ½·Σ σₛ·(w − wₛ)² + λ1·|w| + ½·λ2·w² over the
    past steps s; Σ σₛ = (β + √(Σ gₛ²))/α.
    """

    def __init__(
        self, alpha: float, beta: float, l1: float, l2: float, intercept_init: float
    ) -> None:
        self.alpha, self.beta, self.l1, self.l2 = alpha, beta, l1, l2
        self.intercept_init = intercept_init
        self.history: dict[Hashable, list[tuple[float, float]]] = {}

    def weight(self, name: Hashable) -> float:
        l1, l2 = (0.0, 0.0) if name == INTERCEPT else (self.l1, self.l2)
        linear, squares = 0.0, 0.0
        for gradient, weight in self.history.get(name, []):
            sigma = (math.sqrt(squares + gradient**2) - math.sqrt(squares)) / self.alpha
            linear += gradient - sigma * weight
            squares += gradient**2
        if abs(linear) <= l1:
            return 0.0
        pull = (self.beta + math.sqrt(squares)) / self.alpha + l2
        return -(linear - math.copysign(l1, linear)) / pull

    def predict(self, x: Features) -> float:
        score = self.intercept_init + self.weight(INTERCEPT)
        score += sum(self.weight(name) * value for name, value in x.items())
        return 1 / (1 + math.exp(-score))

    def learn(self, x: Features, y: float) -> None:
        error = self.predict(x) - y
        steps: list[tuple[Hashable, float]] = [(INTERCEPT, error)]
        steps += [(name, error * value) for name, value in x.items()]
        weights = [self.weight(name) for name, _ in steps]
        for (name, gradient), weight in zip(steps, weights, strict=True):
            self.history.setdefault(name, []).append((gradient, weight))


parameters = st.fixed_dictionaries(
    {
        "alpha": st.floats(0.01, 1.0),
        "beta": st.floats(0.1, 2.0),
        "l1": st.floats(0.0, 0.5),
        "l2": st.floats(0.0, 5.0),
        "intercept_init": st.floats(-3.0, 3.0),
    }
)
values = st.floats(-2.0, 2.0)
streams = st.lists(
    st.tuples(st.dictionaries(st.integers(0, 5), values, max_size=4), st.booleans()), max_size=25
)
hashed_streams = st.lists(
    st.tuples(st.lists(st.integers(0, 7), max_size=5, unique=True), st.booleans()), max_size=25
)


@given(parameters, streams)
def test_every_prediction_is_that_of_the_definition(params, stream):
    model, reference = FtrlLogistic(**params), FromHistory(**params)
    for x, y in stream:
        assert math.isclose(model.predict_proba_one(x)[True], reference.predict(x), rel_tol=1e-12)
        model.learn_one(x, y)
        reference.learn(x, y)
    for name in range(6):
        assert math.isclose(model.weight(name), reference.weight(name), abs_tol=1e-12)


@given(parameters, hashed_streams)
def test_learning_coordinates_is_learning_features_of_value_1(params, stream):
    by_index, by_name = FtrlLogistic(**params), FtrlLogistic(**params)
    for indices, y in stream:
        x = dict.fromkeys(indices, 1.0)
        assert by_index.predict_indices(indices) == by_name.predict_proba_one(x)[True]
        by_index.learn_indices(indices, y)
        by_name.learn_one(x, y)


@given(parameters, hashed_streams)
def test_learning_returns_the_score_from_before(params, stream):
    model = FtrlLogistic(**params)
    for indices, y in stream:
        before = model.predict_indices(indices)
        score = model.learn_indices(indices, y, offset=1.5)
        assert sigmoid(score) == before


@given(parameters, hashed_streams, hashed_streams)
def test_a_model_restored_from_its_touched_coordinates_goes_on_exactly(params, before, after):
    model = FtrlLogistic(**params)
    rows: dict[int, tuple[float, float]] = {}
    for number, (indices, y) in enumerate(before):
        model.learn_indices(indices, y)
        if number % 3 == 0:
            rows |= {index: model.snapshot(index) for index in model.take_touched()}
    rows |= {index: model.snapshot(index) for index in model.take_touched()}
    restored = FtrlLogistic(**params)
    restored.restore(*model.snapshot())
    for index, row in rows.items():
        restored.restore(row[0], row[1], index)
    assert restored.size == model.size
    for indices, y in after:
        assert restored.predict_indices(indices) == model.predict_indices(indices)
        assert restored.learn_indices(indices, y) == model.learn_indices(indices, y)


def test_a_prediction_leaves_no_coordinate_behind():
    model = FtrlLogistic()
    model.predict_indices([1, 2])
    model.predict_proba_one({3: 1.0})
    assert model.size == 0
    assert model.take_touched() == set()


def test_the_first_step_is_worked_out_by_hand():
    # p = ½, g = −½, n = ¼: w = ½ / ((1 + ½)/0.1) = 1/30.
    model = FtrlLogistic(alpha=0.1, beta=1.0)
    model.learn_indices([7], 1.0)
    assert model.weight(7) == pytest.approx(1 / 30, rel=1e-15)
    assert model.intercept == pytest.approx(1 / 30, rel=1e-15)


def test_an_offset_is_a_known_part_of_the_score():
    # Clicks at log-odds −1 with a known part of 2: what remains to be learned is −3.
    model, rng = FtrlLogistic(alpha=0.5), random.Random(3)
    for _ in range(30_000):
        model.learn_indices([], float(rng.random() < 1 / (1 + math.exp(1.0))), offset=2.0)
    assert model.intercept == pytest.approx(-3.0, abs=0.1)


def test_extreme_scores_stay_probabilities_and_keep_learning():
    model = FtrlLogistic(intercept_init=1e6)
    assert model.predict_indices([]) < 1
    model.learn_indices([1], 0.0)
    assert model.weight(1) < 0


def test_an_l1_penalty_keeps_rare_weights_at_0():
    model = FtrlLogistic(l1=0.6)
    model.learn_indices([1], 1.0)
    assert model.weight(1) == 0.0
    model.learn_indices([1], 1.0)
    assert model.weight(1) > 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e160, -1e16])
def test_a_feature_out_of_range_is_refused_and_changes_nothing(value):
    model = FtrlLogistic()
    with pytest.raises(ValueError, match="numbers within"):
        model.learn_one({"a": 1.0, "b": value}, y=True)
    with pytest.raises(ValueError, match="numbers within"):
        model.predict_proba_one({"a": 1.0, "b": value})
    assert model.size == 0
    assert model.intercept == 0.0


def test_the_largest_features_leave_a_model_that_goes_on():
    model = FtrlLogistic()
    for clicked in (True, False, True):
        model.learn_one({"a": MAX_MAGNITUDE, "b": -MAX_MAGNITUDE}, clicked)
    assert math.isfinite(model.weight("a"))
    assert 0.0 <= model.predict_proba_one({"a": 1.0})[True] <= 1.0


@pytest.mark.parametrize(
    "params",
    [{"alpha": 0.0}, {"beta": -1.0}, {"l1": -1.0}, {"l2": -1.0}]
    + [{name: value} for name in ("alpha", "beta", "l1", "l2") for value in (math.nan, math.inf)],
)
def test_parameters_that_cannot_work_are_refused(params):
    with pytest.raises(ConfigurationError):
        FtrlLogistic(**params)


def test_it_passes_rivers_own_estimator_checks(monkeypatch):
    # river imports scikit-learn here for data sets of multi-output models only, which are not ours.
    absent = types.ModuleType("sklearn")
    vars(absent)["datasets"] = None
    monkeypatch.setitem(sys.modules, "sklearn", absent)
    names = {check.__name__ for check in checks.yield_checks(FtrlLogistic())}
    assert {"check_learn_one", "check_predict_proba_one_binary", "check_pickling"} <= names
    checks.check_estimator(FtrlLogistic())
