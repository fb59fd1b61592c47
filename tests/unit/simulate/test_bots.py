"""Bots are who they are said to be, and each does what makes it one."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from random import Random
from statistics import fmean, pstdev
from typing import Any

import pytest

from streamapp.simulate import BOTS, Delivery, Happening, World, traffic
from streamapp.simulate.bots import BEHAVIOURS

START = 1_700_000_000_000


def visit(kind: str, number: int = 3) -> list[Happening]:
    world = World(seed=5, viewers=100, items=120)
    return BEHAVIOURS[kind].visit(world, world.viewer(number), "1.1", START, Random(2))


def of(topic: str, happened: list[Happening]) -> list[dict[str, Any]]:
    return [one.event for one in happened if one.topic == f"events.{topic}"]


def gaps(events: list[dict[str, Any]]) -> list[int]:
    return [b["occurred_at_ms"] - a["occurred_at_ms"] for a, b in pairwise(events)]


def test_the_share_of_bots_is_as_said_of_all_kinds_and_follows_from_the_seed():
    world = World(seed=5, bots=0.2)
    kinds = Counter(world.viewer(n).bot for n in range(4_000))
    bots = {kind: count for kind, count in kinds.items() if kind is not None}
    assert set(bots) == set(BOTS) == set(BEHAVIOURS)
    assert abs(sum(bots.values()) - 800) < 5 * 26
    assert all(abs(count - 200) < 5 * 14 for count in bots.values())
    again = World(seed=5, bots=0.2)
    assert [again.viewer(n) for n in range(100)] == [world.viewer(n) for n in range(100)]


def test_without_bots_everybody_is_human_and_with_bots_the_humans_are_the_same():
    plain, haunted = World(seed=5), World(seed=5, bots=0.3)
    humans = 0
    for n in range(300):
        assert plain.viewer(n).bot is None
        if haunted.viewer(n).bot is None:
            assert haunted.viewer(n) == plain.viewer(n)
            humans += 1
    assert 150 < humans < 270


@pytest.mark.parametrize("kind", BOTS)
def test_a_bot_acts_in_order_and_as_the_viewer_it_is(kind):
    happened = visit(kind)
    times = [one.event["occurred_at_ms"] for one in happened]
    assert times == sorted(times)
    assert {one.event["viewer_id"] for one in happened} == {"v3"}
    assert len({one.event["event_id"] for one in happened}) == len(happened)
    assert len(of("clicks", happened)) >= 80


def test_a_burster_clicks_all_it_is_shown_in_quick_succession():
    happened = visit("burster")
    clicks = of("clicks", happened)
    shown = sum(len(slate["items"]) for slate in of("impressions", happened))
    assert len(clicks) == shown
    assert sum(gap <= 180 for gap in gaps(clicks)) >= 0.85 * len(clicks)


def test_a_metronome_keeps_time_and_plays_what_can_be_played():
    happened = visit("metronome")
    between = gaps(of("clicks", happened))
    assert pstdev(between) < 0.01 * fmean(between)
    assert len(of("watches", happened)) > 1.5 * len(between)


def test_a_repeater_clicks_one_item_at_random_times():
    for n in range(5):
        clicks = of("clicks", visit("repeater", n))
        assert len({click["item_id"] for click in clicks}) == 1
        assert pstdev(gaps(clicks)) > 0.5 * fmean(gaps(clicks))
    assert len({of("clicks", visit("repeater", n))[0]["item_id"] for n in range(5)}) > 1


def test_a_scraper_clicks_many_items_and_watches_none():
    happened = visit("scraper")
    clicks = of("clicks", happened)
    assert of("watches", happened) == []
    assert len({click["item_id"] for click in clicks}) > 40
    assert min(gaps(clicks)) >= 300


def test_traffic_has_visits_of_bots_by_the_truth_of_the_world():
    world = World(seed=5, viewers=60, items=60, bots=0.2)
    punctual = Delivery(late_rate=0.0, duplicate_rate=0.0)
    sent = islice(traffic(world, start_ms=START, rate=50.0, seed=1, delivery=punctual), 8_000)
    watching = {one.event["viewer_id"] for one in sent if one.topic == "events.watches"}
    scrapers = {f"v{n}" for n in range(60) if world.viewer(n).bot == "scraper"}
    assert scrapers
    assert len(watching) > 30
    assert not watching & scrapers
