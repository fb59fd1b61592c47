"""What signals.viewers and training.examples must say, by brute force from the raw events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.oracles.items import MINUTE, Event, is_complete, playbacks, without_duplicates

LAST = 50


def expected_recent(events: Iterable[Event]) -> dict[str, list[dict[str, Any]]]:
    """Return each viewer's last 50 actions, newest first, whatever the order of the events.

    A playback is a `watch` at its first heartbeat, and a `complete` at the one that made it so.
    """
    unique = without_duplicates(events)
    actions: dict[str, list[tuple[int, str, int, str, str]]] = defaultdict(list)
    for topic, event in unique:
        mine = actions[event["viewer_id"]]
        if topic == "events.clicks":
            mine.append(_place(event, 0, event["action"]))
    for heartbeats in playbacks(unique):
        mine = actions[heartbeats[0]["viewer_id"]]
        mine.append(_place(heartbeats[0], 1, "watch"))
        complete = [i for i in range(len(heartbeats)) if is_complete(heartbeats[: i + 1])]
        if complete:
            mine.append(_place(heartbeats[complete[0]], 2, "complete"))
    return {
        viewer_id: [
            {"item_id": item_id, "action": action, "occurred_at_ms": time_ms}
            for time_ms, _, _, action, item_id in sorted(mine, reverse=True)[:LAST]
        ]
        for viewer_id, mine in actions.items()
    }


def _place(event: dict[str, Any], rank: int, action: str) -> tuple[int, str, int, str, str]:
    return event["occurred_at_ms"], event["event_id"], rank, action, event["item_id"]


class ExpectedExample(NamedTuple):
    """What must be said of one shown item."""

    viewer_id: str
    request_id: str
    item_id: str
    position: int
    served_at_ms: int
    labelled_at_ms: int
    clicked: bool


def expected_examples(
    events: Iterable[Event],
    window_ms: Callable[[str], int],
    stream_time_ms: float | None = None,
) -> list[ExpectedExample]:
    """Return the examples of all slates whose window has closed, sorted.

    Labels depend on the order in which the events are merged: they are given in that order.

    Args:
        window_ms: click window of a surface.
        stream_time_ms: how far stream time has gone; by default to the newest event.
    """
    unique = without_duplicates(events)
    times = [event["occurred_at_ms"] for _, event in unique]
    reached = [max(times[: i + 1]) for i in range(len(times))]
    end_ms = max(times, default=0) if stream_time_ms is None else stream_time_ms
    clicked = _clicked(unique, reached, window_ms)
    examples = []
    for i, (topic, event) in enumerate(unique):
        if topic != "events.impressions" or _comes_late(unique, i):
            continue
        due_ms = event["occurred_at_ms"] + window_ms(event["surface"])
        if end_ms > due_ms:
            for slot, shown in enumerate(event["items"]):
                examples.append(
                    ExpectedExample(
                        event["viewer_id"],
                        event["request_id"],
                        shown["item_id"],
                        shown["position"],
                        event["occurred_at_ms"],
                        due_ms,
                        (i, slot) in clicked,
                    )
                )
    return sorted(examples)


def _comes_late(events: list[Event], i: int) -> bool:
    """Say whether a later event of its viewer came before an event."""
    mine = events[i][1]
    return any(
        other["viewer_id"] == mine["viewer_id"] and other["occurred_at_ms"] > mine["occurred_at_ms"]
        for _, other in events[:i]
    )


def _clicked(
    events: list[Event], reached: list[int], window_ms: Callable[[str], int]
) -> set[tuple[int, int]]:
    """Return the slots clicked in time: index of the impression, index of the slot."""
    clicked = set()
    for i, (topic, click) in enumerate(events):
        if topic != "events.clicks" or click["action"] != "click":
            continue
        shown = _shown_last(events[:i], click)
        if shown is None:
            continue
        impression = events[shown][1]
        due_ms = impression["occurred_at_ms"] + window_ms(impression["surface"])
        if reached[i] <= due_ms:
            clicked.add((shown, _slot(impression, click)))
    return clicked


def _shown_last(events: list[Event], click: dict[str, Any]) -> int | None:
    """Return which impression a click belongs to."""
    request_id = click.get("request_id")
    candidates = []
    for i, (topic, event) in enumerate(events):
        if topic != "events.impressions" or event["viewer_id"] != click["viewer_id"]:
            continue
        age_ms = click["occurred_at_ms"] - event["occurred_at_ms"]
        in_reach = (
            age_ms <= 30 * MINUTE if request_id is None else event["request_id"] == request_id
        )
        if (
            age_ms >= 0
            and in_reach
            and any(s["item_id"] == click["item_id"] for s in event["items"])
        ):
            candidates.append((event["occurred_at_ms"], i))
    return max(candidates)[1] if candidates else None


def _slot(impression: dict[str, Any], click: dict[str, Any]) -> int:
    slots = [
        (slot["position"] != click.get("position"), slot["position"], i)
        for i, slot in enumerate(impression["items"])
        if slot["item_id"] == click["item_id"]
    ]
    return min(slots)[-1]
