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
    actions: tuple[str, ...] = ()


class ExpectedCompletion(NamedTuple):
    """What must be said of one item that was played."""

    viewer_id: str
    request_id: str
    item_id: str
    position: int
    served_at_ms: int
    labelled_at_ms: int
    clicked: bool
    watched_ms: int
    completed: bool
    watched_share: float | None


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
    done = _done(unique, reached, window_ms)
    examples = []
    for i, (topic, event) in enumerate(unique):
        if topic != "events.impressions" or _comes_late(unique, i):
            continue
        due_ms = event["occurred_at_ms"] + window_ms(event["surface"])
        if end_ms > due_ms:
            for slot, shown in enumerate(event["items"]):
                actions = done[i, slot]
                examples.append(
                    ExpectedExample(
                        event["viewer_id"],
                        event["request_id"],
                        shown["item_id"],
                        shown["position"],
                        event["occurred_at_ms"],
                        due_ms,
                        "click" in actions,
                        tuple(sorted(actions - {"click"})),
                    )
                )
    return sorted(examples)


def expected_completions(
    events: Iterable[Event],
    window_ms: Callable[[str], int],
    stream_time_ms: float | None = None,
) -> list[ExpectedCompletion]:
    """Return the examples of the playbacks that slates led to and whose time is over, sorted."""
    unique = without_duplicates(events)
    times = [event["occurred_at_ms"] for _, event in unique]
    reached = [max(times[: i + 1]) for i in range(len(times))]
    end_ms = max(times, default=0) if stream_time_ms is None else stream_time_ms
    done, begun = _done(unique, reached, window_ms), _begun(unique, reached, window_ms)
    examples = []
    for shown in dict.fromkeys(shown for shown, _ in begun):
        impression = unique[shown][1]
        served_ms = impression["occurred_at_ms"]
        window_over_ms = served_ms + window_ms(impression["surface"])
        mine = {slot: beats for (of, slot), beats in begun.items() if of == shown}
        durations = [
            _duration([beat for i, beat in beats if reached[i] <= window_over_ms])
            for beats in mine.values()
        ]
        due_ms = served_ms + min(max(durations), 12 * 60 * MINUTE) + 30 * MINUTE
        if end_ms <= due_ms:
            continue
        for slot, beats in mine.items():
            known = [beat for i, beat in beats if reached[i] <= due_ms]
            watched_ms, duration_ms = max(beat["watched_ms"] for beat in known), _duration(known)
            examples.append(
                ExpectedCompletion(
                    impression["viewer_id"],
                    impression["request_id"],
                    impression["items"][slot]["item_id"],
                    impression["items"][slot]["position"],
                    served_ms,
                    due_ms,
                    "click" in done[shown, slot],
                    watched_ms,
                    is_complete(known),
                    min(watched_ms / duration_ms, 1.0) if duration_ms else None,
                )
            )
    return sorted(examples, key=str)


def _duration(beats: list[dict[str, Any]]) -> int:
    """Return the duration last said, 0 if none was."""
    said = [beat["duration_ms"] for beat in beats if beat.get("duration_ms")]
    return said[-1] if said else 0


def _begun(
    events: list[Event], reached: list[int], window_ms: Callable[[str], int]
) -> dict[tuple[int, int], list[tuple[int, dict[str, Any]]]]:
    """Return the heartbeats, with their places, of the playback that each slot led to first."""
    place = {id(event): i for i, (_, event) in enumerate(events)}
    begun: dict[tuple[int, int], list[tuple[int, dict[str, Any]]]] = {}
    for beats in sorted(playbacks(events), key=lambda beats: place[id(beats[0])]):
        first, event = place[id(beats[0])], beats[0]
        found = _open_slot(events, first, event, reached, window_ms)
        if found is not None and not _comes_late(events, found[0]):
            begun.setdefault(found, [(place[id(beat)], beat) for beat in beats])
    return begun


def _comes_late(events: list[Event], i: int) -> bool:
    """Say whether a later event of its viewer came before an event."""
    mine = events[i][1]
    return any(
        other["viewer_id"] == mine["viewer_id"] and other["occurred_at_ms"] > mine["occurred_at_ms"]
        for _, other in events[:i]
    )


def _done(
    events: list[Event], reached: list[int], window_ms: Callable[[str], int]
) -> dict[tuple[int, int], set[str]]:
    """Return what was done in time by slot: index of the impression, index of the slot."""
    done: dict[tuple[int, int], set[str]] = defaultdict(set)
    for i, (topic, event) in enumerate(events):
        if topic == "events.clicks":
            found = _open_slot(events, i, event, reached, window_ms)
            if found is not None:
                done[found].add(event["action"])
    return done


def _open_slot(
    events: list[Event],
    i: int,
    event: dict[str, Any],
    reached: list[int],
    window_ms: Callable[[str], int],
) -> tuple[int, int] | None:
    """Return the slot that the event of a place belongs to, if it comes in time."""
    shown = _shown_last(events[:i], event)
    if shown is None:
        return None
    impression = events[shown][1]
    due_ms = impression["occurred_at_ms"] + window_ms(impression["surface"])
    return (shown, _slot(impression, event)) if reached[i] <= due_ms else None


def _shown_last(events: list[Event], click: dict[str, Any]) -> int | None:
    """Return which impression an action or playback belongs to."""
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
