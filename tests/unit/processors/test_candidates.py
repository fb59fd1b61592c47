"""Trending: several partitions of the items and the task that owns the lists.

::

    12:00 ─ events ─ 12:01              12:01:05
                     │ items report     │ lists are made, as at 12:01
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.features.catalog import Catalog
from streamapp.features.parameters import Parameters
from streamapp.features.trending import Rising, score
from streamapp.processors.candidates import SETTLE_MS, Candidates
from streamapp.processors.items import Items, ItemsSettings
from streamapp.signals import ItemDelta, TrendingItem
from tests.oracles.items import HOUR, MINUTE
from tests.oracles.pipeline import Compact, Stage, compacted, half_compacted, whole
from tests.oracles.trending import Lists, Seen, expected_trending

START = 1_699_999_980_000
"""A full minute."""

CATALOG: dict[str, dict[str, Any]] = {
    "a": {"category": "drama", "kind": "live"},
    "b": {"category": "drama"},
    "c": {"category": "news", "kind": "live"},
    "d": {"category": "news", "kind": "vod"},
    "e": {"status": "hidden", "category": "news"},
    "f": {},
}
"""The item g is in no catalog."""

ITEMS = "abcdefg"


class Town:
    """Partitions of the items, and the lists; all of them keep one pace."""

    def __init__(self, partitions: int = 1, size: int = 50) -> None:
        self.catalog = Catalog()
        self.known: dict[str, dict[str, Any]] = {}
        parameters = Parameters()

        def items() -> Items:
            made = Items(self.catalog, parameters, ItemsSettings())
            made._rising = Rising(made._lists_of, made._watches, size)
            return made

        self.items = [Stage(items, partition) for partition in range(partitions)]
        self.lists = Stage(lambda: Candidates(self.catalog, size))
        self.size = size
        self.now_ms = 0
        self.seen: list[Seen] = []
        self.published: list[tuple[str, dict[str, Any] | None]] = []
        self.reports = 0
        for item_id, fields in CATALOG.items():
            self.say(item_id, **fields)

    def say(self, item_id: str, **fields: Any) -> None:
        """Write a record of catalog.items."""
        self.known[item_id] = fields
        self._follow(item_id, msgspec.json.encode({"item_id": item_id, **fields}))

    def delete(self, item_id: str) -> None:
        del self.known[item_id]
        self._follow(item_id, None)

    def _follow(self, item_id: str, value: bytes | None) -> None:
        if self.catalog.update(item_id, value):
            for stage in (*self.items, self.lists):
                stage.processor.follow("catalog.items", item_id)

    def touch(self, item_id: str, time_ms: int, *, watched: bool = True) -> None:
        """Let something happen to an item, when stream time has come to it or is beyond."""
        if time_ms > self.now_ms:
            self.advance(time_ms)
        self.seen.append(Seen(item_id, time_ms, self.now_ms, watched))
        counters = {"watches" if watched else "impressions": (1.0,) * 4}
        delta = ItemDelta(item_id=item_id, as_of_ms=time_ms, first_ms=time_ms, deltas=counters)
        at = ord(item_id) % len(self.items)
        self.items[at].send("activity.items", msgspec.json.encode(delta))

    def advance(self, stream_time_ms: int) -> None:
        """Let stream time go on; reports reach the lists before those are made."""
        settled = max((stream_time_ms - SETTLE_MS) // MINUTE * MINUTE, self.now_ms)
        if self.now_ms:
            self._move(settled)
            if settled // MINUTE * MINUTE + SETTLE_MS <= stream_time_ms:
                self._move(max(settled // MINUTE * MINUTE + SETTLE_MS, settled))
        self._move(stream_time_ms)

    def _move(self, stream_time_ms: int) -> None:
        self.now_ms = stream_time_ms
        for stage in self.items:
            stage.advance(stream_time_ms)
        self.cut()
        self.lists.advance(stream_time_ms)
        self.cut()

    def cut(self) -> None:
        for stage in self.items:
            for _, value, _ in stage.cut().outputs.get("activity.trending", []):
                assert value is not None
                self.reports += 1
                self.lists.send("activity.trending", value)
        for key, value, _ in self.lists.cut().outputs.get("candidates.trending", []):
            assert key is not None
            record = None if value is None else msgspec.json.decode(value)
            self.published.append((key.decode(), record))

    @property
    def last(self) -> dict[str, dict[str, Any]]:
        return {name: record for name, record in dict(self.published).items() if record}

    def ids(self, name: str) -> list[str]:
        return [item["item_id"] for item in self.last.get(name, {"items": []})["items"]]

    def expected(self, at_ms: int) -> Lists:
        return expected_trending(self.seen, self.known, at_ms, self.size)

    def assert_best(self, name: str, ids: list[str], at_ms: int) -> None:
        """These are the best of a list; of two that score alike to rounding, either."""
        every = dict(expected_trending(self.seen, self.known, at_ms, len(self.known))[name])
        best = [score for _, score in self.expected(at_ms)[name]]
        assert len(set(ids)) == len(ids)
        assert [every[item_id] for item_id in ids] == pytest.approx(best, rel=1e-9)

    def assert_true(self, *, last: bool = False) -> None:
        """Every list that was sent is what the oracle says, as at its time; so is the last.

        Args:
            last: look at nothing but the last, for the catalog was another before.
        """
        self.advance(self.now_ms + 1)
        for name, record in self.last.items() if last else self.published:
            if record is not None:
                assert record["name"] == name
                scores = {item["item_id"]: item["score"] for item in record["items"]}
                expected = self.expected(record["as_of_ms"])[name]
                assert list(scores.values()) == pytest.approx([v for _, v in expected], rel=1e-9)
                self.assert_best(name, list(scores), record["as_of_ms"])
        mark_ms = (self.now_ms - 1 - SETTLE_MS) // MINUTE * MINUTE
        assert self.last.keys() == self.expected(mark_ms).keys()
        for name in self.last:
            self.assert_best(name, self.ids(name), mark_ms)


happenings = st.lists(
    st.tuples(
        st.sampled_from((0, 1_000, 7_000, 20_000, 61_000, 600_000)),  # later than the one before
        st.sampled_from(ITEMS),
        st.sampled_from((0, 0, 0, 5_000, HOUR)),  # late by
        st.sampled_from((True, True, True, False)),  # watched
    ),
    min_size=1,
    max_size=40,
)
Happenings = list[tuple[int, str, int, bool]]


def play(
    town: Town, happenings: Happenings, between: Callable[[int], None] = lambda _: None
) -> None:
    time_ms = START + 30_000
    for number, (gap_ms, item_id, late_ms, watched) in enumerate(happenings):
        time_ms += gap_ms
        town.advance(time_ms)
        town.touch(item_id, time_ms - late_ms, watched=watched)
        between(number)
    town.advance(time_ms + 2 * MINUTE)


@given(happenings=happenings, partitions=st.sampled_from((1, 3)), size=st.sampled_from((1, 2, 50)))
@settings(max_examples=60)
def test_every_list_is_the_best_of_all_partitions_as_at_its_time(
    happenings: Happenings, partitions: int, size: int
) -> None:
    town = Town(partitions, size)
    play(town, happenings)
    town.assert_true()


@given(happenings=happenings, data=st.data())
@settings(max_examples=40)
def test_a_kill_at_any_moment_changes_nothing_that_is_sent(
    happenings: Happenings, data: st.DataObject
) -> None:
    undisturbed, town = Town(2, size=2), Town(2, size=2)
    play(undisturbed, happenings)
    compact = st.sampled_from((whole, compacted, half_compacted))
    kills: dict[int, Compact] = data.draw(st.dictionaries(st.integers(0, 40), compact, max_size=5))
    cuts: list[int] = data.draw(st.lists(st.integers(0, 40), max_size=5))

    def between(number: int) -> None:
        if number in cuts:
            town.cut()
        if number in kills:
            for stage in (*town.items, town.lists):
                stage.kill(kills[number])

    play(town, happenings, between)
    assert town.published == undisturbed.published
    town.assert_true()


def burst(town: Town, item_id: str, watches: int, at_ms: int) -> None:
    """Let an item that was watched for a day be watched much more."""
    for _ in range(watches):
        town.touch(item_id, at_ms)


def busy(*bursts: str) -> Town:
    """Return a town in which these are trending, the first most."""
    town = Town()
    for item_id in ITEMS:
        town.touch(item_id, START - 24 * HOUR, watched=False)
    town.advance(START + 1_000)
    for item_id in bursts:
        burst(town, item_id, 10 * (len(bursts) - bursts.index(item_id)), START + 1_000)
    town.advance(START + MINUTE + SETTLE_MS)
    town.advance(START + MINUTE + SETTLE_MS + 1)
    return town


def test_lists_are_overall_by_category_and_of_live_streams() -> None:
    town = busy("a", "b", "c", "d", "f")
    assert {name: town.ids(name) for name in town.last} == {
        "all": ["a", "b", "c", "d", "f"],
        "category:drama": ["a", "b"],
        "category:news": ["c", "d"],
        "kind:live": ["a", "c"],
    }
    assert {record["as_of_ms"] for record in town.last.values()} == {START + MINUTE}
    town.assert_true()


def test_what_is_not_active_or_not_known_is_on_no_list() -> None:
    assert busy("e", "g").last == {}


@pytest.mark.parametrize("status", ["hidden", "removed"])
def test_an_item_that_is_hidden_or_removed_leaves_at_once(status: str) -> None:
    town = busy("a", "c")
    town.say("a", category="drama", kind="live", status=status)
    town.cut()
    assert (town.ids("all"), town.ids("kind:live")) == (["c"], ["c"])
    assert "category:drama" not in town.last
    assert town.published[-2] == ("category:drama", None)


def test_an_item_that_is_deleted_leaves_at_once_and_does_not_return_with_its_id() -> None:
    town = busy("a", "c")
    town.delete("a")
    town.cut()
    assert town.ids("all") == ["c"]
    town.say("a", category="drama")
    town.advance(town.now_ms + 3 * MINUTE)
    assert town.ids("all") == ["c"]


def test_an_item_that_moves_to_another_category_moves_to_its_list() -> None:
    town = busy("a", "d")
    town.say("d", category="drama")
    town.cut()
    assert "category:news" not in town.last
    town.advance(town.now_ms + MINUTE)
    assert town.ids("category:drama") == ["a", "d"]
    town.assert_true(last=True)


def test_an_item_that_is_shown_again_comes_back_at_the_next_minute() -> None:
    town = busy("a", "c")
    town.say("a", status="hidden")
    town.cut()
    town.say("a", **CATALOG["a"])
    town.advance(town.now_ms + MINUTE)
    assert town.ids("all") == ["a", "c"]
    town.assert_true(last=True)


def test_the_next_best_takes_the_place_of_what_leaves() -> None:
    town = Town(size=1, partitions=7)
    for item_id in "abc":
        town.touch(item_id, START - 24 * HOUR, watched=False)
    for at, item_id in enumerate("abc"):
        burst(town, item_id, 10 * (3 - at), START + 1_000)
    town.advance(START + MINUTE + SETTLE_MS)
    town.advance(START + MINUTE + SETTLE_MS + 1)
    assert town.ids("all") == ["a"]
    town.say("a", status="removed")
    town.cut()
    assert town.ids("all") == ["b"]


def test_what_fell_silent_falls_and_leaves_though_nothing_is_heard_of_it() -> None:
    town = busy("a")
    scores = []
    for _ in range(200):
        town.advance(town.now_ms + MINUTE)
        scores.append([item["score"] for item in town.last.get("all", {"items": []})["items"]])
    assert scores[-1] == []
    assert town.published[-1][1] is None
    assert town.lists.processor.rows == 0
    assert len(town.published) <= 6  # sent when it came and when it went
    assert {k for k, v in dict(town.lists.log).items() if v is not None} == {b"m"}
    town.assert_true()


def test_silence_sends_no_reports() -> None:
    town = busy("a", "b")
    town.advance(town.now_ms + 2 * MINUTE)
    before = town.reports
    for _ in range(20):
        town.advance(town.now_ms + MINUTE)
    assert town.reports == before


def test_what_the_catalog_took_away_while_down_leaves_after_a_restore() -> None:
    town = busy("a", "c")
    town.known["a"] = {"status": "hidden"}
    town.catalog.update("a", msgspec.json.encode({"item_id": "a", "status": "hidden"}))
    town.lists.kill()
    town.cut()
    assert town.ids("all") == ["c"]


numbers = st.floats(0.0, 1e4)


@given(
    older=numbers,
    newer=numbers,
    age_ms=st.integers(0, 30 * 24 * HOUR),
    silence_ms=st.integers(1, 24 * HOUR),
)
def test_in_silence_what_is_above_one_falls_and_what_is_not_stays_so(
    older: float, newer: float, age_ms: int, silence_ms: int
) -> None:
    """Watches of two moments, `older` at the beginning and `newer` now."""
    h30, h6 = 2.0 ** (-age_ms / (30 * MINUTE)), 2.0 ** (-age_ms / (6 * HOUR))
    item = TrendingItem("i", older * h30 + newer, older * h6 + newer, START - age_ms)
    now, later = score(item, START, START), score(item, START, START + silence_ms)
    assert later <= max(now, 1.0) + 1e-9
