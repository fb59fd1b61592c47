"""Two public logs as events, and what they must come to, computed from their rows the plain way.

KuaiRand (short videos): a row is a play, at its start a heartbeat that ends it and a like or a
hide. Rows that are exact duplicates are one event sent twice. Open Bandit (fashion): a row is
one slot shown, and perhaps clicked, one second later; it is moved to the days of KuaiRand, for
items that nobody touches for 60 days are forgotten.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from math import fsum, log
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.oracles.items import COUNTERS

SHARED = Path(__file__).parents[2] / "shared" / "data"
KUAIRAND = SHARED / "kuairand" / "interactions.tsv.gz"
OPEN_BANDIT = SHARED / "obd"
CAMPAIGNS = ("men", "women")
POLICIES = ("random", "bts")

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MOVED_MS = 866 * DAY
"""From 24 November 2019 to 8 April 2022."""

CLICKED_AFTER_MS = 1_000
HALF_LIVES = {"30m": 30 * MINUTE, "6h": 6 * HOUR, "7d": 7 * DAY}

Event = dict[str, Any]


class Logged(NamedTuple):
    """An event of a log, with its topic."""

    topic: str
    event: Event

    @property
    def key(self) -> str:
        return str(self.event.get("viewer_id") or self.event.get("item_id") or self.event["name"])


class Log(NamedTuple):
    """Both logs.

    Attributes:
        broadcast: catalog and parameters.
        events: by event time.
        expected: the signal of each item.
    """

    broadcast: list[Logged]
    events: list[Logged]
    expected: dict[str, dict[str, Any]]


def both() -> Log:
    """Return both logs as one; skips the test where one is not at hand."""
    plays, slots = kuairand(), open_bandit()
    events = [*events_of_kuairand(plays), *events_of_open_bandit(slots)]
    wanted = expected(plays, slots)
    return Log([*catalog(wanted), *parameters()], in_order(events), wanted)


def kuairand() -> list[dict[str, str]]:
    """Return the rows of KuaiRand; skips the test where the log is not at hand."""
    return list(_rows(KUAIRAND, delimiter="\t"))


def open_bandit() -> list[dict[str, str]]:
    """Return the rows of Open Bandit, with `campaign`, and `id` that no other row has."""
    return [
        {**row, "campaign": campaign, "id": f"{policy}-{campaign}-{row['']}"}
        for policy in POLICIES
        for campaign in CAMPAIGNS
        for row in _rows(OPEN_BANDIT / f"{policy}_{campaign}.csv.gz", delimiter=",")
    ]


def _rows(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    if not path.exists():
        pytest.skip(f"the log is not here: {path}")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def digest(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def time_of(row: dict[str, str]) -> int:
    """Event time of an Open Bandit row, ms."""
    at = datetime.fromisoformat(row["timestamp"])
    return int(at.timestamp()) * 1_000 + at.microsecond // 1_000 + MOVED_MS


# --- as events ----------------------------------------------------------------------------------


def events_of_kuairand(rows: Iterable[dict[str, str]]) -> Iterator[Logged]:
    for row in rows:
        play = digest(*row.values())
        common = {
            "occurred_at_ms": int(row["time_ms"]),
            "viewer_id": f"k{row['user_id']}",
            "item_id": f"k{row['video_id']}",
        }
        beat = {
            "playback_id": play,
            "state": "exit",
            "watched_ms": int(row["play_time_ms"]),
            "duration_ms": int(row["duration_ms"]),
        }
        yield Logged("events.watches", {"event_id": f"{play}-w", **common, **beat})
        action = "like" if row["label"] == "1" else "hide"
        yield Logged("events.clicks", {"event_id": f"{play}-a", **common, "action": action})


def events_of_open_bandit(rows: Iterable[dict[str, str]]) -> Iterator[Logged]:
    for row in rows:
        at_ms, item_id, position = time_of(row), item_of(row), int(row["position"])
        common = {"viewer_id": viewer_of(row), "surface": row["campaign"], "request_id": row["id"]}
        slot = {
            "item_id": item_id,
            "position": position,
            "propensity": float(row["propensity_score"]),
        }
        shown = {"event_id": f"{row['id']}-i", "occurred_at_ms": at_ms, "items": [slot]}
        yield Logged("events.impressions", common | shown)
        if row["click"] == "1":
            clicked = {"event_id": f"{row['id']}-c", "occurred_at_ms": at_ms + CLICKED_AFTER_MS}
            what = {"item_id": item_id, "position": position, "action": "click"}
            yield Logged("events.clicks", common | clicked | what)


def item_of(row: dict[str, str]) -> str:
    return f"{row['campaign']}-{row['item_id']}"


def viewer_of(row: dict[str, str]) -> str:
    """Return a viewer of Open Bandit: four features stand for who it is, nothing else is said."""
    return digest(*(row[f"user_feature_{n}"] for n in range(4)))


def in_order(events: Iterable[Logged]) -> list[Logged]:
    return sorted(events, key=lambda logged: logged.event["occurred_at_ms"])


def shuffled(events: Iterable[Logged], seed: int, within_ms: int = DAY) -> list[Logged]:
    """Let every event arrive up to `within_ms` late, each on its own."""
    draw = Random(seed)
    arrives = [(e.event["occurred_at_ms"] + draw.randint(0, within_ms), e) for e in events]
    return [event for _, event in sorted(arrives, key=lambda arrival: arrival[0])]


# --- what is broadcast --------------------------------------------------------------------------

CHANGED_MS = 1_649_635_200_000
"""11 April 2022: in the middle of both logs other parameters come into force."""

WOMEN = (0.02, 0.01)
PRIORS = {"ctr": 0.005, "ctr/category-1": 0.25, "completion_rate": 0.5, "watch_ratio/category-2": 1}


def category_of(item_id: str) -> str:
    """Which category the catalog puts an item into."""
    return f"category-{int(item_id.removeprefix('k').rpartition('-')[2]) % 5}"


def catalog(item_ids: Iterable[str]) -> list[Logged]:
    return [
        Logged("catalog.items", {"item_id": i, "category": category_of(i), "creator_id": f"c-{i}"})
        for i in sorted(item_ids)
    ]


def parameters() -> list[Logged]:
    values: dict[str, Any] = {f"prior/{name}": value for name, value in PRIORS.items()}
    values["position_ctr/women"] = WOMEN
    return [
        Logged("control.parameters", {"name": n, "valid_from_ms": CHANGED_MS, "value": v})
        for n, v in values.items()
    ]


# --- what they must come to ---------------------------------------------------------------------


class Item:
    """An item's contributions: (event time, amount) by counter, and who acted or watched."""

    def __init__(self) -> None:
        self.given: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.viewers: set[str] = set()

    def add(self, counter: str, at_ms: int, amount: float = 1.0) -> None:
        self.given[counter].append((at_ms, amount))


def expected(
    plays: Iterable[dict[str, str]], slots: Iterable[dict[str, str]]
) -> dict[str, dict[str, Any]]:
    """Return by item what its signal must say of counters, rates, times and catalog fields."""
    items: dict[str, Item] = defaultdict(Item)
    for row in {tuple(row.values()): row for row in plays}.values():  # duplicates count once
        _count_play(items[f"k{row['video_id']}"], row)
    for row in slots:
        _count_slot(items[item_of(row)], row)
    return {item_id: _signal(item_id, item) for item_id, item in items.items()}


def _count_play(item: Item, row: dict[str, str]) -> None:
    at_ms, watched, duration = (
        int(row[name]) for name in ("time_ms", "play_time_ms", "duration_ms")
    )
    item.viewers.add(row["user_id"])
    item.add("watches", at_ms)
    item.add("closed", at_ms)
    item.add("watched_ms", at_ms, watched)
    if duration:
        item.add("ratio_sum", at_ms, min(watched / duration, 3.0))
        item.add("ratio_n", at_ms)
        if watched / duration >= 0.95:
            item.add("completes", at_ms)
    item.add("likes" if row["label"] == "1" else "hides", at_ms)


def _count_slot(item: Item, row: dict[str, str]) -> None:
    at_ms, position = time_of(row), int(row["position"])
    item.add("impressions", at_ms)
    if row["campaign"] == "women" and at_ms >= CHANGED_MS:
        item.add("expected_clicks", at_ms, WOMEN[min(position, len(WOMEN)) - 1])
    else:
        item.add("expected_clicks", at_ms, 0.05 * position**-0.7)
    if row["click"] == "1":
        item.add("clicks", at_ms + CLICKED_AFTER_MS)
        item.viewers.add(viewer_of(row))


def expected_labels(slots: Iterable[dict[str, str]]) -> dict[str, tuple[str, int, float, bool]]:
    """Return item, position, propensity and whether it was clicked, by request."""
    return {
        row["id"]: (
            item_of(row),
            int(row["position"]),
            float(row["propensity_score"]),
            row["click"] == "1",
        )
        for row in slots
    }


def _signal(item_id: str, item: Item) -> dict[str, Any]:
    times = [at_ms for given in item.given.values() for at_ms, _ in given]
    as_of_ms, first_ms = max(times), min(times)
    counters = {
        name: {"total": fsum(amount for _, amount in item.given[name])}
        | {
            span: fsum(a * 2.0 ** ((at_ms - as_of_ms) / half) for at_ms, a in item.given[name])
            for span, half in HALF_LIVES.items()
        }
        for name in COUNTERS
    }
    six = {name: counters[name]["6h"] for name in COUNTERS}
    return {
        "item_id": item_id,
        "as_of_ms": as_of_ms,
        "status": "active",
        "category": category_of(item_id),
        "creator_id": f"c-{item_id}",
        "counters": counters,
        "ctr": _rate(item_id, "ctr", six["clicks"], six["impressions"], as_of_ms),
        "coec": (six["clicks"] + 1) / (six["expected_clicks"] + 1),
        "completion_rate": _rate(
            item_id, "completion_rate", six["completes"], six["closed"], as_of_ms
        ),
        "watch_ratio": _rate(item_id, "watch_ratio", six["ratio_sum"], six["ratio_n"], as_of_ms),
        "velocity": _velocity(counters["watches"], as_of_ms - first_ms),
        "viewers": len(item.viewers),
    }


def _rate(item_id: str, name: str, numerator: float, denominator: float, as_of_ms: int) -> float:
    prior = {"ctr": 0.03, "completion_rate": 0.3, "watch_ratio": 0.5}[name]
    if as_of_ms >= CHANGED_MS:
        prior = PRIORS.get(f"{name}/{category_of(item_id)}", PRIORS.get(name, prior))
    return (numerator + 20 * prior) / (denominator + 20)


def _velocity(watches: dict[str, float], age_ms: int) -> float:
    def per_six_hours(span: str) -> float:
        half = HALF_LIVES[span]
        held = half / log(2) * (1 - 2 ** (-max(age_ms, MINUTE) / half))
        return watches[span] * 6 * HOUR / held

    return (per_six_hours("30m") + 20) / (per_six_hours("6h") + 20)


def write_files(directory: Path, logged: Iterable[Logged]) -> Path:
    """Write events as `streamapp replay` reads them, each topic in this order."""
    directory.mkdir()
    lines: dict[str, list[str]] = defaultdict(list)
    for topic, event in logged:
        lines[topic].append(json.dumps(event) + "\n")
    for topic, of in lines.items():
        (directory / f"{topic}.jsonl").write_text("".join(of), "utf-8")
    return directory
