"""Quality of pairwise predictions: each request counts once, and fades."""

from __future__ import annotations

import math
import operator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.pair_quality import PairQuality, PairState

requests = st.lists(st.lists(st.floats(-20, 20), min_size=1, max_size=5), min_size=1, max_size=20)


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@given(requests, st.floats(2, 100))
def test_the_figures_are_those_of_their_definitions(history, half_life):
    quality = PairQuality(half_life)
    for margins in history:
        quality.update(margins)
    weights: list[float] = [2 ** ((n - len(history)) / half_life) for n in range(len(history))]

    def mean(figure) -> float:
        means = [sum(map(figure, margins)) / len(margins) for margins in history]
        return math.fsum(map(operator.mul, weights, means)) / math.fsum(weights)

    found = quality.quality
    accuracy = mean(lambda x: (x > 0) + (x == 0) / 2)
    assert found.log_loss == pytest.approx(mean(lambda x: -math.log(sigma(x))), rel=1e-9)
    assert found.auc == pytest.approx(accuracy)
    if accuracy:
        expected = mean(lambda x: sigma(abs(x)))
        assert found.calibration == pytest.approx(expected / accuracy)


def test_nothing_is_known_before_the_first_request():
    found = PairQuality(10.0).quality
    assert (found.log_loss, found.auc, found.calibration) == (None, None, None)


def test_sums_never_grow_out_of_range_and_go_through_json():
    quality, again = PairQuality(1.0), PairQuality(1.0)
    for _ in range(200):
        quality.update([1.0, -0.5])
    assert quality.state.scale <= 2**65
    again.state = msgspec.json.decode(msgspec.json.encode(quality.state), type=PairState)
    for one in (quality, again):
        one.update([0.3])
    assert again.quality == quality.quality
