"""Coordinates of tokens that come again and again: looked up rather than made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamapp.learning.features import Encoder

HELD = 100_000
"""Tokens, and crosses, that are held; of more, all are forgotten."""

Told = tuple[str, int]
"""A token and its coordinate."""

Crosses = Sequence[tuple[str, str]]

_NONE: Told = ("", -1)
"""For a feature that has no token."""


class Tokens:
    """Tokens of one encoder's features, and their coordinates.

    Rates are rounded to three digits, so that few values stand for all items; viewers have
    favourites, so that crosses with them repeat as well.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._told: dict[tuple[str, float | str], Told] = {}
        self._crosses: dict[tuple[str, str], int] = {}

    def tell(self, features: Mapping[str, float | str]) -> tuple[dict[str, str], list[int]]:
        """Return the tokens of features by name, and their coordinates in the same order."""
        named, on, known = {}, [], self._told
        for feature in features.items():
            told = known.get(feature) or self._learn(feature)
            if told is not _NONE:
                named[feature[0]] = told[0]
                on.append(told[1])
        return named, on

    def cross(self, named: Mapping[str, str], crosses: Crosses) -> list[int]:
        """Return the coordinates of those crosses of which both names have a token."""
        on, known = [], self._crosses
        for one, other in crosses:
            if one in named and other in named:
                both = (named[one], named[other])
                index = known.get(both)
                on.append(self._learn_cross(both) if index is None else index)
        return on

    def _learn(self, feature: tuple[str, float | str]) -> Told:
        name, value = feature
        outside: dict[str, Any] = {"viewer": "", "item": "", "surface": "", "position": 1}
        known: dict[str, float | str] = {}
        (outside if name in outside else known)[name] = value
        token = self._encoder.named(known, **outside).get(name)
        told = _NONE if token is None else (token, self._encoder.coordinate(token))
        if len(self._told) >= HELD:
            self._told.clear()
        self._told[feature] = told
        return told

    def _learn_cross(self, both: tuple[str, str]) -> int:
        index = self._encoder.coordinate(f"{both[0]}×{both[1]}")
        if len(self._crosses) >= HELD:
            self._crosses.clear()
        self._crosses[both] = index
        return index
