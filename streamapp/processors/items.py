"""items: what viewers do with each item, as counters and rates, to the second.

::

    activity.items ──▶ counters of the item (total, 30 min, 6 h, 7 d) ──▶ signals.items
                   └─▶ sketch of its viewers ────────────────────────────▶
    catalog.items  ──▶ status, category, creator ────────────────────────▶
                       watches, once a minute ────────────────────────────▶ activity.trending

Kept for each item: its counters, its first and newest event time, the catalog fields as last
published, and the sketch, which has a row of its own as it changes seldom. An item nobody touched
for 60 days is forgotten. One deleted from the catalog is forgotten at once, and what is still to
come of it, such as the ends of playbacks, counts for nothing: it begins anew when the catalog has
it again. Which items trend, and which lists have news, says `streamapp.features.trending`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.features import distinct
from streamapp.features.catalog import Catalog
from streamapp.features.counters import CountersText, DecayedCounters, check_names
from streamapp.features.decay import DAY_MS
from streamapp.features.digest import DIGEST_BYTES
from streamapp.features.expiry import Expiry
from streamapp.features.parameters import Parameters
from streamapp.features.rates import COUNTERS, coec, shrunk, velocity
from streamapp.features.trending import Rising, lists_of
from streamapp.processors.base import Cut, Row
from streamapp.signals import ItemDelta, ItemSignal, TrendingItem, TrendingReport

ACTIVITY = "activity.items"
CATALOG = "catalog.items"
SIGNALS = "signals.items"
TRENDING = "activity.trending"

_ROW_VERSION = 1
_VIEWERS = b"v"
_NEWS = b"n"
"""Changelog key of the lists with news."""
_INDEX = {name: index for index, name in enumerate(COUNTERS)}
_IMPRESSIONS = _INDEX["impressions"]
_EXPECTED_CLICKS = _INDEX["expected_clicks"]
_CLICKS = _INDEX["clicks"]
_WATCHES = _INDEX["watches"]
_CLOSED = _INDEX["closed"]
_COMPLETES = _INDEX["completes"]
_RATIO_SUM = _INDEX["ratio_sum"]
_RATIO_N = _INDEX["ratio_n"]

_H6 = 1
"""Place of the half-life that rates are taken by."""

_TEXT = CountersText(COUNTERS)
_decode_delta = decoder(ItemDelta, ACTIVITY)
_encode = msgspec.json.Encoder().encode


class _Joined(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Catalog fields of an item; all None when the catalog does not know it."""

    status: str | None = None
    category: str | None = None
    creator_id: str | None = None


_UNKNOWN = _Joined()


class _Item(msgspec.Struct, gc=False):
    """One item in memory; `published` is the join as readers have it."""

    counters: DecayedCounters
    as_of_ms: int
    first_ms: int
    published: _Joined
    viewers: bytes = b""


class _ItemRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One item in the changelog."""

    version: int
    landmark_ms: int
    as_of_ms: int
    first_ms: int
    sums: bytes
    published: _Joined
    deleted: bool = False


class _ViewersRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The distinct viewers of one item in the changelog."""

    version: int
    sketch: bytes


class _NewsRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The trending lists with news since the last full minute, in the changelog."""

    version: int
    names: list[str]


_decode_news = msgspec.json.Decoder(_NewsRow).decode
_decode_row = msgspec.json.Decoder(_ItemRow).decode
_decode_viewers = msgspec.json.Decoder(_ViewersRow).decode


def decode_delta(value: bytes) -> ItemDelta:
    """Decode one delta; raise Rejection for a counter that is not kept."""
    delta = _decode_delta(value)
    check_names(delta.deltas, _INDEX)
    if len(delta.viewers) % DIGEST_BYTES:
        raise Rejection("invalid_field", f"viewers: {len(delta.viewers)} bytes are no hashes")
    return delta


@dataclass(frozen=True, slots=True)
class ItemsSettings:
    """What can be configured.

    Attributes:
        idle_ms: an item without events for so long (to the hour) is forgotten.
    """

    idle_ms: int = 60 * DAY_MS


class Items:
    """The processor of one partition of the items."""

    name: ClassVar[str] = "items"
    inputs: ClassVar[tuple[str, ...]] = (ACTIVITY,)

    def __init__(self, catalog: Catalog, parameters: Parameters, settings: ItemsSettings) -> None:
        self._catalog = catalog
        self._parameters = parameters
        self._items: dict[str, _Item] = {}
        self._deleted: dict[str, int] = {}  # from the catalog, with the newest event time
        self._expiry = Expiry(settings.idle_ms)
        self._touched: dict[str, None] = {}
        self._gone: dict[str, None] = {}  # whose signals go
        self._met: dict[str, None] = {}
        self._restored: dict[str, bytes] = {}
        self._rising = Rising(self._lists_of, self._watches)
        self._news: list[str] = []

    def decoder(self, topic: str) -> Callable[[bytes], ItemDelta]:  # noqa: ARG002  # one input
        """Return what decodes one delta."""
        return decode_delta

    def process(self, topic: str, event: ItemDelta) -> None:  # noqa: ARG002  # one input
        """Add a delta to the item's counters."""
        item = self._items.get(event.item_id)
        if item is None:
            if event.item_id in self._deleted:
                return
            item = self._add(event)
            self._rising.touch(event.item_id)
        else:
            if "watches" in event.deltas or event.first_ms < item.first_ms:
                self._rising.touch(event.item_id)
            item.as_of_ms = max(item.as_of_ms, event.as_of_ms)
            item.first_ms = min(item.first_ms, event.first_ms)
        item.counters.merge(event.deltas, _INDEX, event.as_of_ms)
        if event.viewers:
            self._meet(event.item_id, item, event.viewers)
        self._touched[event.item_id] = None

    def _meet(self, item_id: str, item: _Item, viewers: bytes) -> None:
        """Add viewers to those of an item."""
        sketch = distinct.add(item.viewers, viewers)
        if sketch != item.viewers:
            item.viewers = sketch
            self._met[item_id] = None

    def _add(self, delta: ItemDelta) -> _Item:
        counters = DecayedCounters.zero(len(COUNTERS), delta.as_of_ms)
        item = _Item(counters, delta.as_of_ms, delta.first_ms, _UNKNOWN)
        self._items[delta.item_id] = item
        self._expiry.add(delta.item_id, delta.as_of_ms)
        return item

    def advance(self, stream_time_ms: int) -> None:
        """Report what trends, and forget the items that nobody touched for long."""
        self._rising.advance(stream_time_ms)
        if self._expiry.pending(stream_time_ms):
            for item_id in self._expiry.take(stream_time_ms):
                self._expire(item_id, stream_time_ms)

    def _expire(self, item_id: str, stream_time_ms: int) -> None:
        item = self._items.get(item_id)
        as_of_ms = self._deleted.get(item_id) if item is None else item.as_of_ms
        if as_of_ms is None:
            return
        if self._expiry.due_ms(as_of_ms) > stream_time_ms:
            self._expiry.add(item_id, as_of_ms)
        elif item is None:
            self._revive(item_id)
        else:
            self._forget(item_id)

    def _forget(self, item_id: str) -> None:
        item = self._items.pop(item_id)
        if item.viewers:
            self._met[item_id] = None
        self._rising.forget(item.published.category)
        self._touched[item_id] = self._gone[item_id] = None

    def _revive(self, item_id: str) -> None:
        """Forget that an item was deleted."""
        del self._deleted[item_id]
        self._touched[item_id] = None

    def follow(self, topic: str, key: str) -> None:
        """Publish an item again whose catalog fields changed; forget one that was deleted."""
        item = self._items.get(key) if topic == CATALOG else None
        if item is not None:
            self._rising.touch(key)
            self._compare(key, item)
        elif topic == CATALOG and key in self._deleted and self._join(key) != _UNKNOWN:
            self._revive(key)

    def _compare(self, item_id: str, item: _Item) -> None:
        joined = self._join(item_id)
        if joined == _UNKNOWN != item.published:
            self._forget(item_id)
            self._deleted[item_id] = item.as_of_ms
        elif joined != item.published:
            self._touched[item_id] = None

    def _lists_of(self, item_id: str) -> tuple[str, ...]:
        return lists_of(self._catalog.get(item_id))

    def _watches(self, item_id: str, at_ms: int) -> TrendingItem | None:
        item = self._items.get(item_id)
        if item is None:
            return None
        _, watches_30m, watches_6h, _ = item.counters.one(_WATCHES, at_ms)
        return TrendingItem(item_id, watches_30m, watches_6h, item.first_ms)

    def _join(self, item_id: str) -> _Joined:
        known = self._catalog.get(item_id)
        if known is None:
            return _UNKNOWN
        return _Joined(known.status, known.category, known.creator_id)

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Publish the items that were touched, and write their rows."""
        touched, self._touched = self._touched, {}
        gone, self._gone = self._gone, {}
        rows: list[Row] = []
        for item_id in touched:
            item = self._items.get(item_id)
            if item is not None:
                item.published = self._join(item_id)
                cut.emit(SIGNALS, item_id, _encode(self._signal(item_id, item, cut)))
                rows.append((_row_key(item_id), _row_value(item)))
                continue
            if item_id in gone:
                cut.emit(SIGNALS, item_id, None)
            rows.append((_row_key(item_id), _deleted_row(self._deleted.get(item_id))))
        self._report(cut)
        return rows + self._viewers_rows() + self._news_rows()

    def _report(self, cut: Cut) -> None:
        for name, as_of_ms, items in self._rising.take():
            report = TrendingReport(name=name, source=cut.partition, as_of_ms=as_of_ms, items=items)
            cut.emit(TRENDING, name, _encode(report))

    def _news_rows(self) -> list[Row]:
        self._rising.settle()
        news = list(self._rising.news)
        if news == self._news:
            return []
        self._news = news
        return [(_NEWS, _encode(_NewsRow(_ROW_VERSION, news)) if news else None)]

    def _viewers_rows(self) -> list[Row]:
        met, self._met = self._met, {}
        return [(_viewers_key(item_id), _viewers_row(self._items.get(item_id))) for item_id in met]

    def _signal(self, item_id: str, item: _Item, cut: Cut) -> ItemSignal:
        at_ms, joined = item.as_of_ms, item.published
        counters: Any = msgspec.Raw(_TEXT.of(item.counters, at_ms))
        h6 = item.counters.decayed(_H6, at_ms)
        _, watches_30m, _, _ = item.counters.one(_WATCHES, at_ms)
        prior, category, clicks = self._parameters.prior, joined.category, h6[_CLICKS]

        return ItemSignal(
            item_id=item_id,
            as_of_ms=at_ms,
            computed_at_ms=cut.computed_at_ms,
            status=joined.status,
            category=joined.category,
            creator_id=joined.creator_id,
            counters=counters,
            ctr=shrunk(clicks, h6[_IMPRESSIONS], prior("ctr", category, at_ms)),
            coec=coec(clicks, h6[_EXPECTED_CLICKS]),
            completion_rate=shrunk(
                h6[_COMPLETES], h6[_CLOSED], prior("completion_rate", category, at_ms)
            ),
            watch_ratio=shrunk(h6[_RATIO_SUM], h6[_RATIO_N], prior("watch_ratio", category, at_ms)),
            velocity=velocity(watches_30m, h6[_WATCHES], at_ms - item.first_ms),
            viewers=distinct.count(item.viewers),
        )

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        for key, value in rows:
            item_id = key[1:].decode()
            if key == _NEWS:
                self._news = [] if value is None else _decode_news(value).names
                continue
            if key[:1] == _VIEWERS:
                self._restored[item_id] = b"" if value is None else _decode_viewers(value).sketch
                continue
            self._deleted.pop(item_id, None)
            row = None if value is None else _decode_row(value)
            if row is None or row.deleted:
                self._items.pop(item_id, None)
                if row is not None:
                    self._deleted[item_id] = row.as_of_ms
                continue
            counters = DecayedCounters.from_bytes(row.sums, row.landmark_ms)
            self._items[item_id] = _Item(counters, row.as_of_ms, row.first_ms, row.published)

    def ready(self) -> None:
        """Publish again what the catalog changed while this partition was down."""
        restored, self._restored = self._restored, {}
        self._rising.news = dict.fromkeys(self._news)
        for item_id, item in list(self._items.items()):
            item.viewers = restored.get(item_id, b"")
            self._rising.hold(item_id)
            self._expiry.add(item_id, item.as_of_ms)
            self._compare(item_id, item)
        for item_id, as_of_ms in list(self._deleted.items()):
            self._expiry.add(item_id, as_of_ms)
            self.follow(CATALOG, item_id)

    @property
    def rows(self) -> int:
        """Items held."""
        return len(self._items)


def _row_key(item_id: str) -> bytes:
    """Return the changelog key of an item: never one that starts with @."""
    return b"i" + item_id.encode()


def _viewers_key(item_id: str) -> bytes:
    """Return the changelog key of an item's sketch."""
    return _VIEWERS + item_id.encode()


def _viewers_row(item: _Item | None) -> bytes | None:
    if item is None or not item.viewers:
        return None
    return _encode(_ViewersRow(_ROW_VERSION, item.viewers))


def _deleted_row(as_of_ms: int | None) -> bytes | None:
    """Return the row of an item that was deleted, if that is still to be known."""
    if as_of_ms is None:
        return None
    return _encode(_ItemRow(_ROW_VERSION, 0, as_of_ms, 0, b"", _UNKNOWN, deleted=True))


def _row_value(item: _Item) -> bytes:
    counters = item.counters
    return _encode(
        _ItemRow(
            _ROW_VERSION,
            counters.landmark_ms,
            item.as_of_ms,
            item.first_ms,
            counters.to_bytes(),
            item.published,
        )
    )
