"""The truth behind the events: who likes what, and where people look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import mul
from random import Random

from streamapp.simulate.drift import HOUR_MS, STEPS_AN_HOUR, Walk, memory

BOTS = ("burster", "metronome", "repeater", "scraper")
"""Kinds of bots, see `streamapp.simulate.bots`."""

CATEGORIES = ("drama", "comedy", "sport", "news", "music", "cooking", "fashion", "gaming")
KINDS = ("short", "vod", "live", "product")
KIND_WEIGHTS = (5, 3, 1, 1)
DEVICES = ("phone", "phone", "phone", "tv", "web")
COUNTRIES = ("DE", "FR", "BR", "KR", "IN")
ITEMS_A_CREATOR = 5

DURATION_MS: Mapping[str, tuple[int, int]] = {
    "short": (10_000, 60_000),
    "vod": (120_000, 600_000),
}
"""Shortest and longest duration by kind; the other kinds have none."""

QUALITY_SPREAD, QUALITY_MOST = 0.7, 1.5
"""Standard deviation of the quality of items, and how far from 0 it goes at most."""

SECOND_CATEGORY = 0.4
"""How much of an item's second category is in it, next to 1 of its first."""


def sigmoid(x: float) -> float:
    """Logistic function.

    >>> sigmoid(0.0)
    0.5
    """
    return 1.0 / (1.0 + math.exp(-x))


@dataclass(frozen=True, slots=True)
class Surface:
    """A place where slates are shown.

    Attributes:
        theta: probability that a viewer looks at each position, the top first.
        kinds: what it shows.
        weight: how often it is opened, relative to the others.
        one_category: a slate holds items of one category only.
        searched: slates answer a query.
    """

    name: str
    theta: tuple[float, ...]
    kinds: tuple[str, ...]
    weight: float
    one_category: bool = False
    searched: bool = False


def examination(top: float, slope: float, positions: int) -> tuple[float, ...]:
    """Return theta by position: `top` · position^−slope.

    >>> examination(1.0, 1.0, 3)
    (1.0, 0.5, 0.3333333333333333)
    """
    return tuple(top * position**-slope for position in range(1, positions + 1))


SURFACES = (
    Surface("home", examination(0.95, 0.7, 10), KINDS, 5.0),
    Surface("category", examination(0.9, 0.5, 10), KINDS, 2.0, one_category=True),
    Surface("search", examination(1.0, 1.0, 10), KINDS, 2.0, one_category=True, searched=True),
    Surface("live", examination(0.9, 0.4, 4), ("live",), 0.5),
    Surface("related", examination(0.8, 0.6, 6), ("short", "vod"), 1.0),
)


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be shown.

    Attributes:
        quality: what everybody likes in it, −1.5 to 1.5; at first, where it drifts.
        vector: share of each category in it, and last its quality.
    """

    item_id: str
    kind: str
    category: str
    creator_id: str
    duration_ms: int | None
    quality: float
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who watches.

    Attributes:
        taste: what is added to the log-odds of a click by each category, and by quality; at
            first, where it drifts.
        bot: which kind of bot the viewer is; None for a human.
    """

    viewer_id: str
    device: str
    country: str
    taste: tuple[float, ...]
    bot: str | None = None


@dataclass(slots=True)
class World:
    """Viewers, items and surfaces. Two worlds of equal arguments are equal in all they hold.

    Attributes:
        bias: log-odds of a click on an item of no particular appeal that is looked at.
        completion_bias: log-odds of a started playback of such an item being watched to its end.
        taste_spread: standard deviation of tastes; 0 makes all viewers alike.
        pace: factor on every duration and delay: 0.1 lives ten times as fast.
        bots: share of the viewers that are bots; which ones follows from the seed.
        drift: standard deviation of what an hour (times `pace`) changes in each taste, log-odds;
            qualities change as much by their own spread (see `streamapp.simulate.drift`).
        drift_from_ms: up to then all is as drawn.
    """

    seed: int
    viewers: int = 1_000
    items: int = 200
    surfaces: tuple[Surface, ...] = SURFACES
    bias: float = -1.8
    completion_bias: float = -0.5
    taste_spread: float = 1.2
    pace: float = 1.0
    bots: float = 0.0
    drift: float = 0.0
    drift_from_ms: int = 0
    catalog: tuple[Item, ...] = field(init=False)
    _viewers: dict[int, Viewer] = field(init=False, repr=False, default_factory=dict)
    _pools: dict[tuple[str, str | None], tuple[Item, ...]] = field(
        init=False, repr=False, default_factory=dict
    )
    _kept: float = field(init=False, repr=False)
    _walks: dict[str, Walk] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._kept = memory(self.drift, self.taste_spread)
        self.catalog = tuple(self._item(number) for number in range(self.items))

    def _item(self, number: int) -> Item:
        draw = Random(f"{self.seed}:item:{number}")
        first, second = draw.sample(range(len(CATEGORIES)), 2)
        quality = _bounded(draw.gauss(0.0, QUALITY_SPREAD))
        shares = [0.0] * len(CATEGORIES)
        shares[first], shares[second] = 1.0, SECOND_CATEGORY
        kind = draw.choices(KINDS, KIND_WEIGHTS)[0]
        span = DURATION_MS.get(kind)
        return Item(
            item_id=f"i{number}",
            kind=kind,
            category=CATEGORIES[first],
            creator_id=f"c{draw.randrange(max(self.items // ITEMS_A_CREATOR, 1))}",
            duration_ms=None if span is None else int(draw.uniform(*span) * self.pace),
            quality=quality,
            vector=(*shares, quality),
        )

    def viewer(self, number: int) -> Viewer:
        """Return the viewer of this number, 0 to `viewers` − 1."""
        known = self._viewers.get(number)
        if known is None:
            draw = Random(f"{self.seed}:viewer:{number}")
            taste = (*(draw.gauss(0.0, self.taste_spread) for _ in CATEGORIES), 1.0)
            device, country = draw.choice(DEVICES), draw.choice(COUNTRIES)
            bot = draw.choice(BOTS) if draw.random() < self.bots else None
            known = Viewer(f"v{number}", device, country, taste, bot)
            self._viewers[number] = known
        return known

    def taste(self, viewer: Viewer, at_ms: int) -> tuple[float, ...]:
        """Return the viewer's taste at a time."""
        if not self.drift:
            return viewer.taste
        *likes, by_quality = viewer.taste
        return (*self._at(viewer.viewer_id, tuple(likes), self.taste_spread, at_ms), by_quality)

    def quality(self, item: Item, at_ms: int) -> float:
        """Return what everybody likes in an item at a time."""
        if not self.drift:
            return item.quality
        return _bounded(self._at(item.item_id, (item.quality,), QUALITY_SPREAD, at_ms)[0])

    def _at(
        self, name: str, start: tuple[float, ...], spread: float, at_ms: int
    ) -> tuple[float, ...]:
        walk = self._walks.get(name)
        if walk is None:
            walk = Walk(f"{self.seed}:drift:{name}", start, spread, self._kept)
            self._walks[name] = walk
        return walk.at(int((at_ms - self.drift_from_ms) / (HOUR_MS * self.pace / STEPS_AN_HOUR)))

    def liking(self, viewer: Viewer, item: Item, at_ms: int) -> float:
        """Return taste · item: what the pair adds to the log-odds of a click."""
        taste = self.taste(viewer, at_ms)
        liking: float = sum(map(mul, taste, item.vector))
        if self.drift:
            liking += taste[-1] * (self.quality(item, at_ms) - item.quality)
        return liking

    def click_probability(
        self, viewer: Viewer, item: Item, surface: Surface, position: int, at_ms: int
    ) -> float:
        """Probability of a click when shown: theta(position) · sigmoid(bias + taste · item)."""
        examined = surface.theta[position - 1]
        return examined * sigmoid(self.bias + self.liking(viewer, item, at_ms))

    def completion_probability(self, viewer: Viewer, item: Item, at_ms: int) -> float:
        """Probability that a started playback of an item with a duration reaches its end."""
        return sigmoid(self.completion_bias + self.liking(viewer, item, at_ms))

    def pool(self, surface: Surface, category: str | None = None) -> tuple[Item, ...]:
        """Return what a surface may show, in a category if one is given."""
        key = (surface.name, category)
        if key not in self._pools:
            self._pools[key] = tuple(
                item
                for item in self.catalog
                if item.kind in surface.kinds and category in (None, item.category)
            )
        return self._pools[key]


def _bounded(quality: float) -> float:
    return max(-QUALITY_MOST, min(QUALITY_MOST, quality))
