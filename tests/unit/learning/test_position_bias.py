"""θ against the truth of simulated audiences, and against textbook EM over the same examples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.click_table import ClickTable
from streamapp.learning.position_bias import LAST_POSITION, PositionBias, SurfaceRow, examination
from streamapp.signals import Example
from streamapp.simulate import Exploring, Surface, World
from streamapp.simulate.world import examination as looks
from tests.oracles.position_bias import Seen, batch_em
from tests.unit.learning.audience import examples
from tests.unit.learning.examples import example

SURFACE = Surface("home", looks(0.95, 0.7, 10), ("short", "vod", "live", "product"), 1.0)
TRUTH = [theta / SURFACE.theta[0] for theta in SURFACE.theta]


def learned(shown: Iterable[Example], half_life_ms: float = math.inf) -> PositionBias:
    bias = PositionBias(items=1_000, admission=1.0)
    for one in shown:
        bias.add(
            one.item_id,
            one.position,
            2.0 ** (one.labelled_at_ms / half_life_ms),
            one.weight,
            one.propensity,
            one.example_id,
            clicked=one.labels.clicked,
        )
    return bias


def errors(share: float, slates: int, *, seed: int = 1, keep: float = 1.0) -> list[float]:
    """θ over the truth, −1, by position, when a share of the slates is random."""
    world = World(seed=seed, viewers=100, items=25, surfaces=(SURFACE,), bias=1.0)
    theta = learned(examples(world, SURFACE, Exploring(share), slates, keep=keep)).theta(1.0)
    return [estimate / truth - 1.0 for estimate, truth in zip(theta, TRUTH, strict=True)]


def test_with_some_exploration_theta_is_within_ten_percent_of_the_truth():
    assert max(map(abs, errors(0.5, 16_000, keep=0.5))) < 0.1


def test_without_exploration_theta_is_too_steep_and_no_more_traffic_mends_it():
    some, more = (errors(0.0, slates)[-1] for slates in (2_000, 6_000))
    assert some < -0.1
    assert more < -0.1


@pytest.mark.parametrize(("seed", "half_life_ms"), [(1, math.inf), (2, 200_000.0), (3, 200_000.0)])
def test_decayed_counts_give_what_em_over_all_examples_gives(seed, half_life_ms):
    draw = Random(seed)
    theta = {1: 1.0, 2: 0.7, 3: 0.8, 4: 0.3}
    alpha = {"a": 0.9, "b": 0.6, "c": 0.4}
    shown, log = [], []
    for number in range(600):
        item, position = draw.choice("abbccc"), draw.choice((1, 2, 2, 3, 4))
        clicked = draw.random() < theta[position] * alpha[item]
        at_ms, weight = number * 1_000, 1.0 if clicked else draw.choice((1.0, 2.0))
        shown.append(
            example(at_ms, clicked=clicked, item_id=item, position=position, weight=weight)
        )
        log.append(Seen(item, position, clicked, weight * 2.0 ** (at_ms / half_life_ms)))
    bias = learned(shown, half_life_ms)
    clicks, impressions = bias._tables["logged"].matrices()
    ours = examination(clicks, impressions, np.ones(4), strength=1e-9)
    assert ours == pytest.approx([batch_em(log, 250)[k] for k in theta], rel=0.005)


def test_impressions_count_by_the_inverse_of_their_propensity():
    # The example of the module: b, liked less, is on top in one request of ten.
    bias = PositionBias(items=10, admission=1.0)
    for item, position, shown, clicks, propensity in (
        ("a", 1, 900, 450, 0.9),
        ("b", 1, 100, 10, 0.1),
        ("a", 2, 100, 25, 0.1),
        ("b", 2, 900, 45, 0.9),
    ):
        for number in range(shown):
            bias.add(item, position, 1.0, 1.0, propensity, "", clicked=number < clicks)
    # As good as 66 clicks at the second position, beside 10 of the shipped 0.62.
    assert bias.theta(1.0)[1] == pytest.approx(0.513, abs=0.003)
    assert bias.position_ctr(1.0) == pytest.approx([0.46, 0.07], rel=0.02)


def test_a_propensity_of_one_says_that_nothing_was_random():
    sure, silent = (
        learned(example(clicked=n % 3 == 0, position=1 + n % 2, propensity=p) for n in range(60))
        for p in (1.0, None)
    )
    assert sure.theta(1.0) == silent.theta(1.0)


def test_with_nothing_but_two_impressions_theta_is_nearly_the_shipped_one():
    bias = learned([example(clicked=True), example(position=3)])
    assert bias.theta(1.0) == pytest.approx([1.0, 2**-0.7, 3**-0.7], rel=0.1)
    assert bias.position_ctr(1.0) == pytest.approx(
        [2.0 / 21, 0.05 * 2**-0.7, 20 * 0.05 * 3**-0.7 / 21]
    )


def test_what_is_beyond_the_last_position_counts_there():
    bias = learned([example(), example(position=10_000, clicked=True)])
    rates = bias.position_ctr(1.0)
    assert len(rates) == len(bias.theta(1.0)) == LAST_POSITION
    assert rates[-1] == pytest.approx((1 + 20 * 0.05 * 50**-0.7) / 21)


counts = st.integers(0, 6).flatmap(
    lambda items: st.integers(1, 5).flatmap(
        lambda positions: st.lists(
            st.lists(
                st.tuples(st.sampled_from([0.0, 1e-9, 0.3, 1.0, 50.0, 1e12]), st.floats(0, 1)),
                min_size=positions,
                max_size=positions,
            ),
            min_size=items,
            max_size=items,
        ).map(lambda rows: np.array(rows, dtype=float).reshape(items, positions, 2))
    )
)


@given(counts, st.sampled_from([1e-9, 1.0, 10.0]), st.floats(1e-9, 1.0))
def test_whatever_was_counted_theta_is_a_probability(cells, strength, prior):
    shown = cells[:, :, 0]
    priors = np.full(cells.shape[1], prior)
    theta = examination(shown * cells[:, :, 1], shown, priors, strength)
    assert np.all((theta > 0) & (theta <= 1))
    assert theta[0] == 1.0


def test_an_item_is_held_after_some_impressions_whatever_came_of_them():
    # Of the impressions nine of ten are not clicked, and of these one of four is kept.
    draw = Random(5)
    held = {True: 0, False: 0}
    for number in range(40_000):
        clicked = number % 10 == 0
        if clicked or draw.random() < 0.25:
            table = ClickTable(capacity=5, admission=50.0)
            weight = 1.0 if clicked else 4.0
            table.add("a", 1, weight, f"e{number}", weight, clicked=clicked)
            held[clicked] += len(table)
    assert held[True] == pytest.approx(4_000 / 50, rel=0.25)
    assert held[False] == pytest.approx(36_000 / 50, rel=0.15)


def test_a_flood_of_items_pushes_out_newcomers_only():
    table = ClickTable(capacity=16, admission=1.0)
    for _ in range(3):
        for item in "abcd":
            table.add(item, 1, 1.0, "", 1.0, clicked=False)
    for number in range(1_000):
        table.add(f"new{number}", 1, 1.0, "", 1.0, clicked=False)
    assert len(table) <= 18
    rows = dict(table.changed())
    assert len(rows) == 1_004
    assert None not in [rows[item] for item in "abcd"]


def test_what_is_left_of_nearly_nothing_is_forgotten():
    bias = learned([example(item_id="a"), example(item_id="b"), example(item_id="b")])
    assert bias.rows == 3
    bias.theta(0.3)
    assert bias.rows == 2
    assert dict(bias.changed())["logged/a"] is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(1, 60),
            st.sampled_from([None, 0.1, 0.5]),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    ),
    st.floats(0.25, 4.0),
)
def test_rows_give_the_same_estimates_again(shown, factor):
    bias = PositionBias(items=10, admission=1.0)
    for number, (item, position, propensity, clicked) in enumerate(shown):
        bias.add(item, position, 1.1**number, 1.0, propensity, "", clicked=clicked)
        if number == 15:
            bias.rescale(factor)
    again = PositionBias(items=10, admission=1.0)
    for name, row in reversed(list(bias.changed())):
        if isinstance(row, SurfaceRow):
            again.restore(msgspec.json.decode(msgspec.json.encode(row), type=SurfaceRow))
        elif row is not None:
            kind, item = name.split("/")
            again.restore_item(kind, item, row)
    assert again.position_ctr(0.5) == bias.position_ctr(0.5)
    assert again.theta(0.5) == bias.theta(0.5)
