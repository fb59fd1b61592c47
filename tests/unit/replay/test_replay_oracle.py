"""What a replay writes, against the brute-force oracles of signals and labels."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp import replay
from streamapp.settings import Settings
from streamapp.simulate import Delivery, World, catalog, traffic
from tests.oracles.items import Event, differences, expected_items
from tests.oracles.profiles import expected_profiles
from tests.oracles.queries import expected_queries, query_differences
from tests.oracles.similar import expected_engagements, expected_similar
from tests.oracles.trending import expected_trending, seen_in
from tests.oracles.viewers import (
    ExpectedCompletion,
    ExpectedExample,
    expected_completions,
    expected_examples,
    expected_recent,
)
from tests.oracles.worlds import shuffled, worlds

TOPICS = ("events.impressions", "events.clicks", "events.watches")
CLOSING_MS = 30 * 60_000 + 1
SETTINGS = Settings(click_window_ms=120_000, click_window_ms_by_surface={"search": 15_000})
PARAMETERS = [
    {"name": "position_ctr/home", "valid_from_ms": 1_700_000_010_000, "value": [0.5, 0.25]},
    {"name": "prior/ctr", "valid_from_ms": 0, "value": 0.2},
]


def merged(events: Sequence[Event]) -> list[Event]:
    """Put the topics together: again and again the oldest head, of equal ones the first topic's."""
    waiting = {topic: [e for e in events if e[0] == topic] for topic in TOPICS}
    order: list[Event] = []
    while heads := [queue[0] for queue in waiting.values() if queue]:
        head = min(heads, key=lambda e: (e[1]["occurred_at_ms"], TOPICS.index(e[0])))
        order.append(waiting[head[0]].pop(0))
    return order


class Written:
    """The files of a replay of these events."""

    def __init__(
        self, events: Sequence[Event], others: Sequence[Event] = (), *, sort: bool = False
    ) -> None:
        with TemporaryDirectory() as directory:
            source, target = Path(directory, "in"), Path(directory, "out")
            source.mkdir()
            lines = defaultdict[str, list[str]](list)
            for topic, event in (*events, *others):
                lines[topic].append(json.dumps(event) + "\n")
            for topic, of in lines.items():
                (source / f"{topic}.jsonl").write_text("".join(of), "utf-8")
            replay.run(source, target, sort, SETTINGS)
            self.records = {
                path.name.removesuffix(".jsonl"): [
                    (record["key"], record["value"])
                    for record in map(json.loads, path.read_text("utf-8").splitlines())
                ]
                for path in target.iterdir()
            }

    def last(self, topic: str) -> dict[str, Any]:
        return {k: v for k, v in dict(self.records[topic]).items() if v is not None}

    @property
    def recent(self) -> dict[str, list[Any]]:
        return {viewer: row["recent"] for viewer, row in self.last("signals.viewers").items()}

    @property
    def examples(self) -> list[ExpectedExample]:
        return sorted(
            ExpectedExample(
                **said(row, ExpectedExample._fields[:-2]),
                clicked=row["labels"]["clicked"],
                actions=tuple(row["labels"].get("actions", ())),
            )
            for _, row in self.records["training.examples"]
            if row["kind"] == "click"
        )

    @property
    def completions(self) -> list[ExpectedCompletion]:
        completions = [
            ExpectedCompletion(**said(row, ExpectedCompletion._fields[:-4]), **row["labels"])
            for _, row in self.records["training.examples"]
            if row["kind"] == "completion"
        ]
        return sorted(completions, key=str)


def said(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def assert_as_expected(
    written: Written,
    order: list[Event],
    known: dict[str, dict[str, Any]],
    parameters: Sequence[dict[str, Any]] = PARAMETERS,
) -> None:
    """Compare with what the oracles say of the events in the order they are merged in."""
    end_ms = max(event["occurred_at_ms"] for _, event in order) + CLOSING_MS
    items = expected_items(order, stream_time_ms=end_ms, catalog=known, parameters=parameters)
    assert differences(written.last("signals.items"), items) == []
    queries = expected_queries(order, parameters=parameters)
    assert query_differences(written.last("signals.queries"), queries) == []
    assert written.recent == expected_recent(order)
    profiles = expected_profiles(order, stream_time_ms=end_ms, catalog=known, parameters=parameters)
    assert differences(written.last("signals.viewers"), profiles) == []
    assert written.examples == expected_examples(order, SETTINGS.click_window, end_ms)
    assert written.completions == expected_completions(order, SETTINGS.click_window, math.inf)
    assert written.records["events.rejected"] == []


def assert_trending(written: Written, order: list[Event], known: dict[str, dict[str, Any]]) -> None:
    """Compare every list that was sent with what the oracle says of the events before its time."""
    seen = seen_in(order)
    assert len(written.records["candidates.trending"]) > 100
    for name, record in written.records["candidates.trending"]:
        if record is not None:
            expected = expected_trending(seen, known, record["as_of_ms"])[name]
            assert [item["item_id"] for item in record["items"]] == [i for i, _ in expected]
            scores = [item["score"] for item in record["items"]]
            assert scores == pytest.approx([score for _, score in expected], rel=1e-9)


HOPS_MS = 5_000
"""Stream time in which what items tell each other arrives, generously."""


def assert_similar(written: Written, order: list[Event]) -> None:
    """Compare every list that was sent with what the oracle says of the events before its time.

    A score may be too high by as much as items are late to tell how often they are engaged; and
    of the last seconds it is open what had arrived.
    """
    engagements = expected_engagements(order)
    compared = 0
    for item_id, record in written.records["candidates.similar"]:
        at_ms = record["as_of_ms"]
        before, after = (
            expected_similar([e for e in engagements if e.time_ms <= until_ms], at_ms)
            for until_ms in (at_ms - HOPS_MS, at_ms)
        )
        listed = {item["item_id"]: item["score"] for item in record["items"]}
        assert set(before.get(item_id, ())) <= set(listed) <= set(after[item_id])
        for other, score in listed.items() if before == after else ():
            compared += 1
            assert 1 - 1e-9 <= score / after[item_id][other] <= math.sqrt(1.5) + 1e-9
    assert compared > 100


KNOWN = {"i1": {"item_id": "i1", "category": "drama", "creator_id": "c1"}}
BROADCAST: list[Event] = [
    *(("catalog.items", item) for item in KNOWN.values()),
    *(("control.parameters", parameter) for parameter in PARAMETERS),
]


@settings(max_examples=50)
@given(data=st.data(), events=worlds())
def test_any_small_world_in_any_order_gives_what_the_oracles_give(data, events):
    arriving = data.draw(shuffled(events))
    assert_as_expected(Written(arriving, BROADCAST), merged(arriving), KNOWN)


@settings(max_examples=20)
@given(data=st.data(), events=worlds())
def test_sorted_is_as_if_the_lines_had_been_in_order(data, events):
    arriving = data.draw(shuffled(events))
    # Of equal times the line that comes first in its file stays first.
    in_order = sorted(arriving, key=lambda event: event[1]["occurred_at_ms"])
    assert_as_expected(Written(arriving, BROADCAST, sort=True), merged(in_order), KNOWN)


@pytest.mark.parametrize("late_rate", [0.0, 0.3])
def test_a_simulated_population_gives_what_the_oracles_give(late_rate):
    world = World(seed=3, viewers=30, items=25)
    delivery = Delivery(late_rate=late_rate, late_ms=300_000, duplicate_rate=0.1)
    stream = traffic(world, start_ms=1_700_000_000_000, rate=0.5, seed=4, delivery=delivery)
    events = [(sent.topic, sent.event) for sent in islice(stream, 1_500)]
    broadcast = [(sent.topic, sent.event) for sent in catalog(world, 0)]
    known = {item["item_id"]: item for _, item in broadcast}
    parameters = [("control.parameters", parameter) for parameter in PARAMETERS]
    written = Written(events, [*broadcast, *parameters])
    assert_as_expected(written, merged(events), known)
    similar = expected_similar(expected_engagements(merged(events)), 1_700_000_000_000)
    assert set(written.last("candidates.similar")) == set(similar)
    if not late_rate:  # of what comes late, when it came counts too
        assert_similar(written, merged(events))
        assert_trending(written, merged(events), known)
    assert len(written.examples) > 100
    assert any(example.clicked for example in written.examples)
    assert any(completion.completed for completion in written.completions)


def test_what_is_estimated_on_the_way_is_in_force_from_its_time_on():
    world = World(seed=3, viewers=30, items=25)
    stream = traffic(world, start_ms=1_700_000_000_000, rate=0.5, seed=4)
    events = [(sent.topic, sent.event) for sent in islice(stream, 1_500)]
    broadcast = [(sent.topic, sent.event) for sent in catalog(world, 0)]
    known = {item["item_id"]: item for _, item in broadcast}
    written = Written(events, broadcast)
    estimated = [value for _, value in written.records["control.parameters"]]
    assert {parameter["name"] for parameter in estimated} >= {
        "position_ctr/home",
        "prior/ctr/drama",
    }
    assert_as_expected(written, merged(events), known, estimated)
    # Given to the next replay, they make the same of the same events.
    given = [("control.parameters", parameter) for parameter in estimated]
    again = Written(events, [*broadcast, *given])
    for topic in ("signals.items", "signals.viewers", "training.examples", "control.parameters"):
        assert again.records[topic] == written.records[topic], topic
