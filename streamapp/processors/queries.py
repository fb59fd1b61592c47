"""queries: what viewers search for, what they get, and what they do with it, to the second.

::

    activity.queries ──▶ counters of the query (total, 30 min, 6 h, 7 d) ──▶ signals.queries
                    └──▶ its items: impressions, expected clicks, clicks ──▶ the best 50

Kept for each normalised query: its counters, its first and newest event time, and its items (at
most 250, see `streamapp.features.query_items`). A query without events for 30 days is forgotten.

`velocity` is that of the items (`streamapp.features.rates.velocity`) over searches: (a + 20)/(b +
20), a and b the searches per 6 h that the 30 min and the 6 h counter see; a hot query has more
than 1. The rate of an item is corrected for the positions it was shown at
(`streamapp.features.queries.corrected_rate`), its prior the parameter `prior/ctr` in force.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.features import rates
from streamapp.features.counters import CountersText, DecayedCounters, check_names
from streamapp.features.decay import DAY_MS
from streamapp.features.expiry import Expiry
from streamapp.features.parameters import Parameters
from streamapp.features.queries import COUNTERS
from streamapp.features.query_items import QueryItems
from streamapp.processors.base import Cut, Row
from streamapp.signals import QueryDelta, QuerySignal

ACTIVITY = "activity.queries"
SIGNALS = "signals.queries"

_ROW_VERSION = 1
_INDEX = {name: index for index, name in enumerate(COUNTERS)}
_SEARCHES = _INDEX["searches"]
_ITEM = 3
"""Numbers an item has in a delta."""

_TEXT = CountersText(COUNTERS)
_decode_delta = decoder(QueryDelta, ACTIVITY)
_encode = msgspec.json.Encoder().encode


class _Query(msgspec.Struct, gc=False):
    """One query in memory."""

    counters: DecayedCounters
    as_of_ms: int
    first_ms: int
    items: QueryItems


class _QueryRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One query in the changelog."""

    version: int
    landmark_ms: int
    as_of_ms: int
    first_ms: int
    sums: bytes
    items_landmark_ms: int
    item_ids: list[str]
    item_sums: bytes


_decode_row = msgspec.json.Decoder(_QueryRow).decode


def decode_delta(value: bytes) -> QueryDelta:
    """Decode one delta; raise Rejection for a counter that is not kept."""
    delta = _decode_delta(value)
    check_names(delta.deltas, _INDEX)
    for item_id, sums in delta.items.items():
        if len(sums) != _ITEM:
            raise Rejection("invalid_field", f"items: {item_id!r} with {len(sums)} numbers")
    return delta


@dataclass(frozen=True, slots=True)
class QueriesSettings:
    """What can be configured.

    Attributes:
        idle_ms: a query without events for so long (to the hour) is forgotten.
    """

    idle_ms: int = 30 * DAY_MS


class Queries:
    """The processor of one partition of the queries."""

    name: ClassVar[str] = "queries"
    inputs: ClassVar[tuple[str, ...]] = (ACTIVITY,)

    def __init__(self, parameters: Parameters, settings: QueriesSettings) -> None:
        self._parameters = parameters
        self._queries: dict[str, _Query] = {}
        self._expiry = Expiry(settings.idle_ms)
        self._touched: dict[str, None] = {}

    def decoder(self, topic: str) -> Callable[[bytes], QueryDelta]:  # noqa: ARG002  # one input
        """Return what decodes one delta."""
        return decode_delta

    def process(self, topic: str, event: QueryDelta) -> None:  # noqa: ARG002  # one input
        """Add a delta to the query's counters and items."""
        query = self._queries.get(event.query)
        if query is None:
            query = self._add(event)
        else:
            query.as_of_ms = max(query.as_of_ms, event.as_of_ms)
            query.first_ms = min(query.first_ms, event.first_ms)
        query.counters.merge(event.deltas, _INDEX, event.as_of_ms)
        query.items.merge(event.items, event.as_of_ms)
        self._touched[event.query] = None

    def _add(self, delta: QueryDelta) -> _Query:
        at_ms = delta.as_of_ms
        items = QueryItems(at_ms, {}, array("d"))
        counters = DecayedCounters.zero(len(COUNTERS), at_ms)
        query = self._queries[delta.query] = _Query(counters, at_ms, delta.first_ms, items)
        self._expiry.add(delta.query, at_ms)
        return query

    def advance(self, stream_time_ms: int) -> None:
        """Forget the queries that nobody searched for long."""
        if self._expiry.pending(stream_time_ms):
            for text in self._expiry.take(stream_time_ms):
                self._expire(text, stream_time_ms)

    def _expire(self, text: str, stream_time_ms: int) -> None:
        query = self._queries[text]
        if self._expiry.due_ms(query.as_of_ms) > stream_time_ms:
            self._expiry.add(text, query.as_of_ms)
            return
        del self._queries[text]
        self._touched[text] = None

    def follow(self, topic: str, key: str) -> None:
        """Nothing is published again for a parameter: the next event of a query shows it."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Publish the queries that were touched, and write their rows."""
        touched, self._touched = self._touched, {}
        rows: list[Row] = []
        for text in touched:
            query = self._queries.get(text)
            if query is None:
                cut.emit(SIGNALS, text, None)
                rows.append((_row_key(text), None))
                continue
            cut.emit(SIGNALS, text, _encode(self._signal(text, query, cut)))
            rows.append((_row_key(text), _row_value(query)))
        return rows

    def _signal(self, text: str, query: _Query, cut: Cut) -> QuerySignal:
        at_ms = query.as_of_ms
        counters: Any = msgspec.Raw(_TEXT.of(query.counters, at_ms))
        _, searches_30m, searches_6h, _ = query.counters.one(_SEARCHES, at_ms)
        age_ms = at_ms - query.first_ms
        prior = self._parameters.prior("ctr", None, at_ms)
        return QuerySignal(
            query=text,
            as_of_ms=at_ms,
            computed_at_ms=cut.computed_at_ms,
            counters=counters,
            velocity=rates.velocity(searches_30m, searches_6h, age_ms),
            items=query.items.best(at_ms, prior),
        )

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        for key, value in rows:
            text = key[1:].decode()
            if value is None:
                self._queries.pop(text, None)
                continue
            row = _decode_row(value)
            self._queries[text] = _Query(
                DecayedCounters.from_bytes(row.sums, row.landmark_ms),
                row.as_of_ms,
                row.first_ms,
                QueryItems.restored(row.items_landmark_ms, row.item_ids, row.item_sums),
            )

    def ready(self) -> None:
        """Watch again which queries fall silent."""
        for text, query in self._queries.items():
            self._expiry.add(text, query.as_of_ms)

    @property
    def rows(self) -> int:
        """Queries held."""
        return len(self._queries)


def _row_key(text: str) -> bytes:
    """Return the changelog key of a query: never one that starts with @."""
    return b"q" + text.encode()


def _row_value(query: _Query) -> bytes:
    counters, items = query.counters, query.items
    return _encode(
        _QueryRow(
            _ROW_VERSION,
            counters.landmark_ms,
            query.as_of_ms,
            query.first_ms,
            counters.to_bytes(),
            items.landmark_ms,
            list(items.index),
            items.sums.tobytes(),
        )
    )
