"""The items something happened to last: those shown to a viewer, those the viewer hid.

An item counts at the newest time it happened. Kept are the `LIMIT` items with the newest times,
newest first, of one time by item id:

    shown at 10 s: a b     at 20 s: c a     →  a c (20 s), b (10 s)

Which items these are is a function of the set of events, in whatever order they arrive: an item's
time only grows, so one that was pushed out by `LIMIT` newer ones stays out until it happens anew.

An item that happens anew is simply put in front; that it is further back as well, or that the last
ones are not needed any more, is put right when the list is asked for or has grown long.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import islice
from typing import ClassVar

import msgspec

MORE = 20
"""Items more than are needed that may wait to be dropped together."""


class LatestItems(msgspec.Struct, gc=False, array_like=True):
    """The latest items of one kind; a subclass says how many.

    Attributes:
        newest_ms: the newest time.
        happened: items, newest first.
        times: when, 8 bytes for each of them.
    """

    LIMIT: ClassVar[int]

    newest_ms: int = -1
    happened: list[str] = msgspec.field(default_factory=list)
    times: bytes = b""

    def add(self, time_ms: int, item_ids: Iterable[str]) -> None:
        """Take items it happened to at a time."""
        items = sorted(set(item_ids))[: self.LIMIT]
        if not items:
            return
        in_order = time_ms > self.newest_ms
        self.happened[:0] = items
        self.times = array("q", [time_ms]).tobytes() * len(items) + self.times
        if in_order:
            self.newest_ms = time_ms
        if not in_order or len(self.happened) > self.LIMIT + MORE:
            self._tidy()

    def _tidy(self) -> None:
        """Keep each item once, and the first `LIMIT` only."""
        newest: dict[str, int] = {}
        for item, time_ms in zip(self.happened, array("q", self.times), strict=True):
            if time_ms > newest.get(item, -1):
                newest[item] = time_ms
        self.happened[:] = sorted(newest, key=lambda item: (-newest[item], item))[: self.LIMIT]
        self.times = array("q", [newest[item] for item in self.happened]).tobytes()

    def items(self) -> list[str]:
        """Return the items, newest first."""
        return list(islice(dict.fromkeys(self.happened), self.LIMIT))


class SeenItems(LatestItems, gc=False, array_like=True):
    """Items shown to a viewer of late."""

    LIMIT = 50


class HiddenItems(LatestItems, gc=False, array_like=True):
    """Items a viewer hid or reported."""

    LIMIT = 50
