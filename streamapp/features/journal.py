"""What a viewer was shown and clicked of late, packed: a late event may ask for any of it.

Each entry has a number; modulo 1,000 that names its changelog row, so an entry takes the row of
one long gone, and rows are deleted only with the viewer. Item and request ids are kept as the
first 4 bytes of their digests: that two within one viewer's reach collide has a chance of 10^-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

import msgspec

from streamapp.features.decay import HOUR_MS
from streamapp.features.digest import digest
from streamapp.features.packed import find
from streamapp.features.slates import ATTRIBUTION_MS

REQUEST_MS = 6 * HOUR_MS
"""How far back a click with a request_id looks for its impression."""

MAX_KEPT = 1_000
"""Impressions kept of a viewer, and clicks; when there are more the first ones go."""

NO_REQUEST = bytes(4)

_ROW_VERSION = 1
_SHOWN = Struct("<q8sI4sHH")
_CLICK = Struct("<qI4s4s")
_TAG = 4

_encode = msgspec.json.Encoder().encode


class Shown(NamedTuple):
    """An impression; they are ordered by the first two fields, which no two of a viewer share.

    Attributes:
        key: digest of the event id.
        query: normalised; None if it is no search.
    """

    time_ms: int
    key: bytes
    request: bytes
    query: str | None


class Clicked(NamedTuple):
    """A click; `query` is that which it carries."""

    time_ms: int
    item: bytes
    request: bytes
    query: str | None

    @property
    def oldest_ms(self) -> int:
        """Impressions before this are out of its reach."""
        back_ms = ATTRIBUTION_MS if self.request == NO_REQUEST else REQUEST_MS
        return self.time_ms - back_ms

    def reaches(self, shown: Shown) -> bool:
        """Return whether it can be on an impression that shows its item."""
        named = self.request != NO_REQUEST
        in_time = self.oldest_ms <= shown.time_ms <= self.time_ms
        return in_time and (not named or self.request == shown.request)


class _ShownRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    record: bytes
    items: bytes
    query: str | None


class _ClickRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    record: bytes
    query: str | None


_decode_shown = msgspec.json.Decoder(_ShownRow).decode
_decode_click = msgspec.json.Decoder(_ClickRow).decode


class Journal(msgspec.Struct, gc=False):
    """The entries in the order they came.

    Attributes:
        shown: 28 bytes an impression: time, key, number, request, how many items, is it a search.
        items: 4 bytes for each of their items, one after the other.
        clicks: 20 bytes a click: time, number, item, request.
        queries: query of a search by its number, and of a click that carries one by ~number.
        shown_next, clicks_next: numbers of the next ones.
        newest_search_ms, newest_click_ms: not older than any; −1 when there never was one.
    """

    shown: bytes = b""
    items: bytes = b""
    clicks: bytes = b""
    queries: dict[int, str] | None = None
    shown_next: int = 0
    clicks_next: int = 0
    newest_search_ms: int = -1
    newest_click_ms: int = -1

    def add_shown(self, shown: Shown, items: list[bytes]) -> tuple[bytes, bytes]:
        """Keep an impression and what it showed; return the row: its part of the key, its value."""
        number, query = self.shown_next, shown.query
        time_ms, key, request, _ = shown
        record = _SHOWN.pack(time_ms, key, number, request, len(items), query is not None)
        packed = b"".join(items)
        self._append_shown(time_ms, number, record, packed, query)
        return _slot(number), _encode(_ShownRow(_ROW_VERSION, record, packed, query))

    def add_click(self, click: Clicked) -> tuple[bytes, bytes]:
        """Keep a click; return the row: its part of the key, its value."""
        number = self.clicks_next
        time_ms, item, request, query = click
        record = _CLICK.pack(time_ms, number, item, request)
        self._append_click(time_ms, number, record, query)
        return _slot(number), _encode(_ClickRow(_ROW_VERSION, record, query))

    def showing(self, click: Clicked) -> Iterator[Shown]:
        """Yield the impressions a click can be on."""
        queries, wanted = self.queries or {}, click.request
        oldest_ms, newest_ms, named = click.oldest_ms, click.time_ms, wanted != NO_REQUEST
        if named and wanted not in self.shown:
            return
        end = 0
        for time_ms, key, number, request, count, searched in _SHOWN.iter_unpack(self.shown):
            start, end = end, end + _TAG * count
            if (named and request != wanted) or not oldest_ms <= time_ms <= newest_ms:
                continue
            if find(self.items[start:end], click.item, _TAG) >= 0:
                yield Shown(time_ms, key, request, queries[number] if searched else None)

    def searches(self, from_ms: int, to_ms: int) -> list[tuple[Shown, str]]:
        """Return the searches of a time, both ends included, in order, with their queries."""
        queries = self.queries or {}
        return sorted(
            (Shown(time_ms, key, request, queries[number]), queries[number])
            for time_ms, key, number, request, _, searched in _SHOWN.iter_unpack(self.shown)
            if searched and from_ms <= time_ms <= to_ms
        )

    def clicked(self, from_ms: int, to_ms: int) -> list[Clicked]:
        """Return the clicks of a time, both ends included."""
        if self.newest_click_ms < from_ms:
            return []
        queries = self.queries or {}
        return [
            Clicked(time_ms, item, request, queries.get(~number))
            for time_ms, number, item, request in _CLICK.iter_unpack(self.clicks)
            if from_ms <= time_ms <= to_ms
        ]

    def forget(self, since_ms: int) -> None:
        """Drop what came first as far as it is from before this.

        Their rows stay until others take them: what no event may concern any more changes
        nothing after a restore either.

        Args:
            since_ms: stream time less how late an event may be; impressions are kept longer, by
                as much as a click reaches back.
        """
        while self.shown and _SHOWN.unpack_from(self.shown)[0] < since_ms - REQUEST_MS:
            self._drop_shown()
        while self.clicks and _CLICK.unpack_from(self.clicks)[0] < since_ms:
            self._drop_click()

    def restore_shown(self, value: bytes) -> None:
        """Take an impression back from the changelog."""
        row = _decode_shown(value)
        time_ms, _, number, _, _, _ = _SHOWN.unpack(row.record)
        self._append_shown(time_ms, number, row.record, row.items, row.query)

    def restore_click(self, value: bytes) -> None:
        """Take a click back from the changelog."""
        row = _decode_click(value)
        time_ms, number, _, _ = _CLICK.unpack(row.record)
        self._append_click(time_ms, number, row.record, row.query)

    def shown_parts(self) -> list[bytes]:
        """Return which part of a row's key each impression in the changelog has."""
        return [_slot(number) for number in range(min(self.shown_next, MAX_KEPT))]

    def click_parts(self) -> list[bytes]:
        """Return which part of a row's key each click in the changelog has."""
        return [_slot(number) for number in range(min(self.clicks_next, MAX_KEPT))]

    def _append_shown(
        self, time_ms: int, number: int, record: bytes, items: bytes, query: str | None
    ) -> None:
        if len(self.shown) >= MAX_KEPT * _SHOWN.size:
            self._drop_shown()
        self.shown += record
        self.items += items
        self.shown_next = number + 1
        if query is not None:
            self._name(number, query)
            self.newest_search_ms = max(self.newest_search_ms, time_ms)

    def _append_click(self, time_ms: int, number: int, record: bytes, query: str | None) -> None:
        if len(self.clicks) >= MAX_KEPT * _CLICK.size:
            self._drop_click()
        self.clicks += record
        self.clicks_next = number + 1
        if query is not None:
            self._name(~number, query)
        self.newest_click_ms = max(self.newest_click_ms, time_ms)

    def _name(self, number: int, query: str) -> None:
        if self.queries is None:
            self.queries = {}
        self.queries[number] = query

    def _drop_shown(self) -> None:
        _, _, number, _, count, searched = _SHOWN.unpack_from(self.shown)
        self.shown, self.items = self.shown[_SHOWN.size :], self.items[_TAG * count :]
        if searched and self.queries:
            del self.queries[number]

    def _drop_click(self) -> None:
        _, number, _, _ = _CLICK.unpack_from(self.clicks)
        self.clicks = self.clicks[_CLICK.size :]
        if self.queries:
            self.queries.pop(~number, None)


def _slot(number: int) -> bytes:
    return (number % MAX_KEPT).to_bytes(2, "big")


def request_tag(request_id: str | None) -> bytes:
    """Return what a request is kept as; `NO_REQUEST` for none."""
    return digest(request_id)[:_TAG] if request_id else NO_REQUEST


@lru_cache(maxsize=1 << 16)
def item_tag(item_id: str) -> bytes:
    """Return what an item is kept as."""
    return digest(item_id)[:_TAG]
