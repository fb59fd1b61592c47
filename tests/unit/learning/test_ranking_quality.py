"""NDCG against its definition, and against the truth where places bias what is clicked."""

import math
import random
from itertools import pairwise, permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.ranking_quality import RankingQuality, discounted
from streamapp.learning.states import OpenRequest, RankingState

# request, score, clicked, weight, propensity, ms since the slot before
Slot = tuple[str, float, bool, float, float | None, int]

slots = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from([0.1, 0.2, 0.3]),
        st.booleans(),
        st.sampled_from([1.0] * 15 + [4.0]),
        st.sampled_from([0.5, 0.25, 0.01] * 7 + [None, 1.0, 0.0]),
        st.sampled_from([0, 0, 0, 50, 101]),
    ),
    max_size=40,
)


def feed(stream: list[Slot], quality: RankingQuality, at_ms: int = 0) -> int:
    for request, score, clicked, weight, propensity, later in stream:
        at_ms += later
        quality.update(
            request, score, at_ms=at_ms, clicked=clicked, weight=weight, propensity=propensity
        )
    return at_ms


def requests_of(stream: list[Slot], capacity: int) -> list[list[Slot]]:
    """Return the slots of each request that was judged, in order of its end; a wait of 100 ms."""
    at_ms, done = 0, list[list[Slot]]()
    opened: list[tuple[int, list[Slot]]] = []
    for slot in stream:
        at_ms += slot[-1]
        while opened and at_ms > opened[0][0] + 100:
            done.append(opened.pop(0)[1])
        own = next((of for _, of in opened if of[0][0] == slot[0]), None)
        if own is None:
            if len(opened) == capacity:
                done.append(opened.pop(0)[1])
            own = []
            opened.append((at_ms, own))
        own.append(slot)
    return done


def mean_dcg(scores: list[float], gains: list[float]) -> float:
    """Return DCG, averaged over all orders that the scores allow."""
    n = len(scores)
    allowed = [
        order
        for order in permutations(range(n))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    dcgs = [sum(gains[i] / math.log2(r + 2) for r, i in enumerate(order)) for order in allowed]
    return sum(dcgs) / len(dcgs)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([0.0, 2.0, 5.0])), max_size=6
    )
)
def test_the_discounted_gain_is_the_mean_over_all_orders_of_equal_scores(of):
    expected = mean_dcg([s for s, _ in of], [g for _, g in of])
    assert discounted(of) == pytest.approx(expected, rel=1e-12)


@given(slots, st.integers(1, 4), st.sampled_from([2.0, math.inf]))
def test_ndcg_is_that_of_the_whole_requests_whose_places_were_drawn(stream, capacity, half_life):
    quality = RankingQuality(half_life, 100, capacity)
    feed(stream, quality)
    gained = best = 0.0
    judged = 0
    for request in requests_of(stream, capacity):
        clicks = [clicked for _, _, clicked, _, _, _ in request]
        usable = all(w == 1.0 and p is not None and 0 < p < 1 for _, _, _, w, p, _ in request)
        if not usable or all(clicks) or not any(clicks):
            continue
        gains = [min(1 / (p or 1), 20.0) if clicked else 0.0 for _, _, clicked, _, p, _ in request]
        fading = 2 ** (-1 / half_life)
        gained = gained * fading + discounted(
            [(s[1], g) for s, g in zip(request, gains, strict=True)]
        )
        best = best * fading + discounted([(g, g) for g in gains])
        judged += 1
    assert quality.requests == judged
    assert quality.ndcg == (pytest.approx(gained / best, rel=1e-9) if judged else None)


@given(slots, slots, st.integers(1, 4))
def test_what_is_restored_from_json_goes_on_exactly(before, after, capacity):
    quality = RankingQuality(3.0, 100, capacity)
    rows, at_ms = dict[str, bytes | None](), 0
    for number, slot in enumerate(before):
        at_ms = feed([slot], quality, at_ms)
        if number % 3 == 0:
            rows |= encoded(quality)
    rows |= encoded(quality)
    again = RankingQuality(3.0, 100, capacity)
    again.restore(
        msgspec.json.decode(msgspec.json.encode(quality.snapshot()), type=RankingState),
        {r: msgspec.json.decode(row, type=OpenRequest) for r, row in rows.items() if row},
    )
    for slot in after:
        feed([slot], quality, at_ms)
        at_ms = feed([slot], again, at_ms)
        assert again.snapshot() == quality.snapshot()
        assert encoded(again) == encoded(quality)


def encoded(quality: RankingQuality) -> dict[str, bytes | None]:
    return {r: None if one is None else msgspec.json.encode(one) for r, one in quality.changed()}


APPEAL = (0.3, 0.2)
EXAMINED = (1.0, 0.1)


def judge(scores: tuple[float, ...], *, weighted: bool) -> float:
    """Score two items by appeal on slates that mostly have the less appealing in front."""
    draw, quality = random.Random(4), RankingQuality(wait_ms=0)
    for number in range(30_000):
        usual = draw.random() < 0.9
        for position, item in enumerate((1, 0) if usual else (0, 1)):
            clicked = draw.random() < APPEAL[item] * EXAMINED[position]
            propensity = (0.9 if usual else 0.1) if weighted else 0.5
            quality.update(
                f"r{number}", scores[item], at_ms=number, clicked=clicked, propensity=propensity
            )
    assert quality.ndcg is not None
    return quality.ndcg


def test_with_propensities_the_right_order_wins_that_loses_without_them():
    right, wrong = (2.0, 1.0), (1.0, 2.0)
    assert judge(right, weighted=True) > judge(wrong, weighted=True) + 0.05
    assert judge(right, weighted=False) < judge(wrong, weighted=False) - 0.1


def test_requests_of_sampled_negatives_are_left_out_also_where_only_clicks_are_left():
    quality = RankingQuality(wait_ms=0)
    feed([("a", 0.1, True, 1.0, 0.5, 1), ("a", 0.2, False, 5.0, 0.5, 0)], quality)
    feed([("b", 0.1, True, 1.0, 0.5, 2)], quality, 1)
    quality.advance(10)
    assert quality.requests == 0
    assert quality.ndcg is None


def test_a_score_that_is_no_number_comes_last():
    quality = RankingQuality(wait_ms=0)
    feed([("a", math.nan, True, 1.0, 0.5, 1), ("a", -9.0, False, 1.0, 0.5, 0)], quality)
    quality.advance(2)
    assert quality.ndcg == pytest.approx(1 / math.log2(3))


def test_a_score_that_is_no_number_is_restored():
    quality = RankingQuality(wait_ms=5)
    feed([("a", math.nan, True, 1.0, 0.5, 1), ("a", -9.0, False, 1.0, 0.5, 0)], quality)
    again = RankingQuality(wait_ms=5)
    rows = encoded(quality)
    opened = {r: msgspec.json.decode(row, type=OpenRequest) for r, row in rows.items() if row}
    again.restore(quality.snapshot(), opened)
    again.advance(10)
    assert again.ndcg == pytest.approx(1 / math.log2(3))


def test_a_request_that_goes_on_after_the_weights_changed_is_left_out_though_restored():
    first: list[Slot] = [("a", 0.1, True, 1.0, 0.5, 1), ("b", 0.2, True, 1.0, 0.5, 0)]
    quality, again = RankingQuality(wait_ms=5), RankingQuality(wait_ms=5)
    feed([*first, ("a", 0.3, False, 1.0, 0.5, 0)], quality)
    quality.renew()
    opened = {request: one for request, one in quality.changed() if one is not None}
    again.restore(quality.snapshot(), opened)
    feed([("b", 0.3, False, 1.0, 0.5, 1)], again)
    again.advance(10)
    assert again.requests == 1
    assert again.ndcg == pytest.approx(1 / math.log2(3))


def test_after_a_restart_it_is_as_if_nothing_had_come():
    quality = RankingQuality(wait_ms=5)
    feed([("a", 0.1, True, 1.0, 0.5, 1), ("a", 0.2, False, 1.0, 0.5, 0)], quality)
    quality.advance(10)
    feed([("b", 0.1, True, 1.0, 0.5, 11)], quality)
    quality.restart()
    feed([("b", 0.2, False, 1.0, 0.5, 11)], quality)
    quality.advance(30)
    assert (quality.requests, quality.ndcg) == (0, None)
    feed([("c", 0.2, True, 1.0, 0.5, 31), ("c", 0.1, False, 1.0, 0.5, 0)], quality)
    quality.advance(50)
    assert (quality.requests, quality.ndcg) == (1, 1.0)


def test_what_is_forgotten_is_told_as_gone():
    quality = RankingQuality()
    feed([("2:ab/r", 0.1, True, 1.0, 0.5, 1), ("2:ac/r", 0.1, True, 1.0, 0.5, 0)], quality)
    encoded(quality)
    assert quality.forget("2:ab/")
    assert not quality.forget("2:ab/")
    assert (encoded(quality), len(quality)) == ({"2:ab/r": None}, 1)


def test_memory_is_bounded():
    quality = RankingQuality(capacity=10)
    for number in range(1_000):
        quality.update(f"r{number}", 0.1, at_ms=0, clicked=True, propensity=0.5)
    for _ in range(1_000):
        quality.update("r", 0.1, at_ms=0, clicked=True, propensity=0.5)
    assert len(quality) == 10
    assert all(one is None or len(one.slots) <= 500 for _, one in quality.changed())
