"""Factors learn along the gradient of the pairs' loss, and keep within bounds whatever they see."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError
from streamapp.learning.bpr import Bpr, BprSettings
from streamapp.learning.factor_table import Row
from streamapp.learning.pairs import Slot
from tests.oracles.pairs import Factors, gradient

SMALL = BprSettings(dimensions=3, admission=1, own=0.8, early=4.0)
places = st.sampled_from(["home/1", "home/2", "live/1"])
slots = st.lists(
    st.tuples(st.sampled_from("abcdef"), places), min_size=2, max_size=6, unique_by=lambda s: s[0]
)
requests = st.lists(
    st.tuples(st.sampled_from(["v", "w"]), slots, st.integers(1, 5)), min_size=1, max_size=12
)


def split(shown: list[tuple[str, str]], at: int) -> tuple[list[Slot], list[Slot]]:
    made = [Slot(item, place, ("drama", None)) for item, place in shown]
    at = min(at, len(made) - 1)
    return made[:at], made[at:]


def learn(bpr: Bpr, history: list[tuple[str, list[tuple[str, str]], int]]) -> None:
    for viewer, shown, at in history:
        bpr.learn_one(viewer, *split(shown, at))


def numbers(row: Row | None) -> tuple[float, ...]:
    assert row is not None
    return tuple(row.tolist())


@settings(max_examples=60)
@given(requests, st.tuples(st.sampled_from(["v", "w"]), slots, st.integers(1, 5)))
def test_a_step_goes_along_the_gradient_of_the_pairs(history, request):
    bpr = Bpr(SMALL)
    learn(bpr, history)
    viewer, shown, at = request
    preferred, passed = split(shown, at)
    fresh = Bpr(SMALL)  # what rows begin with
    rows = {item: bpr.items.get(item) for item, _ in shown}
    for item, _ in shown:
        fresh.items.use(item, ("drama", None))
    taste = bpr.viewers.get(viewer)
    before = Factors(
        (0.0, 0.0, 0.0) if taste is None else numbers(taste)[1:],
        {i: numbers(fresh.items.get(i) if r is None else r) for i, r in rows.items()},
        {place: bpr.places.get(place) for _, place in shown},
    )
    events = {item: 1 + (e.events if (e := bpr.items.entry(item)) else 0) for item, _ in shown}
    margins = bpr.learn_one(viewer, preferred, passed)
    assert margins == pytest.approx(
        [before.score(i.item, i.place) - before.score(j.item, j.place)
         for i in preferred for j in passed],
        abs=1e-12,
    )  # fmt: skip
    slope = gradient(before, [s[:2] for s in preferred], [s[:2] for s in passed])
    for item, now in ((i, bpr.items.get(i)) for i in rows):
        assert now is not None
        haste = 1 + SMALL.early / events[item]
        rates = [SMALL.bias_rate] + 3 * [SMALL.item_rate]
        wanted = [
            was - rate * (haste * down + SMALL.l2 * was)
            for was, rate, down in zip(before.items[item], rates, slope.items[item], strict=True)
        ]
        assert now.tolist() == pytest.approx(wanted, abs=1e-8)
    now = bpr.viewers.get(viewer)
    assert now is not None
    assert now.tolist() == pytest.approx(
        [0.0]
        + [
            was - SMALL.viewer_rate * (down + SMALL.l2 * was)
            for was, down in zip(before.viewer, slope.viewer, strict=True)
        ],
        abs=1e-8,
    )
    for place, was in before.places.items():
        moved = was - SMALL.bias_rate * slope.places[place]
        assert bpr.places.get(place) == pytest.approx(moved, abs=1e-8)


@settings(max_examples=30)
@given(requests, st.floats(0.5, 50.0))
def test_rows_keep_within_the_norm_and_scores_stay_finite(history, rate):
    bounded = BprSettings(
        dimensions=3, viewer_rate=rate, item_rate=rate, bias_rate=rate, max_norm=2.0, admission=1
    )
    bpr = Bpr(bounded)
    for _ in range(20):
        learn(bpr, history)
    for table in (bpr.viewers, bpr.items):
        for name in table.names():
            row = table.get(name)
            assert row is not None
            assert math.sqrt(sum(n * n for n in row.tolist())) <= 2.0 + 1e-9
    assert all(abs(t) <= 2.0 for t in bpr.places.learned.values())
    assert all(math.isfinite(bpr.predict_one(v, i)) for v in "vw" for i in "abcdef")


def test_what_two_kinds_of_viewers_like_is_told_apart():
    bpr, draw = Bpr(BprSettings(admission=1)), random.Random(1)
    items = {f"i{n}": n % 2 for n in range(10)}
    for _ in range(3_000):
        viewer = draw.randrange(20)
        liked = draw.choice([i for i, kind in items.items() if kind == viewer % 2])
        other = draw.choice([i for i, kind in items.items() if kind != viewer % 2])
        bpr.learn_one(f"v{viewer}", [Slot(liked)], [Slot(other)])
    right = [
        bpr.predict_one(f"v{v}", i) > bpr.predict_one(f"v{v}", j)
        for v in range(20)
        for i, kind in items.items()
        for j, other in items.items()
        if kind == v % 2 != other
    ]
    assert sum(right) == len(right) == 20 * 25


def test_what_one_place_is_clicked_more_for_is_not_held_for_quality():
    bpr, draw = Bpr(BprSettings(admission=1)), random.Random(2)
    for _ in range(4_000):  # two items alike, one shown on top three times in four
        top, below = ("a", "b") if draw.random() < 0.75 else ("b", "a")
        first, second = Slot(top, "home/1"), Slot(below, "home/2")
        if draw.random() < 0.8:
            bpr.learn_one("v", [first], [second])
        else:
            bpr.learn_one("v", [second], [first])
    assert abs(bpr.predict_one("v", "a") - bpr.predict_one("v", "b")) < 0.3
    assert bpr.places.get("home/1") - bpr.places.get("home/2") == pytest.approx(
        math.log(0.8 / 0.2), abs=0.5
    )


def test_whoever_has_no_row_counts_as_zeros_and_moves_nothing_of_its_own():
    bpr = Bpr(BprSettings(dimensions=2, admission=3))
    (margin,) = bpr.learn_one("v", [Slot("a", "home/1")], [Slot("b", "home/1")])
    assert margin == 0.0
    assert (len(bpr.viewers), len(bpr.items)) == (0, 0)
    bpr.learn_one("v", [Slot("a")], [Slot("c")])
    bpr.learn_one("v", [Slot("a")], [Slot("d")])
    assert (list(bpr.viewers.names()), list(bpr.items.names())) == (["v"], ["a"])
    assert bpr.predict_one("v", "b") == 0.0
    assert bpr.predict_one("w", "a") > 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"viewer_rate": 0.0},
        {"item_rate": math.nan},
        {"bias_rate": math.inf},
        {"l2": -1.0},
        {"l2": 20.0},
        {"early": -1.0},
        {"max_norm": 0.0},
        {"dimensions": 0},
        {"viewers": 0},
        {"admission": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(ConfigurationError):
        BprSettings(**change)
