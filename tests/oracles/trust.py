"""Whom to trust, by brute force: each look from all that the viewer did up to then.

Written from the definitions; nothing is kept between two events but what the definitions speak of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import log2
from statistics import median_high
from typing import Any, NamedTuple

from tests.oracles.items import HOUR, MINUTE, Event, in_force_of, without_duplicates
from tests.oracles.profiles import newest_session
from tests.oracles.viewers import expected_recent

DELIBERATE = ("click", "share", "follow", "add_to_cart", "purchase", "report")
WATCHABLE = ("short", "vod", "live")
ORDER = (
    "burst",
    "short_intervals",
    "regular_intervals",
    "repeated_item",
    "clicks_without_watches",
    "anomaly",
)


class Judged(NamedTuple):
    """An event that is no duplicate, and what the viewer is with it."""

    event: Event
    state: str
    reasons: list[str]


class Session(NamedTuple):
    """A session to learn from."""

    as_of_ms: int
    vector: list[float]


class Viewer:
    """One viewer, event by event."""

    def __init__(
        self,
        viewer_id: str,
        catalog: Mapping[str, Mapping[str, Any]],
        in_force: Callable[[str, int], Any],
    ) -> None:
        self.viewer_id = viewer_id
        self.catalog = catalog
        self.in_force = in_force
        self.events: list[Event] = []
        self.state = "ok"
        self.reasons: set[str] = set()
        self.strikes = self.anomalies = self.since_ms = 0
        self.sessions: list[Session] = []

    def take(self, event: Event) -> Judged:
        self.events.append(event)
        now_ms = max(e["occurred_at_ms"] for _, e in self.events)
        self.rest(now_ms)
        deliberate = sum(
            topic == "events.clicks" and e["action"] in DELIBERATE for topic, e in self.events
        )
        topic, latest = event
        acted = topic == "events.clicks" and latest["action"] in DELIBERATE
        if acted and deliberate % 8 == 0:
            self.look(now_ms, takes_vector=deliberate % 16 == 0)
        return Judged(event, self.state, [name for name in ORDER if name in self.reasons])

    def rest(self, now_ms: int) -> None:
        if self.state == "bot" and now_ms - self.since_ms > 6 * HOUR:
            self.state, self.strikes, self.anomalies = "suspect", 1, 0
            self.since_ms += 6 * HOUR + 1
        if self.state == "suspect" and now_ms - self.since_ms > HOUR:
            self.state, self.strikes, self.anomalies, self.reasons = "ok", 0, 0, set()

    def look(self, now_ms: int, *, takes_vector: bool) -> None:
        recent = expected_recent(self.events)[self.viewer_id]
        newest_ms = recent[0]["occurred_at_ms"]
        within = [a for a in recent if a["occurred_at_ms"] >= newest_ms - HOUR]
        chosen = [a for a in within if a["action"] in DELIBERATE]
        found = set(rules(within, chosen, self.catalog))
        self.strikes = self.strikes + 1 if found else 0
        vector = None
        if takes_vector:
            session = newest_session(self.viewer_id, self.events)
            vector = vector_of(session, now_ms, [a["occurred_at_ms"] for a in chosen])
            forest = self.in_force("anomaly/session", now_ms)
            unusual = forest is not None and score(forest, vector) >= forest[5]
            self.anomalies = self.anomalies + 1 if unusual else 0
            if unusual:
                found.add("anomaly")
        if found:
            self.reasons |= found
            self.since_ms = now_ms
            if self.state == "ok":
                self.state = "suspect"
            elif self.state == "suspect" and (self.strikes >= 2 or self.anomalies >= 8):
                self.state = "bot"
        if vector is not None and self.state != "bot":
            self.sessions.append(Session(now_ms, vector))


def judged(
    events: Iterable[Event],
    catalog: Mapping[str, Mapping[str, Any]] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[Judged], list[Session]]:
    """Return each event that is no duplicate with the verdict after it, and all sessions taken."""
    in_force = in_force_of(list(parameters))
    viewers: dict[str, Viewer] = {}
    verdicts, taken = [], []
    for event in without_duplicates(events):
        viewer_id = event[1]["viewer_id"]
        viewer = viewers.setdefault(viewer_id, Viewer(viewer_id, catalog or {}, in_force))
        before = len(viewer.sessions)
        verdicts.append(viewer.take(event))
        taken += viewer.sessions[before:]
    return verdicts, taken


def rules(
    within: list[dict[str, Any]],
    chosen: list[dict[str, Any]],
    catalog: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Yield what is found in an hour's actions, newest first."""
    times = [a["occurred_at_ms"] for a in chosen]
    if len(times) >= 15 and times[0] - times[14] < 10_000:
        yield "burst"
    if len(times) >= 21:
        gaps = [Fraction(a - b) for a, b in pairwise(times[:21])]
        mean = sum(gaps) / 20
        if sum(gap < 100 for gap in gaps) >= 10:
            yield "short_intervals"
        if sum((gap - mean) ** 2 for gap in gaps) / 20 < (mean / 5) ** 2:
            yield "regular_intervals"
    newest = chosen[:20]
    most = max(Counter(a["item_id"] for a in newest).values(), default=0)
    if most >= 15 and times[0] - times[len(newest) - 1] < 10 * MINUTE:
        yield "repeated_item"
    clicks = sum(
        a["action"] == "click" and catalog.get(a["item_id"], {}).get("kind") in WATCHABLE
        for a in within
    )
    begun = sum(a["action"] == "watch" for a in within)
    if clicks >= 25 and begun <= clicks / 10:
        yield "clicks_without_watches"


def vector_of(session: dict[str, Any], now_ms: int, times: list[int]) -> list[float]:
    """Return the vector of a session, given when the viewer acted, newest first."""
    gaps = [a - b for a, b in pairwise(times[:21])]
    spread = pace = 0.0
    if any(gaps):
        mean = sum(gaps) / len(gaps)
        deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
        spread, pace = deviation / (deviation + mean), median_high(gaps)
    length_ms = now_ms - session["started_at_ms"]
    numbers = (
        log2(1 + session["clicks"]) / 12,
        log2(1 + session["impressions"]) / 16,
        log2(1 + session["watches"]) / 12,
        log2(1 + session["watched_ms"] / 1000) / 20,
        session["clicks"] / (session["impressions"] or 1),
        session["watches"] / (session["clicks"] or 1),
        log2(1 + length_ms / 1000) / 20,
        spread,
        log2(1 + pace) / 28,
    )
    return [round(min(max(number, 0.0), 1.0), 4) for number in numbers]


def score(forest: Sequence[float], vector: Sequence[float]) -> float:
    """Score a vector by published trees."""
    trees, height, window = int(forest[1]), int(forest[2]), forest[4]
    inner, nodes = (1 << height) - 1, (2 << height) - 1
    whole = 0.0
    for tree in range(trees):
        own = forest[6 + tree * (2 * inner + nodes) :]
        node = depth = 0
        while True:
            mass = own[2 * inner + node]
            whole += mass * (1 << depth)
            if mass < window / 10 or depth == height:
                break
            on, at = own[2 * node : 2 * node + 2]
            node = 2 * node + 1 if vector[int(on)] < at else 2 * node + 2
            depth += 1
    return 1 - whole / (trees * window * nodes)
