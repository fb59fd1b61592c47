"""Several decayed counters in one array; see `streamapp.features.decay` for what they mean."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import final

import msgspec

from streamapp.errors import Rejection
from streamapp.features.decay import HALF_LIVES, SPAN_MS, growth
from streamapp.signals import Sums

Columns = tuple[list[float], list[float], list[float], list[float]]
"""Totals of all counters, and their values by half-life, column after column."""

_COLUMNS = 1 + len(HALF_LIVES)

_encode = msgspec.json.Encoder().encode


def check_names(deltas: dict[str, Sums], index: dict[str, int]) -> None:
    """Raise Rejection if a delta has a counter that is not kept."""
    if not deltas.keys() <= index.keys():
        unknown = sorted(deltas.keys() - index.keys())
        raise Rejection("invalid_field", f"deltas: {unknown[0]!r} is no counter")


@final
class DecayedCounters:
    """Several counters, each as a total and one decayed sum a half-life.

    Attributes:
        landmark_ms: L of the formula in `streamapp.features.decay`.
        sums: the totals of all counters, then their sums by half-life, column after column.
    """

    def __init__(self, landmark_ms: int, sums: array[float]) -> None:
        self.landmark_ms = landmark_ms
        self.sums = sums

    @staticmethod
    def zero(counters: int, landmark_ms: int) -> DecayedCounters:
        """Return so many counters, all 0."""
        return DecayedCounters(landmark_ms, array("d", bytes(8 * _COLUMNS * counters)))

    @staticmethod
    def from_bytes(raw: bytes, landmark_ms: int) -> DecayedCounters:
        """Return the counters that `to_bytes` packed."""
        return DecayedCounters(landmark_ms, array("d", raw))

    def to_bytes(self) -> bytes:
        """Pack the sums as 8-byte floats, little-endian as every machine Kafka runs on."""
        return self.sums.tobytes()

    def merge(self, deltas: dict[str, Sums], index: dict[str, int], as_of_ms: int) -> None:
        """Add a total and decayed sums as at `as_of_ms`, by the name of the counter.

        Args:
            index: which counter has a name.
        """
        if as_of_ms - self.landmark_ms > SPAN_MS:
            self._move(as_of_ms)
        f0, f1, f2 = growth(as_of_ms - self.landmark_ms)
        sums = self.sums
        n = len(sums) // _COLUMNS
        for name, (total, d0, d1, d2) in deltas.items():
            counter = index[name]
            sums[counter] += total
            sums[n + counter] += d0 * f0
            sums[2 * n + counter] += d1 * f1
            sums[3 * n + counter] += d2 * f2

    def at(self, time_ms: int) -> Columns:
        """Return the totals, and the decayed values by half-life, of all counters at a time."""
        totals: list[float] = self.sums[: len(self.sums) // _COLUMNS].tolist()
        return totals, self.decayed(0, time_ms), self.decayed(1, time_ms), self.decayed(2, time_ms)

    def decayed(self, half_life: int, time_ms: int) -> list[float]:
        """Return the values of all counters at a time by one of `HALF_LIVES`, by its place."""
        factor = growth(self.landmark_ms - time_ms)[half_life]
        n = len(self.sums) // _COLUMNS
        column = self.sums[(1 + half_life) * n : (2 + half_life) * n]
        return [value * factor for value in column]

    def one(self, counter: int, time_ms: int) -> Sums:
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
        totals, m30, h6, d7 = self.at(landmark_ms)
        self.sums = array("d", totals + m30 + h6 + d7)
        self.landmark_ms = landmark_ms


@final
class CountersText:
    """Counters as JSON, each as a `streamapp.signals.Counter` by its name.

    Most counters of most items are 0: only of the others numbers are made into text.
    """

    def __init__(self, names: Sequence[str]) -> None:
        begun = [b'"%b":{"total":' % name.encode() for name in names]
        self._begun = [b"{" + begun[0], *[b"," + each for each in begun[1:]]]
        self._nothing = [b'%b0.0,"30m":0.0,"6h":0.0,"7d":0.0}' % each for each in self._begun]

    def of(self, counters: DecayedCounters, time_ms: int) -> bytes:
        """Return an object of all counters, as at a time."""
        f0, f1, f2 = growth(counters.landmark_ms - time_ms)
        sums: list[float] = counters.sums.tolist()
        n = len(self._begun)
        values: list[float] = []
        counted: list[int] = []
        for at in range(n):
            total, m30, h6, d7 = sums[at], sums[n + at], sums[2 * n + at], sums[3 * n + at]
            if total != 0.0 or m30 != 0.0 or h6 != 0.0 or d7 != 0.0:
                counted.append(at)
                values.append(total)
                values.append(m30 * f0)
                values.append(h6 * f1)
                values.append(d7 * f2)
        numbers: list[bytes] = _encode(values)[1:-1].split(b",")
        parts: list[bytes] = []
        place = 0
        for at in range(n):
            if place < len(counted) and counted[place] == at:
                parts.append(self._begun[at])
                parts.append(numbers[4 * place])
                parts.append(b',"30m":')
                parts.append(numbers[4 * place + 1])
                parts.append(b',"6h":')
                parts.append(numbers[4 * place + 2])
                parts.append(b',"7d":')
                parts.append(numbers[4 * place + 3])
                parts.append(b"}")
                place += 1
            else:
                parts.append(self._nothing[at])
        parts.append(b"}")
        return b"".join(parts)
