"""What a viewer was shown and did of late, packed: a late event may ask for any of it.

Items and surfaces are kept as their numbers in `ItemNames`, requests as four bytes of a checksum:
that two of a viewer's requests collide within six hours has a chance of some 10^-8.
"""

from __future__ import annotations

from array import array
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from mypy_extensions import mypyc_attr

from streamapp.features.decay import HOUR_MS, MINUTE_MS
from streamapp.features.packed import find
from streamapp.features.recent import CLICK
from streamapp.features.slates import ATTRIBUTION_MS

REQUEST_MS: Final = 6 * HOUR_MS
"""How far back a click with a request_id looks for its impression."""

REFORMULATION_MS: Final = MINUTE_MS
"""Within so long after a search another query takes its place, unless there was a click between."""

MAX_KEPT: Final = 1_000
"""Impressions kept of a viewer, and actions; when there are more the first ones go."""

MAX_ITEMS: Final = 50_000
"""Items that these impressions showed."""

NO_REQUEST: Final = bytes(4)

_SHOWN: Final = Struct("<q8s4sIHB")
_ACTED: Final = Struct("<q4s4sB")
_TIME: Final = Struct("<q")
_SHOWN_SIZE: Final = 27
_ACTED_SIZE: Final = 17
_ITEM: Final = 4
_SEARCH: Final = 1
_PLACED: Final = 2

_SHORT: Final = 1_024
"""Bytes of entries that are copied when there is another; more of them grow in place."""

_Bytes = bytes | bytearray


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


@mypyc_attr(acyclic=True)
class Slots:
    """The slots of an impression: numbers of the items, 4 bytes each, and their positions.

    `surface` is the number of its name.
    """

    __slots__ = ("items", "positions", "surface")

    def __init__(self, surface: int, items: bytes, positions: list[int]) -> None:
        self.surface = surface
        self.items = items
        self.positions = positions


@mypyc_attr(acyclic=True)
class Journal:
    """The entries in the order they came.

    Attributes:
        shown: 27 bytes an impression: time, key, request, surface, how many items, and whether it
            is a search and has positions other than 1, 2, 3 …
        items: 4 bytes for each of their items, one after the other.
        positions: 4 bytes for each item of those that have such positions.
        acted: 17 bytes an action: time, item, request, action.
        queries: query of a search by its number, and of a click that carries one by ~number.
        shown_gone, acted_gone: how many have been dropped: numbers go on from there.
        newest_search_ms, newest_click_ms: not older than any; −1 when there never was one.
    """

    __slots__ = (
        "acted",
        "acted_gone",
        "items",
        "newest_click_ms",
        "newest_search_ms",
        "positions",
        "queries",
        "shown",
        "shown_gone",
    )

    def __init__(self) -> None:
        self.shown: _Bytes = b""
        self.items: _Bytes = b""
        self.positions = b""
        self.acted: _Bytes = b""
        self.queries: dict[int, str] | None = None
        self.shown_gone = 0
        self.acted_gone = 0
        self.newest_search_ms = -1
        self.newest_click_ms = -1

    def show(
        self, time_ms: int, key: bytes, request: bytes, query: str | None, slots: Slots
    ) -> None:
        """Keep an impression, the fields of `Shown`, and what it showed."""
        while len(self.shown) >= MAX_KEPT * _SHOWN_SIZE or len(self.items) >= MAX_ITEMS * _ITEM:
            self._drop_shown()
        positions = slots.positions
        count = len(positions)
        flags = 0
        if positions != _in_line(count):
            flags = _PLACED
            self.positions += array("I", positions).tobytes()
        if query is not None:
            flags |= _SEARCH
            self._name(self.shown_gone + len(self.shown) // _SHOWN_SIZE, query)
            self.newest_search_ms = max(self.newest_search_ms, time_ms)
        entry: bytes = _SHOWN.pack(time_ms, key, request, slots.surface, count, flags)
        self.shown = _longer(self.shown, entry)
        self.items = _longer(self.items, slots.items)

    def act(
        self, time_ms: int, item: bytes, request: bytes, action: int, query: str | None
    ) -> None:
        """Keep an action.

        Args:
            item: the number of the item's name, 4 bytes.
            action: its index in `ACTIONS`.
        """
        if len(self.acted) >= MAX_KEPT * _ACTED_SIZE:
            self._drop_acted()
        if query is not None:
            self._name(~(self.acted_gone + len(self.acted) // _ACTED_SIZE), query)
        entry: bytes = _ACTED.pack(time_ms, item, request, action)
        self.acted = _longer(self.acted, entry)
        if action == CLICK and time_ms > self.newest_click_ms:
            self.newest_click_ms = time_ms

    def showing(self, click: Clicked) -> list[Shown]:
        """Return the impressions a click can be on."""
        queries, wanted = self.queries or {}, click.request
        found: list[Shown] = []
        oldest_ms, newest_ms, named = click.oldest_ms, click.time_ms, wanted != NO_REQUEST
        if named and wanted not in self.shown:
            return found
        end = 0
        for number, record in enumerate(_SHOWN.iter_unpack(self.shown), self.shown_gone):
            time_ms, key, request, _, count, flags = record
            start, end = end, end + _ITEM * count
            if (named and request != wanted) or not oldest_ms <= time_ms <= newest_ms:
                continue
            if find(self.items[start:end], click.item, _ITEM) >= 0:
                query = queries[number] if flags & _SEARCH else None
                found.append(Shown(time_ms, key, request, query))
        return found

    def searches(self, from_ms: int, to_ms: int) -> list[tuple[Shown, str]]:
        """Return the searches of a time, both ends included, in order, with their queries."""
        queries = self.queries or {}
        records = enumerate(_SHOWN.iter_unpack(self.shown), self.shown_gone)
        return sorted(
            [
                (Shown(time_ms, key, request, queries[number]), queries[number])
                for number, (time_ms, key, request, _, _, flags) in records
                if flags & _SEARCH and from_ms <= time_ms <= to_ms
            ]
        )

    def clicked(self, from_ms: int, to_ms: int) -> list[Clicked]:
        """Return the clicks of a time, both ends included."""
        if self.newest_click_ms < from_ms:
            return []
        queries = self.queries or {}
        records = enumerate(_ACTED.iter_unpack(self.acted), self.acted_gone)
        return [
            Clicked(time_ms, item, request, queries.get(~number))
            for number, (time_ms, item, request, action) in records
            if action == CLICK and from_ms <= time_ms <= to_ms
        ]

    def since(self, time_ms: int) -> list[tuple[Shown, Slots]]:
        """Return the impressions from a time on, with what they showed."""
        queries, end, placed = self.queries or {}, 0, 0
        found: list[tuple[Shown, Slots]] = []
        for number, record in enumerate(_SHOWN.iter_unpack(self.shown), self.shown_gone):
            at_ms, key, request, surface, count, flags = record
            start, end = end, end + _ITEM * count
            positions = _in_line(count)
            if flags & _PLACED:
                positions = array("I", self.positions[placed : placed + 4 * count]).tolist()
                placed += 4 * count
            if at_ms >= time_ms:
                query = queries[number] if flags & _SEARCH else None
                slots = Slots(surface, bytes(self.items[start:end]), positions)
                found.append((Shown(at_ms, key, request, query), slots))
        return found

    def acts(self, since_ms: int) -> list[tuple[int, bytes, int]]:
        """Return the actions from a time on: time, item, index in `ACTIONS`."""
        return [
            (time_ms, item, action)
            for time_ms, item, _, action in _ACTED.iter_unpack(self.acted)
            if time_ms >= since_ms
        ]

    def forget(self, since_ms: int) -> None:
        """Drop what came first as far as it is from before this.

        Args:
            since_ms: stream time less how late an event may be; impressions are kept longer, by
                as much as a click reaches back, and actions by as much as a search does.
        """
        while len(self.shown) > 0 and _TIME.unpack_from(self.shown)[0] < since_ms - REQUEST_MS:
            self._drop_shown()
        acted_ms = since_ms - REFORMULATION_MS
        while len(self.acted) > 0 and _TIME.unpack_from(self.acted)[0] < acted_ms:
            self._drop_acted()

    def _name(self, number: int, query: str) -> None:
        if self.queries is None:
            self.queries = {}
        self.queries[number] = query

    def _drop_shown(self) -> None:
        _, _, _, _, count, flags = _SHOWN.unpack_from(self.shown)
        self.shown = _shorter(self.shown, _SHOWN_SIZE)
        self.items = _shorter(self.items, _ITEM * count)
        if flags & _PLACED:
            self.positions = self.positions[4 * count :]
        if flags & _SEARCH and self.queries:
            del self.queries[self.shown_gone]
        self.shown_gone += 1

    def _drop_acted(self) -> None:
        self.acted = _shorter(self.acted, _ACTED_SIZE)
        if self.queries:
            self.queries.pop(~self.acted_gone, None)
        self.acted_gone += 1


def _longer(entries: _Bytes, more: bytes) -> _Bytes:
    """Return entries with more at the end; few of them take no more memory than they need."""
    if isinstance(entries, bytearray):
        entries += more
        return entries
    return entries + more if len(entries) < _SHORT else bytearray(entries) + more


def _shorter(entries: _Bytes, size: int) -> _Bytes:
    """Return entries without the first bytes."""
    if isinstance(entries, bytearray):
        del entries[:size]
        return entries
    return entries[size:]


_LINES: Final = [list(range(1, count + 1)) for count in range(64)]


def _in_line(count: int) -> list[int]:
    """Return the positions 1, 2, 3 … of so many slots."""
    return _LINES[count] if count < len(_LINES) else list(range(1, count + 1))


def request_tag(request_id: str | None) -> bytes:
    """Return what a request is kept as; `NO_REQUEST` for none."""
    return crc32(request_id.encode()).to_bytes(4, "big") if request_id else NO_REQUEST
