"""One coordinate of a logistic regression by FTRL, and its step; see `streamapp.learning.ftrl`."""

from __future__ import annotations

from math import exp, sqrt
from typing import Final, TypeVar

from mypy_extensions import mypyc_attr

MAX_LOGIT: Final = 35.0
"""Scores are clipped to ± this before they become probabilities, which stay within (0, 1)."""


def sigmoid(score: float) -> float:
    """Return 1/(1 + e^−score), strictly between 0 and 1.

    >>> sigmoid(0.0), 0 < sigmoid(-1e9), sigmoid(1e9) < 1
    (0.5, True, True)
    """
    if not -MAX_LOGIT < score < MAX_LOGIT:
        score = MAX_LOGIT if score > 0 else -MAX_LOGIT
    return 1.0 / (1.0 + exp(-score))


@mypyc_attr(acyclic=True)
class Coordinate:
    """One coordinate: z and n, and what follows from them: w, and root = √n/α."""

    __slots__ = ("n", "root", "w", "z")

    def __init__(self) -> None:
        self.z = self.n = self.w = self.root = 0.0


C = TypeVar("C", bound=Coordinate)


def step(coordinates: list[C], gradient: float, alpha: float, ridge: float, l1: float) -> None:
    """Move coordinates that have one gradient in common; `ridge` is β/α + λ2."""
    inverse, square = 1.0 / alpha, gradient * gradient
    for coordinate in coordinates:
        coordinate.n = n = coordinate.n + square
        root = sqrt(n) * inverse
        coordinate.z = z = coordinate.z + gradient - (root - coordinate.root) * coordinate.w
        coordinate.root = root
        if not l1:
            coordinate.w = -z / (ridge + root)
        elif z > l1:
            coordinate.w = (l1 - z) / (ridge + root)
        elif z < -l1:
            coordinate.w = (-l1 - z) / (ridge + root)
        else:
            coordinate.w = 0.0


def settle(
    coordinate: Coordinate, z: float, n: float, alpha: float, ridge: float, l1: float
) -> None:
    """Set z and n of a coordinate, and what follows from them."""
    coordinate.z, coordinate.n = z, n
    coordinate.w = coordinate.root = 0.0
    # A step of gradient 0 from weight 0 changes neither and computes what follows from them.
    step([coordinate], 0.0, alpha, ridge, l1)
