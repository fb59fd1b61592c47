"""Prequential metrics against sums over the whole history."""

import json
import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.evaluation import Prequential
from streamapp.learning.states import PrequentialState

Stream = list[tuple[float, bool, float]]

predictions = st.lists(
    st.tuples(st.floats(0.001, 0.999), st.booleans(), st.floats(1.0, 20.0)), max_size=40
)
half_lives = st.sampled_from([1.0, 7.5, 100.0, math.inf])


def weighted(stream: Stream, half_life: float) -> Stream:
    """Each example with the weight it has once all were seen."""
    ages = range(len(stream) - 1, -1, -1)
    return [
        (p, y, w * 2.0 ** (-age / half_life)) for (p, y, w), age in zip(stream, ages, strict=True)
    ]


def auc_over_all_pairs(stream: Stream) -> float | None:
    """Chance that a positive scores above a negative; scores of one bin of 1/8 tie."""
    bins = [(math.floor(math.log(p / (1 - p)) * 8), y, w) for p, y, w in stream]
    wins = pairs = 0.0
    for positive, _, w1 in (one for one in bins if one[1]):
        for negative, _, w0 in (one for one in bins if not one[1]):
            pairs += w1 * w0
            wins += w1 * w0 * (0.5 if positive == negative else positive > negative)
    return wins / pairs if pairs else None


def run(stream: Stream, half_life: float) -> Prequential:
    metric = Prequential(half_life)
    for probability, happened, weight in stream:
        metric.update(probability, weight=weight, happened=happened)
    return metric


@given(predictions, half_lives)
def test_metrics_are_those_of_the_whole_decayed_history(stream, half_life):
    metric, history = run(stream, half_life), weighted(stream, half_life)
    if not history:
        assert metric.log_loss is None
        return
    loss = sum(-w * math.log(p if y else 1 - p) for p, y, w in history)
    assert metric.log_loss == pytest.approx(loss / sum(w for *_, w in history), rel=1e-9)
    positives = sum(w for _, y, w in history if y)
    if positives:
        expected = sum(w * p for p, _, w in history)
        assert metric.calibration == pytest.approx(expected / positives, rel=1e-9)
    else:
        assert metric.calibration is None
    auc = auc_over_all_pairs(history)
    assert metric.auc == (auc and pytest.approx(auc, rel=1e-9))


@given(predictions, predictions, half_lives)
def test_a_metric_restored_from_json_goes_on_exactly(before, after, half_life):
    metric = run(before, half_life)
    sent = msgspec.json.encode(metric.snapshot())
    restored = Prequential(half_life)
    restored.restore(msgspec.json.decode(sent, type=PrequentialState))
    for probability, happened, weight in after:
        metric.update(probability, weight=weight, happened=happened)
        restored.update(probability, weight=weight, happened=happened)
    assert restored.snapshot() == metric.snapshot()
    assert restored.quality == metric.quality


def test_sums_stay_in_range_however_long_it_runs():
    metric = Prequential(half_life=2.0)
    for number in range(20_000):  # undamped, the last example would weigh 2^10000
        happened = bool(number % 2)
        right = number >= 10_000  # before, it predicted the opposite
        metric.update(0.9 if happened == right else 0.1, happened=happened)
    assert metric.log_loss == pytest.approx(-math.log(0.9), rel=1e-9)
    assert metric.auc == pytest.approx(1.0, rel=1e-9)
    assert all(math.isfinite(value) for value in msgspec.to_builtins(metric.snapshot())[:5])


def test_rare_clicks_still_have_an_area_under_the_curve():
    # Two kinds of items, clicked at 0.5 % and 2 %, each predicted right; half of what is shown is
    # of each. Exact: P(positive is of the better kind) = 0.8, P(negative is) = 0.49623…
    rng, metric = random.Random(5), Prequential()
    for _ in range(200_000):
        rate = rng.choice([0.005, 0.02])
        metric.update(rate, happened=rng.random() < rate)
    better_negative = 0.98 / (0.98 + 0.995)
    exact = 0.8 * (1 - better_negative) + 0.5 * (
        0.8 * better_negative + 0.2 * (1 - better_negative)
    )
    assert metric.auc == pytest.approx(exact, abs=0.02)


def test_a_certain_prediction_that_fails_costs_a_bounded_loss():
    metric = Prequential()
    metric.update(1.0, happened=False)
    metric.update(0.0, happened=True)
    assert metric.log_loss == pytest.approx(-math.log(1e-12), rel=1e-4)
    assert metric.auc == 0.0


def test_a_weight_counts_like_so_many_examples():
    once, thrice = Prequential(), Prequential()
    for metric, weight, times in ((once, 3.0, 1), (thrice, 1.0, 3)):
        metric.update(0.2, happened=True)
        for _ in range(times):
            metric.update(0.3, weight=weight, happened=False)
    assert once.log_loss == pytest.approx(thrice.log_loss, rel=1e-12)
    assert once.calibration == pytest.approx(thrice.calibration, rel=1e-12)


def test_a_snapshot_holds_only_bins_that_were_hit():
    metric = Prequential()
    metric.update(0.5, happened=True)
    assert len(json.loads(msgspec.json.encode(metric.snapshot()))[-1]) == 1
