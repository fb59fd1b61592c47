"""The detector against its definition over all blocks, and how often it is right."""

import math
import random
import statistics
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import base

from streamapp.errors import ConfigurationError
from streamapp.learning.drift import DriftState, LossDrift

streams = st.lists(st.floats(0.0, 2.0), max_size=60)
coarse = st.lists(st.integers(0, 2_000).map(lambda loss: loss / 1_000), max_size=60)
"""Blocks of these are alike or differ by far more than the rounding that the oracle does."""


def excess_of(blocks: list[float], allowance: float, min_blocks: int) -> float:
    """Return S from all blocks: the largest sum of z − k over a tail of them, or 0."""
    usual, steps = blocks[:min_blocks], list[float]()
    for block in blocks[min_blocks:]:
        mean, spread = statistics.fmean(usual), statistics.stdev(usual)
        z = max(-5.0, min(5.0, (block - mean) / spread)) if spread > 1e-9 * (1.0 + mean) else 0.0
        steps.append(z - allowance)
        usual.append(mean + z * spread)
    return max(0.0, *(math.fsum(steps[begin:]) for begin in range(len(steps) + 1)))


@given(coarse, st.integers(1, 3), st.sampled_from([0.0, 0.5]), st.integers(2, 4))
def test_the_excess_is_that_of_the_definition(stream, block, allowance, min_blocks):
    detector = LossDrift(block, allowance, math.inf, min_blocks)
    for loss in stream:
        detector.update(loss)
    whole = range(0, len(stream) - block + 1, block)
    blocks = [math.fsum(stream[begin : begin + block]) / block for begin in whole]
    assert detector.excess == pytest.approx(excess_of(blocks, allowance, min_blocks), abs=1e-4)


@given(streams, streams)
def test_a_detector_restored_from_json_goes_on_exactly(before, after):
    detector = LossDrift(2, 0.1, 2.0, 3)
    for loss in before:
        detector.update(loss)
    again = LossDrift(2, 0.1, 2.0, 3)
    again.restore(msgspec.json.decode(msgspec.json.encode(detector.snapshot()), type=DriftState))
    assert again.drift_detected == detector.drift_detected
    for loss in after:
        detector.update(loss)
        again.update(loss)
        assert again.snapshot() == detector.snapshot()
        assert again.drift_detected == detector.drift_detected


def alarms(draw: random.Random, blocks: int, worse_from: int, by: float = 0.0) -> list[int]:
    detector, found = LossDrift(block=1), []
    for number in range(blocks):
        detector.update(draw.gauss(0.2, 0.01) + (by if number >= worse_from else 0.0))
        if detector.drift_detected:
            found.append(number)
    return found


def test_a_loss_that_stays_as_it_is_raises_hardly_ever_an_alarm():
    runs = [alarms(random.Random(seed), 1_000, 1_000) for seed in range(100)]
    assert sum(map(bool, runs)) <= 5


def test_a_higher_loss_is_noticed_within_some_blocks():
    late = []
    for seed in range(50):
        found = [at for at in alarms(random.Random(seed), 260, 200, by=0.015) if at >= 200]
        assert found
        late.append(found[0] - 200)
    assert statistics.median(late) <= 15


@given(st.floats(0.0, 2.0), st.integers(1, 7))
def test_a_loss_that_is_always_the_same_is_no_alarm_however_sums_of_it_round(loss, block):
    detector = LossDrift(block, 0.1, 2.0, 3)
    for nudge in range(60 * block):  # the next float up, now and then, as of a sum made otherwise
        detector.update(math.nextafter(loss, 3.0) if nudge % 5 == 0 else loss)
        assert detector.excess == 0.0


def test_a_lower_loss_is_no_alarm():
    assert alarms(random.Random(1), 500, 200, by=-0.05) == []


@pytest.mark.parametrize("wild", [math.nan, math.inf, 1e300])
def test_one_wild_example_neither_decides_nor_blinds_the_detector(wild):
    draw, detector = random.Random(3), LossDrift(block=1)
    for number in range(300):
        before = detector.excess
        detector.update(wild if number == 100 else draw.gauss(0.2, 0.01))
        assert detector.excess <= before + 4.5
        assert not detector.drift_detected
    noticed = False
    for _ in range(12):
        detector.update(0.3)
        noticed = noticed or detector.drift_detected
    assert noticed


def test_after_an_alarm_it_learns_anew_what_is_usual():
    draw = random.Random(3)
    found = alarms(draw, 1_000, 100, by=0.1)
    assert len(found) == 1


def test_it_is_a_detector_of_river_with_parameters_that_river_can_clone():
    detector = LossDrift(block=7)
    assert isinstance(detector, base.DriftDetector)
    assert detector.clone().block == 7
    assert "block=7" in repr(detector)


@pytest.mark.parametrize(
    "wrong", [{"block": 0}, {"allowance": -1.0}, {"threshold": 0.0}, {"min_blocks": 1}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigurationError):
        LossDrift(**wrong)
