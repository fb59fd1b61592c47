"""Coordinates of the rates of many items at once.

All rates of a half octave have one token, so a rate's coordinate is found by where it lies among
the bounds of these. That is so cheap that nothing is kept of an item's signal: one that has just
changed costs no more than one that has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp2, ulp
from typing import NamedTuple

import numpy as np

from streamapp.features.serving import ITEM_SIGNALS, three_digits
from streamapp.learning.half_octaves import half_octave
from streamapp.reader.held_signal import HeldSignal
from streamapp.reader.tokens import Tokens
from streamapp.reader.weights import Coordinates

OCTAVES = range(-60, 61)
"""Half octaves that rates mostly lie in: 2^−30 to 2^30."""

_ITS_OWN = -2
"""Where the token depends on the rate itself."""

_NAMES = np.arange(len(ITEM_SIGNALS))


def _least(octave: int) -> float:
    """Return the least number that lies in a half octave, or beyond, when rounded as rates are."""
    below, high = 0.98 * exp2(octave / 2), 1.02 * exp2(octave / 2)
    while below < (middle := (below + high) / 2) < high:
        if half_octave(three_digits(middle)) < octave:
            below = middle
        else:
            high = middle
    return high


_BOUNDS = np.array([0.0, ulp(0.0), *(_least(octave) for octave in (*OCTAVES, OCTAVES.stop))])
"""Where 0 begins, then less than all half octaves, each of these, and what is beyond."""


class Rated(NamedTuple):
    """Coordinates that are on for the rates of some items.

    Attributes:
        items: of which item each is.
        on: the coordinates, of all items one after the other.
    """

    items: Coordinates
    on: Coordinates


class Rates:
    """Coordinates of rates as one encoder has them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._coordinates: Coordinates = np.array([self._by_bound(name) for name in ITEM_SIGNALS])

    def of(self, signals: Sequence[HeldSignal | None]) -> Rated:
        """Return what is on for the rates of signals, rounded as `item_features` does."""
        items = [item for item, signal in enumerate(signals) if signal is not None]
        packed = b"".join([signal.packed for signal in signals if signal is not None])
        rates = np.frombuffer(packed).reshape(-1, len(ITEM_SIGNALS))
        on = self._coordinates[_NAMES, _BOUNDS.searchsorted(rates, side="right")]
        for item, name in np.argwhere(on == _ITS_OWN):
            rate = three_digits(rates[item, name])
            on[item, name] = self._tokens.make(ITEM_SIGNALS[name], rate)[1]
        given = on >= 0
        return Rated(np.repeat(np.array(items, np.int64), given.sum(axis=1)), on[given])

    def _by_bound(self, name: str) -> list[int]:
        """Return the coordinate of a rate in each half octave, −1 if it has none."""
        make, largest = self._tokens.make, self._tokens.largest
        octaves = [
            make(name, exp2(octave / 2 + 0.25))[1] if exp2(octave / 2 + 0.5) < largest else _ITS_OWN
            for octave in OCTAVES
        ]
        return [_ITS_OWN, make(name, 0.0)[1], _ITS_OWN, *octaves, _ITS_OWN]
