"""Coordinates of many items for one viewer: what they share is computed once.

The coordinates of an item shown to a viewer come of these kinds of feature::

    shared         viewer, surface, position, device, what the viewer did of late   once a request
    own            item, category, creator_id, ctr, velocity, …     once, until its signal changes
    of a category  same_category, affinity_category               once a request and category
    of a creator   affinity_creator                               once a request and creator
    of both        query_match                                    once an item

A cross is of the kind that its two sides make together: viewer and category make a category's,
category and creator both's. Together they are those that `Encoder.indices` gives for all features
at once, at position 1: each coordinate once, though several tokens may fall on it.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from streamapp.events import CatalogItem
from streamapp.features.serving import (
    GROUPS,
    ITEM_SIGNALS,
    Features,
    ViewerFeatures,
    item_features,
    of_category,
    of_creator,
    of_title,
)
from streamapp.learning.features import MAX_BITS, Encoder
from streamapp.reader.tokens import Named, Tokens
from streamapp.reader.weights import Coordinates
from streamapp.signals import ItemSignal

OF_ITEM = frozenset(
    {"item"}.union(*(GROUPS[group].features for group in ("catalog", "item signals")))
)
"""Features that depend on the item alone."""

_SIDES = {
    **dict.fromkeys(OF_ITEM | {"query_match"}, "both"),
    **dict.fromkeys(
        ("category", "same_category", "affinity_category", "affinity_category_6h"), "category"
    ),
    **dict.fromkeys(("creator_id", "affinity_creator", "affinity_creator_6h"), "creator_id"),
}
"""What makes a feature together with the viewer; those that nothing but the viewer makes are not
listed."""


_SIZE = 8
"""Bytes of a packed coordinate."""

_HASHED = (1 << MAX_BITS) - 1


def kind_of(cross: tuple[str, str]) -> str:
    """Return what a cross depends on: shared, own, category, creator_id or both."""
    if OF_ITEM.issuperset(cross):
        return "own"
    sides = {_SIDES[name] for name in cross if name in _SIDES}
    return "both" if len(sides) > 1 else next(iter(sides), "shared")


class Catalogued(msgspec.Struct, frozen=True, gc=False):
    """What the catalog alone makes of an item.

    Attributes:
        category, creator_id, title: as the catalog has them.
        on: coordinates of its tokens, and of that of the item itself, packed.
        crossed: those tokens that are crossed item by item, by name.
    """

    category: str | None
    creator_id: str | None
    title: str | None
    on: bytes
    crossed: Named


class ItemPart(msgspec.Struct, frozen=True, gc=False):
    """What is the same whoever an item is shown to.

    Attributes:
        signal, known: what it was made from.
        catalogued: of the latter.
        own: coordinates of all its tokens, and of the crosses among them, packed.
        crossed: those tokens that are crossed item by item, by name.
    """

    signal: ItemSignal | None
    known: CatalogItem | None
    catalogued: Catalogued
    own: bytes
    crossed: Named


class ItemParts:
    """Parts of items as one encoder has them; of too many the oldest are forgotten."""

    def __init__(self, encoder: Encoder, capacity: int) -> None:
        self.encoder = encoder
        self.tokens = Tokens(encoder)
        self.crosses = {
            kind: [cross for cross in encoder.spec.crosses if kind_of(cross) == kind]
            for kind in ("shared", "own", "category", "creator_id", "both")
        }
        by_item = chain.from_iterable(self.crosses["own"] + self.crosses["both"])
        self._crossed = OF_ITEM.intersection(by_item)
        self._capacity = capacity
        # Oldest first; a plain dict finds its first slowly after deletions.
        self._parts: OrderedDict[str, ItemPart] = OrderedDict()

    def get(self, item_id: str, known: CatalogItem | None, signal: ItemSignal | None) -> ItemPart:
        """Return the part of an item as the catalog and its signal have it now."""
        part = self._parts.get(item_id)
        if part is None or part.known is not known:
            part = self._make(known, signal, self._catalogued(item_id, known))
        elif part.signal is not signal:
            part = self._make(known, signal, part.catalogued)
        else:
            return part
        self._parts[item_id] = part
        if len(self._parts) > self._capacity:
            self._parts.popitem(last=False)
        return part

    def _catalogued(self, item_id: str, known: CatalogItem | None) -> Catalogued:
        named, on = self.tokens.tell(item_features(known, None))
        token, coordinate = self.tokens.make("item", item_id)
        if token:
            named["item"] = token
            on.append(coordinate)
        crossed = {name: named[name] for name in self._crossed if name in named}
        if known is None:
            return Catalogued(None, None, None, _packed(on), crossed)
        return Catalogued(known.category, known.creator_id, known.title, _packed(on), crossed)

    def _make(
        self, known: CatalogItem | None, signal: ItemSignal | None, catalogued: Catalogued
    ) -> ItemPart:
        told = [] if signal is None else self.tokens.of_rates(signal)
        own = catalogued.on + _packed([on for _, on in told if on >= 0])
        crossed = catalogued.crossed
        if self._crossed:
            rates = zip(ITEM_SIGNALS, told, strict=False)
            crossed = crossed | {
                n: token for n, (token, _) in rates if token and n in self._crossed
            }
            own += _packed(self.tokens.cross(crossed, self.crosses["own"]))
        return ItemPart(signal, known, catalogued, own, crossed)


class Rows(NamedTuple):
    """Coordinates that are on for some items.

    Attributes:
        shared: for every item.
        items: of which item each further coordinate is.
        on: the further coordinates, of all items one after the other.
        among: how many items.
    """

    shared: Coordinates
    items: Coordinates
    on: Coordinates
    among: int


class _Made(msgspec.Struct, frozen=True, gc=False):
    """What the viewer and something that items have in common make together.

    Attributes:
        named: tokens by name, that of what they have in common among them.
        on: coordinates of the others, and of their crosses, packed.
    """

    named: Named
    on: bytes


_NOTHING_MADE = _Made({}, b"")


class Viewing:
    """One viewer looking at one surface."""

    def __init__(
        self, parts: ItemParts, viewer_id: str, surface: str, viewer: ViewerFeatures
    ) -> None:
        self._viewer = viewer
        self._tokens = parts.tokens
        self._crosses = parts.crosses
        known = {**viewer.shared, "viewer": viewer_id, "surface": surface, "position": "1"}
        self._named, on = self._tokens.tell(known)
        on += self._tokens.cross(self._named, self._crosses["shared"])
        self._on: Coordinates = np.array(sorted(set(on)), dtype=np.int64)
        self._around = {name: self._shared_sides(name) for name in ("category", "creator_id")}
        self._by_item = bool(viewer.words or self._crosses["both"])
        self._categories: dict[str | None, _Made] = {}
        self._creators: dict[str | None, _Made] = {}

    def rows(self, parts: Sequence[ItemPart]) -> Rows:
        """Return the coordinates that are on for these items, at position 1."""
        packed = [self._of(part) for part in parts]
        lengths = np.array([len(of_one) for of_one in packed], dtype=np.int64)
        items = np.repeat(np.arange(len(packed)), lengths // _SIZE)
        on = _unpacked(b"".join(packed))
        return Rows(self._on, *_each_once(items, on, self._on), len(packed))

    def _of(self, part: ItemPart) -> bytes:
        """Return the coordinates that are on for an item, without those of every item, packed."""
        item = part.catalogued
        category = self._categories.get(item.category) or self._of_category(item.category)
        creator = self._creators.get(item.creator_id) or self._of_creator(item.creator_id)
        on = part.own + category.on + creator.on
        return on + self._of_both(part, category, creator) if self._by_item else on

    def _of_category(self, category: str | None) -> _Made:
        known = of_category(self._viewer, category)
        made = self._categories[category] = self._make("category", category, known)
        return made

    def _of_creator(self, creator_id: str | None) -> _Made:
        known = of_creator(self._viewer, creator_id)
        made = self._creators[creator_id] = self._make("creator_id", creator_id, known)
        return made

    def _make(self, name: str, value: str | None, known: Features) -> _Made:
        """Return what the viewer and all items make that have this category or creator."""
        if value is None:
            return _NOTHING_MADE
        token, _ = self._tokens.of_text(name, value)
        named = {name: token} if token else {}
        on = self._tokens.cross_all(token, self._around[name]) if token else []
        if known:
            others, more = self._tokens.tell(known)
            named |= others
            crosses = [cross for cross in self._crosses[name] if not known.keys().isdisjoint(cross)]
            on += more + self._tokens.cross(self._named | named, crosses)
        return _Made(named, _packed(on))

    def _shared_sides(self, name: str) -> list[tuple[str, str]]:
        """Return what stands before and after the token of `name` where it is crossed."""
        named, sides = self._named, []
        for one, other in self._crosses[name]:
            if one in named and other == name:
                sides.append((f"{named[one]}×", ""))
            elif one == name and other in named:
                sides.append(("", f"×{named[other]}"))
        return sides

    def _of_both(self, part: ItemPart, category: _Made, creator: _Made) -> bytes:
        named, on = self._tokens.tell(of_title(self._viewer, part.catalogued.title))
        if self._crosses["both"]:
            named |= self._named | category.named | creator.named | part.crossed
            on += self._tokens.cross(named, self._crosses["both"])
        return _packed(on)


def _each_once(
    items: Coordinates, on: Coordinates, shared: Coordinates
) -> tuple[Coordinates, Coordinates]:
    """Return the coordinates of items, each once an item, and without those of every item.

    Several tokens seldom fall on one coordinate.
    """
    both = (items << MAX_BITS) | on
    both.sort()
    again = both[1:] == both[:-1]
    if again.any():
        both = both[np.append(True, ~again)]
        items, on = both >> MAX_BITS, both & _HASHED
    elsewhere = np.isin(on, shared, invert=True)
    return (items, on) if elsewhere.all() else (items[elsewhere], on[elsewhere])


def _packed(numbers: Sequence[int]) -> bytes:
    return array("q", numbers).tobytes()


def _unpacked(numbers: bytes) -> Coordinates:
    return np.frombuffer(numbers, dtype=np.int64)
