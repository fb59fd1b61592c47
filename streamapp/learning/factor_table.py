"""The published copy of a factor model: vectors of viewers and items, with a checksum.

A version is published as the rows that changed, then one closing record with the number and the
checksum of *all* rows a reader holds now, as weights are (`streamapp.learning.snapshots`). The
writer and a reader keep the same `FactorTable`.

A **row** is an array of 1 + d doubles: the bias, then the vector. The bias of a viewer is 0. How
well an item suits a viewer is bias of the item + vector of the viewer · vector of the item; whoever
has no row is taken to have one of zeros: an unknown item is an average one, and to an unknown
viewer items differ by their biases alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, ItemsView, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["viewer", "item"]
KINDS: Final[tuple[Kind, ...]] = ("viewer", "item")

Row = npt.NDArray[np.float64]
"""Bias, then vector. A row is never changed in place: those who share it rely on that."""


def row_of(bias: float, vector: Sequence[float]) -> Row:
    """Return a row from what a record of models.factors says."""
    return np.array((bias, *vector), dtype=np.float64)


def checksum_of(kind: Kind, name: str, row: Row) -> int:
    """Return what one row adds to a checksum: the CRC-32 of some bytes.

    The bytes are the kind (viewer or item), "/", the id in UTF-8, a byte 0, the bias, and the
    numbers of the vector in their order, each an IEEE 754 double, little endian. A table's checksum
    is the sum over its rows modulo 2^32, so it does not depend on their order.

    >>> checksum_of("item", "i7", row_of(0.5, [1.0, -2.0]))
    722557525
    """
    return zlib.crc32(row.astype("<f8", copy=False).tobytes(), zlib.crc32(_named(kind, name)))


def _named(kind: Kind, name: str) -> bytes:
    return f"{kind}/{name}\0".encode()


class FactorTable:
    """Rows of viewers and items, with their checksum."""

    def __init__(self) -> None:
        self._rows: dict[Kind, dict[str, Row]] = {kind: {} for kind in KINDS}
        self.checksum = 0

    def __len__(self) -> int:
        """Rows of both kinds."""
        return sum(map(len, self._rows.values()))

    def get(self, kind: Kind, name: str) -> Row | None:
        """Return a row, or None when there is none."""
        return self._rows[kind].get(name)

    def items(self, kind: Kind) -> ItemsView[str, Row]:
        """Return the rows of a kind by id."""
        return self._rows[kind].items()

    def update(self, kind: Kind, name: str, row: Row | None) -> None:
        """Set a row; None removes it."""
        rows = self._rows[kind]
        former = rows.pop(name, None)
        if former is not None:
            self.checksum -= checksum_of(kind, name, former)
        if row is not None:
            rows[name] = row
            self.checksum += checksum_of(kind, name, row)
        self.checksum %= 1 << 32


Get = Callable[[Kind, str], Row | None]
"""The row of an id, if there is one."""


def score(get: Get, viewer: str, item: str) -> float:
    """Return how well an item suits a viewer, as far as both are known."""
    of_item = get("item", item)
    if of_item is None:
        return 0.0
    of_viewer = get("viewer", viewer)
    if of_viewer is None:
        return float(of_item[0])
    return float(of_item[0] + of_viewer[1:] @ of_item[1:])
