"""Trending: the items that are watched more of late than before, on lists that fall silent.

A list (`all`, `kind:live`, `category:X`) holds the active items of its kind whose velocity is
above 1, the best 50 of them, fastest first. Each partition of the items says which of *its* items
could be among them, and one task that owns the list puts these reports together::

    items, partition 0 ── "all", 12:05: a 3.1, d 1.2 … (50 at most) ─┐
    items, partition 1 ── "all", 12:05: b 2.4, c 1.9 …              ─┴▶ candidates ──▶ a, b, c, d …

All partitions report as at the same *marks*, the full minutes of stream time, over every event
that came before stream time passed the mark. So the best 50 of the reports of one mark are exactly
the best 50 of all items as at that mark: an item that one partition leaves out has 50 better ones
there already. A report carries watches and first event, not the score, so that it can be looked at
later; and it is sent only when something in the list has changed, for three reasons:

* In silence the velocity of an item only falls while it is above 1. With k = ln 2/h the watches
  per 6 h of a counter fall at the relative rate k/(1 − e^(−k·age)), which grows with k; so the
  30 min side, a, falls faster than the 6 h side, b, and (a + 20)/(b + 20) falls while a ≥ b.
* In silence one that is not above 1 stays so: a/b only falls. It need not be looked at again
  before it is touched, and what fell silent leaves the list by itself.
* Among 50 items or fewer nothing is left out, so silence can bring none in. A list with more of
  them is reported at every mark: there the order beyond the 50th may change in silence.

What is not exact: a report of a mark that has not arrived when the list is made (see
`streamapp.processors.candidates`) counts by the former one of its partition, its items decayed to
the present; an item that began to rise since then is missing until the next mark.

Worked example. An item had its first event 24 h ago, 10 watches an hour ever since (constant
traffic, so a = b = 60 per 6 h), and 30 watches on top in this minute, each of which weighs 1 in
both counters. For age 24 h the 30 min counter holds ∫ = 0.7213 h of traffic and the 6 h counter
8.656 h · 15/16 = 8.115 h, so each new watch adds 6/0.7213 = 8.318 to a and 6/8.115 = 0.739 to b:

>>> a, b = 60 + 30 * 8.318, 60 + 30 * 0.739
>>> round((a + 20) / (b + 20), 2)
3.23

Half an hour of silence later a is halved and b down to 0.944 of it: (155 + 20)/(78 + 20) = 1.8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import exp2
from typing import NamedTuple

from streamapp.events import CatalogItem
from streamapp.features.decay import HALF_LIVES, MINUTE_MS
from streamapp.features.rates import velocity
from streamapp.signals import TrendingItem

EVERY_MS = MINUTE_MS
"""Stream time from one mark to the next."""

LIST_ITEMS = 50

ALL = "all"
LIVE = "kind:live"

ListsOf = Callable[[str], tuple[str, ...]]
"""item_id → the lists it may be on."""

Watches = Callable[[str, int], TrendingItem | None]
"""item_id, time → its watches as at that time, None when it has none."""


class Report(NamedTuple):
    """What a partition says of one list: its best items, as at a mark."""

    name: str
    as_of_ms: int
    items: list[TrendingItem]


def lists_of(known: CatalogItem | None) -> tuple[str, ...]:
    """Return the lists an item may be on: none unless the catalog says it is active."""
    if known is None or known.status != "active":
        return ()
    names = (ALL,) if known.category is None else (ALL, category_list(known.category))
    return (*names, LIVE) if known.kind == "live" else names


def category_list(category: str) -> str:
    """Return the name of a category's list."""
    return f"category:{category}"


def score(item: TrendingItem, as_of_ms: int, at_ms: int) -> float:
    """Return the velocity, at a time, of an item that was not watched since `as_of_ms`."""
    silence_ms = at_ms - as_of_ms
    m30 = item.watches_30m * exp2(-silence_ms / HALF_LIVES[0])
    h6 = item.watches_6h * exp2(-silence_ms / HALF_LIVES[1])
    return velocity(m30, h6, at_ms - item.first_ms)


class Rising:
    """The items of one partition that may be on a list, and the lists with news.

    Args:
        size: items in a list.

    Attributes:
        news: lists that have changed since the last mark, other than by silence.
    """

    def __init__(self, lists_of: ListsOf, watches: Watches, size: int = LIST_ITEMS) -> None:
        self.news: dict[str, None] = {}
        self._lists_of = lists_of
        self._watches = watches
        self._size = size
        self._pool: dict[str, None] = {}
        self._touched: dict[str, None] = {}
        self._mark: int | None = None
        self._reports: list[Report] = []

    def touch(self, item_id: str) -> None:
        """The watches, the age or the catalog fields of an item have changed."""
        self._touched[item_id] = None

    def forget(self, category: str | None) -> None:
        """An item of a category is held no more: its lists are told, lest it return to them."""
        known = CatalogItem(item_id="-", category=category, kind="live")
        self.news.update(dict.fromkeys(lists_of(known)))

    def hold(self, item_id: str) -> None:
        """Look at an item at the next mark, though it has no news; after a restore, at all."""
        self._pool[item_id] = None

    def advance(self, stream_time_ms: int) -> None:
        """Report as at the newest mark that stream time has come to."""
        mark = stream_time_ms // EVERY_MS
        if self._mark != mark:
            if self._mark is not None:
                self._report(mark * EVERY_MS)
            self._mark = mark

    def settle(self) -> None:
        """Note the lists of what was touched."""
        touched, self._touched = self._touched, {}
        for item_id in touched:
            self.news.update(dict.fromkeys(self._lists_of(item_id)))
        self._pool |= touched

    def _report(self, mark_ms: int) -> None:
        self.settle()
        news, self.news = self.news, {}
        rising = self._rising(mark_ms)
        full = {name for name, items in rising.items() if len(items) > self._size}
        for name in sorted(full.union(news)):
            best = sorted(rising.get(name, ()))[: self._size]
            self._reports.append(Report(name, mark_ms, [item for _, _, item in best]))

    def _rising(self, mark_ms: int) -> dict[str, list[tuple[float, str, TrendingItem]]]:
        """Return what has a velocity above 1, by list, and drop the rest from the pool."""
        rising: dict[str, list[tuple[float, str, TrendingItem]]] = defaultdict(list)
        pool, self._pool = self._pool, {}
        for item_id in pool:
            item = self._watches(item_id, mark_ms)
            if item is None:
                continue
            reached = velocity(item.watches_30m, item.watches_6h, mark_ms - item.first_ms)
            if reached > 1.0:
                self._pool[item_id] = None
                for name in self._lists_of(item_id):
                    rising[name].append((-reached, item_id, item))
        return rising

    def take(self) -> list[Report]:
        """Return the reports since the last call."""
        reports, self._reports = self._reports, []
        return reports
