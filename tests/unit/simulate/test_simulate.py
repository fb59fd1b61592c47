"""The simulated population does what it says of itself."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from heapq import merge
from itertools import islice, pairwise, takewhile
from typing import Any

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.events import (
    CatalogItem,
    Click,
    Impression,
    Watch,
    decode_click,
    decode_impression,
    decode_watch,
)
from streamapp.simulate import (
    Delivery,
    Human,
    Item,
    Sent,
    Viewer,
    World,
    catalog,
    sigmoid,
    spoiled,
    traffic,
)

START = 1_700_000_000_000
Event = dict[str, Any]
DECODE: dict[str, Callable[[bytes], Impression | Click | Watch]] = {
    "events.impressions": decode_impression,
    "events.clicks": decode_click,
    "events.watches": decode_watch,
}
PUNCTUAL = Delivery(late_rate=0.0, duplicate_rate=0.0)


def sample(count: int, **arguments) -> list[Sent]:
    world = arguments.pop("world", None) or World(seed=7, viewers=300, items=120, pace=0.1)
    arguments = {"start_ms": START, "rate": 200.0, "seed": 1} | arguments
    return list(islice(traffic(world, **arguments), count))


def close(observed: int, expected: float, variance: float) -> bool:
    """Within five standard deviations: a right simulation fails once in two million."""
    return abs(observed - expected) <= 5 * math.sqrt(variance)


def of(topic: str, records: Iterable[Sent]) -> list[Event]:
    return [sent.event for sent in records if sent.topic == topic]


def test_the_same_seeds_give_the_same_records():
    assert sample(3_000) == sample(3_000)


def test_a_longer_run_begins_like_a_shorter_one():
    assert sample(4_000)[:1_000] == sample(1_000)


def test_another_seed_gives_other_visits_and_no_id_twice():
    one, other = sample(3_000, delivery=PUNCTUAL), sample(3_000, delivery=PUNCTUAL, seed=2)
    ids = [sent.event["event_id"] for sent in one + other]
    assert len(ids) == len(set(ids))
    assert [sent.key for sent in one] != [sent.key for sent in other]


def test_records_come_in_the_order_they_reach_kafka():
    times = [sent.timestamp_ms for sent in sample(5_000)]
    assert times == sorted(times)
    assert times[0] >= START


def test_every_record_is_valid_and_keyed_by_its_viewer():
    records = sample(5_000)
    for sent in records:
        assert DECODE[sent.topic](sent.value).key == sent.key
        assert json.loads(sent.value) == sent.event
    assert {sent.topic for sent in records} == set(DECODE)


def test_the_catalog_describes_every_item_that_is_shown():
    world = World(seed=7, viewers=300, items=120)
    known = {
        sent.key: msgspec.json.decode(sent.value, type=CatalogItem)
        for sent in catalog(world, START)
    }
    shown = {
        slot["item_id"]: event
        for event in of("events.impressions", sample(3_000, world=world))
        for slot in event["items"]
    }
    assert shown.keys() <= known.keys()
    assert all(known[item].item_id == item for item in shown)
    assert {item.kind for item in known.values()} == {"short", "vod", "live", "product"}


@pytest.mark.parametrize("rate", [50.0, 150.0])
def test_the_rate_is_the_one_asked_for(rate):
    span = 200_000
    records = traffic(
        World(seed=3, viewers=300, pace=0.01), start_ms=START, rate=rate, seed=5, delivery=PUNCTUAL
    )
    counted = sum(1 for sent in takewhile(lambda s: s.timestamp_ms < START + span, records))
    assert counted == pytest.approx(rate * span / 1_000, rel=0.12)


def shown_and_clicked(
    records: list[Sent],
) -> tuple[list[tuple[Event, Event]], set[tuple[str, str]]]:
    """Return every slot with its slate, and which (request, item) were clicked."""
    slots = [(e, slot) for e in of("events.impressions", records) for slot in e["items"]]
    clicks = of("events.clicks", records)
    clicked = {(e["request_id"], e["item_id"]) for e in clicks if e["action"] == "click"}
    return slots, clicked


def test_clicks_follow_their_stated_probabilities_at_every_position():
    world = World(seed=11, viewers=100, items=80, pace=0.001)
    records = sample(40_000, world=world, behaviour=Human(request_ids=1.0), delivery=PUNCTUAL)
    items = {item.item_id: item for item in world.catalog}
    surfaces = {surface.name: surface for surface in world.surfaces}
    viewers = {v.viewer_id: v for v in (world.viewer(n) for n in range(100))}
    slots, clicked = shown_and_clicked(records)

    expected: Counter[tuple[str, int]] = Counter()
    variance: Counter[tuple[str, int]] = Counter()
    observed: Counter[tuple[str, int]] = Counter()
    for event, slot in slots:
        surface, position = surfaces[event["surface"]], slot["position"]
        # From the definition, not by the world's own method.
        viewer, item = viewers[event["viewer_id"]], items[slot["item_id"]]
        liking = sum(t * x for t, x in zip(viewer.taste, item.vector, strict=True))
        chance = surface.theta[position - 1] / (1 + math.exp(-(world.bias + liking)))
        place = (surface.name, position)
        expected[place] += chance
        variance[place] += chance * (1 - chance)
        observed[place] += (event["request_id"], slot["item_id"]) in clicked

    assert len(expected) == sum(len(s.theta) for s in world.surfaces)
    for place, mean in expected.items():
        assert close(observed[place], mean, variance[place]), place
    assert close(sum(observed.values()), sum(expected.values()), sum(variance.values()))


def test_tastes_differ_between_viewers_unless_told_not_to():
    alike = World(seed=1, taste_spread=0.0)
    assert alike.viewer(1).taste == alike.viewer(2).taste
    item, other = alike.catalog[0], alike.catalog[1]
    assert alike.liking(alike.viewer(1), item, 0) == pytest.approx(item.quality)
    world = World(seed=1)
    apart = {round(world.liking(world.viewer(n), other, 0), 6) for n in range(20)}
    assert len(apart) == 20


def test_a_subclass_may_let_tastes_drift():
    class Fashion(World):
        def taste(self, viewer: Viewer, at_ms: int) -> tuple[float, ...]:
            return tuple(-t for t in viewer.taste) if at_ms else viewer.taste

    world = Fashion(seed=1)
    viewer, item = world.viewer(0), world.catalog[0]
    surface = world.surfaces[0]
    now = world.click_probability(viewer, item, surface, 1, 0)
    then = world.click_probability(viewer, item, surface, 1, 1)
    liking = world.liking(viewer, item, 0)
    assert now == pytest.approx(surface.theta[0] * sigmoid(world.bias + liking))
    assert then == pytest.approx(surface.theta[0] * sigmoid(world.bias - liking))


def test_propensities_are_the_rates_at_which_items_are_placed():
    world = World(seed=2, viewers=50, items=30, pace=0.001)
    placed: Counter[str] = Counter()
    slates = 0
    for event in of("events.impressions", sample(30_000, world=world, delivery=PUNCTUAL)):
        if event["surface"] != "home":
            continue
        slates += 1
        assert {slot["propensity"] for slot in event["items"]} == {1 / 30}
        placed[event["items"][0]["item_id"]] += 1
    assert len(placed) == 30
    for count in placed.values():
        assert close(count, slates / 30, slates / 30 * (29 / 30))


def playbacks(records: list[Sent]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in of("events.watches", records):
        found[event["playback_id"]].append(event)
    return found


def test_heartbeats_of_a_playback_arrive_in_order_however_late():
    records = sample(20_000, delivery=Delivery(late_rate=0.5, late_ms=60_000, duplicate_rate=0.0))
    long = [beats for beats in playbacks(records).values() if len(beats) > 2]
    assert long
    for beats in long:
        assert beats[0]["state"] == "start"
        watched = [beat["watched_ms"] for beat in beats]
        assert watched == sorted(watched)
        times = [beat["occurred_at_ms"] for beat in beats]
        assert times == sorted(times)
        assert {beat["state"] for beat in beats[1:-1]} <= {"progress"}


def test_playbacks_complete_with_their_stated_probability():
    world = World(seed=4, viewers=80, items=60, pace=0.001)
    records = sample(40_000, world=world, delivery=PUNCTUAL)
    items = {item.item_id: item for item in world.catalog}
    viewers = {v.viewer_id: v for v in (world.viewer(n) for n in range(80))}
    expected = variance = 0.0
    observed = 0
    for beats in playbacks(records).values():
        item: Item = items[beats[0]["item_id"]]
        if item.duration_ms is None:
            assert beats[0].get("duration_ms") is None
            continue
        chance = world.completion_probability(viewers[beats[0]["viewer_id"]], item, START)
        expected += chance
        variance += chance * (1 - chance)
        completed = beats[-1]["state"] == "complete"
        assert completed == (beats[-1]["watched_ms"] == item.duration_ms)
        observed += completed
    # The stream is cut off in the middle of a few playbacks: one beat too few cannot matter.
    assert close(observed, expected, variance)


def test_a_viewer_does_one_thing_at_a_time():
    records = sample(20_000, delivery=PUNCTUAL)
    slates: dict[str, list[int]] = defaultdict(list)
    for event in of("events.impressions", records):
        slates[event["session_id"]].append(event["occurred_at_ms"])
    played: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for beats in playbacks(records).values():
        span = (beats[0]["occurred_at_ms"], beats[-1]["occurred_at_ms"])
        played[beats[0]["session_id"]].append(span)
    assert any(len(spans) > 2 for spans in played.values())
    for visit, spans in played.items():
        for (_, end), (start, _) in pairwise(sorted(spans)):
            assert start > end
        for start, end in spans:
            assert not any(start <= shown <= end for shown in slates[visit])


def test_a_click_comes_after_a_reaction_however_fast_the_pace():
    world = World(seed=7, viewers=300, items=120, pace=0.001)
    human = Human(request_ids=1.0, reaction_ms=500)
    records = sample(5_000, world=world, behaviour=human, delivery=PUNCTUAL)
    shown = {e["request_id"]: e["occurred_at_ms"] for e in of("events.impressions", records)}
    delays = [
        event["occurred_at_ms"] - shown[event["request_id"]]
        for event in of("events.clicks", records)
        if event["action"] == "click"
    ]
    assert min(delays) > 500
    assert max(delays) < 500 + 100


def test_lateness_and_duplicates_come_at_their_stated_rates():
    delivery = Delivery(late_rate=0.1, late_ms=3_000, duplicate_rate=0.05)
    records = [s for s in sample(20_000, delivery=delivery) if s.topic != "events.watches"]
    first: dict[str, Sent] = {}
    again = []
    for sent in records:
        known = first.setdefault(sent.event["event_id"], sent)
        if known is not sent:
            again.append(sent)
            assert (sent.key, sent.value) == (known.key, known.value)
            assert sent.timestamp_ms - sent.event["occurred_at_ms"] <= 2 * 3_000
    delays = [sent.timestamp_ms - sent.event["occurred_at_ms"] for sent in first.values()]
    assert min(delays) == 0
    assert max(delays) <= 3_000
    late = sum(delay > 0 for delay in delays)
    assert close(late, 0.1 * len(first), 0.09 * len(first))
    assert close(len(again), 0.05 * len(first), 0.05 * 0.95 * len(first))


def rejected(sent: Sent) -> bool:
    try:
        return DECODE[sent.topic](sent.value).key != sent.key
    except Rejection:
        return True


def test_spoiled_records_come_on_top_and_none_of_them_is_usable():
    good = sample(10_000)
    mixed = list(spoiled(good, rate=0.02, seed=9))
    broken = [sent for sent in mixed if not sent.event]
    assert [sent for sent in mixed if sent.event] == good
    assert all(rejected(sent) for sent in broken)
    assert close(len(broken), 200, 200)
    assert [sent.timestamp_ms for sent in mixed] == sorted(sent.timestamp_ms for sent in mixed)
    assert list(spoiled(good, rate=0.02, seed=9)) == mixed


def test_streams_of_two_behaviours_merge_into_one():
    world = World(seed=7, viewers=300, items=120, pace=0.1)
    quick = Human(next_slate=0.0, request_ids=0.0)
    streams = [
        islice(traffic(world, start_ms=START, rate=100.0, seed=1), 500),
        islice(traffic(world, start_ms=START, rate=100.0, seed=2, behaviour=quick), 500),
    ]
    merged = list(merge(*streams, key=lambda sent: sent.timestamp_ms))
    assert len(merged) == 1_000
    assert [s.timestamp_ms for s in merged] == sorted(s.timestamp_ms for s in merged)


def test_a_faster_pace_shortens_what_takes_time_and_leaves_the_choices():
    slow, fast = World(seed=7, pace=1.0), World(seed=7, pace=0.1)
    for one, other in zip(slow.catalog, fast.catalog, strict=True):
        assert one.vector == other.vector
        if one.duration_ms is not None and other.duration_ms is not None:
            assert other.duration_ms == pytest.approx(one.duration_ms / 10, abs=1)
