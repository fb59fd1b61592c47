"""Weights by coordinate, to be added up for many items at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

DENSE_BITS = 22
"""Coordinates of so many bits lie in an array, at most 32 MiB; those beyond in a dict."""

_DENSE = 1 << DENSE_BITS

Coordinates = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class Weights:
    """The weights of one model; a coordinate that was never set weighs 0.

    An array as long as the largest coordinate asks for: with the default of 20 bits it takes
    8 MiB, less than a dict of 100,000 weights, and a slate's 5,000 lookups some 50 µs.
    """

    def __init__(self) -> None:
        self._dense: Numbers = np.zeros(1)
        self._sparse: dict[int, float] = {}

    def get(self, index: int) -> float:
        """Return the weight of a coordinate."""
        if index < len(self._dense):
            return float(self._dense[index])
        return self._sparse.get(index, 0.0)

    def update(self, index: int, weight: float) -> None:
        """Set a weight; 0 removes it."""
        if index >= _DENSE:
            self._sparse.pop(index, None)
            if weight:
                self._sparse[index] = weight
            return
        if index >= len(self._dense):
            if not weight:
                return
            longer = np.zeros(1 << index.bit_length())
            longer[: len(self._dense)] = self._dense
            self._dense = longer
        self._dense[index] = weight

    def take(self, indices: Coordinates) -> Numbers:
        """Return the weights of some coordinates."""
        inside = indices < len(self._dense)
        if inside.all():
            found: Numbers = self._dense[indices]
            return found
        taken = np.where(inside, self._dense[np.where(inside, indices, 0)], 0.0)
        if self._sparse:
            get = self._sparse.get
            for at in np.flatnonzero(~inside):
                taken[at] = get(int(indices[at]), 0.0)
        return taken

    def items(self) -> Iterator[tuple[int, float]]:
        """Yield the coordinates whose weight is not 0."""
        for index in np.flatnonzero(self._dense):
            yield int(index), float(self._dense[index])
        yield from self._sparse.items()
