"""Impressions and clicks by item and position: all that a position-based click model learns from.

A bounded number of items is held. An item that is not yet held gets in with the probability
weight / n at each of its impressions, n = `admission`: after n impressions on average, with
nothing to remember before (Poisson inclusion: McMahan et al., "Ad Click Prediction", KDD 2013).
The draw is a hash of the example id and does not depend on the label: a negative kept at rate r
has the weight 1/r, so of all that were shown, clicked or not, the same share gets an item in.

Held beyond the capacity by an eighth, the items with the fewest decayed impressions leave. So
a flood of new names can push out newcomers only.

Amounts are in units of the caller's: forward decayed sums (`streamapp.features.decay`), which
compare as they are and are scaled to a time when they are read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from heapq import nsmallest

import numpy as np
import numpy.typing as npt
from mmh3 import hash as hash32

_SEED = 0x5EED
_HASHES = 2.0**32

Matrix = npt.NDArray[np.float64]


class ClickTable:
    """Decayed impressions and clicks of some items, by position.

    Args:
        capacity: items held.
        admission: impressions after which an item is held, on average; 1 is at once.
    """

    def __init__(self, capacity: int, admission: float) -> None:
        self._capacity = capacity
        self._admission = admission
        self._items: dict[str, array[float]] = {}  # shown, clicked, at position 1, 2, …
        self._touched: set[str] = set()

    def __len__(self) -> int:
        """Items held."""
        return len(self._items)

    def names(self) -> set[str]:
        """Return the items held, and those that left since `changed` was last called."""
        return self._items.keys() | self._touched

    def add(
        self, item: str, position: int, amount: float, draw_id: str, weight: float, *, clicked: bool
    ) -> None:
        """Count an impression; `draw_id` and `weight` decide whether a new item is held."""
        counts = self._items.get(item)
        if counts is None:
            if hash32(draw_id, _SEED, signed=False) * self._admission >= weight * _HASHES:
                return
            counts = self._items[item] = array("d")
        count_at(counts, position, amount, clicked=clicked)
        self._touched.add(item)
        if len(self._items) > self._capacity + self._capacity // 8:
            self._drop(smallest(self._masses(), len(self._items) - self._capacity))

    def forget(self, least: float) -> None:
        """Drop the items that fewer impressions than `least` are left of."""
        self._drop([item for mass, item in self._masses() if mass < least])

    def _masses(self) -> Iterator[tuple[float, str]]:
        return ((sum(counts[::2]), item) for item, counts in self._items.items())

    def _drop(self, items: Iterable[str]) -> None:
        for item in items:
            del self._items[item]
            self._touched.add(item)

    def matrices(self) -> tuple[Matrix, Matrix]:
        """Return clicks and impressions, items × positions, the items sorted by id."""
        rows = [np.frombuffer(self._items[item]) for item in sorted(self._items)]
        both = np.zeros((len(rows), max((len(row) for row in rows), default=0)))
        for at, row in enumerate(rows):
            both[at, : len(row)] = row
        return both[:, 1::2], both[:, ::2]

    def rescale(self, factor: float) -> None:
        """Multiply everything."""
        for item, counts in self._items.items():
            self._items[item] = array("d", [value * factor for value in counts])
        self._touched.update(self._items)

    def changed(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the counts of each item changed since the last call, None for one that left."""
        touched, self._touched = self._touched, set()
        for item in sorted(touched):
            counts = self._items.get(item)
            yield item, None if counts is None else counts.tobytes()

    def restore(self, item: str, counts: bytes) -> None:
        """Take what `changed` gave."""
        self._items[item] = array("d", counts)


def count_at(counts: array[float], position: int, amount: float, *, clicked: bool) -> None:
    """Count an impression in an array of shown, clicked, at position 1, 2, …; it grows."""
    at = 2 * position - 2
    if at >= len(counts):
        counts.frombytes(bytes(8 * (at + 2 - len(counts))))
    counts[at] += amount
    if clicked:
        counts[at + 1] += amount


def smallest(masses: Iterable[tuple[float, str]], count: int) -> list[str]:
    """Return the names with the smallest masses; of equal ones the first by name.

    >>> smallest([(2.0, "b"), (1.0, "c"), (1.0, "a")], 2)
    ['a', 'c']
    """
    return [name for _, name in nsmallest(count, masses)]
