"""Coordinates of tokens that come again and again: looked up rather than made anew.

A text has a token of its own, a number shares that of its half octave with many. So texts are
looked up as they are, and positive numbers by their half octave.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import exp2
from operator import attrgetter

from streamapp.features.serving import ITEM_SIGNALS, three_digits
from streamapp.learning.features import Encoder, half_octave
from streamapp.signals import ItemSignal

HELD = 100_000
"""Tokens of texts that are held; of more, all are forgotten."""

Told = tuple[str, int]
"""A token and its coordinate."""

Named = dict[str, str]
"""Tokens by the names of their features."""

Crosses = Sequence[tuple[str, str]]

_NONE: Told = ("", -1)
"""For a feature that has no token."""

OCTAVES = range(-60, 61)
"""Half octaves that rates mostly lie in: 2^−30 to 2^30."""

_rates_of = attrgetter(*ITEM_SIGNALS)


def _least(octave: int) -> float:
    """Return the least number that lies in a half octave, or beyond, when rounded as rates are."""
    below, high = 0.98 * exp2(octave / 2), 1.02 * exp2(octave / 2)
    while below < (middle := (below + high) / 2) < high:
        if half_octave(three_digits(middle)) < octave:
            below = middle
        else:
            high = middle
    return high


_BOUNDS = [_least(octave) for octave in (*OCTAVES, OCTAVES.stop)]


class Tokens:
    """Tokens of one encoder's features, and their coordinates."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._largest = 0.99 * encoder.largest
        self._told: dict[tuple[str, float | str], Told] = {}
        self._octaves: defaultdict[str, dict[int, Told]] = defaultdict(dict)
        self._rates = [(name, self._by_bound(name)) for name in ITEM_SIGNALS]

    def tell(self, features: Mapping[str, float | str]) -> tuple[Named, list[int]]:
        """Return the tokens of features by name, and their coordinates in the same order."""
        named, on = {}, []
        for name, value in features.items():
            if isinstance(value, str) or not 0.0 < value <= self._largest:
                told = self._told.get((name, value)) or self._hold(name, value)
            else:
                octave = half_octave(value)
                told = self._octaves[name].get(octave) or self._learn(octave, name, value)
            if told[1] >= 0:
                named[name] = told[0]
                on.append(told[1])
        return named, on

    def of_rates(self, signal: ItemSignal) -> list[Told]:
        """Return the tokens of the rates of a signal, as `item_features` rounds them."""
        return [
            told[bisect_right(_BOUNDS, rate)] or self.make(name, three_digits(rate))
            for (name, told), rate in zip(self._rates, _rates_of(signal), strict=True)
        ]

    def make(self, name: str, value: float | str) -> Told:
        """Return the token of a feature that hardly comes again; the coordinate is −1 if none."""
        token = self._encoder.token(name, value)
        return _NONE if token is None else (token, self._encoder.coordinate(token))

    def cross(self, named: Named, crosses: Crosses) -> list[int]:
        """Return the coordinates of those crosses of which both names have a token."""
        coordinate = self._encoder.coordinate
        return [
            coordinate(f"{named[one]}×{named[other]}")
            for one, other in crosses
            if one in named and other in named
        ]

    def _by_bound(self, name: str) -> list[Told | None]:
        """Return the token of a rate in each half octave, None where it depends on the rate."""
        told = [
            self.make(name, exp2(octave / 2 + 0.25))
            if exp2(octave / 2 + 0.5) < self._largest
            else None
            for octave in OCTAVES
        ]
        return [None, *told, None]

    def _learn(self, octave: int, name: str, value: float) -> Told:
        told = self._octaves[name][octave] = self.make(name, value)
        return told

    def _hold(self, name: str, value: float | str) -> Told:
        if len(self._told) >= HELD:
            self._told.clear()
        told = self._told[name, value] = self.make(name, value)
        return told
