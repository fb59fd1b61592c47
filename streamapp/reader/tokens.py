"""Coordinates of tokens that come again and again: looked up rather than made anew."""

from __future__ import annotations

from typing import Any

from streamapp.learning.features import Encoder

HELD = 100_000
"""Tokens, and crosses, that are held; of more, all are forgotten."""

Told = tuple[str, int]
"""A token and its coordinate."""


class Tokens:
    """Tokens of one encoder's features, and their coordinates.

    Rates are rounded to three digits, so that few values stand for all items; viewers have
    favourites, so that crosses with them repeat as well.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._told: dict[tuple[str, float | str], Told | None] = {}
        self._crosses: dict[tuple[str, str], int] = {}

    def get(self, name: str, value: float | str) -> Told | None:
        """Return the token of a feature; None if it has none."""
        try:
            return self._told[name, value]
        except KeyError:
            return self._learn(name, value)

    def cross(self, one: str, other: str) -> int:
        """Return the coordinate of two tokens taken together."""
        try:
            return self._crosses[one, other]
        except KeyError:
            if len(self._crosses) >= HELD:
                self._crosses.clear()
            found = self._crosses[one, other] = self._encoder.coordinate(f"{one}×{other}")
            return found

    def _learn(self, name: str, value: float | str) -> Told | None:
        if len(self._told) >= HELD:
            self._told.clear()
        token = self._token(name, value)
        told = None if token is None else (token, self._encoder.coordinate(token))
        self._told[name, value] = told
        return told

    def _token(self, name: str, value: float | str) -> str | None:
        outside: dict[str, Any] = {"viewer": "", "item": "", "surface": "", "position": 1}
        known: dict[str, float | str] = {}
        (outside if name in outside else known)[name] = value
        return self._encoder.named(known, **outside).get(name)
