"""Coordinates of many items for one viewer: what they share is computed once.

The coordinates of an item shown to a viewer come of three kinds of feature::

    shared    viewer, surface, position, device, what the viewer did of late    once a request
    own       item, category, creator_id, ctr, velocity, …           once, until its signal changes
    of both   same_category, affinity_category, query_match, crosses            once an item

Together they are those that `Encoder.indices` gives for all features at once, at position 1: each
coordinate once, though several tokens may fall on it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from streamapp.events import CatalogItem
from streamapp.features.serving import (
    GROUPS,
    Features,
    ViewerFeatures,
    features_of_both,
    item_features,
)
from streamapp.learning.features import Encoder
from streamapp.reader.tokens import Tokens
from streamapp.reader.weights import Coordinates
from streamapp.signals import ItemSignal

OF_ITEM = frozenset(
    {"item"}.union(*(GROUPS[group].features for group in ("catalog", "item signals")))
)
"""Features that depend on the item alone."""


class Catalogued(NamedTuple):
    """What the catalog alone makes of an item.

    Attributes:
        features: by name.
        named: their tokens, and that of the item itself, by name.
        on: coordinates of these.
    """

    features: Features
    named: dict[str, str]
    on: list[int]


class ItemPart(NamedTuple):
    """What is the same whoever an item is shown to.

    Attributes:
        signal, known: what it was made from.
        catalogued: of the latter.
        features: by name.
        title: of the catalog.
        own: coordinates of its tokens, and of the crosses among them.
        crossed: tokens that are crossed with others, by name.
    """

    signal: ItemSignal | None
    known: CatalogItem | None
    catalogued: Catalogued
    features: Features
    title: str | None
    own: frozenset[int]
    crossed: dict[str, str]


class ItemParts:
    """Parts of items as one encoder has them; of too many the oldest are forgotten."""

    def __init__(self, encoder: Encoder, capacity: int) -> None:
        spec = encoder.spec
        self.encoder = encoder
        self.tokens = Tokens(encoder)
        self.crosses = [cross for cross in spec.crosses if not OF_ITEM.issuperset(cross)]
        self.crossed = [name for name in spec.names if any(name in c for c in self.crosses)]
        self._own_crosses = [cross for cross in spec.crosses if OF_ITEM.issuperset(cross)]
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
        features = item_features(known, None)
        return Catalogued(features, *self.tokens.tell({**features, "item": item_id}))

    def _make(
        self, known: CatalogItem | None, signal: ItemSignal | None, catalogued: Catalogued
    ) -> ItemPart:
        rates = item_features(None, signal)
        named, on = self.tokens.tell(rates)
        named |= catalogued.named
        crosses = self.tokens.cross(named, self._own_crosses) if self._own_crosses else []
        return ItemPart(
            signal,
            known,
            catalogued,
            catalogued.features | rates,
            None if known is None else known.title,
            frozenset((*catalogued.on, *on, *crosses)),
            {name: named[name] for name in self.crossed if name in named},
        )


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


class Viewing:
    """One viewer looking at one surface."""

    def __init__(
        self, parts: ItemParts, viewer_id: str, surface: str, viewer: ViewerFeatures
    ) -> None:
        self._viewer = viewer
        self._tokens = parts.tokens
        known = {**viewer.shared, "viewer": viewer_id, "surface": surface, "position": 1}
        within = [cross for cross in parts.crosses if known.keys() >= set(cross)]
        named, on = parts.tokens.tell(known)
        self._on = frozenset(on + parts.tokens.cross(named, within))
        self._named = {name: token for name, token in named.items() if name in parts.crossed}
        self._crosses = [cross for cross in parts.crosses if cross not in within]

    def rows(self, parts: Sequence[ItemPart]) -> Rows:
        """Return the coordinates that are on for these items, at position 1."""
        on = [self._of(part) for part in parts]
        return Rows(
            _array(sorted(self._on)),
            np.repeat(np.arange(len(on)), _array([len(of_one) for of_one in on])),
            _array(list(chain.from_iterable(on))),
            len(on),
        )

    def _of(self, part: ItemPart) -> list[int]:
        """Return the coordinates that are on for an item and not shared, each once."""
        own, shared = part.own, self._on
        found = [*own, *self._both(part)]
        if len(set(found)) == len(found) and shared.isdisjoint(found):
            return found
        return [index for index in dict.fromkeys(found) if index not in shared]

    def _both(self, part: ItemPart) -> list[int]:
        """Return the coordinates of what an item and the viewer make together."""
        known = features_of_both(self._viewer, part.features, part.title)
        named, on = self._tokens.tell(known)
        named |= part.crossed
        named |= self._named
        return on + self._tokens.cross(named, self._crosses)


def _array(numbers: Sequence[int]) -> Coordinates:
    return np.array(numbers, dtype=np.int64)
