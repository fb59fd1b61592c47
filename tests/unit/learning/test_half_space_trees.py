"""Half-space trees against river's, and what they find."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from river.anomaly import HalfSpaceTrees as Reference

from streamapp.learning.half_space_trees import PADDING, HalfSpaceTrees, random_splits

FEATURES, WINDOW = 4, 50


def vectors(count: int, seed: int = 1) -> list[list[float]]:
    draw = random.Random(seed)
    return [[draw.betavariate(2, 5 + n) for n in range(FEATURES)] for _ in range(count)]


def named(vector: list[float]) -> dict[int, float]:
    return dict(enumerate(vector))


@pytest.mark.parametrize("height", [1, 3, 6])
def test_scores_are_those_of_river_on_the_same_splits(height):
    reference: Any = Reference(n_trees=7, height=height, window_size=WINDOW, seed=2)
    stream = vectors(3 * WINDOW + 10)
    reference.learn_one(named(stream[0]))
    splits = []
    for tree in reference.trees:
        level, own = [tree], []
        for _ in range(height):
            own += [(node.feature, node.threshold) for node in level]
            level = [child for node in level for child in node.children]
        splits.append(own)
    trees = HalfSpaceTrees(splits, FEATURES, WINDOW)
    trees.learn_one(stream[0])
    for vector in stream[1:]:
        if (score := trees.score_one(vector)) is None:
            assert trees.learnt < WINDOW
        else:
            assert score == pytest.approx(reference.score_one(named(vector)), abs=1e-12)
        trees.learn_one(vector)
        reference.learn_one(named(vector))
    assert trees.score_one(stream[0]) is not None


def test_a_window_is_full_when_it_says_so_and_the_next_begins_at_nothing():
    trees = HalfSpaceTrees.seeded(1, trees=2, height=3, features=FEATURES, window=WINDOW)
    full = [trees.learn_one(vector) for vector in vectors(2 * WINDOW)]
    assert [n for n, is_full in enumerate(full, 1) if is_full] == [WINDOW, 2 * WINDOW]
    assert trees.masses[0] == WINDOW
    assert sum(trees.counted) == trees.learnt == 0


def place_of(splits: list[tuple[int, float]], node: int) -> float:
    """Return where a split lies between the ends of its box's side, from 0 to 1."""
    box = [(0.0, 1.0)] * FEATURES
    path = [node]
    while path[-1]:
        path.append((path[-1] - 1) // 2)
    for parent, child in pairwise(reversed(path)):
        on, at = splits[parent]
        low, high = box[on]
        box[on] = (low, at) if child % 2 else (at, high)
    on, at = splits[node]
    low, high = box[on]
    return (at - low) / (high - low)


def test_a_split_lies_within_its_box_and_leaves_room_on_both_sides():
    splits = random_splits(FEATURES, 5, random.Random(4))
    assert len(splits) == 31
    shares = [place_of(splits, node) for node in range(31)]
    assert all(PADDING - 1e-4 <= share <= 1 - PADDING + 1e-4 for share in shares)
    assert len({on for on, _ in splits}) == FEATURES


def test_the_same_seed_gives_the_same_trees_and_another_others():
    def published(seed: int) -> tuple[float, ...]:
        trees = HalfSpaceTrees.seeded(seed, trees=3, height=4, features=FEATURES, window=WINDOW)
        for vector in vectors(WINDOW):
            trees.learn_one(vector)
        return trees.published(0.9)

    assert published(1) == published(1)
    assert published(1) != published(2)


def test_what_lies_apart_scores_above_what_lies_among_the_others():
    trees = HalfSpaceTrees.seeded(3, trees=15, height=5, features=FEATURES, window=250)
    for vector in vectors(250):
        trees.learn_one(vector)
    usual = sorted(trees.score_one(vector) or 0.0 for vector in vectors(1_000, seed=9))
    assert (trees.score_one([0.95] * FEATURES) or 0.0) > usual[990]
