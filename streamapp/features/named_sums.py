r"""Decayed sums by name, a bounded number of them: what a viewer cares for, and when they watch.

Each name has a sum for each half-life, S(t) = Σ wᵢ·2^(−(t−tᵢ)/h), kept forward decayed from a
landmark as in `streamapp.features.decay`. The sums of two names decay alike, so which is the
larger one does not depend on when they are compared.

**At most LIMIT names.** When there is one too many, the one with the smallest absolute sum of the
longest half-life goes, the one just added to excepted: else no new interest could ever take hold.
So with at most LIMIT names over all, arrival order never shows. With more, the sums of a name that
went and came back lack what it had when it went. That is no more than any other name had then, so
at most 1/LIMIT of the sum of the absolute values of all: what a viewer cares for most is exact
unless it was once among what they cared for least. (Names a, b with 5 and 3, LIMIT 2: c with 1
takes the place of b; then b with 4 that of c. Exact is a 5, b 7, c 1; kept are a 5, b 4.)

In memory a name takes its length + 1 and 8 bytes for each half-life: the names lie in one text,
each between two \x01, escaped as in JSON, so that filling in the numbers makes it JSON.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import cycle
from math import exp2
from struct import Struct
from typing import ClassVar

import msgspec

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.features.digest import DIGEST_BYTES, digest
from streamapp.features.latest import Change

PART_BYTES = DIGEST_BYTES

_ROW_VERSION = 1
_END = b"\x01"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode


class _SumsRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    version: int
    name: str
    landmark_ms: int
    sums: tuple[float, ...]


_decode_row = msgspec.json.Decoder(_SumsRow).decode


class NamedSums(msgspec.Struct, gc=False):
    """Sums by name; a subclass says how many names and which half-lives.

    Attributes:
        landmark_ms: where the weight of an event is 1.
        held: number of names.
        names: as above.
        sums: 8-byte floats, name after name.
    """

    KIND: ClassVar[bytes]  # of the rows
    LIMIT: ClassVar[int]
    HALF_LIVES: ClassVar[tuple[int, ...]]  # shortest first, ms
    RECORD: ClassVar[Struct]
    JSON: ClassVar[bytes]  # what is said of a name: a place for each sum

    landmark_ms: int = 0
    held: int = 0
    names: bytes = _END
    sums: bytearray = msgspec.field(default_factory=bytearray)

    def add(self, name: str, time_ms: int, amount: float) -> list[Change]:
        """Add to the sums of a name; return what changes by it in the changelog."""
        changes = self._move_to(time_ms)
        index = self._find(name)
        if index < 0:
            if self.held == self.LIMIT:
                changes.append((self.KIND + self._drop_smallest(), None))
            index = self._append(name)
        record, age_ms = self.RECORD, time_ms - self.landmark_ms
        at = record.size * index
        before = record.unpack_from(self.sums, at)
        sums = [s + amount * exp2(age_ms / h) for s, h in zip(before, self.HALF_LIVES)]  # noqa: B905  # one each
        record.pack_into(self.sums, at, *sums)
        changes.append((self.KIND + _entry(name)[1], self._row(name, sums)))
        return changes

    def _find(self, name: str) -> int:
        """Return which name it is, −1 if it is none."""
        at = self.names.find(_entry(name)[0])
        return -1 if at < 0 else self.names.count(_END, 0, at)

    def _append(self, name: str) -> int:
        """Take a new name, at 0; return which one it is."""
        self.names += _entry(name)[0][1:]
        self.sums += bytes(self.RECORD.size)
        self.held += 1
        return self.held - 1

    def _drop_smallest(self) -> bytes:
        """Drop the name with the smallest sum; return its digest."""
        last = [abs(sums[-1]) for sums in self.RECORD.iter_unpack(self.sums)]
        part = digest(self._names()[last.index(min(last))])
        self.remove(part)
        return part

    def remove(self, part: bytes) -> None:
        """Drop a name, given by its digest."""
        names, size = self._names(), self.RECORD.size
        found = [index for index, name in enumerate(names) if digest(name) == part]
        for index in found:
            del names[index]
            del self.sums[size * index : size * (index + 1)]
            self.held -= 1
        self.names = _END + b"".join([_entry(name)[0][1:] for name in names])

    def _move_to(self, time_ms: int) -> list[Change]:
        """Move the landmark up when the sums would leave what a float holds."""
        if not self.held:
            self.landmark_ms = time_ms
        if time_ms - self.landmark_ms <= 512 * self.HALF_LIVES[0]:
            return []
        sums = self._at(time_ms)
        self.landmark_ms = time_ms
        self.sums = bytearray(Struct(f"<{len(sums)}d").pack(*sums))
        return [
            (self.KIND + digest(name), self._row(name, values))
            for name, values in zip(self._names(), self.RECORD.iter_unpack(self.sums), strict=True)
        ]

    def _at(self, time_ms: int) -> list[float]:
        """Return all sums at a time, name after name."""
        age_ms = self.landmark_ms - time_ms
        factors = cycle([exp2(age_ms / half_life) for half_life in self.HALF_LIVES])
        values = memoryview(self.sums).cast("d")
        return [value * factor for value, factor in zip(values, factors)]  # noqa: B905  # no end

    def get(self, name: str, time_ms: int) -> float:
        """Return the sum of the longest half-life of a name at a time; 0 of an unknown one."""
        index = self._find(name)
        if index < 0:
            return 0.0
        return self._at(time_ms)[len(self.HALF_LIVES) * (index + 1) - 1]

    def _names(self) -> list[str]:
        return [_decode(b'"%b"' % name) for name in self.names.split(_END)[1:-1]]

    def _row(self, name: str, sums: list[float] | tuple[float, ...]) -> bytes:
        return _encode(_SumsRow(_ROW_VERSION, name, self.landmark_ms, tuple(sums)))

    def restore(self, part: bytes, value: bytes | None) -> None:
        """Take a row back from the changelog."""
        if value is None:
            self.remove(part)
            return
        row = _decode_row(value)
        self._move_to(row.landmark_ms)
        index = self._find(row.name)
        if index < 0:
            index = self._append(row.name)
        age_ms = row.landmark_ms - self.landmark_ms  # other than 0 only until all rows are in
        sums = [s * exp2(age_ms / h) for s, h in zip(row.sums, self.HALF_LIVES, strict=True)]
        self.RECORD.pack_into(self.sums, self.RECORD.size * index, *sums)

    def keys(self) -> list[bytes]:
        """Return kind and part of the keys of all rows."""
        return [self.KIND + digest(name) for name in self._names()]

    def json(self, time_ms: int) -> bytes:
        """Return the sums at a time as a JSON object, by name."""
        if not self.held:
            return b"{}"
        numbers = _encode(self._at(time_ms))[1:-1].split(b",")
        form = self.names[1:].replace(b"%", b"%%").replace(_END, b'":%b,"' % self.JSON)
        return b'{"%b}' % form[:-2] % tuple(numbers)


@lru_cache(maxsize=1 << 14)
def _entry(name: str) -> tuple[bytes, bytes]:
    """Return what a name is in the text, with both ends, and its digest; few names are many."""
    return _END + _encode(name)[1:-1] + _END, digest(name)


class Affinity(NamedSums, gc=False):
    """How a viewer feels about categories, or creators: sums of the weights of what they did."""

    LIMIT = 20
    HALF_LIVES = (6 * HOUR_MS, 7 * DAY_MS)
    RECORD = Struct("<2d")
    JSON = b'{"6h":%b,"7d":%b}'


class Categories(Affinity, gc=False):
    """How a viewer feels about categories."""

    KIND = b"a"


class Creators(Affinity, gc=False):
    """How a viewer feels about creators."""

    KIND = b"k"


class Hours(NamedSums, gc=False):
    """Time watched by hour of the day, ms."""

    KIND = b"w"
    LIMIT = 24
    HALF_LIVES = (7 * DAY_MS,)
    RECORD = Struct("<d")
    JSON = b"%b"


class Ratios(NamedSums, gc=False):
    """The counters of a viewer's watch ratio: `ratio_sum` and `ratio_n`."""

    KIND = b"q"
    LIMIT = 2
    HALF_LIVES = (7 * DAY_MS,)
    RECORD = Struct("<d")
    JSON = b"%b"
