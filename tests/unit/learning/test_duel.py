"""The duel against its definition, over all blocks at every look, and against chance."""

import math
import random
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError
from streamapp.learning.duel import BlockState, Duel, DuelSettings, DuelState

HOUR = 3_600_000
NEVER = 1e-12

# viewer, champion's loss, challenger's, ms since the example before, weight
Stream = list[tuple[str, float, float, int, float]]

losses = st.floats(0.0, 3.0)
streams = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        losses,
        losses,
        st.sampled_from([0, 1, 40, 100, 101, 250]),
        st.sampled_from([1.0, 5.0]),
    ),
    max_size=40,
)


def fight(stream: Stream, duel: Duel, at_ms: int = 0) -> int:
    for viewer, champion, challenger, later, weight in stream:
        at_ms += later
        duel.update(viewer, champion, challenger, at_ms, weight)
    return at_ms


def blocks_of(stream: Stream, settings: DuelSettings) -> list[float]:
    """Return x of each closed block, in the order they close, from the definition alone."""
    at_ms, closed = 0, []
    begun: list[tuple[int, str, list[tuple[float, float]]]] = []  # began, viewer, examples
    for viewer, champion, challenger, later, weight in stream:
        at_ms += later
        while begun and at_ms - begun[0][0] > settings.block_ms:
            closed.append(begun.pop(0)[2])
        own = next((block for block in begun if block[1] == viewer), None)
        if own is None:
            if len(begun) == settings.capacity:
                closed.append(begun.pop(0)[2])
            own = (at_ms, viewer, [])
            begun.append(own)
        own[2].append((champion - challenger, weight))
    b = settings.bound
    return [
        sum(w * sorted((-b, d, b))[1] for d, w in of) / (b * sum(w for _, w in of)) for of in closed
    ]


def capital(xs: list[float], side: int) -> float:
    return math.fsum(math.prod(1 + side * 0.9 / 2**j * x for x in xs) for j in range(9)) / 9


@given(streams, st.integers(1, 4), st.sampled_from([0.5, 2.0]))
def test_the_evidence_is_that_of_the_definition(stream, capacity, bound):
    settings = DuelSettings(NEVER, bound, 100, capacity)
    duel = Duel(settings)
    fight(stream, duel)
    xs = blocks_of(stream, settings)
    assert duel.blocks == len(xs)
    for_it, against_it = duel.evidence
    assert for_it == pytest.approx(capital(xs, 1), rel=1e-9)
    assert against_it == pytest.approx(capital(xs, -1), rel=1e-9)
    if xs:
        assert duel.lead == pytest.approx(bound * math.fsum(xs) / len(xs), abs=1e-12)


@given(streams)
def test_the_first_look_at_which_the_capital_is_1_over_alpha_decides(stream):
    settings = DuelSettings(alpha=0.6, block_ms=100)
    duel = Duel(settings)
    fight(stream, duel)
    xs, expected = blocks_of(stream, settings), None
    for looked in range(1, len(xs) + 1):
        if expected is None and capital(xs[:looked], 1) >= 1 / 0.6:
            expected = ("challenger", looked)
        if expected is None and capital(xs[:looked], -1) >= 1 / 0.6:
            expected = ("champion", looked)
    assert (duel.decided, duel.blocks) == (expected or (None, len(xs)))


@given(streams, streams, st.integers(1, 4), st.sampled_from([0.6, NEVER]))
def test_a_duel_restored_from_json_goes_on_exactly(before, after, capacity, alpha):
    settings = DuelSettings(alpha, 1.0, 100, capacity)
    duel, rows, at_ms = Duel(settings), dict[str, bytes | None](), 0
    for number, one in enumerate(before):
        at_ms = fight([one], duel, at_ms)
        if number % 3 == 0:
            rows |= encoded(duel)
    rows |= encoded(duel)
    head = msgspec.json.encode(duel.snapshot())
    again = Duel(settings)
    again.restore(
        msgspec.json.decode(head, type=DuelState),
        {v: msgspec.json.decode(row, type=BlockState) for v, row in rows.items() if row},
    )
    assert len(again) == len(duel)
    for one in after:
        fight([one], duel, at_ms)
        at_ms = fight([one], again, at_ms)
        assert again.snapshot() == duel.snapshot()
        assert encoded(again) == encoded(duel)


def encoded(duel: Duel) -> dict[str, bytes | None]:
    return {v: None if row is None else msgspec.json.encode(row) for v, row in duel.changed()}


def test_a_snapshot_stays_what_it_was():
    duel = Duel(DuelSettings(block_ms=0))
    duel.update("a", 1.0, 0.5, 0)
    taken = duel.snapshot()
    kept = msgspec.json.encode(taken)
    duel.update("b", 1.0, 0.5, 1)
    assert msgspec.json.encode(taken) == kept


@pytest.mark.parametrize("gain", [0.02, 0.5, 0.98])
def test_against_an_equal_the_capital_neither_grows_nor_shrinks_on_average(gain):
    # x = gain with probability 1 − gain, else gain − 1: 0 on average, however skewed.
    mean = dict.fromkeys((0, 1), 0.0)
    for wins in product((False, True), repeat=8):
        duel, probability = Duel(DuelSettings(NEVER, block_ms=0)), 1.0
        for at_ms, won in enumerate((*wins, True)):  # the last one only closes the others
            duel.update("v", gain if won else gain - 1.0, 0.0, at_ms)
        for won in wins:
            probability *= (1.0 - gain) if won else gain
        for side, value in enumerate(duel.evidence):
            mean[side] += probability * value
    assert mean == {0: pytest.approx(1.0), 1: pytest.approx(1.0)}


def equal_models(
    seed: int, *, advantage: float = 0.0, examples: int = 5, per_example: bool = False
) -> Duel:
    """Let two models meet 20 viewers an hour for 40 hours.

    For an hour either of them is much better for a viewer; on average one has the advantage.
    """
    draw, duel = random.Random(seed), Duel(DuelSettings())
    for number in range(40 * 20):
        at_ms = number // 20 * 2 * HOUR
        taste = draw.choice((-0.5, 0.5))
        for example in range(examples):
            viewer = f"{number}:{example}" if per_example else f"{number % 20}"
            difference = advantage + taste + draw.gauss(0.0, 0.05)
            duel.update(viewer, difference, 0.0, at_ms)
    return duel


def test_an_equal_is_promoted_at_most_as_often_as_alpha_says_though_one_looks_all_the_time():
    outcomes = [equal_models(seed, examples=2).decided for seed in range(400)]
    assert outcomes.count("challenger") <= 0.05 * 400
    assert outcomes.count("champion") <= 0.05 * 400


def test_viewers_who_come_back_with_their_tastes_promote_no_equal():
    # 40 viewers; each is served better by one of the models for good, as many by either.
    promoted = 0
    for seed in range(100):
        draw, duel = random.Random(seed), Duel(DuelSettings())
        for number in range(600):
            viewer = draw.randrange(40)
            for _ in range(3):
                taste = 0.5 if viewer < 20 else -0.5
                duel.update(f"{viewer}", taste + draw.gauss(0.0, 0.05), 0.0, number * HOUR // 20)
        promoted += duel.decided == "challenger"
    assert promoted <= 0.05 * 100


def test_counting_examples_and_not_viewers_would_promote_falsely_most_of_the_time():
    # The same bets on the same data, each example as if it were a viewer.
    outcomes = [equal_models(seed, per_example=True).decided for seed in range(100)]
    assert outcomes.count("challenger") > 30
    assert outcomes.count(None) < 20  # nearly always one of two equals is "better"


def test_a_test_that_is_not_made_for_looking_all_the_time_would_promote_falsely_too():
    promoted = 0
    for seed in range(100):
        draw, taste, total, squares = random.Random(seed), 0.0, 0.0, 0.0
        for number in range(1, 8_001):
            taste = draw.choice((-0.5, 0.5)) if number % 10 == 1 else taste
            x = taste + draw.gauss(0.0, 0.05)
            total, squares = total + x, squares + x * x
            if number > 100 and total / math.sqrt(squares) > 1.645:  # one-sided, 5 %
                promoted += 1
                break
    assert promoted > 80


def test_who_is_better_wins_within_some_hundred_blocks():
    better = [equal_models(seed, advantage=0.1) for seed in range(50)]
    assert sum(duel.decided == "challenger" for duel in better) >= 48
    assert sorted(duel.blocks for duel in better)[25] < 400
    worse = [equal_models(seed, advantage=-0.1).decided for seed in range(50)]
    assert worse.count("champion") >= 48


def test_what_is_decided_stays_and_nothing_is_kept_open():
    duel = Duel(DuelSettings(block_ms=0, capacity=3))
    for at_ms in range(20):
        duel.update("v", 1.0, 0.0, at_ms)
    assert duel.decided == "challenger"
    blocks, state = duel.blocks, duel.snapshot()
    dict(duel.changed())
    for at_ms in range(20, 100):
        duel.update("v", 0.0, 1.0, at_ms)
    assert duel.decided == "challenger"
    assert (duel.blocks, duel.snapshot()) == (blocks, state)
    assert len(duel) == 0
    assert list(duel.changed()) == []


def test_memory_is_bounded_and_no_block_is_lost():
    duel = Duel(DuelSettings(capacity=50))
    for number in range(1_000):
        duel.update(f"v{number}", 0.1, 0.1, 0)
        assert len(duel) <= 50
    assert duel.blocks == 950


@pytest.mark.parametrize(
    ("champion", "challenger", "lead"),
    [
        (0.1, math.nan, -1.0),
        (math.nan, 0.1, 1.0),
        (math.nan, math.nan, 0.0),
        (math.inf, math.inf, 0.0),
        (0.1, math.inf, -1.0),
        (40.0, 0.1, 1.0),
    ],
)
def test_a_loss_that_is_no_number_or_huge_counts_at_most_the_bound(champion, challenger, lead):
    duel = Duel(DuelSettings(block_ms=0))
    duel.update("v", champion, challenger, 0)
    duel.update("v", 0.0, 0.0, 1)
    assert duel.lead == lead


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"bound": 0.0}, {"block_ms": -1}, {"capacity": 0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigurationError):
        DuelSettings(**wrong)
