"""Coordinates of tokens that come again and again: looked up rather than made anew.

A text has a token of its own, a number shares that of its half octave with many. So texts are
looked up as they are, and positive numbers by their half octave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import frexp
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

_LOW, _HIGH = (0.505, 0.7), (0.715, 0.99)
"""Mantissas that stay in their half octave, √½ between the two, when rounded to three digits."""

_rates_of = attrgetter(*ITEM_SIGNALS)


class Tokens:
    """Tokens of one encoder's features, and their coordinates."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._largest = 0.99 * encoder.largest
        self._told: dict[tuple[str, float | str], Told] = {}
        self._octaves: defaultdict[str, dict[int, Told]] = defaultdict(dict)
        self._rates = [(name, self._octaves[name]) for name in ITEM_SIGNALS]

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
        """Return the tokens of the rates of a signal, as `item_features` rounds them.

        Rounding moves a rate by half a percent, so it matters only next to another half octave.
        """
        told = []
        for (name, octaves), rate in zip(self._rates, _rates_of(signal)):  # noqa: B905 - as many
            if not 0.0 < rate <= self._largest:
                told.append(self.make(name, three_digits(rate)))
                continue
            mantissa, exponent = frexp(rate)
            if _LOW[0] < mantissa < _LOW[1]:
                octave = 2 * exponent - 2
            elif _HIGH[0] < mantissa < _HIGH[1]:
                octave = 2 * exponent - 1
            else:
                octave = half_octave(three_digits(rate))
            told.append(octaves.get(octave) or self._learn(octave, name, three_digits(rate)))
        return told

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

    def _learn(self, octave: int, name: str, value: float) -> Told:
        told = self._octaves[name][octave] = self.make(name, value)
        return told

    def _hold(self, name: str, value: float | str) -> Told:
        if len(self._told) >= HELD:
            self._told.clear()
        told = self._told[name, value] = self.make(name, value)
        return told
