"""The input: viewers who did all that is remembered of a viewer, and items that many watched.

A viewer's history is `EVENTS` events in three sessions within a day, ten times these::

    a slate of 10 items ─ click ─ start ─ click ─ complete ─ a like or a hide

So the last 50 actions are there, 100 items seen, 5 hidden, as many creators as are kept and nearly
as many categories, and all event ids and the searches' journal of a day. `HIDES` more actions fill
the list of hidden items, as hardly anyone does.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from random import Random

import orjson

from streamapp.features.distinct import pack
from streamapp.features.rates import COUNTERS

BEGIN_MS = 1_700_000_000_000
MINUTE_MS = 60_000
SESSION_EVERY_MS = 360 * MINUTE_MS
SLATES, SLOTS, SESSIONS = 10, 10, 3
EACH_SLATE = ("slate", "click", "start", "click", "complete", "other")
"""`other` is a like or a hide."""

DONE = EACH_SLATE * SLATES
EVENTS = len(DONE)
HIDES = 45
CATEGORIES, CREATORS = 20, 5_000
CATALOG_ITEMS = 50_000
DAY_MS = SESSIONS * SESSION_EVERY_MS

Sent = tuple[str, bytes]
"""Topic and value."""


def item_id(number: int) -> str:
    return f"item-{number:07d}"


def viewer_id(number: int) -> str:
    return f"viewer-{number:07d}"


def catalog_record(number: int) -> bytes:
    """Return the catalog record of an item."""
    return orjson.dumps(
        {
            "item_id": item_id(number),
            "kind": "short",
            "creator_id": f"creator-{number % CREATORS}",
            "category": f"category-{number % CATEGORIES}",
            "duration_ms": MINUTE_MS,
            "status": "active",
        }
    )


def event_of(viewer: int, step: int, begin_ms: int) -> Sent:
    """Return what a viewer does in a step of the history, a minute after the one before."""
    slate, kind = step // len(EACH_SLATE), DONE[step]
    draw = Random(f"{viewer} {slate}")
    shown = [draw.randrange(CATALOG_ITEMS) for _ in range(SLOTS)]
    watched, acted_on = draw.choice(shown), shown[step % SLOTS]
    event: dict[str, object] = {
        "event_id": f"e{viewer:07d}-{step:03d}",
        "occurred_at_ms": begin_ms + _after_ms(step) + viewer % 1_000,
        "viewer_id": viewer_id(viewer),
        "surface": "home",
        "device": "tv" if viewer % 3 else "mobile",
        "request_id": f"r{viewer:07d}-{slate:03d}",
    }
    if kind == "slate":
        places = enumerate(shown, 1)
        event["items"] = [{"item_id": item_id(item), "position": at} for at, item in places]
        return "events.impressions", orjson.dumps(event)
    if kind in ("click", "other"):
        action = "click" if kind == "click" else ("hide" if slate % 2 else "like")
        event |= {"action": action, "item_id": item_id(acted_on)}
        return "events.clicks", orjson.dumps(event)
    event |= {
        "item_id": item_id(watched),
        "playback_id": f"p{viewer:07d}-{slate:03d}",
        "state": kind,
        "watched_ms": 0 if kind == "start" else MINUTE_MS,
        "duration_ms": MINUTE_MS,
    }
    return "events.watches", orjson.dumps(event)


def _after_ms(step: int) -> int:
    session, minute = divmod(step, -(-EVENTS // SESSIONS))
    return session * SESSION_EVERY_MS + minute * MINUTE_MS


def later_event(viewer: int, number: int, at_ms: int) -> Sent:
    """Return an event that comes on top of a history: any step of it, told apart by its number."""
    topic, value = event_of(viewer, number % EVENTS, at_ms)
    event = orjson.loads(value)
    event |= {"event_id": f"n{number:09d}", "occurred_at_ms": at_ms}
    event["request_id"] += f"-{number}"
    return topic, orjson.dumps(event)


def hide_of(viewer: int, number: int, at_ms: int) -> Sent:
    """Return one of the actions that fill the list of hidden items."""
    event = {
        "event_id": f"h{viewer:07d}-{number:03d}",
        "occurred_at_ms": at_ms,
        "viewer_id": viewer_id(viewer),
        "item_id": item_id(Random(f"{viewer} hides {number}").randrange(CATALOG_ITEMS)),
        "action": "hide",
    }
    return "events.clicks", orjson.dumps(event)


def deltas(item: int, at_ms: int, viewers: int) -> bytes:
    """Return what one commit says of an item: something of each counter, from so many viewers."""
    who = _packed(item // 1_000 * 1_000, viewers)
    return orjson.dumps(
        {
            "item_id": item_id(item),
            "as_of_ms": at_ms,
            "first_ms": at_ms - 1_000,
            "deltas": {counter: [5.0, 4.0, 4.5, 5.0] for counter in COUNTERS},
            "viewers": b64encode(who).decode(),
        }
    )


@lru_cache(maxsize=4)
def _packed(first: int, count: int) -> bytes:
    return pack(viewer_id(number) for number in range(first, first + count))
