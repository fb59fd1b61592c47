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

from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from itertools import chain
from struct import Struct

import msgspec

from streamapp.events import CatalogItem
from streamapp.features.serving import (
    GROUPS,
    ITEM_SIGNALS,
    item_features,
)
from streamapp.learning.features import Encoder
from streamapp.reader.tokens import Named, Tokens
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
        category_token, creator_token: of the first two, empty without one.
        on: coordinates of its tokens, and of that of the item itself, packed.
        crossed: those tokens that are crossed item by item, by name.
    """

    category: str | None
    creator_id: str | None
    title: str | None
    category_token: str
    creator_token: str
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
        return Catalogued(
            None if known is None else known.category,
            None if known is None else known.creator_id,
            None if known is None else known.title,
            named.get("category", ""),
            named.get("creator_id", ""),
            packed(on),
            {name: named[name] for name in self._crossed if name in named},
        )

    def _make(
        self, known: CatalogItem | None, signal: ItemSignal | None, catalogued: Catalogued
    ) -> ItemPart:
        told = [] if signal is None else self.tokens.of_rates(signal)
        own = catalogued.on + packed([on for _, on in told if on >= 0])
        crossed = catalogued.crossed
        if self._crossed:
            rates = zip(ITEM_SIGNALS, told, strict=False)
            crossed = crossed | {
                n: token for n, (token, _) in rates if token and n in self._crossed
            }
            own += packed(self.tokens.cross(crossed, self.crosses["own"]))
        return ItemPart(signal, known, catalogued, own, crossed)


def packed(coordinates: Sequence[int]) -> bytes:
    """Return coordinates as the bytes of an array of them."""
    return _packer(len(coordinates)).pack(*coordinates)


@cache
def _packer(coordinates: int) -> Struct:
    return Struct(f"{coordinates}q")
