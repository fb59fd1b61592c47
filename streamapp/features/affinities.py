r"""Decayed sums by name, a bounded number of them: what a viewer cares for.

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

HALF_LIVES = (6 * HOUR_MS, 7 * DAY_MS)

_END = b"\x01"
_SUMS = Struct("<2d")
_SIZE = _SUMS.size
_PER_MS = tuple(1.0 / half_life for half_life in HALF_LIVES)
_LONGEST_MS = 512 * HALF_LIVES[0]
"""How far an event may lie after the landmark: weights up to 2^512, far from overflow."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode


class Affinities(msgspec.Struct, gc=False, array_like=True):
    """How a viewer feels about categories, or creators: sums of the weights of what they did.

    Attributes:
        landmark_ms: where the weight of an event is 1.
        held: number of names.
        names: as above.
        sums: two 8-byte floats for each name.
    """

    LIMIT: ClassVar[int] = 20

    landmark_ms: int = 0
    held: int = 0
    names: bytes = _END
    sums: bytearray = msgspec.field(default_factory=bytearray)

    def add(self, name: str, time_ms: int, amount: float) -> None:
        """Add to the sums of a name."""
        if not self.held:
            self.landmark_ms = time_ms
        age_ms = time_ms - self.landmark_ms
        if age_ms > _LONGEST_MS:
            self._move_to(time_ms)
            age_ms = 0
        entry, sums = _entry(name), self.sums
        found = self.names.find(entry)
        if found < 0:
            if self.held == self.LIMIT:
                self._drop_smallest()
            at = len(sums)
            self.names += entry[1:]
            sums += bytes(_SIZE)
            self.held += 1
        else:
            at = _SIZE * self.names.count(_END, 0, found)
        short, long = _SUMS.unpack_from(sums, at)
        a, b = _PER_MS
        _SUMS.pack_into(
            sums, at, short + amount * exp2(age_ms * a), long + amount * exp2(age_ms * b)
        )

    def _drop_smallest(self) -> None:
        """Drop the name with the smallest sum."""
        last = [abs(sums[-1]) for sums in _SUMS.iter_unpack(self.sums)]
        index = last.index(min(last))
        names = self.names.split(_END)
        del names[index + 1], self.sums[_SIZE * index : _SIZE * (index + 1)]
        self.names = _END.join(names)
        self.held -= 1

    def _move_to(self, time_ms: int) -> None:
        """Move the landmark up before the sums would leave what a float holds."""
        sums = self._at(time_ms)
        self.landmark_ms = time_ms
        self.sums = bytearray(Struct(f"<{len(sums)}d").pack(*sums))

    def _at(self, time_ms: int) -> list[float]:
        """Return all sums at a time, name after name."""
        age_ms = self.landmark_ms - time_ms
        factors = cycle([exp2(age_ms * per_ms) for per_ms in _PER_MS])
        values = memoryview(self.sums).cast("d")
        return [value * factor for value, factor in zip(values, factors)]  # noqa: B905  # no end

    def copy(self) -> Affinities:
        """Return these sums as they are now."""
        return Affinities(self.landmark_ms, self.held, self.names, self.sums[:])

    def longest(self, time_ms: int) -> dict[bytes, float]:
        """Return the sums of the longest half-life at a time by name, escaped as in JSON."""
        factor = exp2((self.landmark_ms - time_ms) * _PER_MS[1])
        sums = [value * factor for _, value in _SUMS.iter_unpack(self.sums)]
        return dict(zip(self.names.split(_END)[1:-1], sums, strict=True))

    def get(self, name: str, time_ms: int) -> float:
        """Return the sum of the longest half-life of a name at a time; 0 of an unknown one."""
        found = self.names.find(_entry(name))
        if found < 0:
            return 0.0
        return self._at(time_ms)[2 * self.names.count(_END, 0, found) + 1]

    def json(self, time_ms: int) -> bytes:
        """Return the sums at a time as a JSON object, by name."""
        if not self.held:
            return b"{}"
        numbers = _encode(self._at(time_ms))[1:-1].split(b",")
        form = self.names[1:].replace(b"%", b"%%").replace(_END, b'":{"6h":%b,"7d":%b},"')
        return b'{"%b}' % form[:-2] % tuple(numbers)


@lru_cache(maxsize=1 << 14)
def _entry(name: str) -> bytes:
    """Return what a name is in the text, with both ends; few names are many viewers'."""
    return _END + _encode(name)[1:-1] + _END
