"""What a viewer does in one visit, as events in the order they happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, NamedTuple, Protocol

from streamapp.simulate.slates import Placed, Ranker, shuffled
from streamapp.simulate.world import CATEGORIES, Item, Surface, Viewer, World

IMPRESSIONS = "events.impressions"
CLICKS = "events.clicks"
WATCHES = "events.watches"


_SLOT = ("score", "propensity", "features")


class Happening(NamedTuple):
    """An event on the viewer's device, not yet sent.

    Attributes:
        chain: events of one chain (the heartbeats of one playback) are delivered in order.
    """

    topic: str
    event: dict[str, Any]
    chain: str | None = None


class Behaviour(Protocol):
    """One way of using the platform."""

    def visit(
        self, world: World, viewer: Viewer, visit_id: str, at_ms: int, draw: Random
    ) -> list[Happening]:
        """Return what the viewer does from `at_ms` on; ids begin with `visit_id`."""


@dataclass(frozen=True, slots=True)
class Human:
    """Opens a surface, looks at slates from the top, clicks what appeals, then watches it.

    One thing at a time: what was clicked is watched one after the other, then comes the next
    slate. The truth of a click is `World.click_probability`; it comes `reaction_ms` and an
    exponential time of mean `click_delay_ms` after its slate, so within a window w with
    probability 1 − e^(−(w − reaction)/mean). All times but the reaction are multiplied by the
    world's `pace`.

    Attributes:
        next_slate: probability of asking for another slate after one.
        request_ids: share of the actions and playbacks that name the slate they come from.
        heartbeat_ms: time between two heartbeats of a playback.
        silent_ends: share of the playbacks that end without a word.
        experiments: variant by experiment, as all events say it.
        likes: probability of a like after a click, as are shares, follows and carts;
            purchases come after carts, hides after no click on an item that was shown.
    """

    ranker: Ranker = shuffled
    reaction_ms: int = 700
    click_delay_ms: float = 1_500.0
    slate_gap_ms: float = 20_000.0
    next_slate: float = 0.7
    request_ids: float = 0.9
    heartbeat_ms: int = 30_000
    live_ms: float = 90_000.0
    silent_ends: float = 0.05
    empty_searches: float = 0.03
    experiments: Mapping[str, str] | None = None
    likes: float = 0.15
    shares: float = 0.03
    follows: float = 0.02
    carts: float = 0.3
    purchases: float = 0.3
    hides: float = 0.002
    reports: float = 0.0005

    def visit(
        self, world: World, viewer: Viewer, visit_id: str, at_ms: int, draw: Random
    ) -> list[Happening]:
        """Return the slates of one visit with all that follows from them, by event time."""
        scene = Scene(world, viewer, visit_id, draw, self.experiments)
        while True:
            at_ms = self.slate(scene, at_ms) + scene.pause(self.slate_gap_ms)
            if draw.random() >= self.next_slate:
                break
        return scene.in_order()

    def slate(self, scene: Scene, at_ms: int) -> int:
        """Play one slate with all that follows from it; returns when the viewer is done with it."""
        world, draw = scene.world, scene.draw
        surface = draw.choices(world.surfaces, [s.weight for s in world.surfaces])[0]
        category = draw.choice(CATEGORIES) if surface.one_category else None
        query = f"{category} {draw.choice(('best', 'New', 'live'))}" if surface.searched else None
        pool = world.pool(surface, category)
        if surface.searched and draw.random() < self.empty_searches:
            pool, query = (), f"{query} xyz"
        placed = self.ranker(world, scene.viewer, surface, pool, at_ms, draw)
        request_id = scene.show(surface, placed, query, at_ms)
        clicked = []
        for position, slot in enumerate(placed, 1):
            shown = Shown(slot.item, surface, position, request_id, query)
            clicked += self._look(scene, shown, at_ms)
        busy_until = at_ms + self.reaction_ms
        for clicked_at, shown in sorted(clicked, key=lambda click: click[0]):
            busy_until = max(busy_until, clicked_at)
            if shown.item.kind != "product":
                busy_until = self._watch(scene, shown, busy_until + scene.pause(500))
        return busy_until

    def _look(self, scene: Scene, shown: Shown, at_ms: int) -> list[tuple[int, Shown]]:
        """Let the viewer act on one shown item; returns when it was clicked, if it was."""
        draw, item = scene.draw, shown.item
        chance = scene.world.click_probability(
            scene.viewer, item, shown.surface, shown.position, at_ms
        )
        at_ms += self.reaction_ms + scene.pause(self.click_delay_ms)
        if draw.random() >= chance:
            if draw.random() < self.hides:
                scene.act("hide", shown, at_ms)
            if draw.random() < self.reports:
                scene.act("report", shown, at_ms, reason="misleading")
            return []
        if draw.random() >= self.request_ids:
            shown = shown._replace(request_id=None)
        scene.act("click", shown, at_ms)
        self._follow_up(scene, shown, at_ms)
        return [(at_ms, shown)]

    def _follow_up(self, scene: Scene, shown: Shown, at_ms: int) -> None:
        draw = scene.draw
        for action, chance in (
            ("like", self.likes),
            ("share", self.shares),
            ("follow", self.follows),
        ):
            if draw.random() < chance:
                scene.act(action, shown, at_ms + scene.pause(5_000))
        if shown.item.kind == "product" and draw.random() < self.carts:
            at_ms += scene.pause(10_000)
            scene.act("add_to_cart", shown, at_ms)
            if draw.random() < self.purchases:
                price = round(draw.uniform(5, 120), 2)
                scene.act("purchase", shown, at_ms + scene.pause(30_000), price=price)

    def _watch(self, scene: Scene, shown: Shown, at_ms: int) -> int:
        """Play one playback; returns when it ends."""
        draw, item = scene.draw, shown.item
        completes = False
        if item.duration_ms is None:
            watched = scene.pause(self.live_ms)
        else:
            chance = scene.world.completion_probability(scene.viewer, item, at_ms)
            completes = draw.random() < chance
            # Below the share from which a playback counts as complete.
            share = 1.0 if completes else 0.9 * draw.random()
            watched = int(item.duration_ms * share)
        last = "complete" if completes else "exit"
        if not completes and draw.random() < self.silent_ends:
            last = "progress"
        every = max(int(self.heartbeat_ms * scene.world.pace), 1)
        beats = [("start", 0), *(("progress", t) for t in range(every, watched, every))]
        scene.play(shown, at_ms, [*beats, (last, watched)])
        return at_ms + watched


class Shown(NamedTuple):
    """An item where the viewer met it."""

    item: Item
    surface: Surface
    position: int
    request_id: str | None
    query: str | None


class Scene:
    """One visit being played: makes ids and events, and keeps what happened.

    Attributes:
        happened: events so far, in the order they were thought of.
    """

    def __init__(
        self,
        world: World,
        viewer: Viewer,
        visit_id: str,
        draw: Random,
        experiments: Mapping[str, str] | None = None,
    ) -> None:
        self.world = world
        self.viewer = viewer
        self.draw = draw
        self.happened: list[Happening] = []
        self._visit_id = visit_id
        self._experiments = experiments
        self._ids: Iterator[int] = count()

    def in_order(self) -> list[Happening]:
        """Return what happened by event time."""
        return sorted(self.happened, key=lambda happening: happening.event["occurred_at_ms"])

    def pause(self, mean_ms: float) -> int:
        """Draw a waiting time, ms: exponential, at least 1."""
        return 1 + int(self.draw.expovariate(1.0) * mean_ms * self.world.pace)

    def show(self, surface: Surface, placed: list[Placed], query: str | None, at_ms: int) -> str:
        """Add a slate; returns its request_id."""
        request_id = f"{self._visit_id}-r{next(self._ids)}"
        slots = [
            _given({"item_id": item.item_id, "position": at, **dict(zip(_SLOT, told, strict=True))})
            for at, (item, *told) in enumerate(placed, 1)
        ]
        extra = {"request_id": request_id, "items": slots, "query": query}
        self._add(IMPRESSIONS, surface, at_ms, extra)
        return request_id

    def act(self, action: str, shown: Shown, at_ms: int, **extra: Any) -> None:
        """Add an action on an item."""
        named = {"action": action, **self._place(shown), "position": shown.position}
        self._add(CLICKS, shown.surface, at_ms, {**named, "query": shown.query, **extra})

    def play(self, shown: Shown, at_ms: int, beats: list[tuple[str, int]]) -> None:
        """Add a playback: its heartbeats as (state, watched ms)."""
        playback_id = f"{self._visit_id}-p{next(self._ids)}"
        fixed = {
            **self._place(shown),
            "playback_id": playback_id,
            "duration_ms": shown.item.duration_ms,
            "live": True if shown.item.kind == "live" else None,
        }
        for state, watched_ms in beats:
            beat = {**fixed, "state": state, "watched_ms": watched_ms}
            self._add(WATCHES, shown.surface, at_ms + watched_ms, beat, playback_id)

    def _place(self, shown: Shown) -> dict[str, Any]:
        return {"item_id": shown.item.item_id, "request_id": shown.request_id}

    def _add(
        self,
        topic: str,
        surface: Surface,
        at_ms: int,
        extra: dict[str, Any],
        chain: str | None = None,
    ) -> None:
        event = {
            "event_id": f"{self._visit_id}-{next(self._ids)}",
            "occurred_at_ms": at_ms,
            "viewer_id": self.viewer.viewer_id,
            "session_id": self._visit_id,
            "surface": surface.name,
            "device": self.viewer.device,
            "country": self.viewer.country,
            "experiments": self._experiments,
            **extra,
        }
        self.happened.append(Happening(topic, _given(event), chain))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
