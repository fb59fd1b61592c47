"""One viewer looking at items: which coordinates are on for each.

What a viewer makes together with a category is made once for all items of it, likewise with a
creator; only titles that answer a query, and crosses of item and viewer, are gone through item by
item. See `streamapp.reader.item_parts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamapp.features.serving import (
    Features,
    ViewerFeatures,
    of_category,
    of_creator,
    of_title,
)
from streamapp.learning.features import MAX_BITS
from streamapp.reader.item_parts import Catalogued, ItemPart, ItemParts, packed
from streamapp.reader.tokens import Named
from streamapp.reader.weights import Coordinates

_SIZE = 8
"""Bytes of a packed coordinate."""

_HASHED = (1 << MAX_BITS) - 1


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
        self._crosses = parts.crosses
        self._coordinate = parts.encoder.coordinate
        known = {**viewer.shared, "viewer": viewer_id, "surface": surface, "position": "1"}
        self._named, on = self._tokens.tell(known)
        on += self._tokens.cross(self._named, self._crosses["shared"])
        self._on: Coordinates = np.array(sorted(set(on)), dtype=np.int64)
        self._around = {name: self._shared_sides(name) for name in ("category", "creator_id")}
        self._by_item = bool(viewer.words or self._crosses["both"])
        self._categories: dict[str | None, bytes] = {}
        self._creators: dict[str | None, bytes] = {}
        self._crossed: dict[tuple[str, str | None], Named] = {}

    def rows(self, parts: Sequence[ItemPart]) -> Rows:
        """Return the coordinates that are on for these items, at position 1."""
        rows = [self._of(part) for part in parts]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        items = np.repeat(np.arange(len(rows)), lengths // _SIZE)
        on = np.frombuffer(b"".join(rows), dtype=np.int64)
        return Rows(self._on, *_each_once(items, on, self._on), len(rows))

    def _of(self, part: ItemPart) -> bytes:
        """Return the coordinates that are on for an item, without those of every item, packed."""
        item = part.catalogued
        category = self._categories.get(item.category)
        if category is None:
            category = self._categories[item.category] = self._of_category(item)
        creator = self._creators.get(item.creator_id)
        if creator is None:
            creator = self._creators[item.creator_id] = self._of_creator(item)
        on = part.own + category + creator
        return on + self._of_both(part) if self._by_item else on

    def _of_category(self, item: Catalogued) -> bytes:
        """Return what the viewer and all items of a category make."""
        known = of_category(self._viewer, item.category)
        return self._make("category", item.category, item.category_token, known)

    def _of_creator(self, item: Catalogued) -> bytes:
        """Return what the viewer and all items of a creator make."""
        known = of_creator(self._viewer, item.creator_id)
        return self._make("creator_id", item.creator_id, item.creator_token, known)

    def _make(self, name: str, value: str | None, token: str, known: Features) -> bytes:
        """Return the coordinates of some features that go with a token, and of its crosses."""
        on = []
        if token:
            coordinate = self._coordinate
            on = [coordinate(before + token + after) for before, after in self._around[name]]
        if known or self._crosses["both"]:
            named, more = self._tokens.tell(known)
            if token:
                named[name] = token
            self._crossed[name, value] = named
            crosses = [cross for cross in self._crosses[name] if not known.keys().isdisjoint(cross)]
            on += more + self._tokens.cross(self._named | named, crosses)
        return packed(on)

    def _shared_sides(self, name: str) -> list[tuple[str, str]]:
        """Return what stands before and after the token of `name` where it is crossed."""
        named, sides = self._named, []
        for one, other in self._crosses[name]:
            if one in named and other == name:
                sides.append((f"{named[one]}×", ""))
            elif one == name and other in named:
                sides.append(("", f"×{named[other]}"))
        return sides

    def _of_both(self, part: ItemPart) -> bytes:
        item = part.catalogued
        named, on = self._tokens.tell(of_title(self._viewer, item.title))
        if self._crosses["both"]:
            named |= self._named | part.crossed
            named |= self._crossed["category", item.category]
            named |= self._crossed["creator_id", item.creator_id]
            on += self._tokens.cross(named, self._crosses["both"])
        return packed(on)


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
