"""The published copy of a model: what is due to be published, and what a reader must then hold.

A version is published as the weights that changed, then one closing record with the number and
the checksum of *all* weights a reader holds now. So a reader knows that it has the whole version
also when it began in the middle, on a compacted topic that lacks what later versions replaced.

A weight of 0 is one that readers do not hold: publishing it deletes it.
"""

from __future__ import annotations

import struct
from operator import attrgetter
from zlib import crc32

from streamapp.learning.staged_coordinate import StagedCoordinate

THRESHOLD = 1e-4
"""Changes of a weight smaller than this are withheld until they add up to it."""

_pack = struct.Struct("<Qd").pack
_by_index = attrgetter("index")


def checksum_of(index: int, weight: float) -> int:
    """Return what one weight adds to a checksum: the CRC-32 of 16 bytes, little endian.

    The bytes are the coordinate as an unsigned 64 bit integer and the weight as an IEEE 754
    double. A version's checksum is the sum over its weights modulo 2^32, so it does not depend on
    their order and follows each change.
    """
    return crc32(_pack(index, weight))


class Told:
    """Number and checksum of the weights that readers hold.

    Attributes:
        count: weights other than 0.
    """

    def __init__(self) -> None:
        self.count = self.checksum = 0

    def change(self, index: int, former: float, weight: float) -> None:
        """Take note that a weight, 0 where readers hold none, becomes another; 0 deletes it."""
        if former:
            self.count -= 1
            self.checksum -= checksum_of(index, former)
        if weight:
            self.count += 1
            self.checksum += checksum_of(index, weight)
        self.checksum %= 1 << 32


class Publication:
    """What readers were told, and what they have to be told next.

    Attributes:
        epoch: of the last version published; 0 before the first.
        at_ms: stream time of the last version; None before the first.
        told: of all weights of that version; each coordinate knows its own.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.epoch = 0
        self.at_ms: int | None = None
        self.told = Told()
        self._threshold = threshold
        self._candidates: list[StagedCoordinate] = []

    def touch(self, coordinates: list[StagedCoordinate]) -> None:
        """The weights of these may have changed since the last version."""
        self._candidates += coordinates

    def publish(self, turn: int, stream_time_ms: int) -> list[StagedCoordinate]:
        """Begin the next version; return what it changes, sorted (a weight of 0 deletes).

        Args:
            turn: the present one; what it taught is not accepted yet.
        """
        due = []
        for one in self._candidates:
            now = one.accepted(turn)
            if self._is_due(one.told, now):
                self.told.change(one.index, one.told, now)
                one.told = now
                due.append(one)  # once: what is told is due no more
        due.sort(key=_by_index)
        self._candidates = []
        self.epoch += 1
        self.at_ms = stream_time_ms
        return due

    def restore(self, coordinates: list[StagedCoordinate], turn: int) -> None:
        """Take all that is known, with what readers hold of it; `turn` is the present one."""
        self.told = Told()
        for one in coordinates:
            self.told.change(one.index, 0.0, one.told)
            if self._is_due(one.told, one.accepted(turn)):
                self._candidates.append(one)

    def _is_due(self, told: float, now: float) -> bool:
        return now != told and abs(now - told) >= self._threshold
