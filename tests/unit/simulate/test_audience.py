"""Viewers of an audience are shown what a ranker makes of what came before."""

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import count, islice
from typing import Any

import pytest

from streamapp.simulate import (
    Delivery,
    Human,
    Placed,
    Ranker,
    Sent,
    Viewer,
    Visit,
    World,
    audience,
    shuffled,
)

START = 1_700_000_000_000
PUNCTUAL = Delivery(late_rate=0.0, duplicate_rate=0.0)
VISITS = [Visit(f"1.{n}", n % 20, START + 9_000 * n) for n in range(60)]


def world() -> World:
    return World(seed=4, viewers=20, items=60, pace=0.1)


def records(ranker: Ranker = shuffled, **arguments) -> list[Sent]:
    return list(audience(world(), VISITS, lambda _: Human(ranker=ranker), **arguments))


def first_ones(*asked: Any) -> list[Placed]:
    """Show the first items there are, always the same."""
    return [Placed(item, 1.0, None, {"age": 2.0}) for item in asked[3][:3]]


def test_records_come_by_time_and_the_same_again():
    sent = records()
    times = [one.timestamp_ms for one in sent]
    assert times == sorted(times)
    assert sent == records()
    ids = [one.event["event_id"] for one in records(delivery=PUNCTUAL)]
    assert len(ids) == len(set(ids))


def test_a_ranker_is_asked_when_all_that_was_sent_earlier_has_been_handed_out():
    handed_out: list[int] = []
    asked: list[tuple[int, int]] = []

    def asking(*arguments: Any) -> list[Placed]:
        asked.append((arguments[4], len(handed_out)))
        return shuffled(*arguments)

    stream = audience(world(), VISITS, lambda _: Human(ranker=asking), PUNCTUAL)
    handed_out.extend(sent.timestamp_ms for sent in stream)
    assert len(asked) > len(VISITS)
    assert asked == sorted(asked)
    for at_ms, before in asked:
        assert all(ms <= at_ms for ms in handed_out[:before])
        assert all(ms >= at_ms for ms in handed_out[before:])


def slates(sent: list[Sent]) -> dict[str, list[str]]:
    """Surfaces asked for, by visit."""
    found = defaultdict(list)
    for one in sent:
        if one.topic == "events.impressions":
            found[one.event["session_id"]].append(one.event["surface"])
    return found


def test_with_another_ranker_the_same_viewers_ask_for_the_same_slates():
    one, other = records(delivery=PUNCTUAL), records(first_ones, delivery=PUNCTUAL)
    assert slates(one) == slates(other)
    assert [s.event["items"] for s in one if s.event.get("items")] != [
        s.event["items"] for s in other if s.event.get("items")
    ]


def test_a_visit_has_as_many_slates_as_the_viewer_is_inclined_to():
    visits = [Visit(f"v{n}", 0, START + n) for n in range(1_500)]
    quick = Human(next_slate=0.5, ranker=first_ones)
    counted = Counter(
        sent.event["session_id"]
        for sent in audience(world(), visits, lambda _: quick, PUNCTUAL)
        if sent.topic == "events.impressions"
    )
    assert len(counted) == 1_500
    assert sum(counted.values()) / 1_500 == pytest.approx(2.0, rel=0.15)


def test_who_ranks_and_which_variant_events_name_is_the_viewers():
    def human(viewer: Viewer) -> Human:
        arm = "odd" if int(viewer.viewer_id[1:]) % 2 else "even"
        ranker: Callable[..., list[Placed]] = first_ones if arm == "odd" else shuffled
        return Human(ranker=ranker, experiments={"ranker": arm})

    for sent in audience(world(), VISITS, human):
        arm = "odd" if int(sent.key[1:]) % 2 else "even"
        assert sent.event["experiments"] == {"ranker": arm}
        if sent.event.get("items"):
            assert ("propensity" in sent.event["items"][0]) == (arm == "even")
            assert ("features" in sent.event["items"][0]) == (arm == "odd")


def test_visits_may_go_on_for_ever():
    endless = (Visit(f"v{n}", 0, START + 1_000 * n) for n in count())
    stream = audience(world(), endless, lambda _: Human())
    assert len(list(islice(stream, 100))) == 100
