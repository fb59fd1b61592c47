"""The guard's numbers are those of its formulas, over what is held."""

from __future__ import annotations

import math
import random

import pytest

from streamapp.learning.guard import Guard
from streamapp.learning.reservoir import Reservoir

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


@pytest.mark.parametrize(("outcomes", "acts"), [(500, True), (400, False)])
def test_calibration_acts_only_above_400_outcomes(outcomes, acts):
    # The loss hardly moves between −2.2 and −1.75; Σp/Σy goes from 1 to 1.48.
    guard, _ = filled(dict.fromkeys(range(30), 0.0), (500, outcomes))
    said = guard.judge({}.items(), -2.5, -2.05, 0.1)
    assert said == (f"calibration 1.00 to 1.48 on {outcomes} earlier outcomes" if acts else None)
    assert guard.judge({}.items(), -2.05, -2.5, 0.1) is None


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
