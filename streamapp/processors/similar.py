"""similar: for each item, which others viewers engage in the same sessions.

::

    activity.pairs, from viewers ─▶ a, engaged after b ─▶ sessions of a ─▶ candidates.similar
                                       │ asks   ▲ tells                     for a, and for b
    activity.pairs, to themselves      ▼        │
                                       b: sessions of b, and of both

What counts, and the score, says `streamapp.features.similarity`. It takes the sessions of both
items, and each item's are counted by the task that owns its shard. So a pair goes to and fro: the
task of a counts a session for a and *asks* the task of b, saying how many a has; that counts the
pair for b, and *tells* the task of a how many b has; and that counts the pair for a. No counter is
read from elsewhere, and one record carries what a cut has for a shard.

An item that others engage without a gets ahead of what the task of a was told of it. So when its
sessions (and the doubt about them) are `told_growth` times what all its neighbours have heard, it
tells all of them, and else when they heard nothing for 15 minutes. For this reason a score is at
most √1.5 = 1.22 times what it should be, and what it should be half an hour after the last session.

What a viewer turned out to be a bot had engaged is taken back in the same way: sessions, then by
asking and telling the pairs. An item that has fewer sessions than all its neighbours were told of
tells them so: for this reason a score is at least 1/√1.5 of what it should be. What does not come
back are the neighbours that had to go for those a bot had brought. Of two items there may for a
moment be less than no session, while the one to be taken back is under way.

Lists are made once in 64 s of stream time, each shard at its own second: an item's when what it
rests on has grown or shrunk by a fifth, or when it is another at all and 15 minutes old. An item
that is hidden, removed or deleted leaves all lists at once, its own is deleted, and one that is
shown again is on lists as they are made. An item not engaged for 14 days is forgotten, and so is
one that is deleted.

The numbers, as long as no item has more than 100 neighbours, depend on which pairs come and not on
their order; which lists are made when depends on the merged order, which a replay fixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.features import neighbours
from streamapp.features.catalog import Catalog
from streamapp.features.co_engagement import SHARDS, shard_of
from streamapp.features.decay import DAY_MS, MINUTE_MS
from streamapp.features.expiry import Expiry
from streamapp.features.pair_letters import Letters, PairLetters, Pairs
from streamapp.features.similar_item import (
    FORGOTTEN,
    LIST_ITEMS,
    NOTHING,
    SPAN_MS,
    SimilarItem,
    is_head,
    neighbour_key,
    neighbour_row,
    row_item,
)
from streamapp.features.similarity import growth
from streamapp.processors.base import Cut, Row
from streamapp.signals import Candidate, PairDelta, SimilarList, Told

PAIRS = "activity.pairs"
SIMILAR = "candidates.similar"
CATALOG = "catalog.items"

SECOND_MS = 1_000
MAKE_EVERY_MS = SHARDS * SECOND_MS
"""Stream time from one time to the next at which an item's list may be made."""

REFRESH_MS = 15 * MINUTE_MS

_encode = msgspec.json.Encoder().encode
_decode_delta = decoder(PairDelta, PAIRS)


def decode_delta(value: bytes) -> PairDelta:
    """Decode one delta; raise Rejection for an engagement of nothing."""
    delta = _decode_delta(value)
    if not (all(delta.engaged) and all(delta.retracted)):
        raise Rejection("invalid_field", "engaged, retracted: an entry without an item")
    return delta


@dataclass(frozen=True, slots=True)
class SimilarSettings:
    """What can be configured.

    Attributes:
        size: items on a list.
        kept: neighbours an item keeps.
        told_growth: how many times what its neighbours have heard an item's sessions may be.
        news: how much what a list rests on must grow or shrink for it to be made anew.
        refresh_ms: age at which a list is made anew for any change.
        idle_ms: an item not engaged for so long (to the hour) is forgotten.
    """

    size: int = LIST_ITEMS
    kept: int = neighbours.LIMIT
    told_growth: float = 1.5
    news: float = 1.2
    refresh_ms: int = REFRESH_MS
    idle_ms: int = 14 * DAY_MS


class Similar:
    """The processor of the shards that one partition owns."""

    name: ClassVar[str] = "similar"
    inputs: ClassVar[tuple[str, ...]] = (PAIRS,)

    def __init__(self, catalog: Catalog, settings: SimilarSettings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._kept = settings.kept
        self._items: dict[str, SimilarItem] = {}
        self._expiry = Expiry(settings.idle_ms)
        self._second = 0
        self._touched: dict[int, list[str]] = {}
        # What the next cut takes out.
        self._letters = PairLetters()
        self._rows: dict[bytes, bytes | None] = {}
        self._heads: dict[str, None] = {}
        self._made: list[tuple[str, int, list[Candidate]]] = []
        self._gone: dict[str, None] = {}

    def decoder(self, topic: str) -> Callable[[bytes], PairDelta]:  # noqa: ARG002  # one input
        """Return what decodes one delta."""
        return decode_delta

    def process(self, topic: str, event: PairDelta) -> None:  # noqa: ARG002  # one input
        """Count sessions and pairs, and pass on who has to hear of them."""
        as_of_ms = event.as_of_ms
        minute_ms = as_of_ms // MINUTE_MS * MINUTE_MS
        letters = self._letters.of(minute_ms, as_of_ms)
        for item_id, *others in event.engaged:
            if self._engage(item_id, minute_ms):
                self._tell_all(item_id, letters)
            for other_id in others:
                _count(letters.asked, other_id, item_id, 1)
        if event.retracted:
            self._take_back(event.retracted, minute_ms, letters)
        for told in event.asked:
            self._meet(told, minute_ms)
            _count(letters.told, told.other_id, told.item_id, told.together)
        for told in event.told:
            if self._meet(told, minute_ms):
                _count(letters.told, told.other_id, told.item_id, 0)

    def _take_back(self, retracted: Iterable[list[str]], minute_ms: int, letters: Letters) -> None:
        """Take sessions and pairs back, of the items that are still held."""
        items: dict[str, SimilarItem] = {}
        for item_id, *others in retracted:
            item = self._items.get(item_id)
            if item is None:
                continue
            items[item_id] = item
            item.disengage(minute_ms)
            for other_id in others:
                _count(letters.asked, other_id, item_id, -1)
        for item_id, item in items.items():
            self._heads[item_id] = None
            if not item.touched:
                self._touch(item_id, item)
            if item.must_correct(self._now_ms):
                self._tell_all(item_id, letters)

    def _engage(self, item_id: str, minute_ms: int) -> bool:
        """Count a session for an item; return whether its neighbours must hear of it."""
        item = self._item(item_id, minute_ms)
        item.engage(minute_ms)
        self._heads[item_id] = None
        if not item.touched:
            self._touch(item_id, item)
        return item.must_tell(minute_ms, self._settings.told_growth, self._now_ms)

    @property
    def _now_ms(self) -> int:
        """Stream time, to the second: the minute of nothing that has come is after it."""
        return self._second * SECOND_MS

    def _tell_all(self, item_id: str, letters: Letters) -> None:
        for other_id in self._items[item_id].neighbours.ids():
            _count(letters.told, other_id, item_id, 0)

    def _meet(self, told: Told, minute_ms: int) -> bool:
        """Count sessions of two items for one of them, and note those of the other.

        Returns:
            Whether the other is a neighbour since now, and missed what all were told meanwhile.
        """
        item_id, other_id = told.item_id, told.other_id
        if told.together < 0 and item_id not in self._items:
            return False
        item = self._item(item_id, minute_ms)
        weight = growth(minute_ms - item.landmark_ms)
        met = item.neighbours.meet(
            other_id, told.together * weight, told.engaged * weight, self._kept
        )
        if met is None:
            return False
        row: bytes | None = neighbour_row(other_id, met.together, met.engaged)
        if told.together and abs(met.together) < FORGOTTEN * weight:  # all was taken back
            item.neighbours.remove(met.tag)
            row = None
        self._rows[neighbour_key(item_id, met.tag)] = row
        if met.dropped is not None:
            self._rows[neighbour_key(item_id, met.dropped)] = None
        if told.together < 0 and item.basis is not None:
            # The sums may come to what they were, of other neighbours: the list is out of date.
            item.basis = item.basis._replace(others=-1.0)
            self._write(item.list_row(item_id))
        if not item.touched:
            self._touch(item_id, item)
        return met.is_new and item.told_ms >= minute_ms

    def _item(self, item_id: str, minute_ms: int) -> SimilarItem:
        """Return an item that can take an event of this time."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = SimilarItem(minute_ms, minute_ms)
            self._heads[item_id] = None
            self._expiry.add(item_id, minute_ms)
        elif minute_ms - item.landmark_ms > SPAN_MS:
            item.move(minute_ms)
            self._rows.update(item.all_rows(item_id))
        return item

    def _touch(self, item_id: str, item: SimilarItem) -> None:
        """See to it that an item's list is looked at."""
        item.touched = True
        self._touched.setdefault(shard_of(item_id), []).append(item_id)

    def advance(self, stream_time_ms: int) -> None:
        """Make the lists of the shards whose seconds have passed, and forget what is idle."""
        second = stream_time_ms // SECOND_MS
        if second == self._second:
            return
        begin = max(self._second, second - SHARDS) if self._second else second
        for mark in range(begin + 1, second + 1):
            if self._touched.get(mark % SHARDS):
                for item_id in sorted(set(self._touched.pop(mark % SHARDS))):
                    self._look_at(item_id, mark * SECOND_MS)
        self._second = second
        if self._expiry.pending(stream_time_ms):
            for item_id in self._expiry.take(stream_time_ms):
                self._expire(item_id, stream_time_ms)

    def _look_at(self, item_id: str, at_ms: int) -> None:
        """Make an item's list if it is time to; else look again, unless nothing has changed."""
        item = self._items.get(item_id)
        if item is None:
            return
        item.touched = False
        self._catch_up(item_id, item, at_ms)
        if not self._is_active(item_id):
            return
        rests_on, settings = item.rests_on(), self._settings
        if item.basis is None:
            self._make(item_id, item, at_ms)
        elif rests_on != item.basis:
            now, then = rests_on.together, item.basis.together
            is_news = now >= settings.news * then or then >= settings.news * now
            if is_news or at_ms - item.made_ms >= settings.refresh_ms:
                self._make(item_id, item, at_ms)
            elif not item.touched:
                self._touch(item_id, item)

    def _catch_up(self, item_id: str, item: SimilarItem, at_ms: int) -> None:
        """Tell all neighbours of sessions they have not heard of, now or at a later look."""
        if not item.is_behind():
            return
        if at_ms - item.told_ms < self._settings.refresh_ms:
            self._touch(item_id, item)
            return
        item.catch_up(at_ms)
        self._heads[item_id] = None
        self._tell_all(item_id, self._letters.of(at_ms // MINUTE_MS * MINUTE_MS, at_ms))

    def _is_active(self, item_id: str) -> bool:
        known = self._catalog.get(item_id)
        return known is not None and known.status == "active"

    def _make(self, item_id: str, item: SimilarItem, at_ms: int) -> None:
        """Make an item's list, and send it."""
        for tag in item.forget(at_ms):
            self._rows[neighbour_key(item_id, tag)] = None
        best = item.best(at_ms, self._catalog, self._settings.size)
        if best or item.sent != NOTHING:
            self._made.append((item_id, at_ms, best))
        item.made_ms, item.basis = at_ms, item.rests_on()
        item.sent = neighbours.pack([candidate.item_id for candidate in best])
        self._write(item.list_row(item_id))

    def _unmake(self, item_id: str, item: SimilarItem) -> None:
        """Delete an item's list."""
        if item.sent != NOTHING:
            self._made.append((item_id, 0, []))
        item.made_ms, item.basis, item.sent = -1, None, NOTHING
        self._write(item.list_row(item_id))

    def _write(self, row: Row) -> None:
        self._rows[row[0]] = row[1]

    def _expire(self, item_id: str, stream_time_ms: int) -> None:
        item = self._items.get(item_id)
        if item is None:
            return
        if self._expiry.due_ms(item.newest_ms) > stream_time_ms:
            self._expiry.add(item_id, item.newest_ms)
        else:
            self._forget(item_id, item)

    def _forget(self, item_id: str, item: SimilarItem) -> None:
        self._rows.update((key, None) for key, _ in item.all_rows(item_id))
        self._unmake(item_id, item)
        del self._items[item_id]
        self._heads.pop(item_id, None)

    def follow(self, topic: str, key: str) -> None:
        """Take an item off all lists when it is not active; list it when it is."""
        if topic != CATALOG:
            return
        item = self._items.get(key)
        if self._is_active(key):
            if item is not None and not item.touched:
                self._touch(key, item)
            return
        if item is not None:
            if self._catalog.get(key) is None:
                self._forget(key, item)
            else:
                self._unmake(key, item)
        self._gone[key] = None

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Send the lists that were made and what items tell each other; write what changed."""
        if self._gone:
            self._take_off()
        made, self._made = self._made, []
        for item_id, at_ms, best in made:
            value = _encode(SimilarList(item_id, at_ms, cut.computed_at_ms, best))
            cut.emit(SIMILAR, item_id, value if best else None)
        for shard, delta in self._letters.take(self._engaged):
            cut.emit(PAIRS, shard, delta)
        heads, self._heads = self._heads, {}
        for item_id in heads:
            self._write(self._items[item_id].head_row(item_id))
        rows, self._rows = self._rows, {}
        return rows.items()

    def _take_off(self) -> None:
        """Make the lists anew that have an item which is not active any more."""
        gone, self._gone = self._gone, {}
        holds = neighbours.holds_any_of(key for key in gone if not self._is_active(key))
        for item_id in sorted(i for i, item in self._items.items() if holds(item.sent)):
            item = self._items[item_id]
            self._make(item_id, item, max(item.made_ms, self._second * SECOND_MS))

    def _engaged(self, item_id: str, minute_ms: int) -> float | None:
        item = self._items.get(item_id)
        return None if item is None else item.engaged_at(minute_ms)

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        items = self._items
        for key, value in rows:
            item_id = row_item(key)
            if value is None and (is_head(key) or item_id not in items):
                items.pop(item_id, None)
                continue
            item = items.get(item_id)
            if item is None:
                item = items[item_id] = SimilarItem(0, 0)
            item.restore(key, value)

    def ready(self) -> None:
        """Look at all lists, and take off what the catalog took away while this was down."""
        for item_id, item in list(self._items.items()):
            self._expiry.add(item_id, item.newest_ms)
            self._touch(item_id, item)
            if item.basis is not None and not self._is_active(item_id):
                self._unmake(item_id, item)
            for other_id in neighbours.unpack(item.sent):
                if not self._is_active(other_id):
                    self._gone[other_id] = None

    @property
    def rows(self) -> int:
        """Items held."""
        return len(self._items)


def _count(pairs: Pairs, item_id: str, other_id: str, together: int) -> None:
    """Count sessions of both in what an item is told of another."""
    to = pairs.get(other_id)
    if to is None:
        to = pairs[other_id] = {}
    to[item_id] = to.get(item_id, 0) + together
