"""A simulated audience through Kafka and three workers: every signal as the oracles have it.

Viewers' profiles, queries, items with their viewers, trending lists, similar items and erasures,
whatever the number of partitions, with events late and sent twice, and with the signals role, which
reads what it has written itself, started again in between::

    50 min of traffic │ 31 min on: one more event a viewer │ erasures │ more traffic, many watches
                      │ (whatever was open closes)         │          │ at once, one erased is back

    ── signals is ended, or killed midway, and started again ── a minute is full: lists are due
                                                             ── 20 min on: of similar items, too

What items are engaged together is a function of the order in which a partition's inputs are
merged; the oracle gets them in that order. How many sessions another item has, an item may hear
late (`streamapp.processors.similar`): so a score may be up to √1.5 times too high.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Any, NamedTuple

import msgspec
import pytest

from streamapp.engine.partitioner import by_murmur2
from streamapp.engine.roles import ROLES
from streamapp.settings import Settings
from streamapp.simulate import Delivery, World, catalog, traffic
from tests.kafka.cluster import Sent, last_by_key, make_topics, read_all, send, until
from tests.kafka.test_parity import processed
from tests.kafka.workers import WorkerProcess
from tests.oracles.items import MINUTE, Event, differences, expected_items
from tests.oracles.profiles import expected_profiles
from tests.oracles.queries import expected_queries, query_differences
from tests.oracles.similar import expected_engagements, expected_similar
from tests.oracles.trending import Lists, expected_trending, seen_in
from tests.oracles.viewers import expected_recent

START_MS = 1_700_000_000_000
EVENTS = 1_500
CLOSING_MS = 31 * MINUTE
CLICKS, WATCHES, ERASURES = "events.clicks", "events.watches", "privacy.erasures"
ACTIVITY = ROLES["signals"].inputs
SIMILAR_MS = 20 * MINUTE
"""Stream time after which every list of similar items has been made anew that has changed."""

LATE_TO_TELL = 1.5**0.5
"""How many times too high a score may be."""

PARAMETERS = [
    {"name": "position_ctr/home", "valid_from_ms": START_MS + 10_000, "value": [0.5, 0.25]},
    {"name": "prior/ctr", "valid_from_ms": 0, "value": 0.2},
]
WITHIN = 60.0


class Story(NamedTuple):
    """What is sent, and what must come of it.

    Attributes:
        broadcast: catalog and parameters.
        events: in the order they are sent.
        erased: viewers of whom nothing is left.
        known: the catalog's record of each item.
        mark_ms: full minute that lists are due at when all has been processed.
        items, viewers, recent, queries, lists: what signals must say.
    """

    broadcast: list[Event]
    events: list[Event]
    erased: list[str]
    known: dict[str, Any]
    mark_ms: int
    items: dict[str, Any]
    viewers: dict[str, Any]
    recent: dict[str, list[Any]]
    queries: dict[str, Any]
    lists: Lists


@pytest.fixture(scope="module")
def story() -> Story:
    world = World(seed=3, viewers=30, items=25)
    delivery = Delivery(late_rate=0.3, late_ms=300_000, duplicate_rate=0.1)
    stream = traffic(world, start_ms=START_MS, rate=0.5, seed=4, delivery=delivery)
    before = [(sent.topic, sent.event) for sent in islice(stream, EVENTS)]
    known = {sent.key: sent.event for sent in catalog(world, 0)}
    known |= {item: {**known[item], "kind": "live"} for item in ("i3", "i5")}
    viewers = sorted({event["viewer_id"] for _, event in before})
    gone, returning = viewers[:3], viewers[2]
    closing_ms = newest_ms(before) + CLOSING_MS
    before += [action(viewer, "i0", closing_ms, "follow") for viewer in viewers]
    asked_ms = closing_ms + MINUTE
    later = traffic(world, start_ms=asked_ms, rate=0.5, seed=5, delivery=delivery)
    after = [
        (sent.topic, sent.event)
        for sent in islice(later, EVENTS // 5)
        if sent.topic != WATCHES and sent.event["viewer_id"] not in gone
    ]
    end_ms = newest_ms(after)
    rising = ("i0", "i2", "i3", "i5")
    after += [watch(viewer, item, end_ms) for viewer in viewers[5:20] for item in rising]
    after.append(action(returning, "i1", end_ms, "like"))
    # It comes when the viewer it is about has been forgotten, and then been back.
    too_old = action(returning, "i1", asked_ms - 1, "share")
    of_viewers = [e for e in before if e[1]["viewer_id"] not in gone] + after
    parameters: Any = PARAMETERS
    mark_ms = (end_ms // MINUTE + 1) * MINUTE
    return Story(
        broadcast=[
            *(("catalog.items", item) for item in known.values()),
            *(("control.parameters", parameter) for parameter in PARAMETERS),
        ],
        events=[*before, *(erasure(viewer, asked_ms) for viewer in gone), *after, too_old],
        erased=gone[:2],
        known=known,
        mark_ms=mark_ms,
        items=expected_items([*before, *after], catalog=known, parameters=parameters),
        viewers=expected_profiles(of_viewers, catalog=known, parameters=parameters),
        recent=expected_recent(of_viewers),
        queries=expected_queries([*before, *after], parameters=parameters),
        lists=expected_trending(seen_in([*before, *after]), known, mark_ms),
    )


def newest_ms(events: Iterable[Event]) -> int:
    return int(max(event["occurred_at_ms"] for _, event in events))


def erasure(viewer: str, at_ms: int) -> Event:
    return ERASURES, {"viewer_id": viewer, "requested_at_ms": at_ms}


numbers = count()


def action(viewer: str, item: str, at_ms: int, kind: str) -> Event:
    event = {"event_id": f"own-{next(numbers)}", "occurred_at_ms": at_ms, "viewer_id": viewer}
    return CLICKS, event | {"item_id": item, "action": kind}


def watch(viewer: str, item: str, at_ms: int) -> Event:
    """A playback that ends as it begins."""
    _, event = action(viewer, item, at_ms, "-")
    del event["action"]
    beat = {"playback_id": event["event_id"], "state": "exit", "watched_ms": 9, "duration_ms": 90}
    return WATCHES, event | beat


def test_the_story_has_something_of_everything(story):
    assert {"all", "kind:live"} < story.lists.keys()
    assert len(story.lists["all"]) > 3
    assert len(story.queries) > 5
    assert any(query["counters"]["reformulations"]["total"] for query in story.queries.values())
    assert max(item["viewers"] for item in story.items.values()) > 20
    assert len(story.viewers) > 25
    assert any(viewer["hidden"] for viewer in story.viewers.values())
    assert any(v["session"]["impressions"] and v["seen"] for v in story.viewers.values())


def records(events: Iterable[Event]) -> list[Sent]:
    keys = ("viewer_id", "item_id", "name")
    return [
        Sent(topic, str(next(event[k] for k in keys if k in event)).encode(), encoded(event))
        for topic, event in events
    ]


def encoded(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event)


def ticks(partitions: int, at_ms: int) -> list[Event]:
    """Something for each partition of the items, that no list is about."""
    named: dict[int, str] = {}
    for number in count():
        name = f"tick-{number}"
        named.setdefault(by_murmur2(name.encode(), partitions), name)
        if len(named) == partitions:
            return [action("ticker", item, at_ms, "share") for item in sorted(named.values())]
    raise AssertionError("numbers have no end")


async def last(settings: Settings, topic: str) -> dict[str, Any]:
    """What a topic says, a deleted key as None."""
    found = last_by_key(await read_all(settings, [topic]))
    return {k.decode(): None if v is None else json.loads(v) for k, v in found.items() if k}


def left(found: dict[str, Any], ignored: Sequence[str] = ()) -> dict[str, Any]:
    return {k: v for k, v in found.items() if v is not None and k not in ignored}


@pytest.mark.parametrize(
    ("partitions", "killed"), [(1, False), (4, False), (12, True)], ids=("1", "4", "12 killed")
)
async def test_every_signal_is_what_the_oracles_say(story, settings, tmp_path, partitions, killed):
    settings = replace(settings, partitions=partitions, estimate_interval_ms=0)
    await make_topics(settings)
    await send(settings, records(story.broadcast))
    await send(settings, records(story.events))
    with (
        WorkerProcess("ingest", settings, tmp_path / "ingest") as ingest,
        WorkerProcess("signals", settings, tmp_path / "signals") as signals,
    ):
        if killed:
            await until(lambda: read_all(settings, ["activity.trending"]), "first reports", WITHIN)
            signals.kill()
        else:
            await everything_processed(settings)
            assert signals.stop() == 0
        signals.start()
        await everything_processed(settings)
        await send(settings, records(ticks(partitions, story.mark_ms + 1_000)))
        await everything_processed(settings)
        await lists_are_made(settings, story)
        # What is reported of itself it has read to the end, too.
        await everything_processed(settings)
        trending = left(await last(settings, "candidates.trending"))
        await send(settings, records(ticks(partitions, story.mark_ms + SIMILAR_MS)))
        await everything_processed(settings)
        assert signals.stop() == ingest.stop() == 0
    assert not await read_all(settings, ["events.rejected"])
    await everything_is_right(settings, story, partitions)
    trending_is_right(trending, story)
    await similar_is_right(settings, story, partitions)


async def everything_processed(settings: Settings) -> None:
    """Wait until what was sent, and what came of it, has been processed."""
    await processed(settings, "ingest", ROLES["ingest"].inputs)
    await processed(settings, "signals", ACTIVITY)


async def lists_are_made(settings: Settings, story: Story) -> None:
    """Wait for the lists of the minute: stream time goes on by the clock, for all is quiet."""

    async def made() -> bool:
        found = left(await last(settings, "candidates.trending"))
        return found.keys() == story.lists.keys() and all(
            record["as_of_ms"] >= story.mark_ms for record in found.values()
        )

    await until(made, f"trending lists as of {story.mark_ms}", WITHIN)


async def everything_is_right(settings: Settings, story: Story, partitions: int) -> None:
    ticked = {event["item_id"] for _, event in ticks(partitions, 0)}
    items = left(await last(settings, "signals.items"), ignored=sorted(ticked))
    assert differences(items, story.items)[:20] == []
    found = await last(settings, "signals.viewers")
    assert all(found[viewer] is None for viewer in story.erased)
    viewers = left(found, ignored=["ticker"])
    assert differences(viewers, story.viewers)[:20] == []
    assert {viewer: signal["recent"] for viewer, signal in viewers.items()} == story.recent
    queries = left(await last(settings, "signals.queries"))
    assert query_differences(queries, story.queries)[:20] == []


def trending_is_right(found: dict[str, Any], story: Story) -> None:
    for name, record in found.items():
        assert [item["item_id"] for item in record["items"]] == [i for i, _ in story.lists[name]]
        if record["as_of_ms"] == story.mark_ms:
            scores = [item["score"] for item in record["items"]]
            assert scores == pytest.approx([score for _, score in story.lists[name]], rel=1e-9)


async def similar_is_right(settings: Settings, story: Story, partitions: int) -> None:
    engagements = expected_engagements(as_merged(story.events, partitions))
    inactive = {one.item_id for one in engagements} - story.known.keys()
    found = left(await last(settings, "candidates.similar"))
    in_the_end = expected_similar(engagements, story.mark_ms, inactive)
    assert found.keys() == in_the_end.keys()
    for item_id, record in found.items():
        expected = expected_similar(engagements, record["as_of_ms"], inactive)[item_id]
        scores = {one["item_id"]: one["score"] for one in record["items"]}
        assert scores.keys() == expected.keys()
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
        for other, score in scores.items():
            assert 1 - 1e-9 <= score / expected[other] <= LATE_TO_TELL + 1e-9


def as_merged(events: Iterable[Event], partitions: int) -> list[Event]:
    """Return the events as the partitions merge them, those that count, an erased viewer renamed.

    Of what waits in a partition's inputs the earliest is next; of one time, that of the first
    input. After an erasure a viewer is somebody else, of whom nothing earlier is taken.
    """
    waiting: dict[tuple[int, str], deque[Event]] = defaultdict(deque)
    for topic, event in events:
        partition = by_murmur2(event["viewer_id"].encode(), partitions)
        waiting[partition, topic].append((topic, event))
    merged: list[Event] = []
    erased: dict[str, int] = {}
    for partition in range(partitions):
        queues = [waiting[partition, topic] for topic in ROLES["ingest"].inputs]
        while heads := [queue for queue in queues if queue]:
            topic, event = min(heads, key=lambda queue: time_of(queue[0])).popleft()
            viewer, at_ms = event["viewer_id"], time_of((topic, event))
            if topic == ERASURES:
                erased[viewer] = at_ms
            elif viewer not in erased:
                merged.append((topic, event))
            elif at_ms > erased[viewer]:
                merged.append((topic, event | {"viewer_id": f"{viewer} again"}))
    return merged


def time_of(event: Event) -> int:
    name = "requested_at_ms" if event[0] == ERASURES else "occurred_at_ms"
    return int(event[1][name])
