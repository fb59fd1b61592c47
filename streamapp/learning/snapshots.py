"""The published copy of a model: what is due to be published, and what a reader must then hold.

A version is published as the weights that changed, then one closing record with the number and
the checksum of *all* weights a reader holds now. So a reader knows that it has the whole version
also when it began in the middle, on a compacted topic that lacks what later versions replaced.

The writer and a reader keep the same `WeightTable`. Weights of 0 are not in it: publishing one
deletes it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from zlib import crc32

THRESHOLD = 1e-4
"""Changes of a weight smaller than this are withheld until they add up to it."""

_pack = struct.Struct("<Qd").pack


def checksum_of(index: int, weight: float) -> int:
    """Return what one weight adds to a checksum: the CRC-32 of 16 bytes, little endian.

    The bytes are the coordinate as an unsigned 64 bit integer and the weight as an IEEE 754
    double. A table's checksum is the sum over its weights modulo 2^32, so it does not depend on
    their order and follows each change.
    """
    return crc32(_pack(index, weight))


class WeightTable:
    """Weights by coordinate, with their checksum."""

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self.checksum = 0

    def __len__(self) -> int:
        """Weights other than 0."""
        return len(self._weights)

    def get(self, index: int) -> float:
        """Return a weight; one that is not in the table is 0."""
        return self._weights.get(index, 0.0)

    def update(self, index: int, weight: float) -> None:
        """Set a weight; 0 removes it."""
        former = self._weights.get(index)
        if former is not None:
            self.checksum -= checksum_of(index, former)
        if weight:
            self._weights[index] = weight
            self.checksum += checksum_of(index, weight)
        elif former is not None:
            del self._weights[index]
        self.checksum %= 1 << 32


class Publication:
    """What readers were told, and what they have to be told next.

    Attributes:
        epoch: of the last version published; 0 before the first.
        at_ms: stream time of the last version; None before the first.
        table: the weights of that version.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.epoch = 0
        self.at_ms: int | None = None
        self.table = WeightTable()
        self._threshold = threshold
        self._candidates: set[int] = set()

    def touch(self, indices: Iterable[int]) -> None:
        """These weights may have changed since the last version."""
        self._candidates.update(indices)

    def publish(
        self, weight: Callable[[int], float], stream_time_ms: int
    ) -> list[tuple[int, float]]:
        """Begin the next version; return its changes by coordinate (0 deletes)."""
        due = []
        for index in sorted(self._candidates):
            now = weight(index)
            if self._is_due(index, now):
                self.table.update(index, now)
                due.append((index, now))
        self._candidates.clear()
        self.epoch += 1
        self.at_ms = stream_time_ms
        return due

    def restore(self, index: int, now: float) -> None:
        """Take what a weight is now, when `table` has what readers hold of it."""
        if self._is_due(index, now):
            self._candidates.add(index)

    def _is_due(self, index: int, now: float) -> bool:
        held = self.table.get(index)
        return now != held and abs(now - held) >= self._threshold
