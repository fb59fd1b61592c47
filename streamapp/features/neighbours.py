r"""The items that an item is engaged with: for each how often both were, and how often it was.

Both are decayed numbers of sessions (see `streamapp.features.similarity`), kept forward decayed
(`streamapp.features.decay`): as at a landmark that the item knows. So those of two neighbours
decay alike, and which is the larger does not depend on when they are compared.

**At most `limit` neighbours.** When there is one too many, the one met least goes (of equal ones,
the one whose digest is smallest), never the one just met: else nothing new could take hold. Up to
`limit` neighbours nothing is lost. With more, one that went and came back lacks what it had when
it went: no more than any other had then, so at most 1/limit of what all have together. Those an
item is engaged with most are exact unless they were once among those it was engaged with least.

In memory a neighbour takes 25 bytes and its id. They are found by digest, 8 bytes each;
the ids lie in one text, each between two \x01, escaped as in JSON.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from streamapp.features.digest import DIGEST_BYTES, digest

LIMIT = 100
"""Neighbours that are kept."""

_END = b"\x01"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class Met(NamedTuple):
    """What is kept of a neighbour after it was met.

    Attributes:
        tag: its digest.
        is_new: it was not held before.
        dropped: digest of who had to go for it.
    """

    tag: bytes
    together: float
    engaged: float
    is_new: bool = False
    dropped: bytes | None = None


class _Named(NamedTuple):
    """An id: its digest, as a number too, and the id as it is in the text."""

    tag: bytes
    place: int
    text: bytes


class Neighbours(msgspec.Struct, gc=False):
    """Neighbours by id, in the order of their digests: how they came to be here never shows.

    Attributes:
        places: their digests, as numbers.
        names: their ids, as above.
        together: sessions of both.
        engaged: sessions of the neighbour, as it said last.
    """

    places: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    names: bytes = _END
    together: array[float] = msgspec.field(default_factory=lambda: array("d"))
    engaged: array[float] = msgspec.field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.places)

    def meet(
        self, other_id: str, together: float, engaged: float, limit: int = LIMIT
    ) -> Met | None:
        """Count sessions of both, and note how many the other has.

        Args:
            together: negative to take sessions back. They may not have been counted yet: one
                that is not held is then kept with less than none, if there is room.

        Returns:
            None when the other is not held and nothing is to be counted.
        """
        named = _named(other_id)
        places = self.places
        index = bisect_left(places, named.place)
        if index < len(places) and places[index] == named.place:
            kept = self.together[index] = self.together[index] + together
            self.engaged[index] = engaged
            return Met(named.tag, kept, engaged)
        if not together or (together < 0 and len(places) >= limit):
            return None
        dropped = None
        if len(places) >= limit:
            least = self.together.index(min(self.together))
            dropped = places[least].to_bytes(DIGEST_BYTES, "big")
            self._remove(least)
            index -= least < index
        self._insert(index, named, together, engaged)
        return Met(named.tag, together, engaged, is_new=True, dropped=dropped)

    def put(self, other_id: str, together: float, engaged: float) -> None:
        """Take a neighbour back as it was."""
        named = _named(other_id)
        self.remove(named.tag)
        self._insert(bisect_left(self.places, named.place), named, together, engaged)

    def remove(self, tag: bytes) -> None:
        """Drop a neighbour, given by its digest, if it is held."""
        place = int.from_bytes(tag, "big")
        index = bisect_left(self.places, place)
        if index < len(self.places) and self.places[index] == place:
            self._remove(index)

    def _insert(self, index: int, named: _Named, together: float, engaged: float) -> None:
        names = self.names.split(_END)
        names.insert(index + 1, named.text)
        self.names = _END.join(names)
        self.places.insert(index, named.place)
        self.together.insert(index, together)
        self.engaged.insert(index, engaged)

    def _remove(self, index: int) -> None:
        names = self.names.split(_END)
        del names[index + 1]
        self.names = _END.join(names)
        del self.places[index]
        del self.together[index]
        del self.engaged[index]

    def below(self, least: float) -> list[bytes]:
        """Return the digests of those met less than this, whichever the sign."""
        return [
            place.to_bytes(DIGEST_BYTES, "big")
            for place, value in zip(self.places, self.together, strict=True)
            if abs(value) < least
        ]

    def scale(self, factor: float) -> None:
        """Multiply all numbers: the landmark has moved."""
        self.together = array("d", [value * factor for value in self.together])
        self.engaged = array("d", [value * factor for value in self.engaged])

    def ids(self) -> list[str]:
        """Return the ids."""
        return unpack(self.names)

    def items(self) -> list[tuple[str, float, float]]:
        """Return the neighbours: id, sessions of both, sessions of the neighbour."""
        return list(zip(self.ids(), self.together, self.engaged, strict=True))

    def sums(self) -> tuple[float, float]:
        """Return the sums of all numbers."""
        return sum(self.together), sum(self.engaged)


def pack(ids: list[str]) -> bytes:
    """Return ids as one text."""
    return b"".join([_END, *(_named(item_id).text + _END for item_id in ids)])


def unpack(packed: bytes) -> list[str]:
    """Return the ids that were packed."""
    if len(packed) <= len(_END):
        return []
    return _decode(b'["%b"]' % packed[1:-1].replace(_END, b'","'))


def holds_any_of(item_ids: Iterable[str]) -> Callable[[bytes], bool]:
    """Return what tells whether any of these ids is among those packed, however many they are."""
    texts = {_named(item_id).text for item_id in item_ids}
    return lambda packed: not texts.isdisjoint(packed.split(_END))


@lru_cache(maxsize=1 << 16)
def _named(item_id: str) -> _Named:
    tag = digest(item_id)
    return _Named(tag, int.from_bytes(tag, "big"), _encode(item_id)[1:-1])
