"""How tastes and qualities change while the world goes on.

Each number x is an Ornstein–Uhlenbeck process about 0, looked at in steps of five minutes:

    x(k+1) = ρ·x(k) + √(1 − ρ²)·σ·ε,    ε standard normal

ρ² < 1 pulls it back just as much as ε drives it away, so at all times the spread over many x is
the σ that they were drawn with: drift changes who likes what, not how much tastes differ. Over an
hour, twelve steps, a change has the standard deviation

    drift = σ·√(2·(1 − ρ¹²))     so     ρ = (1 − drift²/(2σ²))^(1/12)

With σ = 1.2, a drift of 0.6 an hour leaves after one hour a correlation of 0.875 with what was,
after six hours one of 0.45.

>>> round(memory(0.6, 1.2) ** 12, 3), memory(0.0, 1.2)
(0.875, 1.0)
"""

from __future__ import annotations

from math import sqrt
from random import Random

from streamapp.errors import ConfigurationError

HOUR_MS = 3_600_000
STEPS_AN_HOUR = 12


def memory(drift: float, spread: float) -> float:
    """Return ρ: what of a number is left after one step.

    Args:
        drift: standard deviation of the change in an hour.
        spread: σ, the standard deviation of the numbers at any time.

    Raises:
        ConfigurationError: after an hour nothing would be left; √2·σ is the most.
    """
    left = 1.0 - drift * drift / (2.0 * spread * spread) if drift else 1.0
    if not (drift >= 0.0 and left > 0.0):
        raise ConfigurationError(
            f"a drift of {drift} an hour: it must be from 0 to √2 times the spread of {spread}"
        )
    return float(left ** (1.0 / STEPS_AN_HOUR))


class Walk:
    """Numbers that drift, each by itself; equal arguments walk alike.

    Args:
        seed: of the walk.
        start: where it begins, step 0.
        spread: σ.
        kept: ρ.
    """

    def __init__(self, seed: str, start: tuple[float, ...], spread: float, kept: float) -> None:
        self._draw = Random(seed)
        self._path = [start]
        self._kept = kept
        self._driven = sqrt(1.0 - kept * kept) * spread

    def at(self, step: int) -> tuple[float, ...]:
        """Return the numbers at a step; before the first they are as at the first."""
        kept, driven, gauss = self._kept, self._driven, self._draw.gauss
        while len(self._path) <= step:
            self._path.append(tuple(kept * x + driven * gauss(0.0, 1.0) for x in self._path[-1]))
        return self._path[max(step, 0)]
