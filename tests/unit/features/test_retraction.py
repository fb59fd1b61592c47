"""What is left after a retraction is what there would be without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.deltas import ItemDeltas
from streamapp.features.parameters import Parameters
from streamapp.features.rates import COUNTED_ACTIONS
from streamapp.features.retraction import Acted, Contribution, Played, ShownSlot, retract
from streamapp.signals import ItemDelta

NOON = 1_700_000_000_000
HOUR = 3_600_000
HALF_LIVES = (HOUR / 2, 6 * HOUR, 7 * 24 * HOUR)


def parameters() -> Parameters:
    known = Parameters()
    for valid_from_ms, value in ((0, [0.5, 0.25]), (NOON + HOUR, [0.1])):
        record = {"name": "position_ctr/home", "valid_from_ms": valid_from_ms, "value": value}
        known.update("position_ctr/home", msgspec.json.encode(record))
    return known


def count(contributions: Iterable[Contribution], deltas: ItemDeltas) -> None:
    """Count contributions the way events are counted."""
    known = parameters()
    for one in contributions:
        if isinstance(one, ShownSlot):
            rate = known.position_ctr(one.surface, one.time_ms)(one.position)
            amounts = [("impressions", 1.0), ("expected_clicks", rate)]
        elif isinstance(one, Acted):
            counter = COUNTED_ACTIONS.get(one.action)
            amounts = [] if counter is None else [(counter, 1.0)]
        else:
            amounts = one.amounts
        if amounts:
            deltas.add(one.item_id, one.time_ms, amounts)


def taken(deltas: ItemDeltas) -> list[ItemDelta]:
    return [msgspec.json.decode(record, type=ItemDelta) for _, record in deltas.take()]


def at_midnight(records: Iterable[ItemDelta]) -> dict[tuple[str, str], list[float]]:
    """Add records up as a reader does, decayed to 12 h after noon: by item and counter."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * 4)
    for record in records:
        for counter, (total, *decayed) in record.deltas.items():
            entry = sums[record.item_id, counter]
            entry[0] += total
            for i, (value, half_life) in enumerate(zip(decayed, HALF_LIVES, strict=True), 1):
                entry[i] += value * 2 ** (-(NOON + 12 * HOUR - record.as_of_ms) / half_life)
    return sums


def counters(of: Iterable[ItemDelta]) -> dict[tuple[str, str], list[float]]:
    return {key: sums for key, sums in at_midnight(of).items() if any(abs(s) > 1e-9 for s in sums)}


BOT: list[Contribution] = [
    ShownSlot("i1", NOON, "home", 1),
    ShownSlot("i2", NOON, "home", 2),
    ShownSlot("i1", NOON + HOUR, "home", 3),
    ShownSlot("i1", NOON + HOUR, "search", 1),
    Acted("i1", NOON + 1_000, "click"),
    Acted("i1", NOON + 3 * HOUR, "purchase"),
    Acted("i1", NOON + 5 * HOUR, "follow"),
    Played("i2", NOON + 2_000, [("watches", 1.0), ("closed", 1.0), ("ratio_sum", 0.7)]),
    Played("i2", NOON + 60_000, [("watched_ms", 58_000.0)]),
]
HUMAN: list[Contribution] = [
    ShownSlot("i1", NOON + 2 * HOUR, "home", 1),
    Acted("i1", NOON + 4 * HOUR, "click"),
]


def test_the_example_of_the_module_comes_out_as_it_says():
    deltas = ItemDeltas()
    bot: list[Contribution] = [Acted("i", NOON, "click"), Acted("i", NOON + 3 * HOUR, "click")]
    count([*bot, Acted("i", NOON + 4 * HOUR, "click")], deltas)
    records = taken(deltas)
    retract(bot, parameters().position_ctr, deltas)
    at_six = at_midnight(records)["i", "clicks"][2] * 2.0
    left = at_midnight([*records, *taken(deltas)])["i", "clicks"][2] * 2.0
    assert (round(at_six, 3), round(left, 3)) == (2.001, 0.794)


@pytest.mark.parametrize("together", [True, False])
def test_a_bot_leaves_no_trace_in_counters(together):
    deltas, without = ItemDeltas(), ItemDeltas()
    count(HUMAN, without)
    count([*BOT, *HUMAN], deltas)
    records = [] if together else taken(deltas)
    retract(BOT, parameters().position_ctr, deltas)
    records += taken(deltas)
    left = counters(records)
    assert left == {
        k: pytest.approx(v, rel=1e-9, abs=1e-9) for k, v in counters(taken(without)).items()
    }


def test_with_nobody_else_nothing_is_left():
    deltas = ItemDeltas()
    count(BOT, deltas)
    retract(BOT, parameters().position_ctr, deltas)
    assert counters(taken(deltas)) == {}


def test_a_retraction_names_no_time_that_was_not_named_before():
    deltas = ItemDeltas()
    count(BOT, deltas)  # the last, to follow, is not counted
    counted = {one.item_id: (one.first_ms, one.as_of_ms) for one in taken(deltas)}
    retract(BOT, parameters().position_ctr, deltas)
    assert {one.item_id: (one.first_ms, one.as_of_ms) for one in taken(deltas)} == counted


def test_nobody_is_counted_among_the_viewers_by_a_retraction():
    deltas = ItemDeltas()
    retract(BOT, parameters().position_ctr, deltas)
    assert [one.viewers for one in taken(deltas)] == [b"", b""]


def test_what_was_counted_and_is_not_retracted_stays():
    """A retraction that took too much, or nothing, would show."""
    deltas = ItemDeltas()
    count(BOT, deltas)
    retract(BOT[1:], parameters().position_ctr, deltas)
    left = counters(taken(deltas))
    assert left["i1", "impressions"][0] == 1.0
    assert left["i1", "expected_clicks"][0] == 0.5
    assert len(left) == 2


times = st.integers(NOON - 12 * HOUR, NOON + 12 * HOUR)
items = st.sampled_from(("i1", "i2", "i3"))
contributions = st.lists(
    st.builds(ShownSlot, items, times, st.sampled_from(("home", "search")), st.integers(1, 12))
    | st.builds(Acted, items, times, st.sampled_from(("click", "like", "follow", "hide")))
    | st.builds(
        Played,
        items,
        times,
        st.lists(
            st.tuples(st.sampled_from(("watches", "watched_ms")), st.floats(-2.0, 1e5)), max_size=2
        ),
    ),
    max_size=30,
)


@given(bot=contributions, human=contributions, cut=st.booleans())
def test_in_any_order_what_is_left_is_what_the_others_contributed(
    bot: Sequence[Contribution], human: Sequence[Contribution], cut: bool
):
    deltas, without = ItemDeltas(), ItemDeltas()
    count(human, without)
    count([*bot, *human], deltas)
    records = taken(deltas) if cut else []
    retract(reversed(bot), parameters().position_ctr, deltas)
    left, expected = at_midnight([*records, *taken(deltas)]), at_midnight(taken(without))
    for key in left.keys() | expected.keys():
        # Of sums up to 3e6 that were taken back: what rounding leaves.
        assert left[key] == pytest.approx(expected[key], rel=1e-9, abs=1e-6)
