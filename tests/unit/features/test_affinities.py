from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.affinities import LIMIT, Affinities
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer

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


def published(sums: Affinities, time_ms: int) -> Any:
    return msgspec.to_builtins(sums.by_name(time_ms))


@given(of=added)
def test_sums_are_those_of_the_definition_in_any_order_and_however_far_apart(of: Added) -> None:
    affinities = Affinities()
    for name, at_ms, amount in of:
        affinities.add(name, at_ms, amount)
    now_ms = max(at_ms for _, at_ms, _ in of)
    of_definition = expected(of, now_ms)
    assert published(affinities, now_ms).keys() == of_definition.keys()
    for name, sums in published(affinities, now_ms).items():
        assert sums == pytest.approx(of_definition[name], rel=1e-9, abs=1e-9)
        assert affinities.get(name, now_ms) == sums["7d"]
        kept, factors = affinities.all_kept()[name], affinities.factors(now_ms)
        assert affinities.kept(name) == kept
        assert [a * b for a, b in zip(kept, factors, strict=True)] == [*sums.values()]
    assert affinities.get("none of these", now_ms) == 0.0


@given(of=added | many, more=added)
def test_they_go_on_from_their_row_alike(of: Added, more: Added) -> None:
    affinities = Affinities()
    for name, at_ms, amount in of:
        affinities.add(name, at_ms, amount)
    viewer = Viewer("v")
    viewer.profile.creators = affinities
    other = decode_viewer(encode_viewer(viewer))
    restored = other.profile.creators
    assert restored is not None
    for name, at_ms, amount in more:
        affinities.add(name, at_ms, amount)
        restored.add(name, at_ms, amount)
    assert encode_viewer(other) == encode_viewer(viewer)
    assert len(affinities.names) <= LIMIT


def test_a_copy_stays_as_it_is() -> None:
    affinities = Affinities()
    affinities.add("drama", 0, 1.0)
    copy = affinities.copy()
    affinities.add("drama", 0, 1.0)
    affinities.add("news", 0, 1.0)
    assert published(copy, 0) == {"drama": {"6h": 1.0, "7d": 1.0}}


@given(of=many)
def test_a_name_lacks_no_more_for_each_time_it_went_than_the_others_share(of: Added) -> None:
    affinities = Affinities()
    times_gone: dict[str, int] = defaultdict(int)
    held: set[str] = set()
    for name, at_ms, amount in of:
        affinities.add(name, at_ms, amount)
        now = set(published(affinities, DAY))
        for gone in held - now:
            times_gone[gone] += 1
        held = now
    of_definition = expected(of, DAY)
    whole = sum(abs(a) * 2.0 ** ((at_ms - DAY) / (7 * DAY)) for _, at_ms, a in of)
    for name, sums in published(affinities, DAY).items():
        lacking = abs(of_definition[name]["7d"] - sums["7d"])
        assert lacking <= times_gone[name] * whole / LIMIT + 1e-9


def test_the_smallest_goes_whether_liked_or_not_but_never_the_newest() -> None:
    affinities = Affinities()
    for n in range(20):
        affinities.add(str(n), 0, 6.0 if n % 2 else -6.0)
    affinities.add("7", 0, -1.0)
    affinities.add("new", 0, 1.0)
    assert "7" not in published(affinities, 0)
    affinities.add("newer", 0, 1.0)
    assert "new" not in published(affinities, 0)
    assert "newer" in published(affinities, 0)
    assert len(affinities.names) == 20


def test_the_worked_example_of_affinities() -> None:
    affinities = Affinities()
    affinities.add("drama", 0, 1.0)
    affinities.add("drama", 6 * HOUR, 3.0)
    sums = published(affinities, 6 * HOUR)["drama"]
    assert sums == {"6h": 3.5, "7d": pytest.approx(3.0 + 2.0 ** (-1 / 28))}


def test_nothing_yet_is_an_empty_object() -> None:
    assert Affinities().by_name(0) == {}
