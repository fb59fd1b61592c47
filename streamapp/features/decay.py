"""Decayed counters: sums in which an event of age a weighs 2^(−a/h).

A counter with half-life h at time t is C(t) = Σ wᵢ·2^(−(t−tᵢ)/h). It is kept as a *forward*
decayed sum, S = Σ wᵢ·2^((tᵢ−L)/h) with a landmark time L, so that C(t) = S·2^((L−t)/h):

* an event adds one product to the counter it touches and nothing else is computed;
* a late event needs nothing special, its weight is just smaller;
* the order of events does not matter, beyond rounding.

S grows with tᵢ−L; when it would leave what a float holds, the landmark moves up to the event.
Source: G. Cormode et al., "Forward Decay", ICDE 2009.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import exp2

import msgspec

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

HALF_LIVES = (30 * MINUTE_MS, 6 * HOUR_MS, 7 * DAY_MS)
"""Half-lives of every counter, shortest first, ms."""

SPAN_MS = 512 * HALF_LIVES[0]
"""How far an event may lie after the landmark: weights up to 2^512, far from overflow."""

_PER_MS = tuple(1.0 / half_life for half_life in HALF_LIVES)
_COLUMNS = 1 + len(HALF_LIVES)


def growth(ms: int) -> tuple[float, float, float]:
    """Return 2^(ms/h) for each half-life; below what a float holds it is 0.

    >>> growth(6 * 3_600_000)[:2]
    (4096.0, 2.0)
    """
    a, b, c = _PER_MS
    return exp2(ms * a), exp2(ms * b), exp2(ms * c)


class DecayedCounters(msgspec.Struct, gc=False):
    """Several counters in one array, each as a total and one decayed sum a half-life.

    Attributes:
        landmark_ms: L of the formula above.
        sums: the totals of all counters, then their sums by half-life, column after column.
    """

    landmark_ms: int
    sums: array[float]

    @classmethod
    def zero(cls, counters: int, landmark_ms: int) -> DecayedCounters:
        """Return so many counters, all 0."""
        return cls(landmark_ms, array("d", bytes(8 * _COLUMNS * counters)))

    @classmethod
    def from_bytes(cls, raw: bytes, landmark_ms: int) -> DecayedCounters:
        """Return the counters that `to_bytes` packed."""
        return cls(landmark_ms, array("d", raw))

    def to_bytes(self) -> bytes:
        """Pack the sums as 8-byte floats, little-endian as every machine Kafka runs on."""
        return self.sums.tobytes()

    def merge(self, deltas: Mapping[int, Sequence[float]], as_of_ms: int) -> None:
        """Add deltas by counter: a total and decayed sums as at `as_of_ms`."""
        if as_of_ms - self.landmark_ms > SPAN_MS:
            self._move(as_of_ms)
        f0, f1, f2 = growth(as_of_ms - self.landmark_ms)
        sums = self.sums
        n = len(sums) // _COLUMNS
        for counter, (total, d0, d1, d2) in deltas.items():
            sums[counter] += total
            sums[n + counter] += d0 * f0
            sums[2 * n + counter] += d1 * f1
            sums[3 * n + counter] += d2 * f2

    def at(self, time_ms: int) -> tuple[list[float], list[float], list[float], list[float]]:
        """Return the totals, and the decayed values by half-life, of all counters at a time."""
        f0, f1, f2 = growth(self.landmark_ms - time_ms)
        sums = self.sums.tolist()
        n = len(sums) // _COLUMNS
        return (
            sums[:n],
            [value * f0 for value in sums[n : 2 * n]],
            [value * f1 for value in sums[2 * n : 3 * n]],
            [value * f2 for value in sums[3 * n :]],
        )

    def one(self, counter: int, time_ms: int) -> tuple[float, float, float, float]:
        """Return the total and the decayed values of one counter at a time."""
        f0, f1, f2 = growth(self.landmark_ms - time_ms)
        sums = self.sums
        n = len(sums) // _COLUMNS
        return (
            sums[counter],
            sums[n + counter] * f0,
            sums[2 * n + counter] * f1,
            sums[3 * n + counter] * f2,
        )

    def _move(self, landmark_ms: int) -> None:
        """Move the landmark up; the counters stay what they are."""
        totals, *columns = self.at(landmark_ms)
        self.sums = array("d", totals + [value for column in columns for value in column])
        self.landmark_ms = landmark_ms
