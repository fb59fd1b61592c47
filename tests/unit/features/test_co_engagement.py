from __future__ import annotations

import msgspec

from streamapp.features.co_engagement import (
    LAST,
    MAX_ENTRIES,
    SHARDS,
    CoEngagements,
    shard_of,
)
from streamapp.features.recent import ACTIONS, RecentActions
from streamapp.features.sessions import Sessions
from streamapp.signals import PairDelta

START = 1_700_000_040_000
"""A full minute."""

MINUTE = 60_000


class Viewer:
    """What a viewer did, one thing a second."""

    def __init__(self, *item_ids: str, begin_ms: int = START) -> None:
        self.recent = RecentActions()
        self.sessions = Sessions()
        for n, item_id in enumerate(item_ids):
            at_ms = begin_ms + 1_000 * n
            self.recent.add(at_ms, f"e{n}", ACTIONS.index("click"), item_id)
            self.sessions.add(at_ms, 0)


def take(pairs: CoEngagements) -> list[PairDelta]:
    taken = [(shard, msgspec.json.decode(value, type=PairDelta)) for shard, value in pairs.take()]
    assert all(shard == delta.shard for shard, delta in taken)
    return [delta for _, delta in taken]


def engaged(viewer: Viewer, item_id: str, at_ms: int) -> list[list[str]]:
    pairs = CoEngagements()
    pairs.add(item_id, at_ms, viewer.recent, viewer.sessions)
    return [entry for delta in take(pairs) for entry in delta.engaged]


def test_an_item_is_paired_with_the_last_engaged_in_the_session() -> None:
    viewer = Viewer(*"abcdefg")
    assert engaged(viewer, "x", START + MINUTE) == [["x", "g", "f", "e", "d", "c"]]
    assert LAST == 5


def test_an_item_that_is_one_of_them_counts_for_nothing() -> None:
    viewer = Viewer(*"abcdefg")
    assert engaged(viewer, "c", START + MINUTE) == []
    assert engaged(viewer, "b", START + MINUTE) == [["b", "g", "f", "e", "d", "c"]]


def test_in_another_session_an_item_is_paired_with_none() -> None:
    viewer = Viewer("a")
    assert engaged(viewer, "b", START + 30 * MINUTE - 1) == [["b", "a"]]
    assert engaged(viewer, "b", START + 30 * MINUTE) == [["b"]]


def test_what_comes_late_is_paired_with_what_came_before_it() -> None:
    viewer = Viewer("a", "b")
    assert engaged(viewer, "c", START - 10 * MINUTE) == [["c", "b", "a"]]
    assert engaged(viewer, "c", START - 31 * MINUTE) == [["c"]]


def test_what_is_taken_back_goes_the_same_way_as_what_is_engaged() -> None:
    pairs, viewer = CoEngagements(), Viewer("a", "b")
    pairs.add("c", START + MINUTE, viewer.recent, viewer.sessions)
    for _ in range(MAX_ENTRIES + 1):
        pairs.add("c", START + MINUTE, viewer.recent, viewer.sessions, retracts=True)
    first, second = take(pairs)
    assert (first.engaged, first.retracted) == ([["c", "b", "a"]], [["c", "b", "a"]] * MAX_ENTRIES)
    assert (second.engaged, second.retracted) == ([], [["c", "b", "a"]])


def test_ids_of_any_kind_are_told_as_they_are() -> None:
    viewer = Viewer('q"\\', "ünï\x01", "\ud7ff")
    assert engaged(viewer, '"', START + MINUTE) == [['"', "\ud7ff", "ünï\x01", 'q"\\']]


def test_engagements_go_out_by_shard_and_minute_and_once() -> None:
    pairs, nobody = CoEngagements(), Viewer()
    item_ids = [f"i{n}" for n in range(500)]
    for at_ms in (START, START + 59_999, START + MINUTE, START + 3_000):
        for item_id in item_ids:
            pairs.add(item_id, at_ms, nobody.recent, nobody.sessions)
    deltas = take(pairs)
    assert len(deltas) == 2 * SHARDS
    assert {delta.as_of_ms for delta in deltas} == {START + 59_999, START + MINUTE}
    for delta in deltas:
        assert {shard_of(entry[0]) for entry in delta.engaged} == {int(delta.shard)}
    assert sum(len(delta.engaged) for delta in deltas) == 4 * len(item_ids)
    assert take(pairs) == []


def test_no_record_grows_without_bounds() -> None:
    pairs, nobody = CoEngagements(), Viewer()
    for _ in range(2 * MAX_ENTRIES + 1):
        pairs.add("a", START, nobody.recent, nobody.sessions)
    assert [len(delta.engaged) for delta in take(pairs)] == [MAX_ENTRIES, MAX_ENTRIES, 1]
