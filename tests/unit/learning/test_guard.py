"""The guard's numbers are those of its formulas, over what is held."""

from __future__ import annotations

import math
import random

import pytest

from streamapp.learning.guard import Guard
from streamapp.learning.reservoir import Reservoir
from streamapp.learning.states import Milestone

CAPACITY = 500


def loss(score: float, y: float) -> float:
    return math.log1p(math.exp(score)) - y * score


def filled(weights: dict[int, float], counts: tuple[int, int]) -> tuple[Guard, list[list[int]]]:
    """Hold examples of coordinates 0 to 29, so many without and with the outcome."""
    guard, rng, shown = Guard(CAPACITY), random.Random(7), []
    for had, count in enumerate(counts):
        for number in range(count):
            indices = rng.sample(range(30), 4)
            shown.append(indices)
            guard.place(had * CAPACITY + number, indices, float(had), 0.3, weights.__getitem__)
    return guard, shown


def test_losses_are_those_of_the_definition():
    rng = random.Random(1)
    weights = {index: rng.gauss(0, 0.5) for index in range(30)}
    guard, shown = filled(weights, (40, 35))
    turned = {3: 2.0, 5: -1.0, 99: 4.0}
    before = [-2.0 + 0.3 + sum(weights[i] for i in indices) for indices in shown]
    after = [-1.0 + 0.3 + sum({**weights, **turned}[i] for i in indices) for indices in shown]

    def mean(scores: list[float]) -> float:
        without = sum(loss(s, 0.0) for s in scores[:40]) / 40
        return 0.9 * without + 0.1 * sum(loss(s, 1.0) for s in scores[40:]) / 35

    said = guard.judge(turned.items(), -2.0, -1.0, 0.1)
    assert said == f"log loss {mean(before):.4f} to {mean(after):.4f} on 75 earlier examples"
    # Not accepted, it was only tried; accepted, it is what the next turn is compared with.
    assert guard.judge({}.items(), -2.0, -2.0, 0.1) is None
    guard.judge(turned.items(), -2.0, -1.0, 0.1)
    guard.accept()
    assert guard.judge({}.items(), -1.0, -1.0, 0.1) is None


@pytest.mark.parametrize(("counts", "judged"), [((30, 30), True), ((29, 500), False)])
def test_nothing_is_judged_before_thirty_of_either_kind_are_held(counts, judged):
    guard, _ = filled(dict.fromkeys(range(30), 0.0), counts)
    assert (guard.judge({}.items(), -2.0, 3.0, 0.1) is not None) == judged


def moved(guard: Guard, before: float, now: float) -> str | None:
    """Judge a turn that moves the intercept only; accept it if it may be."""
    said = guard.judge({}.items(), before, now, 0.1)
    if said is None:
        guard.accept()
    return said


def test_calibration_is_how_far_turns_have_moved_the_mean_probability_since_a_milestone():
    guard, _ = filled(dict.fromkeys(range(30), 0.0), (500, 100))
    guard.pass_milestone(1_000, 0.1, 7)
    assert guard.milestone.limit == pytest.approx(math.log(2.0) + 3.0 / math.sqrt(100))
    mean = [1 / (1 + math.exp(2.5 - 0.3 - 0.1 * turn)) for turn in range(13)]
    steps = [moved(guard, -2.5 + 0.1 * n, -2.4 + 0.1 * n) for n in range(11)]
    assert steps == [None] * 11  # to 2.5 times what it was; the limit is 2.7
    assert guard.milestone.moved == pytest.approx(math.log(mean[11] / mean[0]), abs=1e-7)
    assert moved(guard, -1.4, -1.2) == "calibration 2.50 to 2.90 times that at 1000 examples"
    assert moved(guard, -1.4, -1.6) is None, "back it may go"
    assert moved(guard, -1.6, -1.2) is not None


def test_what_is_beyond_the_limit_may_still_come_nearer():
    guard, _ = filled(dict.fromkeys(range(30), 0.0), (500, 100))
    guard.milestone = Milestone(1_000, 7, limit=0.5, moved=-0.9)
    assert moved(guard, -2.5, -2.6) is not None
    assert moved(guard, -2.5, -2.4) is None


def test_a_milestone_is_passed_when_the_hour_is_over_or_the_examples_have_doubled():
    guard = Guard(2)
    passed = []
    for examples, hour in ((1_000, 7), (1_999, 7), (2_000, 7), (2_001, 8), (4_001, 8), (4_002, 8)):
        guard.milestone.moved = 0.1
        guard.pass_milestone(examples, 0.04, hour)
        passed.append(guard.milestone.moved == 0.0)
    assert passed == [True, False, True, True, False, True]
    guard.pass_milestone(9_000, 0.0, 9)
    assert guard.milestone.examples == 4_002, "without an outcome nothing is told"


def test_coordinates_of_replaced_examples_are_forgotten_without_a_trace():
    guard = Guard(2)
    for number in range(3_000):
        guard.place(number % 4, [number, number + 1], 0.0, 0.0, float)
    assert len(guard._known) < 400
    scores = guard._weights[guard._places].sum(axis=1)
    assert sorted(scores) == [2 * n + 1 for n in range(2_996, 3_000)]


def test_a_reservoir_holds_as_many_with_as_without_the_outcome_and_knows_the_share():
    reservoir, rng = Reservoir(50, 4), random.Random(2)
    for number in range(4_000):
        reservoir.offer(rng.getrandbits(32), ([number], []), float(rng.random() < 0.1), 0.0)
        if number % 100 == 99:
            reservoir.accept()
    held = dict(reservoir.held())
    assert [sum(slot < 50 for slot in held), sum(slot >= 50 for slot in held)] == [50, 50]
    assert all(one.y == (slot >= 50) for slot, one in held.items())
    assert reservoir.share == pytest.approx(0.1, abs=0.02)
    assert min(one.coordinates[0][0] for slot, one in held.items() if slot < 50) > 1_000


def test_what_a_turn_brought_is_held_only_when_it_is_accepted():
    reservoir = Reservoir(50, 1)
    reservoir.offer(7, ([1], [2]), 1.0, 0.0)
    assert dict(reservoir.held()) == {}
    reservoir.undo()
    assert (dict(reservoir.held()), reservoir.share) == ({}, 0.0)
    reservoir.offer(7, ([1], [2]), 1.0, 0.0)
    fresh = reservoir.accept()
    assert fresh.keys() == dict(reservoir.held()).keys() == {57}
