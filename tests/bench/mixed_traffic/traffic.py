"""The input: what a busy platform sends, 30 % slates of ten items, 20 % clicks, 50 % heartbeats.

Viewers and items are drawn by a Zipf law. A click mostly answers the viewer's last slate, and a
heartbeat moves on the playback the viewer is at, so joins and labels are made as in production.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, repeat

import orjson

BEGIN_MS = 1_700_000_000_000
SLOTS = 10
HEARTBEATS = 5
"""Of a playback: a start, progress, and a complete or an exit."""

ZIPF = 0.9
SEED = 11
CATEGORIES, CREATORS, DURATION_MS = 20, 5_000, 60_000
DRAWN_AT_ONCE = 10_000

Sent = tuple[str, bytes, bytes]
"""Topic, key and value."""


@dataclass(frozen=True)
class Mixed:
    """Traffic of so many events.

    Attributes:
        per_second: of event time; how fast it is sent is another matter.
    """

    events: int
    viewers: int = 200_000
    items: int = 50_000
    per_second: int = 10_000

    def catalog(self) -> Iterator[Sent]:
        """Yield the catalog record of each item."""
        for number in range(self.items):
            item = {
                "item_id": _item(number),
                "kind": "short",
                "creator_id": f"creator-{number % CREATORS}",
                "category": f"category-{number % CATEGORIES}",
                "duration_ms": DURATION_MS,
                "status": "active",
            }
            yield "catalog.items", _item(number).encode(), orjson.dumps(item)

    def records(self) -> Iterator[Sent]:
        """Yield the events in order of event time, one event in `1 / per_second`."""
        rng = random.Random(SEED)
        viewers, items = _zipf(rng, self.viewers), _zipf(rng, self.items)
        slates: dict[int, tuple[str, list[int]]] = {}
        playing: dict[int, tuple[int, int]] = {}
        for number, viewer in zip(range(self.events), viewers, strict=False):
            event: dict[str, object] = {
                "event_id": f"e{number:010d}",
                "occurred_at_ms": BEGIN_MS + number * 1_000 // self.per_second,
                "viewer_id": f"viewer-{viewer:07d}",
                "surface": "home",
                "device": "tv" if viewer % 3 else "mobile",
            }
            kind = rng.random()
            if kind < 0.3:
                topic, shown = "events.impressions", [next(items) for _ in range(SLOTS)]
                request = f"r{number:010d}"
                slates[viewer] = request, shown
                event["request_id"] = request
                event["items"] = [
                    {"item_id": _item(item), "position": place}
                    for place, item in enumerate(shown, 1)
                ]
            elif kind < 0.5:
                topic = "events.clicks"
                event["action"] = "click" if rng.random() < 0.8 else "like"
                slate = slates.get(viewer)
                if slate is None:
                    event["item_id"] = _item(next(items))
                else:
                    event["request_id"] = slate[0]
                    event["item_id"] = _item(rng.choice(slate[1]))
            else:
                topic = "events.watches"
                item, beat = playing.get(viewer, (-1, HEARTBEATS))
                item, beat = (next(items), 0) if beat == HEARTBEATS else (item, beat)
                playing[viewer] = item, beat + 1
                event |= _heartbeat(viewer, item, beat)
            yield topic, str(event["viewer_id"]).encode(), orjson.dumps(event)


def _heartbeat(viewer: int, item: int, beat: int) -> dict[str, object]:
    last = beat == HEARTBEATS - 1
    state = ("complete" if item % 2 else "exit") if last else ("progress" if beat else "start")
    return {
        "item_id": _item(item),
        "playback_id": f"p{viewer}-{item}",
        "state": state,
        "watched_ms": beat * DURATION_MS // HEARTBEATS,
        "duration_ms": DURATION_MS,
    }


def _item(number: int) -> str:
    return f"item-{number:07d}"


def _zipf(rng: random.Random, count: int) -> Iterator[int]:
    weights = list(accumulate((rank + 1) ** -ZIPF for rank in range(count)))
    for _ in repeat(None):
        yield from rng.choices(range(count), cum_weights=weights, k=DRAWN_AT_ONCE)
