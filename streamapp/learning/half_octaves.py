"""Half octaves of magnitudes, in arithmetic that compiled code does at once."""

from __future__ import annotations

from typing import Final

_HALF: Final = 0.7071067811865476  # √½

_FAR: Final = 65_536.0
_FAR_EXPONENT: Final = 16


def half_octave(value: float) -> int:
    """Return ⌊2·log2(value)⌋ of a positive number.

    Doubling and halving are exact, so this finds the mantissa and the exponent that `frexp` does.

    >>> [half_octave(v) for v in (0.05, 0.5, 1.0, 1.4, 1.5, 2.0, 100_000.0)]
    [-9, -2, 0, 0, 1, 2, 33]
    """
    exponent = 0
    while value >= _FAR:
        value /= _FAR
        exponent += _FAR_EXPONENT
    while value >= 1.0:
        value *= 0.5
        exponent += 1
    while value < 1.0 / _FAR:
        value *= _FAR
        exponent -= _FAR_EXPONENT
    while value < 0.5:  # noqa: PLR2004  # a mantissa is from ½ to 1
        value *= 2.0
        exponent -= 1
    return 2 * exponent - (1 if value >= _HALF else 2)
