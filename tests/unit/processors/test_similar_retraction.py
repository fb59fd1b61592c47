"""A bot among people: in the end candidates.similar is as if there had been no bot.

::

    bot      a ─ b ─ a ─ c        x x x x x x x x x x x …  verdict
    people     a ─ b      b ─ c                               │ what the bot engaged is taken back
    a        b, c                                             │ b
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from streamapp.features.decay import DAY_MS
from streamapp.processors.similar import SimilarSettings
from tests.oracles.items import HOUR, MINUTE, Event
from tests.oracles.pipeline import Compact, compacted, half_compacted, whole
from tests.oracles.similar import expected_engagements, expected_similar
from tests.oracles.trust import judged
from tests.oracles.worlds import ITEMS, START, worlds
from tests.unit.features.test_retraction import burst, by, in_order
from tests.unit.processors.test_similar import EXACT, Town, click, clicks

BURST = 48
"""Clicks that give a bot away, whatever it did before."""

cuts = st.lists(st.integers(0, 120), max_size=6)
kills = st.dictionaries(
    st.integers(0, 120), st.sampled_from((whole, compacted, half_compacted)), max_size=3
)


def town_of(
    events: Sequence[Event],
    cuts: Sequence[int] = (),
    kills: dict[int, Compact] | None = None,
    partitions: int = 2,
    own: SimilarSettings = EXACT,
) -> Town:
    town = Town(partitions, own, [*ITEMS, "target", *"abcdefghijklmnop"])

    def after(number: int) -> None:
        if kills and number in kills:
            town.kill(kills[number])

    town.play(events, cuts, after)
    return town


def of_people(events: Sequence[Event]) -> list[Event]:
    """Leave out who is a bot in the end, all of whose events are within the last day."""
    bots = {one.event[1]["viewer_id"] for one in judged(events)[0] if one.state == "bot"}
    assert bots == {"bot"}
    return [event for event in events if event[1]["viewer_id"] not in bots]


def assert_as_if_never_been(town: Town, within: float = 1e-9) -> None:
    """Compare the last lists with the oracle's for the people alone.

    Args:
        within: how much of one session with an item, at the time of a list, may be left over.
    """
    engagements = expected_engagements(of_people(town.arrived))
    assert set(town.last) == set(expected_similar(engagements, town.now_ms))
    for item_id, record in town.last.items():
        expected = expected_similar(engagements, record["as_of_ms"])[item_id]
        scores = {one["item_id"]: one["score"] for one in record["items"]}
        assert set(scores) == set(expected)
        for other, score in scores.items():
            assert score == pytest.approx(expected[other], rel=1e-9 + within, abs=within)


@st.composite
def bots(draw: DrawFn) -> list[Event]:
    """Return what a bot does before it gives itself away, no two things at one time."""
    at_ms, events = START, []
    for number in range(draw(st.integers(1, 30))):
        gaps = st.sampled_from((1_000, 20_000, 12 * MINUTE, 29 * MINUTE, 31 * MINUTE))
        at_ms += draw(gaps) + 1
        item = draw(st.sampled_from("abcdefghi"))
        kind = draw(st.sampled_from(("click", "like", "hide", "shown", "played")))
        if kind == "shown":
            events.append(shown(item, at_ms, number))
        elif kind == "played":
            events += played(item, at_ms, number, draw(st.sampled_from((3, 29 * MINUTE))))
        else:
            events.append(click(item, at_ms - START, "bot", kind))
    return in_order(events)


def shown(item: str, at_ms: int, number: int) -> Event:
    slots = [{"item_id": item, "position": 1}]
    event = {"event_id": f"s{number}", "viewer_id": "bot", "request_id": f"r{number}"}
    event |= {"occurred_at_ms": at_ms, "surface": "home", "items": slots}  # type: ignore[dict-item]
    return "events.impressions", event


def played(item: str, at_ms: int, number: int, for_ms: int) -> list[Event]:
    """A playback from one heartbeat to another, which may complete it."""
    same = {"viewer_id": "bot", "item_id": item, "playback_id": f"p{number}", "duration_ms": 1_000}
    beats = (("start", 0), ("exit", for_ms))
    return [
        (
            "events.watches",
            {**same, "event_id": f"w{number}{state}", "occurred_at_ms": at_ms + watched_ms}
            | {"state": state, "watched_ms": watched_ms},
        )
        for state, watched_ms in beats
    ]


def with_burst(bot: list[Event], people: list[Event]) -> list[Event]:
    newest_ms = max(event["occurred_at_ms"] for _, event in [*bot, *people])
    return [*bot, *burst(newest_ms + 1_000, BURST)]


@given(bot=bots(), people=worlds(), cuts=cuts, kills=kills, partitions=st.sampled_from((1, 4)))
@settings(max_examples=40)
def test_when_a_bot_is_found_out_the_lists_are_as_if_it_had_never_been(
    bot: list[Event],
    people: list[Event],
    cuts: list[int],
    kills: dict[int, Compact],
    partitions: int,
) -> None:
    others = by("person", people)
    again = [bot[0], *bot[len(bot) // 2 :]]  # some of it comes twice
    events = [*in_order([*with_burst(bot, others), *others]), *again]
    assert_as_if_never_been(town_of(events, cuts, kills, partitions))


@given(bot=bots(), people=worlds(), cuts=cuts)
@settings(max_examples=15)
def test_a_score_is_at_most_as_far_off_as_items_are_late_to_tell(
    bot: list[Event], people: list[Event], cuts: list[int]
) -> None:
    others = by("person", people)
    town = town_of(in_order([*with_burst(bot, others), *others]), cuts, own=SimilarSettings())
    engagements = expected_engagements(of_people(town.arrived))
    for item_id, record in town.last.items():
        expected = expected_similar(engagements, record["as_of_ms"])[item_id]
        scores = {one["item_id"]: one["score"] for one in record["items"]}
        assert set(scores) == set(expected)
        for other, score in scores.items():
            assert 1.5**-0.5 - 1e-9 <= score / expected[other] <= 1.5**0.5 + 1e-9


@given(data=st.data(), times=st.lists(st.integers(0, 20 * HOUR), min_size=1, max_size=25))
@settings(max_examples=30)
def test_of_actions_that_came_in_any_order_nothing_stays(
    data: st.DataObject, times: list[int]
) -> None:
    items = st.sampled_from("abcdefghi")
    bot = [click(data.draw(items), at_ms, "bot") for at_ms in sorted(set(times))]
    people = clicks("abcd", "person")
    late = data.draw(st.permutations(bot))
    assert_as_if_never_been(town_of([*late, *people, *with_burst([], [*bot, *people])]))


@given(data=st.data(), times=st.lists(st.integers(0, 28 * MINUTE), min_size=2, max_size=20))
@settings(max_examples=30)
def test_of_playbacks_that_came_in_any_order_in_a_session_hardly_anything_stays(
    data: st.DataObject, times: list[int]
) -> None:
    bot: list[Event] = []
    for number, at_ms in enumerate(sorted(set(times))):
        item = data.draw(st.sampled_from("abcde"))  # and the target is the sixth
        if data.draw(st.booleans()):
            bot.append(click(item, at_ms, "bot"))
        else:
            bot += played(item, START + at_ms, number, 0)[:1]
    people = [*clicks("abcd", "person"), *clicks("dbe", "other")]
    late = data.draw(st.permutations(bot))
    town = town_of([*late, *people, *burst(START + 29 * MINUTE)])
    assert_as_if_never_been(town, within=1 - 2 ** (-30 * MINUTE / (48 * HOUR)))


# --- one thing at a time ------------------------------------------------------------------------


def test_what_only_a_bot_engaged_is_on_no_list_any_more() -> None:
    before = town_of([*clicks("abc", "bot"), *clicks("ad", "person")])
    assert sorted(before.ids("a")) == ["b", "c", "d"]
    before.play(burst(START + 20 * MINUTE))
    assert {item: before.ids(item) for item in before.last} == {"a": ["d"], "d": ["a"]}
    assert ("b", None) in before.published
    assert_as_if_never_been(before)


def test_the_click_that_gives_a_bot_away_is_taken_back_too() -> None:
    town = town_of([*clicks("abcdefghijklmnop", "bot"), *burst(START + 16_000)])
    assert town.last == {}
    assert all(item.engaged < 1e-9 for item in similar(town).values())


def similar(town: Town) -> dict[str, Any]:
    return {
        item_id: item
        for stage in town.items
        for item_id, item in stage.processor._items.items()  # type: ignore[attr-defined]
    }


def test_a_neighbour_that_is_engaged_less_is_told_of_to_all() -> None:
    """Of what a bot engaged with others, people's pairs are less similar as long as it counts."""
    people = [*clicks("ab", "person"), *clicks("ab", "other")]
    bot = [click("bz"[n % 2], 31 * MINUTE * n, "bot") for n in range(40)]
    town = town_of([*people, *bot], own=SimilarSettings(told_growth=1.2))
    (with_bot,) = town.last["a"]["items"]
    town.play(burst(START + 31 * MINUTE * 41))
    (found,) = town.last["a"]["items"]
    assert found["score"] > with_bot["score"] * 1.2
    assert_as_if_never_been(town)


def test_what_is_older_than_a_day_stays() -> None:
    old = clicks("ab", "bot")
    town = town_of([*old, *burst(START + DAY_MS + HOUR)])
    record = town.last["a"]
    expected = expected_similar(expected_engagements(old), record["as_of_ms"])["a"]
    assert record["items"] == [{"item_id": "b", "score": pytest.approx(expected["b"], rel=1e-9)}]


def test_nothing_is_taken_back_twice() -> None:
    """Found out, trusted again 8 h later, and found out once more."""
    again_ms = START + 9 * HOUR
    bot = [*clicks("ab", "bot"), *burst(START + 2_000)]
    later = [click("c", again_ms - START - 60_000, "bot"), click("d", again_ms - START, "bot")]
    second = [(topic, e | {"event_id": f"2{e['event_id']}"}) for topic, e in burst(again_ms + 1)]
    people = [*clicks("abcd", "person"), *clicks("abcd", "other")]
    assert_as_if_never_been(town_of(in_order([*bot, *people, *later, *second])))


def test_what_is_not_taken_back_shows() -> None:
    """A comparison that cannot fail would prove nothing."""
    town = town_of([*clicks("abc", "bot"), *clicks("ab", "person"), *burst(START + MINUTE)[:15]])
    town.arrived += burst(START + MINUTE)
    with pytest.raises(AssertionError):
        assert_as_if_never_been(town)


def test_a_list_is_made_anew_though_what_went_counted_as_much_as_what_came() -> None:
    """The sums of the neighbours are what they were; the neighbours are others."""
    bot = [*played("b", START, 0, 0)[:1], click("a", 4, "bot"), *played("e", START + 3, 3, 0)[:1]]
    people = [*clicks("abcd", "person"), *clicks("dbe", "other")]
    assert_as_if_never_been(town_of([*bot, *people, *burst(START + 29 * MINUTE)]), within=0.0072)
