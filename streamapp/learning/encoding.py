"""One encoding for all models of a contest.

Specs that differ in their crosses only share the tokens of their names, encoded once; specs that
are equal share everything. What comes of it is what `streamapp.learning.features` says, from
tables: a number has one of some hundred tokens, most texts one of a few, and what was hashed
before is looked up.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import mmh3
import msgspec

from streamapp.learning.features import Encoder
from streamapp.learning.half_octaves import half_octave
from streamapp.signals import Example, FeatureSpec

Coordinates = tuple[list[int], list[int]]
"""What is on, for the one model and for the other."""

_IDS = ("viewer", "item")
"""Names whose texts are too many to remember."""

_REMEMBERED: Final = 4_096
"""Texts of a name that are remembered, the first to come."""

_PLACES: Final = 1 << 13

_FEATURE: Final = 0
_VIEWER: Final = 1
_ITEM: Final = 2
_SURFACE: Final = 3
_POSITION: Final = 4
_FIELDS = {"viewer": _VIEWER, "item": _ITEM, "surface": _SURFACE, "position": _POSITION}
"""Names that are no features but fields of an example."""


class Token:
    """A token, and the coordinate that is on with it."""

    __slots__ = ("coordinate", "text")

    def __init__(self, text: str, coordinate: int) -> None:
        self.text = text
        # An integer that is only looked up: as it is, compiled code need not make it anew.
        self.coordinate: Any = coordinate


class Refusals:
    """How many values were refused, of all names."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tokens:
    """The tokens of one name.

    Attributes:
        name: of a feature, or of a field of the example.
        field: which field; `_FEATURE` for a feature.
    """

    __slots__ = (
        *("_largest", "_longest", "_mask", "_negative", "_positive", "_prefix", "_refusals"),
        *("_room", "_seed", "_texts", "_zero", "field", "name"),
    )

    def __init__(self, name: str, spec: FeatureSpec, refusals: Refusals) -> None:
        self.name = name
        self.field = _FIELDS.get(name, _FEATURE)
        self._refusals = refusals
        self._prefix = name + "="
        self._seed = spec.seed
        self._mask = (1 << spec.bits) - 1
        self._longest = spec.max_length
        self._largest = min(spec.max_magnitude, sys.float_info.max)
        self._room = 0 if name in _IDS else _REMEMBERED
        self._texts: dict[str, Token] = {}
        self._positive: dict[int, Token] = {}  # by half octave
        self._negative: dict[int, Token] = {}
        self._zero = self._token("0")

    def of_text(self, value: str) -> Token | None:
        """Return the token of a text; None for an empty one, and one that is refused."""
        token = self._texts.get(value)
        if token is None and value:
            if len(value) > self._longest:
                self._refusals.count += 1
                return None
            token = self._token(value)
            if self._room > 0:
                self._room -= 1
                self._texts[value] = token
        return token

    def of_number(self, value: float) -> Token | None:
        """Return the token of a number; None for one that is refused."""
        if 0.0 < value <= self._largest:
            return self._of_octave(self._positive, "^", value)
        if 0.0 < -value <= self._largest:
            return self._of_octave(self._negative, "-^", -value)
        if value == 0.0:
            return self._zero
        self._refusals.count += 1  # NaN compares false with everything
        return None

    def _of_octave(self, tokens: dict[int, Token], sign: str, value: float) -> Token:
        octave = half_octave(value)
        token = tokens.get(octave)
        if token is None:
            token = tokens[octave] = self._token(f"{sign}{octave}")
        return token

    def _token(self, value: str) -> Token:
        text = self._prefix + value
        return Token(text, mmh3.hash(text, self._seed) & self._mask)


class PairEncoder:
    """Coordinates of an example for two models.

    Raises:
        ConfigurationError: a spec cannot be encoded.
    """

    def __init__(self, one: FeatureSpec, other: FeatureSpec) -> None:
        self._one, self._other = Encoder(one), Encoder(other)
        self._alike = bool(msgspec.structs.replace(one, crosses=other.crosses) == other)
        self._equal = bool(one == other)
        self._refusals = Refusals()
        self._tokens = [Tokens(name, one, self._refusals) for name in one.names]
        self._seed = one.seed
        self._mask = (1 << one.bits) - 1
        self._taken = [False] * _PLACES
        self._last_position = one.last_position
        self._common = _places(one, [cross for cross in one.crosses if cross in other.crosses])
        self._own = _places(one, [cross for cross in one.crosses if cross not in other.crosses])
        self._others = (
            _places(one, [cross for cross in other.crosses if cross not in one.crosses])
            if self._alike
            else []
        )

    @property
    def refused(self) -> int:
        """Feature values refused since this was built; of specs not alike, by either."""
        return self._one.refused + self._other.refused + self._refusals.count

    def encode(self, example: Example) -> Coordinates:
        """Return the coordinates that are on, each once, for both models."""
        if not self._alike:
            return _indices(self._one, example), _indices(self._other, example)
        found = self._found(example)
        common: list[Any] = [token.coordinate for token in found if token is not None]
        self._cross(found, self._common, common)
        if self._equal:
            once = self._once(common)
            return once, once
        others = common.copy()
        self._cross(found, self._own, common)
        self._cross(found, self._others, others)
        return self._once(common), self._once(others)

    def _once(self, indices: list[int]) -> list[int]:
        """Return coordinates, each once, in their order."""
        taken, alone = self._taken, True
        for index in indices:
            place = index % _PLACES
            if taken[place]:
                alone = False
            taken[place] = True
        for index in indices:
            taken[index % _PLACES] = False
        # Some of different coordinates have a place in common; a look at all of them tells.
        return indices if alone else list(dict.fromkeys(indices))

    def _found(self, example: Example) -> list[Token | None]:
        """Return the tokens of all names, in their order."""
        features = example.features
        found: list[Token | None] = []
        for tokens in self._tokens:
            field = tokens.field
            if field == _FEATURE:
                value = features.get(tokens.name)
                if value is None:
                    found.append(None)
                elif isinstance(value, str):
                    found.append(tokens.of_text(value))
                else:
                    found.append(tokens.of_number(value))
            elif field == _VIEWER:
                found.append(tokens.of_text(example.viewer_id))
            elif field == _ITEM:
                found.append(tokens.of_text(example.item_id))
            elif field == _SURFACE:
                found.append(tokens.of_text(example.surface))
            else:
                found.append(tokens.of_text(str(min(example.position, self._last_position))))
        return found

    def _cross(
        self, found: list[Token | None], crosses: list[tuple[int, int]], into: list[int]
    ) -> None:
        """Add the coordinates of the crosses of which both sides are there."""
        for one, other in crosses:
            left, right = found[one], found[other]
            if left is not None and right is not None:
                text = f"{left.text}×{right.text}"
                into.append(mmh3.hash(text, self._seed) & self._mask)


def _places(spec: FeatureSpec, crosses: list[tuple[str, str]]) -> list[tuple[int, int]]:
    """Return where among the names the sides of crosses are."""
    return [(spec.names.index(one), spec.names.index(other)) for one, other in crosses]


def _indices(encoder: Encoder, example: Example) -> list[int]:
    return encoder.indices(
        example.features,
        viewer=example.viewer_id,
        item=example.item_id,
        surface=example.surface,
        position=example.position,
    )
