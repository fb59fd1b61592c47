"""The items something happened to last: those shown to a viewer, those the viewer hid.

An item counts at the newest time it happened. Kept are the `LIMIT` items with the newest times,
newest first, of one time by item id:

    shown at 10 s: a b     at 20 s: c a     →  a c (20 s), b (10 s)

Which items these are is a function of the set of events, in whatever order they arrive: an item's
time only grows, so one that was pushed out by `LIMIT` newer ones stays out until it happens anew.

An item that happens anew is simply put in front; that it is further back as well is put right when
the list is asked for or has grown long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from struct import Struct
from typing import ClassVar

import msgspec

MORE = 20
"""Items more than are needed that may wait to be dropped together."""

_RUN = Struct("<qB")
_COUNT = 8
"""Where the number of items is in a run."""


class LatestItems(msgspec.Struct, gc=False, array_like=True):
    """The latest items of one kind; a subclass says how many.

    Attributes:
        happened: items, newest first.
        runs: a time, and how many of the items are of it, 9 bytes each; newest first.
    """

    LIMIT: ClassVar[int]

    happened: tuple[str, ...] = ()
    runs: bytes = b""

    def add(self, time_ms: int, item_ids: Iterable[str]) -> None:
        """Take items it happened to at a time."""
        items = sorted(set(item_ids))[: self.LIMIT]
        if not items:
            return
        runs = self.runs
        is_late = runs and time_ms <= _RUN.unpack_from(runs)[0]
        self.happened = (*items, *self.happened)
        self.runs = _RUN.pack(time_ms, len(items)) + runs
        if is_late:
            self._tidy()
        elif len(self.happened) > self.LIMIT + MORE:
            self._drop_last()

    def _drop_last(self) -> None:
        """Drop the items of the oldest times, as far as there are enough without them."""
        distinct: set[str] = set()
        runs = end = 0
        while len(distinct) < self.LIMIT and end < len(self.happened):
            start, end = end, end + self.runs[runs * _RUN.size + _COUNT]
            distinct.update(self.happened[start:end])
            runs += 1
        if end > self.LIMIT + MORE // 2:
            self._tidy()  # too many of them are there twice
        else:
            self.happened, self.runs = self.happened[:end], self.runs[: runs * _RUN.size]

    def _tidy(self) -> None:
        """Keep each item once, and the first `LIMIT` only."""
        newest: dict[str, int] = {}
        end = 0
        for time_ms, count in _RUN.iter_unpack(self.runs):
            start, end = end, end + count
            for item in self.happened[start:end]:
                if time_ms > newest.get(item, -1):
                    newest[item] = time_ms
        kept = sorted([(-time_ms, item) for item, time_ms in newest.items()])[: self.LIMIT]
        self.happened = tuple([item for _, item in kept])
        counts = Counter([-behind for behind, _ in kept])
        self.runs = b"".join([_RUN.pack(time_ms, count) for time_ms, count in counts.items()])

    def items(self) -> list[str]:
        """Return the items, newest first."""
        return list(dict.fromkeys(self.happened))[: self.LIMIT]


class SeenItems(LatestItems, gc=False, array_like=True):
    """Items shown to a viewer of late."""

    LIMIT = 50


class HiddenItems(LatestItems, gc=False, array_like=True):
    """Items a viewer hid or reported."""

    LIMIT = 50
