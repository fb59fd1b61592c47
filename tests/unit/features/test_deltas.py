from __future__ import annotations

from math import exp2

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.decay import HALF_LIVES
from streamapp.features.deltas import MAX_VIEWERS, ItemDeltas
from streamapp.features.distinct import pack
from streamapp.signals import ItemDelta

START = 1_700_000_000_000
YEAR_MS = 365 * 86_400_000

entries = st.lists(
    st.tuples(
        st.sampled_from(("i1", "i2")),
        st.sampled_from(("clicks", "likes")),
        st.integers(0, 1000) | st.integers(0, YEAR_MS),
        st.floats(0.1, 10.0),
    ),
    min_size=1,
    max_size=20,
)
Entries = list[tuple[str, str, int, float]]


def taken(entries: Entries) -> list[ItemDelta]:
    deltas = ItemDeltas()
    for item_id, counter, time_ms, amount in entries:
        deltas.add(item_id, START + time_ms, [(counter, amount)])
    return take(deltas)


def take(deltas: ItemDeltas) -> list[ItemDelta]:
    return [msgspec.json.decode(value, type=ItemDelta) for _, value in deltas.take()]


def value(deltas: list[ItemDelta], item_id: str, counter: str, at_ms: int) -> list[float]:
    """Decay the deltas of an item to one time and add them up."""
    sums = [0.0] * 4
    for delta in deltas:
        if delta.item_id == item_id and counter in delta.deltas:
            total, *decayed = delta.deltas[counter]
            factors = [exp2(-(at_ms - delta.as_of_ms) / h) for h in HALF_LIVES]
            scaled = [d * f for d, f in zip(decayed, factors, strict=True)]
            sums = [s + d for s, d in zip(sums, [total, *scaled], strict=True)]
    return sums


@given(entries=entries)
def test_deltas_add_up_to_what_was_counted_in_any_order(entries: Entries) -> None:
    deltas = taken(entries)
    at_ms = START + max(time_ms for _, _, time_ms, _ in entries)
    for item_id in ("i1", "i2"):
        for counter in ("clicks", "likes"):
            mine = [(START + t, a) for i, c, t, a in entries if (i, c) == (item_id, counter)]
            expected = [sum(a for _, a in mine)]
            expected += [sum(a * exp2(-(at_ms - t) / h) for t, a in mine) for h in HALF_LIVES]
            actual = value(deltas, item_id, counter, at_ms)
            assert actual == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(entries=entries)
def test_a_delta_says_when_it_begins_and_ends(entries: Entries) -> None:
    for item_id in {item_id for item_id, *_ in entries}:
        mine = [delta for delta in taken(entries) if delta.item_id == item_id]
        times = [START + t for i, _, t, _ in entries if i == item_id]
        assert min(delta.first_ms for delta in mine) == min(times)
        assert max(delta.as_of_ms for delta in mine) == max(times)


def test_what_was_taken_is_not_taken_again() -> None:
    deltas = ItemDeltas()
    deltas.add("i1", START, [("clicks", 1.0)])
    assert len(take(deltas)) == 1
    assert take(deltas) == []


def test_an_item_is_one_record_however_often_it_is_touched() -> None:
    near = [("i1", "clicks", t, 1.0) for t in (5, 0, 9)] + [("i1", "likes", 3, 1.0)]
    (delta,) = taken(near)
    assert {counter: sums[0] for counter, sums in delta.deltas.items()} == {
        "clicks": 3.0,
        "likes": 1.0,
    }


def test_a_delta_names_each_viewer_who_acted_once() -> None:
    deltas = ItemDeltas()
    for viewer_id in ("v1", "v2", "v1", None):
        deltas.add("i1", START, [("clicks", 1.0)], viewer_id)
    deltas.add("i2", START, [("clicks", 1.0)])
    first, second = take(deltas)
    assert (first.viewers, second.viewers) == (pack(["v1", "v2"]), b"")
    deltas.add("i1", START, [("clicks", 1.0)])
    assert [delta.viewers for delta in take(deltas)] == [b""]


def test_viewers_are_not_lost_when_times_lie_far_apart() -> None:
    deltas = ItemDeltas()
    deltas.add("i1", START, [("clicks", 1.0)], "v1")
    deltas.add("i2", START + YEAR_MS, [("clicks", 1.0)], "v2")
    assert [(d.item_id, d.viewers) for d in take(deltas)] == [
        ("i1", pack(["v1"])),
        ("i2", pack(["v2"])),
    ]


def test_a_crowd_takes_several_records_each_bounded() -> None:
    deltas = ItemDeltas()
    crowd = [f"v{n}" for n in range(2 * MAX_VIEWERS + 1)]
    for viewer_id in crowd:
        deltas.add("i1", START, [("clicks", 1.0)], viewer_id)
    taken = take(deltas)
    assert [len(delta.viewers) for delta in taken] == [8 * MAX_VIEWERS, 8 * MAX_VIEWERS, 8]
    assert b"".join(delta.viewers for delta in taken) == pack(crowd)
    assert value(taken, "i1", "clicks", START)[0] == len(crowd)


def test_a_slate_counts_an_impression_and_the_expected_clicks_of_each_place() -> None:
    deltas = ItemDeltas()
    deltas.add_slate(START, ["a", "b", "a"], [0.5, 0.25, 0.25])
    deltas.add_slate(START, [], [])
    first, second = take(deltas)
    assert first.item_id == "a"
    assert first.deltas == {"impressions": (2.0,) * 4, "expected_clicks": (0.75,) * 4}
    assert second.deltas == {"impressions": (1.0,) * 4, "expected_clicks": (0.25,) * 4}


def test_an_item_far_older_than_another_keeps_its_sums() -> None:
    deltas = ItemDeltas()
    deltas.add("old", START, [("clicks", 1.0)])
    deltas.add("new", START + YEAR_MS, [("clicks", 1.0)])
    deltas.add("both", START, [("clicks", 1.0)])
    deltas.add("both", START + YEAR_MS, [("clicks", 1.0)])
    assert [delta.deltas["clicks"][1] for delta in take(deltas)] == [1.0, 1.0, 1.0]
