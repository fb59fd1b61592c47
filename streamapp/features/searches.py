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
from collections.abc import Callable
from itertools import pairwise

from streamapp.events import Click, Impression
from streamapp.features.decay import MINUTE_MS
from streamapp.features.journal import Clicked, Journal, Shown, item_tag, request_tag
from streamapp.features.queries import normalised
from streamapp.features.query_deltas import QueryDeltas

REFORMULATION_MS = MINUTE_MS
"""Within so long after a search another query takes its place."""

_Reformulated = Counter[tuple[str, int]]
"""Searches given up, by query and the time of the search that took their place."""

_NONE: _Reformulated = Counter()


def show(
    journal: Journal,
    key: bytes,
    event: Impression,
    click_rate: Callable[[int], float],
    deltas: QueryDeltas,
) -> tuple[bytes, bytes]:
    """Count an impression if it is a search, and keep it; return the journal's row.

    Args:
        key: digest of the event id.
        click_rate: mean click rate by position.
    """
    request = request_tag(event.request_id)
    query = normalised(event.query) or None if event.query else None
    shown = Shown(event.occurred_at_ms, key, request, query)
    items = [item_tag(slot.item_id) for slot in event.items]
    if shown.query is None and not journal.queries:
        return journal.add_shown(shown, items)  # no search, and none it could take a click from
    alone = journal.newest_search_ms < shown.time_ms - REFORMULATION_MS
    before = _NONE if alone else _reformulated(journal, shown.time_ms)
    if shown.query is not None:
        deltas.add_search(shown.query, event, click_rate)
        if not alone:
            _touch_neighbours(journal, shown.query, shown.time_ms, deltas)
    _claim(journal, shown, event, deltas)
    row = journal.add_shown(shown, items)
    if not alone:  # else no search is near enough to be given up, or to take one's place
        _count_reformulated(journal, before, shown.time_ms, deltas)
    return row


def click(journal: Journal, event: Click, deltas: QueryDeltas) -> tuple[bytes, bytes]:
    """Count a click for the query it belongs to, and keep it; return the journal's row."""
    time_ms = event.occurred_at_ms
    query = normalised(event.query) or None if event.query else None
    new = Clicked(time_ms, item_tag(event.item_id), request_tag(event.request_id), query)
    if query is not None:
        deltas.touch(query, time_ms)
    if journal.newest_search_ms < 0:
        _count(new, None, event.item_id, 1.0, deltas)
        return journal.add_click(new)
    showing = list(journal.showing(new))
    for shown in showing:
        if shown.query is not None:
            deltas.touch(shown.query, time_ms)
    _count(new, max(showing, default=None), event.item_id, 1.0, deltas)
    before = _reformulated(journal, time_ms)
    row = journal.add_click(new)
    _count_reformulated(journal, before, time_ms, deltas)
    return row


def _claim(journal: Journal, shown: Shown, event: Impression, deltas: QueryDeltas) -> None:
    """Give an impression that comes after its clicks what belongs to it."""
    clicks = journal.clicked(shown.time_ms, journal.newest_click_ms)
    items = {item_tag(slot.item_id): slot.item_id for slot in event.items} if clicks else {}
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
    found: _Reformulated = Counter()
    for (first, query), (second, other_query) in pairwise(_near(journal, time_ms)):
        if (
            query == other_query
            or not time_ms <= second.time_ms <= first.time_ms + REFORMULATION_MS
        ):
            continue
        if not _is_clicked(journal, first, second.time_ms):
            found[query, second.time_ms] += 1
    return found


def _is_clicked(journal: Journal, search: Shown, until_ms: int) -> bool:
    return any(
        max(journal.showing(known), default=None) == search
        for known in journal.clicked(search.time_ms, until_ms)
    )


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
