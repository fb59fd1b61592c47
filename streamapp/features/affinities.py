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

In memory a name takes 8 bytes, its text being shared by all viewers, and 8 for each half-life.
"""

from __future__ import annotations

from math import exp2
from struct import Struct
from sys import intern
from typing import Any, Final

from mypy_extensions import mypyc_attr

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.signals import Interest

HALF_LIVES = (6 * HOUR_MS, 7 * DAY_MS)

LIMIT: Final = 20
"""Names kept of a viewer."""

_SUMS: Final = Struct("<2d")
_SIZE: Final = 16
_SHORT_PER_MS: Final = 1.0 / HALF_LIVES[0]
_LONG_PER_MS: Final = 1.0 / HALF_LIVES[1]
_LONGEST_MS: Final = 512 * HALF_LIVES[0]
"""How far an event may lie after the landmark: weights up to 2^512, far from overflow."""


@mypyc_attr(acyclic=True)
class Affinities:
    """How a viewer feels about categories, or creators: sums of the weights of what they did.

    Attributes:
        landmark_ms: where the weight of an event is 1.
        names: in the order they came.
        sums: two 8-byte floats for each name; like the names never changed in place, so that a
            shallow copy stays as it is.
    """

    __slots__ = ("landmark_ms", "names", "sums")

    def __init__(
        self, landmark_ms: int = 0, names: tuple[str, ...] = (), sums: bytes = b""
    ) -> None:
        self.landmark_ms = landmark_ms
        self.names = tuple([intern(name) for name in names])
        self.sums = sums

    def copy(self) -> Affinities:
        """Return a copy, which stays as it is."""
        copy = Affinities(self.landmark_ms)
        copy.names, copy.sums = self.names, self.sums
        return copy

    def add(self, name: str, time_ms: int, amount: float) -> None:
        """Add to the sums of a name."""
        if not self.names:
            self.landmark_ms = time_ms
        age_ms = time_ms - self.landmark_ms
        if age_ms > _LONGEST_MS:
            self._move_to(time_ms)
            age_ms = 0
        at = _SIZE * self.names.index(name) if name in self.names else self._begin(name)
        sums = self.sums
        kept: tuple[float, float] = _SUMS.unpack_from(sums, at)
        short, long = kept
        short += amount * exp2(age_ms * _SHORT_PER_MS)
        long += amount * exp2(age_ms * _LONG_PER_MS)
        added: bytes = _SUMS.pack(short, long)
        self.sums = sums[:at] + added + sums[at + _SIZE :]

    def _begin(self, name: str) -> int:
        """Begin with a name; return where its sums are."""
        if len(self.names) == LIMIT:
            self._drop_smallest()
        at = len(self.sums)
        self.names += (intern(name),)
        self.sums += bytes(_SIZE)
        return at

    def _drop_smallest(self) -> None:
        """Drop the name with the smallest sum."""
        names, sums = self.names, self.sums
        view: Any = memoryview(sums).cast("d")
        kept: list[float] = view.tolist()
        index, smallest = 0, abs(kept[1])
        for place in range(1, len(names)):
            size = abs(kept[2 * place + 1])
            if size < smallest:
                index, smallest = place, size
        self.names = names[:index] + names[index + 1 :]
        self.sums = sums[: _SIZE * index] + sums[_SIZE * (index + 1) :]

    def _move_to(self, time_ms: int) -> None:
        """Move the landmark up before the sums would leave what a float holds."""
        sums = [(each.h6, each.d7) for each in self._at(time_ms)]
        self.landmark_ms = time_ms
        self.sums = b"".join([_SUMS.pack(*pair) for pair in sums])

    def _at(self, time_ms: int) -> list[Interest]:
        """Return the sums at a time, of each name."""
        a, b = self.factors(time_ms)
        return [Interest(short * a, long * b) for short, long in _SUMS.iter_unpack(self.sums)]

    def factors(self, time_ms: int) -> tuple[float, float]:
        """Return what the sums that `all_kept` and `kept` return are worth at a time."""
        age_ms = self.landmark_ms - time_ms
        return exp2(age_ms * _SHORT_PER_MS), exp2(age_ms * _LONG_PER_MS)

    def all_kept(self) -> dict[str, tuple[float, float]]:
        """Return the sums as they are kept, by name, those of the shortest half-life first."""
        return dict(zip(self.names, _SUMS.iter_unpack(self.sums), strict=True))

    def kept(self, name: str) -> tuple[float, float] | None:
        """Return what `all_kept` has of a name; quicker as long as it is asked of a few."""
        if name not in self.names:
            return None
        sums: tuple[float, float] = _SUMS.unpack_from(self.sums, _SIZE * self.names.index(name))
        return sums

    def get(self, name: str, time_ms: int) -> float:
        """Return the sum of the longest half-life of a name at a time; 0 of an unknown one."""
        names = self.names
        return self._at(time_ms)[names.index(name)].d7 if name in names else 0.0

    def by_name(self, time_ms: int) -> dict[str, Interest]:
        """Return the sums at a time."""
        return dict(zip(self.names, self._at(time_ms), strict=True))
