"""Coordinates of tokens that come again and again: looked up rather than made anew.

A text has a token of its own, a number shares that of its half octave with many. So texts are
looked up as they are, and positive numbers by their half octave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from streamapp.learning.features import Encoder
from streamapp.learning.half_octaves import half_octave

HELD = 100_000
"""Tokens of texts that are held; of more, all are forgotten."""

Told = tuple[str, int]
"""A token and its coordinate."""

Named = dict[str, str]
"""Tokens by the names of their features."""

Crosses = Sequence[tuple[str, str]]

_NONE: Told = ("", -1)
"""For a feature that has no token."""


class Tokens:
    """Tokens of one encoder's features, and their coordinates.

    Attributes:
        largest: numbers up to it have the token of their half octave.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.largest = 0.99 * encoder.largest
        self._told: dict[tuple[str, float | str], Told] = {}
        self._octaves: defaultdict[str, dict[int, Told]] = defaultdict(dict)

    def tell(self, features: Mapping[str, float | str]) -> tuple[Named, list[int]]:
        """Return the tokens of features by name, and their coordinates in the same order."""
        named, on = {}, []
        for name, value in features.items():
            if isinstance(value, str) or not 0.0 < value <= self.largest:
                told = self._told.get((name, value)) or self._hold(name, value)
            else:
                octave = half_octave(value)
                told = self._octaves[name].get(octave) or self._learn(octave, name, value)
            if told[1] >= 0:
                named[name] = told[0]
                on.append(told[1])
        return named, on

    def make(self, name: str, value: float | str) -> Told:
        """Return the token of a feature that hardly comes again; the coordinate is −1 if none."""
        token = self._encoder.token(name, value)
        return _NONE if token is None else (token, self._encoder.coordinate(token))

    def cross(self, named: Named, crosses: Crosses) -> list[int]:
        """Return the coordinates of those crosses of which both names have a token."""
        return self._encoder.coordinates(
            [
                f"{named[one]}×{named[other]}"
                for one, other in crosses
                if one in named and other in named
            ]
        )

    def _learn(self, octave: int, name: str, value: float) -> Told:
        told = self._octaves[name][octave] = self.make(name, value)
        return told

    def _hold(self, name: str, value: float | str) -> Told:
        if len(self._told) >= HELD:
            self._told.clear()
        told = self._told[name, value] = self.make(name, value)
        return told
