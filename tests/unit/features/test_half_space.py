"""What is published of half-space trees, and the scores by it."""

from __future__ import annotations

import random

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.features import half_space
from streamapp.features.parameters import Parameters
from streamapp.learning.half_space_trees import HalfSpaceTrees
from tests.oracles.trust import score

ONE = (1, 1, 1, 9, 10, 0.6, 0, 0.5, 10, 9, 1)


def test_a_score_is_what_the_oracle_gives():
    draw = random.Random(3)
    trees = HalfSpaceTrees.seeded(5, trees=4, height=4, features=3, window=60)
    for _ in range(60):
        trees.learn_one([draw.random() ** 3 for _ in range(3)])
    published = trees.published(0.5)
    for _ in range(200):
        vector = [draw.random() for _ in range(3)]
        assert half_space.score(published, vector) == pytest.approx(score(published, vector))


def test_the_threshold_itself_is_an_anomaly():
    (unlike,) = {half_space.score(ONE, (0.7,) * 9)}
    assert half_space.is_anomaly((*ONE[:5], unlike, *ONE[6:]), (0.7,) * 9)
    assert not half_space.is_anomaly((*ONE[:5], unlike + 1e-9, *ONE[6:]), (0.7,) * 9)


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ((0.5,), "does not begin with layout 1"),
        ((2, *ONE[1:]), "does not begin with layout 1"),
        ((1, 0, *ONE[2:]), "out of range"),
        ((1, 1, 0, *ONE[3:]), "out of range"),
        ((1, 1, 40, *ONE[3:]), "out of range"),
        ((1, 1.5, *ONE[2:]), "out of range"),
        ((*ONE[:4], 0, *ONE[5:]), "out of range"),
        ((*ONE[:3], 8, *ONE[4:]), "of 8 coordinates, not 9"),
        (ONE[:-1], "10 numbers are not what 1 trees of height 1 take"),
        ((*ONE, 0), "12 numbers"),
        ((*ONE[:6], 9, *ONE[7:]), "a coordinate to split by does not exist"),
        ((*ONE[:6], -1, *ONE[7:]), "a coordinate to split by does not exist"),
        ((*ONE[:6], 0.5, *ONE[7:]), "a coordinate to split by does not exist"),
    ],
)
def test_numbers_that_nothing_can_be_scored_by_are_refused(value, flaw):
    assert half_space.flaw(ONE, 9) is None
    assert flaw in str(half_space.flaw(value, 9))
    record = {"name": "anomaly/session", "valid_from_ms": 1, "value": value}
    known = Parameters()
    with pytest.raises(Rejection, match="value: "):
        known.update("anomaly/session", msgspec.json.encode(record))
    assert known.update("anomaly/session", msgspec.json.encode(record | {"value": ONE}))
