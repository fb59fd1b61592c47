"""The items something happened to last: those shown to a viewer, those the viewer hid.

An item counts at the newest time it happened. Kept are the `LIMIT` items with the newest times,
newest first, of one time by item id:

    shown at 10 s: a b     at 20 s: c a     →  a c (20 s), b (10 s)

Which items these are is a function of the set of events, in whatever order they arrive: an item's
time only grows, so one that was pushed out by `LIMIT` newer ones stays out until it happens anew.

An item that happens anew is simply added; that it is further back as well is put right when the
list is asked for or has grown long.
"""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import Final

from mypy_extensions import mypyc_attr

LIMIT: Final = 50
"""Items kept of a viewer."""

MORE: Final = 20
"""Items more than are needed that may wait to be dropped together."""

_RUN: Final = Struct("<qB")
_SIZE: Final = 9
_COUNT: Final = 8
"""Where the number of items is in a run."""


@mypyc_attr(acyclic=True)
class LatestItems:
    """The latest items of one kind.

    Both are in the order they came, so that what is new is added at the end; in the viewer's row
    they are the other way round.

    Attributes:
        happened: items; of one time, those last that are first by id.
        runs: a time, and how many of the items are of it, 9 bytes each.
    """

    __slots__ = ("happened", "runs")

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.runs = b""

    @classmethod
    def restored(cls, happened: list[str], runs: bytes) -> LatestItems:
        """Return them from what `newest_first` gave."""
        latest = LatestItems()
        latest.happened, latest.runs = happened[::-1], _backwards(runs)
        return latest

    def newest_first(self) -> tuple[list[str], bytes]:
        """Return items and runs, the newest first."""
        return self.happened[::-1], _backwards(self.runs)

    def add(self, time_ms: int, item_ids: list[str]) -> None:
        """Take items it happened to at a time."""
        items = sorted(set(item_ids))[:LIMIT]
        if not items:
            return
        items.reverse()
        runs = self.runs
        run: bytes = _RUN.pack(time_ms, len(items))
        is_late = len(runs) > 0 and time_ms <= _RUN.unpack_from(runs, len(runs) - _SIZE)[0]
        self.happened += items
        self.runs = runs + run
        if is_late:
            self._tidy()
        elif len(self.happened) > LIMIT + MORE:
            self._drop_first()

    def _drop_first(self) -> None:
        """Drop the items of the oldest times, as far as there are enough without them."""
        distinct: set[str] = set()
        happened, runs = self.happened, self.runs
        run, start = len(runs), len(happened)
        while len(distinct) < LIMIT and start > 0:
            run -= _SIZE
            end, start = start, start - runs[run + _COUNT]
            distinct.update(happened[start:end])
        if len(happened) - start > LIMIT + MORE // 2:
            self._tidy()  # too many of them are there twice
        else:
            self.happened = happened[start:]  # in a list with no more room than it needs
            self.runs = runs[run:]

    def _tidy(self) -> None:
        """Keep each item once, and the latest `LIMIT` only."""
        newest: dict[str, int] = {}
        end = 0
        for time_ms, count in _RUN.iter_unpack(self.runs):
            start, end = end, end + count
            for item in self.happened[start:end]:
                if time_ms > newest.get(item, -1):
                    newest[item] = time_ms
        kept = sorted([(-time_ms, item) for item, time_ms in newest.items()])[:LIMIT]
        kept.reverse()
        self.happened = [item for _, item in kept]
        counts = Counter([-behind for behind, _ in kept])
        self.runs = b"".join([_RUN.pack(time_ms, count) for time_ms, count in counts.items()])

    def items(self) -> list[str]:
        """Return the items, newest first."""
        return list(dict.fromkeys(reversed(self.happened)))[:LIMIT]


def _backwards(runs: bytes) -> bytes:
    return b"".join([runs[at : at + _SIZE] for at in range(len(runs) - _SIZE, -1, -_SIZE)])
