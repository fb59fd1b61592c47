"""Coordinates of many items for one viewer: what they share is computed once.

The coordinates of an item shown to a viewer come of these kinds of feature::

    shared         viewer, surface, position, device, what the viewer did of late   once a request
    own            item, category, creator_id, kind, …         once, until the catalog has it anew
    of a category  same_category, affinity_category               once a request and category
    of a creator   affinity_creator                               once a request and creator
    of both        query_match                                    once an item
    rates          ctr, velocity, …                               at once for all items

A cross is of the kind that its two sides make together: viewer and category make a category's,
category and creator both's. What rates are crossed with is gone through item by item.
Together they are those that `Encoder.indices` gives for all features
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
from streamapp.features.catalog import interned
from streamapp.features.serving import GROUPS, ITEM_SIGNALS, item_features
from streamapp.learning.features import Encoder
from streamapp.reader.rates import Rates
from streamapp.reader.tokens import Named, Tokens

OF_CATALOG = frozenset({"item", *GROUPS["catalog"].features})
"""Features that the catalog alone makes of an item."""

TOGETHER = {
    "category": ("same_category", "affinity_category", "affinity_category_6h"),
    "creator_id": ("affinity_creator", "affinity_creator_6h"),
}
"""Features that a viewer has together with an item's category, or creator."""

_SIDES = {
    **dict.fromkeys(OF_CATALOG.union(ITEM_SIGNALS, {"query_match"}), "both"),
    **{side: name for name, features in TOGETHER.items() for side in (name, *features)},
}
"""What makes a feature together with the viewer; those that nothing but the viewer makes are not
listed."""


def kind_of(cross: tuple[str, str]) -> str:
    """Return what a cross depends on: shared, own, category, creator_id or both."""
    if OF_CATALOG.issuperset(cross):
        return "own"
    sides = {_SIDES[name] for name in cross if name in _SIDES}
    return "both" if len(sides) > 1 else next(iter(sides), "shared")


class ItemPart(msgspec.Struct, frozen=True, gc=False):
    """What the catalog makes of an item, whoever it is shown to.

    Attributes:
        known: what it was made from.
        category, creator_id, title: as the catalog has them.
        category_token, creator_token: of the first two, empty without one.
        on: coordinates of all its tokens, and of the crosses among them, packed.
        crossed: those tokens that are crossed item by item, by name.
    """

    known: CatalogItem | None
    category: str | None
    creator_id: str | None
    title: str | None
    category_token: str
    creator_token: str
    on: bytes
    crossed: Named


class ItemParts:
    """Parts of items as one encoder has them; of too many the oldest are forgotten.

    Attributes:
        crosses: of the spec, by kind.
        together: those of a category, or a creator, that have a side of `TOGETHER`.
    """

    def __init__(self, encoder: Encoder, capacity: int) -> None:
        self.encoder = encoder
        self.tokens = Tokens(encoder)
        self.rates = Rates(self.tokens)
        self.crosses = {
            kind: [cross for cross in encoder.spec.crosses if kind_of(cross) == kind]
            for kind in ("shared", "own", "category", "creator_id", "both")
        }
        self.together = {
            name: [cross for cross in self.crosses[name] if not set(cross).isdisjoint(features)]
            for name, features in TOGETHER.items()
        }
        self._crossed = OF_CATALOG.intersection(chain.from_iterable(self.crosses["both"]))
        self._capacity = capacity
        # Oldest first; a plain dict finds its first slowly after deletions.
        self._parts: OrderedDict[str, ItemPart] = OrderedDict()

    def get(self, item_id: str, known: CatalogItem | None) -> ItemPart:
        """Return the part of an item as the catalog has it now."""
        part = self._parts.get(item_id)
        if part is None or part.known is not known:
            part = self._parts[item_id] = self._make(item_id, known)
            if len(self._parts) > self._capacity:
                self._parts.popitem(last=False)
        return part

    def _make(self, item_id: str, known: CatalogItem | None) -> ItemPart:
        named, on = self.tokens.tell(item_features(known, None))
        token, coordinate = self.tokens.make("item", item_id)
        if token:
            named["item"] = token
            on.append(coordinate)
        on += self.tokens.cross(named, self.crosses["own"])
        return ItemPart(
            known,
            None if known is None else interned(known.category),
            None if known is None else interned(known.creator_id),
            None if known is None else known.title,
            named.get("category", ""),
            named.get("creator_id", ""),
            packed(on),
            {name: named[name] for name in self._crossed if name in named},
        )


def packed(coordinates: Sequence[int]) -> bytes:
    """Return coordinates as the bytes of an array of them."""
    return _packer(len(coordinates)).pack(*coordinates)


@cache
def _packer(coordinates: int) -> Struct:
    return Struct(f"{coordinates}q")
