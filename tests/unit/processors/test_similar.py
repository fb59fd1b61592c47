"""Similar items: partitions of the viewers, and partitions of the items that tell each other.

::

    a ─ 5 s ─ b ─ 40 min ─ a ─ c        sessions: a b | a c        pairs: a b, a c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice, pairwise
from math import sqrt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import Rejection
from streamapp.features.catalog import Catalog
from streamapp.features.co_engagement import shard_of
from streamapp.features.decay import DAY_MS
from streamapp.features.digest import digest
from streamapp.features.parameters import Parameters
from streamapp.processors.similar import MAKE_EVERY_MS, Similar, SimilarSettings, decode_delta
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.simulate import World, traffic
from tests.oracles.items import HOUR, MINUTE, Event
from tests.oracles.pipeline import Compact, Stage, compacted, half_compacted, whole
from tests.oracles.similar import Engaged, expected_engagements, expected_similar
from tests.oracles.worlds import ITEMS, START, shuffled, worlds

EXACT = SimilarSettings(told_growth=1.0)
"""Every item tells its neighbours of every session."""

Published = list[tuple[str, dict[str, Any] | None]]


class Town:
    """Partitions of the viewers and of the items, and what goes between them."""

    def __init__(
        self, partitions: int = 1, own: SimilarSettings = EXACT, items: Iterable[str] = ITEMS
    ) -> None:
        self.catalog = Catalog()
        parameters = Parameters()
        self.viewers = [
            Stage(lambda: Viewers(self.catalog, parameters, ViewersSettings()), n)
            for n in range(partitions)
        ]
        self.items = [Stage(lambda: Similar(self.catalog, own), n) for n in range(partitions)]
        self.arrived: list[Event] = []
        self.under_way: list[tuple[bytes, bytes]] = []
        self.pairs: list[bytes] = []
        self.published: Published = []
        for item_id in items:
            self.say(item_id)

    def say(self, item_id: str, status: str | None = "active") -> None:
        """Write a record of catalog.items; without a status it deletes."""
        record = None if status is None else {"item_id": item_id, "status": status}
        value = None if record is None else msgspec.json.encode(record)
        if self.catalog.update(item_id, value):
            for stage in self.items:
                stage.processor.follow("catalog.items", item_id)

    def send(self, event: Event) -> None:
        self.arrived.append(event)
        at = digest(event[1]["viewer_id"])[0] % len(self.viewers)
        self.viewers[at].send(event[0], msgspec.json.encode(event[1]))

    def cut(self) -> None:
        """Deliver what is under way, and cut all."""
        for shard, delta in self.under_way:
            self.items[int(shard) % len(self.items)].send("activity.pairs", delta)
        self.under_way.clear()
        for stage in (*self.viewers, *self.items):
            outputs = stage.cut().outputs
            for key, value, _ in outputs.get("activity.pairs", []):
                assert key is not None
                assert value is not None
                self.pairs.append(value)
                self.under_way.append((key, value))
            for item_id, sent, _ in outputs.get("candidates.similar", []):
                assert item_id is not None
                record = None if sent is None else msgspec.json.decode(sent)
                self.published.append((item_id.decode(), record))

    def kill(self, compact: Compact = whole) -> None:
        for stage in (*self.viewers, *self.items):
            stage.kill(compact)

    def play(
        self,
        events: Iterable[Event],
        cuts: Sequence[int] = (),
        after: Callable[[int], None] = lambda _: None,
    ) -> None:
        for number, event in enumerate(events):
            self.send(event)
            if number in cuts:
                self.cut()
            after(number)
        self.settle()

    @property
    def now_ms(self) -> int:
        return max(stage.stream_time_ms for stage in (*self.viewers, *self.items))

    def advance(self, stream_time_ms: int) -> None:
        for stage in (*self.viewers, *self.items):
            stage.advance(stream_time_ms)
        self.cut()

    def settle(self) -> None:
        """Let everything arrive, and then every list be made that is not as it should be."""
        self.cut()
        while self.under_way:
            self.cut()
        self.advance(self.now_ms + 16 * MINUTE)

    @property
    def last(self) -> dict[str, dict[str, Any]]:
        return {key: record for key, record in dict(self.published).items() if record}

    def ids(self, item_id: str) -> list[str]:
        return [one["item_id"] for one in self.last.get(item_id, {"items": []})["items"]]

    def assert_true(self, above: float = 1.0) -> None:
        """Compare the last lists with the oracle, as at their times.

        Args:
            above: how many times what it should be a score may be.
        """
        engagements = expected_engagements(self.arrived)
        assert set(self.last) == set(expected_similar(engagements, self.now_ms))
        for item_id, record in self.last.items():
            expected = expected_similar(engagements, record["as_of_ms"])[item_id]
            scores = {one["item_id"]: one["score"] for one in record["items"]}
            assert record["item_id"] == item_id
            assert set(scores) == set(expected)
            assert list(scores.values()) == sorted(scores.values(), reverse=True)
            for other, score in scores.items():
                assert expected[other] * (1 - 1e-9) <= score <= expected[other] * above * (1 + 1e-9)


cuts = st.lists(st.integers(0, 60), max_size=6)
engaging = worlds(("click", "playback", "impression", "click")) | worlds(
    ("click",), st.integers(0, 600)
)


@given(data=st.data(), events=engaging, cuts=cuts, partitions=st.sampled_from((1, 4, 12)))
@settings(max_examples=60)
def test_any_world_in_any_order_gives_what_the_oracle_gives(
    data: st.DataObject, events: list[Event], cuts: list[int], partitions: int
) -> None:
    town = Town(partitions)
    town.play(data.draw(shuffled(events)), cuts)
    town.assert_true()


@given(events=engaging, cuts=cuts, partitions=st.sampled_from((1, 4)))
@settings(max_examples=30)
def test_a_score_is_at_most_as_much_too_high_as_items_are_late_to_tell(
    events: list[Event], cuts: list[int], partitions: int
) -> None:
    town = Town(partitions, SimilarSettings())
    town.play(events, cuts)
    town.assert_true(above=sqrt(1.5))


@pytest.mark.parametrize("partitions", [1, 4])
def test_nor_is_it_higher_when_viewers_come_hours_after_others(partitions: int) -> None:
    """As when one partition of the viewers is behind: an old pair is told of after newer ones."""
    world = World(seed=3, viewers=30, items=25)
    stream = traffic(world, start_ms=START, rate=0.5, seed=4)
    events = [(sent.topic, sent.event) for sent in islice(stream, 2_000)]
    events.sort(key=lambda event: digest(event[1]["viewer_id"])[0] % 12)
    items = [item.item_id for item in world.catalog]
    for every in (100, 350, 500):
        town = Town(partitions, SimilarSettings(), items)
        town.play(events, range(0, len(events), every))
        town.assert_true(above=sqrt(1.5))


@given(data=st.data(), events=engaging, cuts=cuts)
@settings(max_examples=50)
def test_a_kill_at_any_moment_changes_nothing_that_is_sent(
    data: st.DataObject, events: list[Event], cuts: list[int]
) -> None:
    tight = SimilarSettings(size=1, kept=2, refresh_ms=5 * MINUTE)
    undisturbed, town = Town(2, tight), Town(2, tight)
    arriving = data.draw(shuffled(events))
    undisturbed.play(arriving, cuts)
    compact = st.sampled_from((whole, compacted, half_compacted))
    kills: dict[int, Compact] = data.draw(st.dictionaries(st.integers(0, 60), compact, max_size=5))

    def after(number: int) -> None:
        if number in kills:
            town.kill(kills[number])

    town.play(arriving, cuts, after)
    assert town.published == undisturbed.published
    assert sorted(town.pairs) == sorted(undisturbed.pairs)


def test_a_simulated_population_gives_what_the_oracle_gives_on_any_number_of_partitions() -> None:
    world = World(seed=3, viewers=25, items=30)
    stream = traffic(world, start_ms=START, rate=1.0, seed=4)
    events = [(sent.topic, sent.event) for sent in islice(stream, 1_200)]
    items = {
        slot["item_id"] for _, e in events for slot in e.get("items", [e]) if "item_id" in slot
    }
    lists = []
    for partitions in (1, 4, 12):
        town = Town(partitions, EXACT, items)
        town.play(events, range(0, 1_200, 7))
        lists.append({item_id: town.ids(item_id) for item_id in town.last})
        if partitions == 1:
            town.assert_true()
            assert len(town.last) > 20
            assert len(town.published) > len(town.last)
    assert lists[0] == lists[1] == lists[2]


# --- one thing at a time ------------------------------------------------------------------------


def click(item_id: str, at_ms: int, viewer_id: str = "v", action: str = "click") -> Event:
    event: dict[str, Any] = {
        "event_id": f"{viewer_id}{item_id}{at_ms}{action}",
        "viewer_id": viewer_id,
    }
    event |= {"occurred_at_ms": START + at_ms, "item_id": item_id, "action": action}
    return "events.clicks", event


def clicks(items: str, viewer_id: str = "v", begin_ms: int = 0) -> list[Event]:
    return [click(item, begin_ms + 1_000 * n, viewer_id) for n, item in enumerate(items)]


def town_of(*sessions: str, own: SimilarSettings = EXACT, partitions: int = 2) -> Town:
    """Return a town in which viewers engaged these items, each viewer in one session."""
    town = Town(partitions, own, "abcdefghijklmnop")
    town.play([e for n, items in enumerate(sessions) for e in clicks(items, f"v{n}")])
    return town


def test_a_pair_is_on_the_lists_of_both() -> None:
    town = town_of("ab", "ac", "ab")
    assert {item: town.ids(item) for item in town.last} == {"a": ["b", "c"], "b": ["a"], "c": ["a"]}
    town.assert_true()


def test_the_worked_example() -> None:
    """Both in 12 sessions, one in 30 and the other in 90 of them."""
    town = town_of(*["ab"] * 12, *["a"] * 18, *["b"] * 78)
    (found,) = town.last["a"]["items"]
    age_ms = town.last["a"]["as_of_ms"] - START // MINUTE * MINUTE
    fresh = 2.0 ** (-age_ms / (48 * HOUR))
    exact = 12 * fresh / sqrt((30 * fresh + 10) * (90 * fresh + 10))
    assert found == {"item_id": "b", "score": pytest.approx(exact, rel=1e-9)}


def test_what_everybody_engages_is_less_similar_than_what_few_do() -> None:
    town = town_of(*["ab"] * 6, *["ac"] * 8, *["c"] * 60)
    assert town.ids("a") == ["b", "c"]


@pytest.mark.parametrize("action", ["hide", "report"])
def test_what_is_hidden_or_reported_is_not_engaged(action: str) -> None:
    town = Town(items="ab")
    town.play([click("a", 0, action=action), click("b", 1_000)])
    assert town.last == {}


def test_of_a_longer_session_an_item_is_paired_with_the_last_five() -> None:
    town = town_of("abcdefgh")
    assert sorted(town.ids("h")) == list("cdefg")
    town.assert_true()


def test_an_item_engaged_again_counts_again_when_five_others_came_between() -> None:
    town = town_of("abcdefa", "ghag")
    counted = [(e.item_id, e.before) for e in expected_engagements(town.arrived)]
    assert [before for item, before in counted if item == "a"][-2:] == [
        ("f", "e", "d", "c", "b"),
        ("h", "g"),
    ]
    assert len([item for item, _ in counted if item == "g"]) == 1
    town.assert_true()


def test_nothing_in_the_deltas_or_rows_says_whose_engagements_they_are() -> None:
    viewer_id = "somebody-in-particular"
    town = Town(items="abc")
    town.play(clicks("abc", viewer_id))
    rows = [part for stage in town.items for row in stage.log for part in row if part]
    assert len(rows) > 3
    assert not [text for text in (*town.pairs, *rows) if viewer_id.encode() in text]


def test_after_an_erasure_nothing_is_paired_with_what_came_before() -> None:
    town = Town(items="abc")
    town.play(clicks("ab"))
    request = {"viewer_id": "v", "requested_at_ms": START + 60_000}
    town.viewers[0].send("privacy.erasures", msgspec.json.encode(request))
    town.play([click("c", 61_000)])
    assert town.ids("c") == []
    assert town.ids("a") == ["b"]


def test_a_list_is_made_at_most_once_in_64_seconds() -> None:
    town = Town(items="ab", own=SimilarSettings(news=1.0, refresh_ms=0))
    for n in range(600):
        town.send(click("ab"[n % 2], 1_000 * n, f"v{n // 2}"))
        town.cut()
    made = [record["as_of_ms"] for item, record in town.published if item == "a" and record]
    assert len(made) - 600_000 // MAKE_EVERY_MS in (0, 1)
    assert {later - former for former, later in pairwise(made)} == {64_000}
    assert {at_ms // 1_000 % 64 for at_ms in made} == {shard_of("a")}


def test_a_list_that_hardly_changes_is_made_every_quarter_of_an_hour() -> None:
    town = town_of(*["ab"] * 40)
    before = len(town.published)
    town.send(click("a", 17 * MINUTE, "w"))
    town.send(click("b", 17 * MINUTE + 1, "w"))
    town.settle()
    assert len(town.published) == before + 2
    town.advance(town.now_ms + HOUR)
    assert len(town.published) == before + 2
    town.assert_true()


@pytest.mark.parametrize("status", ["hidden", "removed", None])
def test_an_item_that_is_not_active_any_more_leaves_at_once(status: str | None) -> None:
    town = town_of("abc", "ab")
    town.say("b", status)
    town.cut()
    assert {item: town.ids(item) for item in town.last} == {"a": ["c"], "c": ["a"]}
    assert ("b", None) in town.published
    town.play(clicks("ab", "w", 20 * MINUTE))
    assert {item: town.ids(item) for item in town.last} == {"a": ["c"], "c": ["a"]}


def test_a_list_whose_only_item_is_hidden_is_deleted() -> None:
    town = town_of("ab")
    town.say("b", "hidden")
    town.cut()
    assert town.last == {}
    assert sorted(town.published[-2:]) == [("a", None), ("b", None)]


def test_an_item_that_is_shown_again_is_on_lists_when_they_are_made() -> None:
    town = town_of("abc", "ab")
    town.say("b", "hidden")
    town.cut()
    town.say("b", "active")
    town.settle()
    assert town.ids("b") == ["a", "c"]
    town.play(clicks("ac", "w", 40 * MINUTE))
    assert sorted(town.ids("a")) == ["b", "c"]
    town.assert_true()


def test_an_item_the_catalog_learns_of_later_is_listed_then() -> None:
    town = Town(items="ab")
    town.play(clicks("abc"))
    assert (town.ids("c"), town.ids("a")) == ([], ["b"])
    town.say("c")
    town.settle()
    assert sorted(town.ids("c")) == ["a", "b"]


@pytest.mark.parametrize("compact", [whole, compacted, half_compacted])
def test_what_the_catalog_took_away_while_down_leaves_after_a_restore(compact: Compact) -> None:
    town = town_of("abc", "ab")
    hidden = msgspec.json.encode({"item_id": "b", "status": "hidden"})
    town.catalog.update("b", hidden)
    town.kill(compact)
    town.cut()
    assert {item: town.ids(item) for item in town.last} == {"a": ["c"], "c": ["a"]}


def test_what_nobody_engages_for_two_weeks_is_forgotten_with_all_its_rows() -> None:
    town = town_of("abc", "ab")
    town.advance(START + 13 * DAY_MS)
    assert len(town.last) == 3
    town.advance(START + 14 * DAY_MS + 2 * HOUR)
    assert town.last == {}
    assert [stage.processor.rows for stage in town.items] == [0, 0]
    assert [list(compacted(stage.log)) for stage in town.items] == [[], []]


def test_a_neighbour_met_once_goes_after_two_weeks_though_the_item_stays() -> None:
    town = town_of("ab", "ac")
    for day in range(1, 16):
        town.play(clicks("ac", f"w{day}", day * DAY_MS))
    assert town.ids("a") == ["c"]
    keys = {key for stage in town.items for key, _ in compacted(stage.log)}
    assert b"n" + digest("b") + b"a" not in keys
    assert b"n" + digest("c") + b"a" in keys


@given(sessions=st.lists(st.text("abcdefghijklmnop", min_size=2, max_size=8), max_size=25))
@settings(max_examples=25)
def test_an_item_keeps_no_more_neighbours_and_lists_no_more_than_it_may(
    sessions: list[str],
) -> None:
    town = town_of(*sessions, own=SimilarSettings(kept=3, size=2))
    for item_id in town.last:
        assert len(town.ids(item_id)) <= 2
    rows = [key for stage in town.items for key, _ in compacted(stage.log) if key[:1] == b"n"]
    held = {item_id: [key for key in rows if key.endswith(item_id.encode())] for item_id in "abcdp"}
    assert max(map(len, held.values()), default=0) <= 3
    for stage in town.items:
        assert isinstance(stage.processor, Similar)
        assert all(len(item.neighbours) <= 3 for item in stage.processor._items.values())


def test_no_weight_leaves_what_a_float_holds_in_many_years() -> None:
    town = Town(items="abc", own=SimilarSettings(told_growth=1.0, idle_ms=10_000 * DAY_MS))
    town.play(clicks("ab"))
    years = 4 * 365 * DAY_MS
    town.play(clicks("ac", "w", years))
    town.kill(compacted)
    town.play(clicks("ca", "x", years + HOUR))
    assert town.ids("a") == ["c"]
    town.arrived = town.arrived[2:]  # nothing is left of the others
    record = town.last["a"]
    expected = expected_similar(expected_engagements(town.arrived), record["as_of_ms"])["a"]
    assert record["items"] == [{"item_id": "c", "score": pytest.approx(expected["c"], rel=1e-9)}]


def test_a_delta_that_engages_nothing_is_refused() -> None:
    for field in ("engaged", "retracted"):
        with pytest.raises(Rejection, match="an entry without an item"):
            decode_delta(b'{"shard":"1","as_of_ms":5,"%b":[["a"],[]]}' % field.encode())


def test_the_oracle_sees_a_wrong_score() -> None:
    """A comparison that cannot fail would prove nothing."""
    town = town_of("ab", "ac")
    town.published[-1][1]["items"][0]["score"] *= 1 + 1e-6  # type: ignore[index]
    with pytest.raises(AssertionError):
        town.assert_true()


def test_the_oracle_counts_pairs_in_sessions() -> None:
    events = [*clicks("ab"), *clicks("ac", begin_ms=40 * MINUTE)]
    assert [(e.item_id, e.before) for e in expected_engagements(events)] == [
        ("a", ()),
        ("b", ("a",)),
        ("a", ()),
        ("c", ("a",)),
    ]
    assert expected_similar([Engaged("b", 0, ("a",))], 0) == {
        "b": {"a": 1 / sqrt(110)},
        "a": {"b": 1 / sqrt(110)},
    }
