"""The searches of a viewer: which clicks belong to them, and which were given up for another.

::

    search "kim"     search "kim chi"        click        (events of one viewer)
        │──── 25 s ──────│──── 4 s ────────────│
        └─ "kim" is reformulated, at ┘    counts for "kim chi" and its item

A **search** is an impression whose query is not empty once normalised. A **click** belongs to the
latest impression that showed its item before it: with a request_id among those of that request in
the last 6 h, without one among all in the last 30 min. If that is a search the click counts for
its query, and for the item in it. If it is none, or there is no such impression, the click counts
for the query it carries itself, if it carries one, and for no item. A search is **reformulated**
when the viewer's next search has another query, comes within 60 s, and no click from the one
search to the other, both times included, belongs to the first; that counts for the first query, at
the time of the second search. Of two searches of one time, that with the smaller digest of its
event id is the first.

All of this is a function of the set of events, whatever order they come in: as long as a late
event may concern it the viewer's journal is kept, and an event that changes what was counted takes
that back. So that what was taken back leaves no trace, a query is as of the newest event that
concerned it, counted or not: its own searches, the searches of the same viewer within 60 s after
one, the clicks that carry it, and those that one of its searches could claim.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from streamapp.events import Click, Impression
from streamapp.features.item_names import ItemNames, unpacked
from streamapp.features.journal import (
    REFORMULATION_MS,
    Clicked,
    Journal,
    Shown,
    Slots,
    request_tag,
)
from streamapp.features.queries import normalised
from streamapp.features.query_deltas import QueryDeltas
from streamapp.features.recent import CLICK

_Reformulated = Counter[tuple[str, int]]
"""Searches given up, by query and the time of the search that took their place."""

_NONE: _Reformulated = Counter()


def show(
    journal: Journal,
    key: bytes,
    event: Impression,
    slots: Slots,
    rates: list[float],
    deltas: QueryDeltas,
) -> None:
    """Count an impression if it is a search, and keep it.

    Args:
        key: digest of the event id.
        slots: of the impression.
        rates: mean click rate at each slot's position.
    """
    request = request_tag(event.request_id)
    query: str | None = normalised(event.query) or None if event.query else None
    if query is None and not journal.queries:  # no search, and none it could take a click from
        journal.show(event.occurred_at_ms, key, request, query, slots)
        return
    shown = Shown(event.occurred_at_ms, key, request, query)
    alone = journal.newest_search_ms < shown.time_ms - REFORMULATION_MS
    before = _NONE if alone else _reformulated(journal, shown.time_ms)
    if query is not None:
        ids = [slot.item_id for slot in event.items]
        deltas.add_search(query, shown.time_ms, ids, rates)
        if not alone:
            _touch_neighbours(journal, query, shown.time_ms, deltas)
    _claim(journal, shown, event, slots, deltas)
    journal.show(*shown, slots)
    if not alone:  # else no search is near enough to be given up, or to take one's place
        _count_reformulated(journal, before, shown.time_ms, deltas)


def act(journal: Journal, event: Click, action: int, item: bytes, deltas: QueryDeltas) -> None:
    """Keep an action; count a click for the query it belongs to.

    Args:
        action: its index in `ACTIONS`.
        item: the number of the item's name, 4 bytes.
    """
    time_ms, request = event.occurred_at_ms, request_tag(event.request_id)
    if action != CLICK:
        journal.act(time_ms, item, request, action, None)
        return
    query: str | None = normalised(event.query) or None if event.query else None
    if query is not None:
        deltas.touch(query, time_ms)
    if journal.newest_search_ms < 0:
        if query is not None:
            deltas.add(query, time_ms, "clicks", 1.0)
        journal.act(time_ms, item, request, action, query)
        return
    new = Clicked(time_ms, item, request, query)
    showing = journal.showing(new)
    for shown in showing:
        if shown.query is not None:
            deltas.touch(shown.query, time_ms)
    _count(new, max(showing, default=None), event.item_id, 1.0, deltas)
    before = _reformulated(journal, time_ms)
    journal.act(time_ms, item, request, action, query)
    _count_reformulated(journal, before, time_ms, deltas)


def _claim(
    journal: Journal, shown: Shown, event: Impression, slots: Slots, deltas: QueryDeltas
) -> None:
    """Give an impression that comes after its clicks what belongs to it."""
    clicks = journal.clicked(shown.time_ms, journal.newest_click_ms)
    if not clicks:
        return
    numbers = [slots.items[at : at + 4] for at in range(0, len(slots.items), 4)]
    items = {number: slot.item_id for number, slot in zip(numbers, event.items, strict=True)}
    for known in clicks:
        item_id = items.get(known.item)
        if item_id is None or not known.reaches(shown):
            continue
        if shown.query is not None:
            deltas.touch(shown.query, known.time_ms)
        owner = max(journal.showing(known), default=None)
        if owner is None or shown > owner:
            _count(known, owner, item_id, -1.0, deltas)
            _count(known, shown, item_id, 1.0, deltas)


def _count(
    clicked: Clicked, owner: Shown | None, item_id: str, amount: float, deltas: QueryDeltas
) -> None:
    """Count a click for the query it belongs to, or take it back."""
    if owner is not None and owner.query is not None:
        deltas.add(owner.query, clicked.time_ms, "clicks", amount)
        deltas.add_click(owner.query, clicked.time_ms, item_id, amount)
    elif clicked.query is not None:
        deltas.add(clicked.query, clicked.time_ms, "clicks", amount)


def _touch_neighbours(journal: Journal, query: str, time_ms: int, deltas: QueryDeltas) -> None:
    """Say to each query that another was searched within 60 s after it."""
    for other, other_query in _near(journal, time_ms):
        if other.time_ms <= time_ms:
            deltas.touch(other_query, time_ms)
        else:
            deltas.touch(query, other.time_ms)


def _near(journal: Journal, time_ms: int) -> list[tuple[Shown, str]]:
    return journal.searches(time_ms - REFORMULATION_MS, time_ms + REFORMULATION_MS)


def _reformulated(journal: Journal, time_ms: int) -> _Reformulated:
    """Return what is reformulated, as far as an event of this time may change it.

    That is what counts from then to 60 s later.
    """
    if journal.newest_search_ms < time_ms:
        return _NONE
    to_ms = time_ms + REFORMULATION_MS
    return _given_up(journal, _near(journal, time_ms), time_ms, to_ms)


def _given_up(
    journal: Journal, searches: list[tuple[Shown, str]], from_ms: int, to_ms: int
) -> _Reformulated:
    """Return which of these searches, in order, are given up at these times, ends included."""
    found: _Reformulated = Counter()
    for (first, query), (second, other_query) in pairwise(searches):
        if query == other_query or not from_ms <= second.time_ms <= to_ms:
            continue
        if second.time_ms - first.time_ms > REFORMULATION_MS:
            continue
        if not _is_clicked(journal, first, second.time_ms):
            found[query, second.time_ms] += 1
    return found


def _is_clicked(journal: Journal, search: Shown, until_ms: int) -> bool:
    for known in journal.clicked(search.time_ms, until_ms):
        if max(journal.showing(known), default=None) == search:
            return True
    return False


def _count_reformulated(
    journal: Journal, before: _Reformulated, time_ms: int, deltas: QueryDeltas
) -> None:
    """Count what an event of this time has changed."""
    after = _reformulated(journal, time_ms)
    if before == after:
        return
    for (query, at_ms), amount in (after - before).items():
        deltas.add(query, at_ms, "reformulations", float(amount))
    for (query, at_ms), amount in (before - after).items():
        deltas.add(query, at_ms, "reformulations", -float(amount))


def retract(journal: Journal, names: ItemNames, since_ms: int, deltas: QueryDeltas) -> None:
    """Take back what a viewer's searches and clicks from a time on have counted.

    Not taken back is what was expected of the items' positions.
    """
    for shown, slots in journal.since(since_ms):
        if shown.query is not None:
            ids = [names.name(number) for number in unpacked(slots.items)]
            rates = [0.0] * len(ids)
            deltas.add_search(shown.query, shown.time_ms, ids, rates, -1.0)
    for known in journal.clicked(since_ms, journal.newest_click_ms):
        (number,) = unpacked(known.item)
        owner = max(journal.showing(known), default=None)
        _count(known, owner, names.name(number), -1.0, deltas)
    searches = journal.searches(since_ms - REFORMULATION_MS, journal.newest_search_ms)
    given_up = _given_up(journal, searches, since_ms, journal.newest_search_ms)
    for (query, at_ms), amount in given_up.items():
        deltas.add(query, at_ms, "reformulations", -float(amount))
