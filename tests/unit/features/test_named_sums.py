from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.named_sums import Categories, Hours, NamedSums, Ratios

HOUR = 3_600_000
DAY = 24 * HOUR
names = st.sampled_from(("drama", "50%", 'a"b', "\x01", "a\x01b", "é")) | st.text(
    min_size=1, max_size=2
)
amounts = st.sampled_from((1.0, 2.0, 3.0, 4.0, 6.0, -4.0, -6.0))
added = st.lists(st.tuples(names, st.integers(0, 200 * DAY), amounts), min_size=1, max_size=15)
many = st.lists(
    st.tuples(st.integers(0, 40).map(str), st.integers(0, DAY), amounts), min_size=1, max_size=80
)


Added = list[tuple[str, int, float]]


def expected(of: Added, time_ms: int) -> dict[str, dict[str, float]]:
    sums: dict[str, dict[str, float]] = defaultdict(lambda: {"6h": 0.0, "7d": 0.0})
    for name, at_ms, amount in of:
        sums[name]["6h"] += amount * 2.0 ** ((at_ms - time_ms) / (6 * HOUR))
        sums[name]["7d"] += amount * 2.0 ** ((at_ms - time_ms) / (7 * DAY))
    return sums


def published(sums: NamedSums, time_ms: int) -> Any:
    return msgspec.json.decode(sums.json(time_ms))


@given(of=added)
def test_sums_are_those_of_the_definition_in_any_order_and_however_far_apart(of):
    categories = Categories()
    for name, at_ms, amount in of:
        categories.add(name, at_ms, amount)
    now_ms = max(at_ms for _, at_ms, _ in of)
    of_definition = expected(of, now_ms)
    assert published(categories, now_ms).keys() == of_definition.keys()
    for name, sums in published(categories, now_ms).items():
        assert sums == pytest.approx(of_definition[name], rel=1e-9, abs=1e-9)
        assert categories.get(name, now_ms) == sums["7d"]
    assert categories.get("none of these", now_ms) == 0.0


@given(of=added | many, data=st.data())
def test_rows_in_any_order_give_the_same_sums_back(of, data):
    categories, rows = Categories(), dict[bytes, bytes | None]()
    for name, at_ms, amount in of:
        rows.update(categories.add(name, at_ms, amount))
    live = {key: row for key, row in rows.items() if row is not None}
    assert sorted(live) == sorted(categories.keys())
    restored = Categories()
    for key, row in data.draw(st.permutations(list(live.items()))):
        restored.restore(key[1:], row)
    assert published(restored, 200 * DAY).keys() == published(categories, 200 * DAY).keys()
    for name, sums in published(categories, 200 * DAY).items():
        assert published(restored, 200 * DAY)[name] == pytest.approx(sums, rel=1e-12, abs=1e-12)


@given(of=added | many)
def test_a_changelog_read_whole_gives_the_same_sums_back(of):
    categories, restored = Categories(), Categories()
    for name, at_ms, amount in of:
        for key, row in categories.add(name, at_ms, amount):
            restored.restore(key[1:], row)
    assert published(restored, 200 * DAY) == published(categories, 200 * DAY)
    assert restored.held <= Categories.LIMIT


@given(of=many)
def test_a_name_lacks_no_more_for_each_time_it_went_than_the_others_share(of):
    categories = Categories()
    times_gone: dict[str, int] = defaultdict(int)
    held: set[str] = set()
    for name, at_ms, amount in of:
        categories.add(name, at_ms, amount)
        now = set(published(categories, DAY))
        for gone in held - now:
            times_gone[gone] += 1
        held = now
    of_definition = expected(of, DAY)
    whole = sum(abs(a) * 2.0 ** ((at_ms - DAY) / (7 * DAY)) for _, at_ms, a in of)
    for name, sums in published(categories, DAY).items():
        lacking = abs(of_definition[name]["7d"] - sums["7d"])
        assert lacking <= times_gone[name] * whole / Categories.LIMIT + 1e-9


def test_the_smallest_goes_whether_liked_or_not_but_never_the_newest():
    categories = Categories()
    for n in range(20):
        categories.add(str(n), 0, 6.0 if n % 2 else -6.0)
    categories.add("7", 0, -1.0)
    changes = dict(categories.add("new", 0, 1.0))
    assert "7" not in published(categories, 0)
    assert list(changes.values()).count(None) == 1
    categories.add("newer", 0, 1.0)
    assert "new" not in published(categories, 0)
    assert "newer" in published(categories, 0)
    assert categories.held == 20


def test_the_worked_example_of_affinities():
    categories = Categories()
    categories.add("drama", 0, 1.0)
    categories.add("drama", 6 * HOUR, 3.0)
    sums = published(categories, 6 * HOUR)["drama"]
    assert sums == {"6h": 3.5, "7d": pytest.approx(3.0 + 2.0 ** (-1 / 28))}


def test_hours_are_numbers_by_name():
    hours = Hours()
    hours.add("20", 0, 90_000.0)
    hours.add("20", 7 * DAY, 60_000.0)
    assert published(hours, 7 * DAY) == {"20": 105_000.0}


def test_nothing_yet_is_an_empty_object():
    assert Hours().json(0) == b"{}"


def test_what_is_taken_back_leaves_nothing():
    ratios = Ratios()
    ratios.add("ratio_n", 5, 1.0)
    ratios.add("ratio_n", 5, -1.0)
    assert ratios.get("ratio_n", 9 * DAY) == 0.0
