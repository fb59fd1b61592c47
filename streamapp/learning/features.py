"""Feature specs: how an example's features become coordinates of a linear model.

A feature becomes a *token*, a token a *coordinate*; a coordinate is on (1) or off (0), however
many tokens fall on it.

=============  ==============================================  ======================
feature        token                                           example
=============  ==============================================  ======================
text           `name=value`                                    `category=drama`
0              `name=0`                                        `ctr=0`
v > 0          `name=^b`, b the half octave of v               `ctr=^-9`
v < 0          `name=-^b`, b the half octave of −v             `drift=-^3`
position       `position=p`, p at most `last_position`         `position=1`
a cross        both tokens, `×` between                        `viewer=v1×category=a`
=============  ==============================================  ======================

The half octave of v is ⌊2·log2|v|⌋: a model sees a raw watched_ms of 100,000 as one of some
hundred tokens and not as a factor that saturates it. It is computed from the binary exponent, so
that every language gets the same bucket.

Coordinate = low `bits` bits of MurmurHash3 (x86, 32 bit, the spec's seed, unsigned) of the token's
UTF-8 bytes. This one because it is the fastest here (70 ns a token; crc32 120 ns, blake2b 570 ns),
has a seed that really reorders collisions (crc32 is linear: tokens of one length that collide
under one seed do so under all, and crosses collide in patterns), and exists in every language.

Viewer, item, surface and position are known of every example; a feature of one of these names is
not looked at. Absent and empty values give no token. A number that is not finite or beyond
`max_magnitude` and a text longer than `max_length` are refused: no token, and counted in
`Encoder.refused`; the example's other features still count.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import mmh3

from streamapp.errors import ConfigurationError
from streamapp.features.serving import GROUPS
from streamapp.learning.half_octaves import half_octave
from streamapp.signals import FeatureSpec

DEFAULT_SPEC = FeatureSpec(
    names=tuple(name for group in GROUPS.values() for name in group.features),
    crosses=(
        ("viewer", "category"),
        ("viewer", "creator_id"),
        ("last_category", "category"),
        ("affinity_category", "category"),
        ("affinity_category_6h", "category"),
    ),
)
"""What is learned from by default: all that `streamapp.features.serving` declares."""

MAX_BITS = 32
"""The hash has no more."""


class Encoder:
    """Turns features into tokens and coordinates as one spec says.

    Attributes:
        refused: values refused since the encoder was built.
        largest: magnitudes beyond it are refused.

    Raises:
        ConfigurationError: the spec names a hash or buckets unknown here, crosses something with
            position, or crosses a name that it does not list.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        _check(spec)
        self.spec = spec
        self.refused = 0
        self._seed = spec.seed
        self.largest = min(spec.max_magnitude, sys.float_info.max)
        self._mask = (1 << spec.bits) - 1
        self._prefixes = tuple((name, name + "=") for name in spec.names)
        self._names = frozenset(spec.names)

    def coordinate(self, token: str) -> int:
        """Return the coordinate of a token."""
        return mmh3.hash(token, self._seed) & self._mask

    def coordinates(self, tokens: Iterable[str]) -> list[int]:
        """Return the coordinates of tokens, in their order."""
        seed, mask, hashed = self._seed, self._mask, mmh3.hash
        return [hashed(token, seed) & mask for token in tokens]

    def indices(
        self,
        features: Mapping[str, float | str],
        *,
        viewer: str,
        item: str,
        surface: str,
        position: int,
    ) -> list[int]:
        """Return the coordinates that are on, each once, in the order of their tokens."""
        tokens = self.tokens(features, viewer=viewer, item=item, surface=surface, position=position)
        indices = self.coordinates(tokens)
        return indices if len(set(indices)) == len(indices) else list(dict.fromkeys(indices))

    def tokens(
        self,
        features: Mapping[str, float | str],
        *,
        viewer: str,
        item: str,
        surface: str,
        position: int,
    ) -> list[str]:
        """Return the tokens of one item as shown, or as it would be shown.

        To score items before they have a place, give position 1.
        """
        named = self.named(features, viewer=viewer, item=item, surface=surface, position=position)
        return [*named.values(), *crossed(named, self.spec.crosses)]

    def named(
        self,
        features: Mapping[str, float | str],
        *,
        viewer: str,
        item: str,
        surface: str,
        position: int,
    ) -> dict[str, str]:
        """Return the tokens that are no crosses, by name."""
        values = {
            **features,
            "viewer": viewer,
            "item": item,
            "surface": surface,
            "position": str(min(position, self.spec.last_position)),
        }
        longest, least, most = self.spec.max_length, 0.0, self.largest
        tokens: dict[str, str] = {}
        for name, prefix in self._prefixes:
            value = values.get(name)
            if isinstance(value, str):
                if 0 < len(value) <= longest:
                    tokens[name] = prefix + value
                elif value:
                    self.refused += 1
            elif value is not None:
                if least < value <= most:  # as `_bucket` has it, with a call less
                    tokens[name] = f"{prefix}^{half_octave(value)}"
                elif (bucket := self._bucket(value)) is not None:
                    tokens[name] = prefix + bucket
        return tokens

    def token(self, name: str, value: float | str) -> str | None:
        """Return the token of one feature, as `named` has it; None if it has none."""
        if name not in self._names:
            return None
        if name == "position":
            value = str(min(int(value), self.spec.last_position))
        if not isinstance(value, str):
            bucket = self._bucket(value)
            return None if bucket is None else f"{name}={bucket}"
        if len(value) > self.spec.max_length:
            self.refused += 1
            return None
        return f"{name}={value}" if value else None

    def _bucket(self, value: float) -> str | None:
        magnitude = abs(value)
        if 0 < magnitude <= self.largest:
            octave = half_octave(magnitude)
            return f"^{octave}" if value > 0 else f"-^{octave}"
        if magnitude == 0:
            return "0"
        self.refused += 1  # NaN compares false with everything
        return None


def crossed(tokens: Mapping[str, str], crosses: Iterable[tuple[str, str]]) -> list[str]:
    """Return the tokens of the crosses of which both sides are there."""
    return [
        f"{tokens[one]}×{tokens[other]}"
        for one, other in crosses
        if one in tokens and other in tokens
    ]


def _check(spec: FeatureSpec) -> None:
    """Refuse what would be encoded in another way than the spec says, or must not be learned."""
    if spec.hash != "murmur3_x86_32" or spec.buckets != "half_octave":
        raise ConfigurationError(
            f"hash {spec.hash!r} with buckets {spec.buckets!r} is unknown here: "
            "murmur3_x86_32 and half_octave are implemented"
        )
    if not 1 <= spec.bits <= MAX_BITS:
        raise ConfigurationError(f"bits is {spec.bits}, it must be from 1 to {MAX_BITS}")
    if len(set(spec.names)) != len(spec.names):
        raise ConfigurationError("a feature name is listed twice")
    for cross in spec.crosses:
        if "position" in cross:
            raise ConfigurationError(
                f"{cross} crosses position: a reader scores at position 1, so what is learned of "
                "other positions would be lost to it"
            )
        if not set(cross) <= set(spec.names):
            raise ConfigurationError(f"{cross} crosses a feature that the spec does not name")
