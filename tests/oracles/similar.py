"""What candidates.similar must say, by brute force from the raw events in the order they merge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import NamedTuple

from tests.oracles.items import HOUR, MINUTE, Event, playbacks, without_duplicates
from tests.oracles.viewers import expected_recent

ENGAGING = ("click", "like", "share", "follow", "add_to_cart", "purchase")
LAST = 5
GAP = 30 * MINUTE
HALF_LIFE = 48 * HOUR
DOUBT = 10


class Engaged(NamedTuple):
    """An engagement that counts, and the items it is paired with, the last engaged first."""

    item_id: str
    time_ms: int
    before: tuple[str, ...]


def expected_engagements(events: Iterable[Event]) -> list[Engaged]:
    """Return the engagements that count, of events in the order they are merged."""
    unique = without_duplicates(events)
    begun = {id(heartbeats[0]) for heartbeats in playbacks(unique)}
    found = []
    for number, (topic, event) in enumerate(unique):
        engages = id(event) in begun or event.get("action") in ENGAGING
        if topic == "events.impressions" or not engages:
            continue
        mine = [e for e in unique[:number] if e[1]["viewer_id"] == event["viewer_id"]]
        before = _engaged_before(mine, event["occurred_at_ms"])
        if event["item_id"] not in before:
            found.append(Engaged(event["item_id"], event["occurred_at_ms"], before))
    return found


def _engaged_before(mine: Sequence[Event], time_ms: int) -> tuple[str, ...]:
    """Return the items a viewer last engaged in the session of this time, from what came before."""
    from_ms, to_ms = _session([event["occurred_at_ms"] for _, event in mine], time_ms)
    actions = [action for of in expected_recent(mine).values() for action in of]
    items = [
        action["item_id"]
        for action in actions
        if action["action"] not in ("hide", "report")
        and from_ms <= action["occurred_at_ms"] <= to_ms
    ]
    return tuple(dict.fromkeys(items))[:LAST]


def _session(times: Iterable[int], time_ms: int) -> tuple[int, int]:
    """Return from when to when a session is: all that gaps of under 30 min lead to from a time."""
    session = {time_ms}
    others = set(times)
    while near := {t for t in others - session if any(abs(t - known) < GAP for known in session)}:
        session |= near
    return min(session), max(session)


def expected_similar(
    engagements: Iterable[Engaged], at_ms: int, inactive: Iterable[str] = ()
) -> dict[str, dict[str, float]]:
    """Return the score of every item for every other that it is similar to, as at a time."""
    sessions: dict[str, float] = defaultdict(float)
    together: dict[tuple[str, str], float] = defaultdict(float)
    for item_id, time_ms, before in engagements:
        weight = 2.0 ** (-(at_ms - time_ms // MINUTE * MINUTE) / HALF_LIFE)
        sessions[item_id] += weight
        for other in before:
            together[item_id, other] += weight
            together[other, item_id] += weight
    similar: dict[str, dict[str, float]] = defaultdict(dict)
    for (one, other), of_both in together.items():
        if not {one, other}.intersection(inactive):
            of_each = (sessions[one] + DOUBT) * (sessions[other] + DOUBT)
            similar[one][other] = of_both / sqrt(of_each)
    return dict(similar)
