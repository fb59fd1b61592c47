"""Is what readers see exactly right? And if not, which raw facts tell why."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from math import isclose
from typing import Any

from streamapp.engine.records import Record
from streamapp.features.affinities import LIMIT
from streamapp.settings import Settings
from tests.kafka.cluster import last_by_key, read_all
from tests.oracles.items import (
    MINUTE,
    Event,
    Expected,
    differences,
    expected_items,
    without_duplicates,
)
from tests.oracles.profiles import expected_profiles
from tests.oracles.queries import expected_queries, query_differences
from tests.oracles.trending import expected_trending, seen_in
from tests.oracles.viewers import expected_recent

IMPRESSIONS = "events.impressions"
INPUTS = [IMPRESSIONS, "events.clicks", "events.watches"]
ACTIONS = ("click", "like", "share", "follow", "add_to_cart", "purchase", "hide", "report")
SHOWN = 5
"""Wrong keys of a topic for which all that is known is printed."""

Place = tuple[str, int, int]
"""Topic, partition, offset."""


class Verdict:
    """What was found wrong, with the facts.

    Attributes:
        wrong: what is wrong, a line each.
        facts: what helps to find out why, in lines.
        counts: how much was compared.
    """

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.facts: list[str] = []
        self.counts: Counter[str] = Counter()

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        wrong = [f"  {line}" for line in self.wrong[:40]]
        return "\n".join([f"{len(self.wrong)} wrong among {counts}", *wrong, *self.facts])


async def judge(settings: Settings, ended_ms: int) -> Verdict:
    """Compare everything committed with what the input topics say it must be.

    Args:
        ended_ms: event time that every task has come to; the lists are of the full minute before.
    """
    verdict = Verdict()
    events, unusable = accepted(await read_all(settings, INPUTS))
    verdict.counts["events"] = len(events)
    catalog = last_by_key(await read_all(settings, ["catalog.items"]))
    items = expected_items(events, catalog=_parsed(catalog))
    _items(verdict, await read_all(settings, ["signals.items"]), items)
    signals = await read_all(settings, ["signals.viewers"])
    _viewers(verdict, signals, events)
    _profiles(verdict, signals, events, catalog)
    _queries(verdict, await read_all(settings, ["signals.queries"]), events)
    lists = await read_all(settings, ["candidates.trending"])
    _trending(verdict, lists, events, catalog, ended_ms // MINUTE * MINUTE)
    _activity(verdict, await read_all(settings, ["activity.items"]), items)
    _examples(verdict, await read_all(settings, ["training.examples"]), events)
    _rejected(verdict, await read_all(settings, ["events.rejected"]), unusable)
    if verdict.wrong:
        changelogs = [
            settings.changelog(role, processor).removeprefix(settings.topic_prefix)
            for role, processor in (("ingest", "viewers"), ("signals", "items"))
        ]
        verdict.facts += _last_cuts(await read_all(settings, changelogs))
    return verdict


def accepted(records: Iterable[Record]) -> tuple[list[Event], set[Place]]:
    """Return the events that count, in the order of their partitions, and what is unusable."""
    events: list[Event] = []
    unusable: set[Place] = set()
    for record in records:
        event = _event(record)
        if event is None:
            unusable.add((record.topic, record.partition, record.offset))
        else:
            events.append((record.topic, event))
    return events, unusable


def _event(record: Record) -> dict[str, Any] | None:
    """Return the event of a record, None if it is one of those the simulation spoils."""
    try:
        event: dict[str, Any] = json.loads(record.value or b"")
    except ValueError:
        return None
    if "occurred_at_ms" not in event or record.key != event["viewer_id"].encode():
        return None
    if record.topic == "events.clicks" and event.get("action") not in ACTIONS:
        return None
    return event


def _last(records: Iterable[Record]) -> dict[str, Any]:
    return _parsed(last_by_key(records))


def _parsed(values: dict[bytes | None, bytes | None]) -> dict[str, Any]:
    return {k.decode(): json.loads(v) for k, v in values.items() if k and v}


def _items(verdict: Verdict, records: list[Record], expected: dict[str, Expected]) -> None:
    verdict.counts["items"] = len(expected)
    wrong = differences(_last(records), expected)
    verdict.wrong += [f"signals.items {line}" for line in wrong]
    for item in sorted({line.partition(":")[0].partition(".")[0] for line in wrong})[:SHOWN]:
        history = [record for record in records if record.key == item.encode()]
        verdict.facts.append(f"  item {item}: {len(history)} records, the last {history[-1:]}")
        verdict.facts.append(f"  item {item}: expected {expected.get(item)}")


def _viewers(verdict: Verdict, records: list[Record], events: list[Event]) -> None:
    last, expected = _last(records), expected_recent(events)
    verdict.counts["viewers"] = len(expected)
    shown = 0
    for viewer, recent in expected.items():
        got = last.get(viewer, {}).get("recent", [])
        if got != recent:
            verdict.wrong.append(f"signals.viewers {viewer}: {_first_difference(got, recent)}")
            shown += 1
            if shown <= SHOWN:
                mine = [e for e in events if e[1]["viewer_id"] == viewer]
                verdict.facts.append(f"  viewer {viewer}: its last events {mine[-5:]}")
                history = [record for record in records if record.key == viewer.encode()]
                verdict.facts.append(f"  viewer {viewer}: the last records {history[-2:]}")


def _first_difference(got: list[Any], expected: list[Any]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), None)
    if at is None:
        return f"{len(got)} recent actions, expected {len(expected)}"
    return f"recent[{at}] {got[at]}, expected {expected[at]}"


def _profiles(
    verdict: Verdict,
    records: list[Record],
    events: list[Event],
    catalog: dict[bytes | None, bytes | None],
) -> None:
    """Compare all else that is said of viewers; of creators as many as a profile can hold."""
    last, expected = _last(records), expected_profiles(events, catalog=_parsed(catalog))
    for viewer, profile in expected.items():
        creators = profile["affinity"]["creator"]
        if len(creators) > LIMIT and viewer in last:
            profile["affinity"]["creator"] = last[viewer]["affinity"]["creator"]
        else:
            verdict.counts["affinities to creators"] += len(creators)
    wrong = differences(last, expected)
    verdict.wrong += [f"signals.viewers {line}" for line in wrong]


def _queries(verdict: Verdict, records: list[Record], events: list[Event]) -> None:
    expected = expected_queries(events)
    verdict.counts["queries"] = len(expected)
    wrong = query_differences(_last(records), expected)
    verdict.wrong += [f"signals.queries {line}" for line in wrong]


def _trending(
    verdict: Verdict,
    records: list[Record],
    events: list[Event],
    catalog: dict[bytes | None, bytes | None],
    mark_ms: int,
) -> None:
    """What is listed must be what is trending as at the mark, as it was at the list's own time.

    A list of which there is no news since stays as it was sent; one with nothing left is deleted.
    """
    last, known, seen = _last(records), _parsed(catalog), seen_in(events)
    times = {mark_ms, *(record["as_of_ms"] for record in last.values())}
    expected = {at_ms: expected_trending(seen, known, at_ms) for at_ms in times}
    verdict.counts["trending lists"] = len(expected[mark_ms])
    for name in sorted(last.keys() | expected[mark_ms].keys()):
        record = last.get(name, {"as_of_ms": mark_ms, "items": []})
        listed = [(item["item_id"], item["score"]) for item in record["items"]]
        must = expected[mark_ms].get(name, [])
        if dict(listed).keys() != dict(must).keys():
            verdict.wrong.append(f"candidates.trending {name}: {record}, at {mark_ms}: {must}")
        must = expected[record["as_of_ms"]].get(name, [])
        if not _same_list(listed, must):
            verdict.wrong.append(f"candidates.trending {name}: {record}, expected {must}")


def _same_list(listed: list[tuple[str, float]], expected: list[tuple[str, float]]) -> bool:
    """Say whether two lists are the same, to 1e-9; where scores are equal any order is."""
    scores = dict(expected)
    return len(listed) == len(expected) and all(
        isclose(score, best, rel_tol=1e-9) and isclose(score, scores.get(item, 0.0), rel_tol=1e-9)
        for (item, score), (_, best) in zip(listed, expected, strict=True)
    )


def _activity(verdict: Verdict, records: list[Record], items: dict[str, Expected]) -> None:
    """The deltas of each item must add up to what its events count."""
    verdict.counts["deltas"] = len(records)
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for record in records:
        delta = json.loads(record.value or b"")
        for counter, amounts in delta["deltas"].items():
            sums[delta["item_id"], counter] += amounts[0]
    expected = {
        (item, counter): values["total"]
        for item, signal in items.items()
        for counter, values in signal["counters"].items()
    }
    for key in sums.keys() | expected.keys():
        got, must = sums.get(key, 0.0), expected.get(key, 0.0)
        if abs(got - must) > max(1e-9, 1e-9 * abs(must)):
            verdict.wrong.append(f"activity.items {key}: {got}, expected {must}")


def _examples(verdict: Verdict, records: list[Record], events: list[Event]) -> None:
    """Each slot shown gives one example of a kind at most: none if it came after a later event."""
    shown = {
        (event["viewer_id"], f"{event['request_id']}:{slot['position']}")
        for topic, event in without_duplicates(events)
        if topic == IMPRESSIONS
        for slot in event["items"]
    }
    rows = [json.loads(record.value or b"") for record in records]
    seen = Counter((row["viewer_id"], row["example_id"], row["kind"]) for row in rows)
    verdict.counts["examples"] = len(rows)
    verdict.counts["slots without one"] = len(shown - {key[:2] for key in seen})
    for key, count in seen.items():
        if count > 1 or key[:2] not in shown:
            said = "nobody saw it" if key[:2] not in shown else f"{count} times"
            verdict.wrong.append(f"training.examples {key}: {said}")


def _rejected(verdict: Verdict, records: list[Record], unusable: set[Place]) -> None:
    rows = [json.loads(record.value or b"") for record in records]
    seen = Counter((row["topic"], row["partition"], row["offset"]) for row in rows)
    verdict.counts["rejected"] = len(rows)
    for place in unusable | seen.keys():
        if seen.get(place, 0) != (place in unusable):
            reasons = [
                r["reason"] for r in rows if (r["topic"], r["partition"], r["offset"]) == place
            ]
            verdict.wrong.append(f"events.rejected {place}: {reasons}")


def _last_cuts(records: Iterable[Record]) -> list[str]:
    """Return where each task's last cuts were, from the engine's own rows."""
    rows: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        if record.key == b"@task":
            rows[record.topic, record.partition].append(record)
    return [
        f"  {topic} {partition}: {len(cuts)} cuts, the last {[cut.value for cut in cuts[-2:]]}"
        for (topic, partition), cuts in sorted(rows.items())
    ]
