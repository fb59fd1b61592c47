"""One viewer looking at items: which coordinates are on for each.

What a viewer makes together with a category is made once for all items of it, likewise with a
creator; only titles that answer a query, and crosses of an item's own features with the viewer's or
with its rates, are gone through item by item. See `streamapp.reader.item_parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamapp.features.serving import (
    Features,
    ViewerFeatures,
    of_category,
    of_creator,
    of_title,
    rate_features,
)
from streamapp.learning.features import MAX_BITS
from streamapp.reader.held_signal import HeldSignal
from streamapp.reader.item_parts import ItemPart, ItemParts, packed
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
        self._together = parts.together
        self._rates = parts.rates
        self._coordinates = parts.encoder.coordinates
        known = {**viewer.shared, "viewer": viewer_id, "surface": surface, "position": "1"}
        self._named, on = self._tokens.tell(known)
        on += self._tokens.cross(self._named, self._crosses["shared"])
        self._on: Coordinates = np.array(sorted(set(on)), dtype=np.int64)
        self._around = {name: self._shared_sides(name) for name in ("category", "creator_id")}
        self._by_item = bool(viewer.words or self._crosses["both"])
        self._crossed: dict[tuple[str, str | None], Named] = {}

    def rows(self, parts: Sequence[ItemPart], signals: Sequence[HeldSignal | None]) -> Rows:
        """Return the coordinates that are on for these items, at position 1.

        Args:
            signals: of the same items, None where there is none.
        """
        packs = [part.on for part in parts] + self._with_viewer(parts)
        if self._by_item:
            packs += map(self._of_both, parts, signals)
        among = len(parts)
        lengths = np.fromiter(map(len, packs), np.int64, len(packs)) // _SIZE
        items = np.repeat(np.arange(len(packs)) % max(among, 1), lengths)
        on = np.frombuffer(b"".join(packs), dtype=np.int64)
        # The rates of an item come after what else it has by itself.
        rated, own = self._rates.of(signals), lengths[:among].sum()
        items = np.concatenate((items[:own], rated.items, items[own:]))
        on = np.concatenate((on[:own], rated.on, on[own:]))
        return Rows(self._on, *_each_once(items, on, self._on), among)

    def _with_viewer(self, parts: Sequence[ItemPart]) -> list[bytes]:
        """Return what the viewer makes with each item's category, then with its creator, packed."""
        categories = self._make(
            "category", {part.category: part.category_token for part in parts}, of_category
        )
        creators = self._make(
            "creator_id", {part.creator_id: part.creator_token for part in parts}, of_creator
        )
        made = [categories[part.category] for part in parts]
        return made + [creators[part.creator_id] for part in parts]

    def _make(
        self,
        name: str,
        tokens: Mapping[str | None, str],
        known_of: Callable[[ViewerFeatures, str | None], Features],
    ) -> dict[str | None, bytes]:
        """Return what the viewer and all items of each category, or creator, make, packed.

        Args:
            name: category or creator_id.
            tokens: of each, empty without one.
            known_of: gives the features that both have together.
        """
        crosses = [
            self._coordinates([before + token + after for token in tokens.values()])
            for before, after in self._around[name]
        ]
        width, crossed = len(crosses) * _SIZE, np.array(crosses, dtype=np.int64).tobytes("F")
        made = {
            value: crossed[at * width : (at + 1) * width] if token else b""
            for at, (value, token) in enumerate(tokens.items())
        }
        for value, token in tokens.items():
            known = known_of(self._viewer, value)
            if known or self._crosses["both"]:
                made[value] += packed(self._of_known(name, value, token, known))
        return made

    def _of_known(self, name: str, value: str | None, token: str, known: Features) -> list[int]:
        """Return the coordinates of features that go with a token, and of their crosses."""
        named, on = self._tokens.tell(known)
        if token:
            named[name] = token
        self._crossed[name, value] = named
        return on + self._tokens.cross(self._named | named, self._together[name])

    def _shared_sides(self, name: str) -> list[tuple[str, str]]:
        """Return what stands before and after the token of `name` where it is crossed."""
        named, sides = self._named, []
        for one, other in self._crosses[name]:
            if one in named and other == name:
                sides.append((f"{named[one]}×", ""))
            elif one == name and other in named:
                sides.append(("", f"×{named[other]}"))
        return sides

    def _of_both(self, part: ItemPart, signal: HeldSignal | None) -> bytes:
        named, on = self._tokens.tell(of_title(self._viewer, part.title))
        if self._crosses["both"]:
            named |= self._named | part.crossed
            named |= self._crossed["category", part.category]
            named |= self._crossed["creator_id", part.creator_id]
            if signal is not None:
                named |= self._tokens.tell(rate_features(signal.rates))[0]
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
