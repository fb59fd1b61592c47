"""Hypothesis strategies: viewers who act like machines for a while, and like people for a while."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.oracles.items import HOUR, MINUTE, Event
from tests.oracles.worlds import ACTIONS, START

ITEMS = ("i1", "i2", "i3", "i4", 'i"5')
CATALOG = {
    "i1": {"status": "active", "kind": "short"},
    "i2": {"status": "active", "kind": "vod"},
    "i3": {"status": "active", "kind": "live"},
    "i4": {"status": "active", "kind": "product"},
}
_gaps = st.sampled_from(((0, 40), (95, 105), (700, 720), (5_000, 5_300), (0, 4_000), (1, 60_000)))
_pauses = st.sampled_from(
    (0, 1_000, MINUTE, 29 * MINUTE, HOUR, HOUR + 1, 6 * HOUR, 6 * HOUR + 20 * MINUTE, 8 * HOUR)
)


@st.composite
def haunts(draw: DrawFn, viewers: tuple[str, ...] = ("v1", "v:2")) -> list[Event]:
    """Return events in the order they come: some late, some twice."""
    events: list[Event] = []
    for viewer_id in viewers:
        at_ms = START
        for _ in range(draw(st.integers(1, 4))):
            at_ms = _stretch(draw, events, viewer_id, at_ms) + draw(_pauses)
    events.sort(key=lambda event: event[1]["occurred_at_ms"])
    for _ in range(draw(st.integers(0, 6))):
        event = events.pop(draw(st.integers(0, len(events) - 1)))
        if event[0] != "events.watches":
            events.insert(draw(st.integers(0, len(events))), event)
    return events + draw(st.lists(st.sampled_from(events), max_size=3))


def _stretch(draw: DrawFn, events: list[Event], viewer_id: str, at_ms: int) -> int:
    """Add what a viewer does in one manner; returns when it ends."""
    low, high = draw(_gaps)
    items = draw(st.sampled_from((ITEMS[:1], ITEMS[:3], ITEMS)))
    actions = draw(st.sampled_from((("click",), ("click",), ACTIONS)))
    shown, played = draw(st.booleans()), draw(st.sampled_from((0.0, 0.05, 0.5)))
    random = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 36))):
        at_ms += random.randint(low, high)
        item_id = random.choice(items)
        if shown and random.random() < 0.3:
            slots = [{"item_id": item, "position": at} for at, item in enumerate(ITEMS, 1)]
            _add(events, "events.impressions", viewer_id, at_ms, items=slots)
        action = random.choice(actions)
        _add(events, "events.clicks", viewer_id, at_ms, item_id=item_id, action=action)
        if random.random() < played:
            _play(events, viewer_id, at_ms, item_id, random.randint(0, 20_000))
    return at_ms


def _play(events: list[Event], viewer_id: str, at_ms: int, item_id: str, watched_ms: int) -> None:
    playback_id = f"p{len(events)}"
    for state, ms in (("start", 0), ("exit", watched_ms)):
        _add(
            events,
            "events.watches",
            viewer_id,
            at_ms + ms,
            item_id=item_id,
            playback_id=playback_id,
            state=state,
            watched_ms=ms,
            duration_ms=60_000,
        )


def _add(events: list[Event], topic: str, viewer_id: str, at_ms: int, **fields: Any) -> None:
    number = len(events)
    event = {"event_id": f"e{number}", "viewer_id": viewer_id, "occurred_at_ms": at_ms}
    if topic == "events.impressions":
        event |= {"request_id": f"r{number}", "surface": "home"}
    events.append((topic, event | fields))
