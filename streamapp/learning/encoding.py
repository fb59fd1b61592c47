"""One encoding for all models of a contest.

Specs that differ in their crosses only share the tokens of their names, hashed once; specs that
are equal share everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import mmh3
import msgspec

from streamapp.learning.features import Encoder, crossed
from streamapp.signals import Example, FeatureSpec

Coordinates = tuple[list[int], list[int]]
"""What is on, for the one model and for the other."""


class PairEncoder:
    """Coordinates of an example for two models.

    Raises:
        ConfigurationError: a spec cannot be encoded.
    """

    def __init__(self, one: FeatureSpec, other: FeatureSpec) -> None:
        self._one, self._other = Encoder(one), Encoder(other)
        self._alike = msgspec.structs.replace(one, crosses=other.crosses) == other
        self._equal = one == other
        both = tuple(cross for cross in one.crosses if cross in other.crosses)
        self._common = both
        self._own = tuple(cross for cross in one.crosses if cross not in both)
        self._others = tuple(cross for cross in other.crosses if cross not in both)
        self._seed, self._mask = one.seed, (1 << one.bits) - 1

    @property
    def refused(self) -> int:
        """Feature values refused since this was built; of specs not alike, by either."""
        return self._one.refused + self._other.refused

    def encode(self, example: Example) -> Coordinates:
        """Return the coordinates that are on, each once, for both models."""
        if self._alike:
            return self._encode_alike(example)
        return self._indices(self._one, example), self._indices(self._other, example)

    def _encode_alike(self, example: Example) -> Coordinates:
        named = self._one.named(
            example.features,
            viewer=example.viewer_id,
            item=example.item_id,
            surface=example.surface,
            position=example.position,
        )
        common = self._hashed([*named.values(), *crossed(named, self._common)])
        if self._equal:
            once = _once(common)
            return once, once
        own = self._hashed(crossed(named, self._own))
        others = self._hashed(crossed(named, self._others))
        return _once(common + own), _once(common + others)

    def _hashed(self, tokens: Sequence[str]) -> list[int]:
        hashed, seed, mask = mmh3.hash, self._seed, self._mask
        return [hashed(token, seed) & mask for token in tokens]

    def _indices(self, encoder: Encoder, example: Example) -> list[int]:
        return encoder.indices(
            example.features,
            viewer=example.viewer_id,
            item=example.item_id,
            surface=example.surface,
            position=example.position,
        )


def _once(indices: list[int]) -> list[int]:
    return indices if len(set(indices)) == len(indices) else list(dict.fromkeys(indices))
