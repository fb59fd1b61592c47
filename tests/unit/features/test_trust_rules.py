"""Each rule at its edge. Actions are given oldest first, as (ms, item) or (ms, item, action)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from streamapp.features.catalog import Catalog
from streamapp.features.recent import ACTIONS, RecentActions
from streamapp.features.trust_rules import DELIBERATE, REACH_MS, deliberate, found, names

MINUTE = 60_000
START = 1_700_000_000_000


def catalog() -> Catalog:
    known = Catalog()
    for item_id, kind in (("s", "short"), ("v", "vod"), ("l", "live"), ("p", "product")):
        record = {"item_id": item_id, "status": "active", "kind": kind}
        known.update(item_id, msgspec.json.encode(record))
    return known


def reasons(actions: Iterable[Sequence[Any]]) -> list[str]:
    """Return what the rules find in actions that came in this order."""
    recent = RecentActions()
    for number, (ms, item, *named) in enumerate(actions):
        index = ACTIONS.index(named[0] if named else "click")
        recent.add(START + ms, f"e{number:04d}", index, item)
    acts = recent.since(recent.newest_ms - REACH_MS)
    return names(found(acts, deliberate(acts), catalog()))


def clicks(*times: float, item: str | None = None) -> list[tuple[int, str]]:
    return [(int(ms), item or f"x{n % 7}") for n, ms in enumerate(times)]


def spaced(count: int, gap_ms: float) -> list[float]:
    return [n * gap_ms for n in range(count)]


# Unlike enough to be no metronome: 1 s, 3 s, 1 s, 3 s …
UNEVEN = [n // 2 * 4_000 + n % 2 * 1_000 for n in range(40)]


@pytest.mark.parametrize(("gap", "is_one"), [(650, True), (714, True), (715, False), (750, False)])
def test_a_burst_is_fifteen_in_less_than_ten_seconds(gap, is_one):
    assert reasons(clicks(*spaced(15, gap))) == (["burst"] if is_one else [])
    assert reasons(clicks(*spaced(14, gap))) == []


def test_a_burst_is_of_the_newest():
    burst = spaced(15, 100)
    assert reasons(clicks(*burst, 12_000)) == []


@pytest.mark.parametrize(("short", "is_one"), [(10, True), (9, False)])
def test_short_intervals_are_ten_of_twenty_under_a_tenth_of_a_second(short, is_one):
    at, times = 0, [0]
    for n in range(20):
        at += 99 if n < short else 2_000 + 1_000 * n
        times.append(at)
    assert reasons(clicks(*times)) == (["short_intervals"] if is_one else [])
    assert reasons(clicks(*[2 * time for time in times])) == []


@pytest.mark.parametrize(("off", "is_one"), [(100, True), (999, True), (1_001, False)])
def test_regular_intervals_deviate_by_less_than_a_fifth_of_their_mean(off, is_one):
    # 5,000 + off and 5,000 − off in turn deviate by off.
    times = [n * 5_000 + n % 2 * off for n in range(21)]
    assert reasons(clicks(*times)) == (["regular_intervals"] if is_one else [])
    assert reasons(clicks(*times[1:])) == []


def test_actions_all_of_one_time_are_too_short_apart_and_not_regular():
    assert reasons(clicks(*[0] * 21)) == ["burst", "short_intervals"]


@pytest.mark.parametrize(("own", "is_one"), [(15, True), (14, False)])
def test_an_item_is_repeated_when_it_is_fifteen_of_the_newest_twenty(own, is_one):
    others = clicks(*UNEVEN[own:20])
    assert reasons(clicks(*UNEVEN[:own], item="i") + others) == (
        ["repeated_item"] if is_one else []
    )


def test_an_item_is_repeated_only_within_ten_minutes():
    slow = [n // 2 * MINUTE + n % 2 * 10_000 for n in range(20)]
    assert slow[-1] - slow[0] < 10 * MINUTE
    assert reasons(clicks(*slow, item="i")) == ["repeated_item"]
    slow[0] = slow[-1] - 10 * MINUTE
    assert reasons(clicks(*slow, item="i")) == []


def test_fewer_than_twenty_will_do_to_repeat_an_item():
    assert reasons(clicks(*UNEVEN[:15], item="i")) == ["repeated_item"]
    assert reasons(clicks(*UNEVEN[:14], item="i")) == []


def over(items: Sequence[str], count: int, watches: int = 0) -> list[tuple[int, str, str]]:
    acts = [
        (3 * UNEVEN[n % 40] + n // 40 * 300_000, items[n % len(items)], "click")
        for n in range(count)
    ]
    return acts + [(acts[-1][0] + 1 + n, "s", "watch") for n in range(watches)]


@pytest.mark.parametrize(
    ("count", "watches", "is_one"),
    [(25, 0, True), (24, 0, False), (25, 2, True), (25, 3, False), (30, 3, True)],
)
def test_clicks_without_watches_are_twenty_five_with_a_tenth_of_watches(count, watches, is_one):
    expected = ["clicks_without_watches"] if is_one else []
    assert reasons(over(("s", "v", "l"), count, watches)) == expected


@pytest.mark.parametrize("item", ["p", "unknown"])
def test_what_cannot_be_watched_or_is_not_known_needs_no_watch(item):
    assert reasons(over(("s", item), 50)) == ["clicks_without_watches"]  # 25 of them
    assert reasons(over(("s", item, item), 50)) == []


@pytest.mark.parametrize("action", ["like", "hide"])
def test_quick_gestures_are_no_sign(action):
    assert reasons([(n * 50, "i", action) for n in range(50)]) == []


@pytest.mark.parametrize("action", sorted(ACTIONS[index] for index in DELIBERATE))
def test_every_deliberate_action_is_looked_at(action):
    assert "burst" in reasons([(n * 50, "i", action) for n in range(20)])


def test_what_is_older_than_an_hour_before_the_newest_is_no_evidence():
    old = over(("s",), 24)
    assert reasons([*old, (old[0][0] + REACH_MS, "s")]) == ["clicks_without_watches"]
    assert reasons([*old, (old[0][0] + REACH_MS + 1, "s")]) == []


def test_a_busy_human_is_no_bot():
    # Three clicks within seconds each minute, each item watched and sometimes liked.
    acts: list[tuple[int, str, str]] = []
    for minute in range(14):
        for n in range(3):
            at, item = minute * MINUTE + 1_500 * n + 37 * minute % 900, f"i{3 * minute + n}"
            acts += [(at, item, "click"), (at + 900 + 13 * n, item, "watch")]
    assert reasons(sorted(acts)) == []
