"""One item among those similar to it: what is kept, and the changelog rows it is kept in.

A row's key is its kind, a part of fixed length, and the item id, which may be any text:

====  ===============================  ============================================
kind  part                             row
====  ===============================  ============================================
i     none                             head: landmark, newest engagement, sessions
n     digest of the neighbour, 8 byte  one neighbour
l     none                             the list as it was made last
====  ===============================  ============================================

An engagement touches the head of its item, and one neighbour on either side of each pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

import msgspec

from streamapp.features import neighbours
from streamapp.features.catalog import Catalog
from streamapp.features.digest import DIGEST_BYTES, digest
from streamapp.features.neighbours import Neighbours
from streamapp.features.similarity import DOUBT, HALF_LIFE_MS, growth, score
from streamapp.signals import Candidate

LIST_ITEMS = 50

SPAN_MS = 512 * HALF_LIFE_MS
"""How far an event may lie after the landmark: weights up to 2^512, far from overflow."""

FORGOTTEN = 2.0**-7
"""Decayed sessions below which a neighbour goes: a single one after 14 days."""

ROUNDING = 1e-9
"""What adding a session and taking it back may leave, of the whole."""

NOTHING = neighbours.pack([])
"""A list without items, packed."""

_ROW_VERSION = 1
_NUMBERS = Struct("<2d")
_HEAD, _NEIGHBOUR, _LIST = b"i", b"n", b"l"

_encode = msgspec.json.Encoder().encode

Row = tuple[bytes, bytes | None]


class Basis(NamedTuple):
    """What a list rests on, as forward decayed sums: if they are the same, so is the list.

    Attributes:
        engaged: sessions of the item.
        together: Σ of those it was engaged in with its neighbours.
        others: Σ of all those of its neighbours.
    """

    engaged: float
    together: float
    others: float


class _HeadRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    landmark_ms: int
    newest_ms: int
    engaged: float
    told: float
    told_ms: int


class _NeighbourRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    other_id: str
    numbers: bytes


class _ListRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    made_ms: int
    basis: Basis
    ids: list[str]


_decode_head = msgspec.json.Decoder(_HeadRow).decode
_decode_neighbour = msgspec.json.Decoder(_NeighbourRow).decode
_decode_list = msgspec.json.Decoder(_ListRow).decode


class SimilarItem(msgspec.Struct, gc=False):
    """One item in memory: some 5 KB with 100 neighbours.

    Attributes:
        landmark_ms: where the weight of an event is 1.
        newest_ms: newest minute it was engaged in.
        engaged: sessions it was engaged in.
        told: how many of them all its neighbours have heard of at least.
        told_ms: stream time at which they were told, to the second; −1 when they never were.
        made_ms: when its list was made last; −1 when it has none.
        basis: what that rested on.
        sent: the items on it, packed.
        touched: it is to be looked at.
    """

    landmark_ms: int
    newest_ms: int
    engaged: float = 0.0
    told: float = 0.0
    told_ms: int = -1
    neighbours: Neighbours = msgspec.field(default_factory=Neighbours)
    made_ms: int = -1
    basis: Basis | None = None
    sent: bytes = NOTHING
    touched: bool = False

    def weight(self, at_ms: int) -> float:
        """Return what an event of this time weighs at the landmark."""
        return growth(at_ms - self.landmark_ms)

    def engage(self, at_ms: int) -> None:
        """Count a session."""
        self.engaged += self.weight(at_ms)
        self.newest_ms = max(self.newest_ms, at_ms)

    def disengage(self, at_ms: int) -> None:
        """Take a session back that was counted."""
        self.engaged = max(self.engaged - self.weight(at_ms), 0.0)

    def engaged_at(self, at_ms: int) -> float:
        """Return how many sessions there are, as at a time."""
        return self.engaged * growth(self.landmark_ms - at_ms)

    def must_tell(self, at_ms: int, most: float, now_ms: int) -> bool:
        """Return whether its neighbours must hear how often it is engaged; take it that they do.

        Args:
            at_ms: minute of its newest session.
            now_ms: stream time.
            most: how many times what they know, doubt included, it may have.
        """
        doubt = DOUBT * self.weight(at_ms)
        if self.engaged + doubt <= most * (self.told + doubt):
            return False
        self.catch_up(now_ms)
        return True

    def is_behind(self) -> bool:
        """Return whether there are sessions that its neighbours have not heard of."""
        return self.engaged > self.told * (1.0 + ROUNDING)

    def catch_up(self, now_ms: int) -> None:
        """Take it that its neighbours hear how often it is engaged."""
        self.told, self.told_ms = self.engaged, now_ms

    def must_correct(self, now_ms: int) -> bool:
        """Return whether its neighbours heard of more sessions than are left; take it they know."""
        if self.engaged >= self.told * (1.0 - ROUNDING):
            return False
        self.catch_up(now_ms)
        return True

    def move(self, landmark_ms: int) -> None:
        """Move the landmark up; the numbers stay what they are. All rows change."""
        factor = growth(self.landmark_ms - landmark_ms)
        self.landmark_ms = landmark_ms
        self.engaged *= factor
        self.told *= factor
        self.neighbours.scale(factor)
        if self.basis is not None:
            self.basis = Basis(*(value * factor for value in self.basis))

    def rests_on(self) -> Basis:
        """Return what a list made now rests on."""
        return Basis(self.engaged, *self.neighbours.sums())

    def forget(self, at_ms: int) -> list[bytes]:
        """Drop the neighbours that are as good as forgotten at a time; return their digests."""
        gone = self.neighbours.below(FORGOTTEN * self.weight(at_ms))
        for tag in gone:
            self.neighbours.remove(tag)
        return gone

    def best(self, at_ms: int, catalog: Catalog, size: int) -> list[Candidate]:
        """Return the most similar of the active items, as at a time."""
        factor = growth(self.landmark_ms - at_ms)
        own, get = self.engaged * factor, catalog.get
        scored = [
            (-score(together * factor, own, engaged * factor), other)
            for other, together, engaged in self.neighbours.items()
            if together > 0 and (item := get(other)) is not None and item.status == "active"
        ]
        scored.sort()
        return [Candidate(other, -lost) for lost, other in scored[:size]]

    def head_row(self, item_id: str) -> Row:
        """Return the head row."""
        head = _HeadRow(
            _ROW_VERSION,
            self.landmark_ms,
            self.newest_ms,
            self.engaged,
            self.told,
            self.told_ms,
        )
        return _HEAD + item_id.encode(), _encode(head)

    def list_row(self, item_id: str) -> Row:
        """Return the row of the list made last."""
        key = _LIST + item_id.encode()
        if self.basis is None:
            return key, None
        ids = neighbours.unpack(self.sent)
        return key, _encode(_ListRow(_ROW_VERSION, self.made_ms, self.basis, ids))

    def all_rows(self, item_id: str) -> Iterator[Row]:
        """Yield all rows."""
        yield self.head_row(item_id)
        for other, together, engaged in self.neighbours.items():
            yield (
                neighbour_key(item_id, digest(other)),
                neighbour_row(other, together, engaged),
            )
        if self.basis is not None:
            yield self.list_row(item_id)

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take back a row of the changelog."""
        kind = key[:1]
        if kind == _NEIGHBOUR:
            self._restore_neighbour(key[1 : 1 + DIGEST_BYTES], value)
        elif kind == _LIST:
            row = None if value is None else _decode_list(value)
            self.made_ms = -1 if row is None else row.made_ms
            self.basis = None if row is None else row.basis
            self.sent = neighbours.pack([] if row is None else row.ids)
        elif value is not None:
            head = _decode_head(value)
            self.landmark_ms, self.newest_ms = head.landmark_ms, head.newest_ms
            self.engaged, self.told, self.told_ms = head.engaged, head.told, head.told_ms

    def _restore_neighbour(self, part: bytes, value: bytes | None) -> None:
        if value is None:
            self.neighbours.remove(part)
        else:
            row = _decode_neighbour(value)
            self.neighbours.put(row.other_id, *_NUMBERS.unpack(row.numbers))


def neighbour_row(other_id: str, together: float, engaged: float) -> bytes:
    """Return the row of a neighbour."""
    return _encode(_NeighbourRow(_ROW_VERSION, other_id, _NUMBERS.pack(together, engaged)))


def neighbour_key(item_id: str, tag: bytes) -> bytes:
    """Return the key of the row of a neighbour, given by its digest."""
    return _NEIGHBOUR + tag + item_id.encode()


def row_item(key: bytes) -> str:
    """Return which item a row is of."""
    return key[1 + DIGEST_BYTES if key[:1] == _NEIGHBOUR else 1 :].decode()


def is_head(key: bytes) -> bool:
    """Return whether a row is a head: an item without one is none."""
    return key[:1] == _HEAD
