"""Logistic regression by per-coordinate FTRL-proximal, behind river's classifier interface.

Algorithm 1 of McMahan et al., "Ad click prediction: a view from the trenches" (KDD 2013). Each
coordinate i keeps zᵢ and nᵢ (the sum of its squared gradients); its weight is

    wᵢ = 0                                                if |zᵢ| ≤ λ1
    wᵢ = −(zᵢ − sgn(zᵢ)·λ1) / ((β + √nᵢ)/α + λ2)           else

and an example with gradient gᵢ = (p − y)·xᵢ, p predicted with these weights, changes it by

    σᵢ = (√(nᵢ + gᵢ²) − √nᵢ)/α      zᵢ += gᵢ − σᵢ·wᵢ      nᵢ += gᵢ²

The weights are those of the moment (river's own FTRL optimizer reads weights one occurrence old).
The intercept is a coordinate that is on in every example, with λ1 = λ2 = 0: the base rate
is nothing to shrink. It starts at `intercept_init`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import repeat
from math import exp, isfinite, sqrt
from typing import Any

from river import base

from streamapp.errors import ConfigurationError

MAX_LOGIT = 35.0
"""Scores are clipped to ± this before they become probabilities, which stay within (0, 1)."""


def sigmoid(score: float) -> float:
    """Return 1/(1 + e^−score), strictly between 0 and 1.

    >>> sigmoid(0.0), 0 < sigmoid(-1e9), sigmoid(1e9) < 1
    (0.5, True, True)
    """
    return 1.0 / (1.0 + exp(-max(-MAX_LOGIT, min(MAX_LOGIT, score))))


class _Coordinate:
    """One coordinate: z and n, and what follows from them: w, and root = √n/α."""

    __slots__ = ("n", "root", "w", "z")

    def __init__(self) -> None:
        self.z = self.n = self.w = self.root = 0.0


class FtrlLogistic(base.Classifier):
    """FTRL-proximal logistic regression on sparse features.

    river's methods take features by name; the methods ending in `_indices` take the coordinates
    that are 1, each once, and are what a stream of hashed features is learned with.

    Args:
        alpha: learning rate; the first step of a coordinate is about alpha/beta times its gradient.
        beta: smooths the learning rate of a coordinate's first steps.
        l1: weights whose |z| is at most this are 0.
        l2: pulls weights towards 0.
        intercept_init: the intercept before any example.

    Raises:
        ConfigurationError: alpha is not positive, or another argument is negative.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 0.0,
        intercept_init: float = 0.0,
    ) -> None:
        if not alpha > 0 or min(beta, l1, l2) < 0:
            raise ConfigurationError("FTRL needs alpha > 0 and beta, l1, l2 ≥ 0")
        self.alpha = alpha
        self.beta = beta
        self.l1 = l1
        self.l2 = l2
        self.intercept_init = intercept_init
        self._coordinates: defaultdict[Hashable, _Coordinate] = defaultdict(_Coordinate)
        self._bias = _Coordinate()
        self._touched: set[Any] = set()

    def learn_one(self, x: dict[Hashable, Any], y: Any) -> None:
        """Learn from features by name.

        Raises:
            ValueError: a feature is not a finite number.
        """
        if not all(map(isfinite, x.values())):
            raise ValueError("features must be finite numbers")
        gradient = sigmoid(self._score(x)) - (1.0 if y else 0.0)
        coordinates = self._coordinates
        found = [coordinates[name] for name in x]
        self._touched.update(x)
        self._step(found, [gradient * value for value in x.values()], self.l1, self.l2)
        self._step((self._bias,), (gradient,), 0.0, 0.0)

    def predict_proba_one(self, x: dict[Hashable, Any], **_: Any) -> dict[Any, float]:
        """Return the probabilities of False and True."""
        probability = sigmoid(self._score(x))
        return {False: 1.0 - probability, True: probability}

    def learn_indices(self, indices: Sequence[int], y: float, offset: float = 0.0) -> float:
        """Predict, then learn that the outcome was `y` (0 or 1).

        Args:
            indices: the coordinates that are on, each once.
            offset: added to the score while learning, as a known part of it.

        Returns:
            The score (log-odds, without `offset`) from before learning.
        """
        coordinates = self._coordinates
        found = [coordinates[index] for index in indices]
        score = self.intercept
        for coordinate in found:
            score += coordinate.w
        gradient = sigmoid(score + offset) - y
        self._touched.update(indices)
        self._step(found, repeat(gradient), self.l1, self.l2)
        self._step((self._bias,), (gradient,), 0.0, 0.0)
        return score

    def predict_indices(self, indices: Iterable[int]) -> float:
        """Return the probability of 1 when these coordinates are on."""
        score = self.intercept
        for index in indices:
            score += self.weight(index)
        return sigmoid(score)

    @property
    def intercept(self) -> float:
        """Log-odds when no coordinate is on."""
        return self.intercept_init + self._bias.w

    def weight(self, index: Hashable) -> float:
        """Return the weight of one coordinate, 0 when it was never learned from."""
        coordinate = self._coordinates.get(index)
        return 0.0 if coordinate is None else coordinate.w

    @property
    def size(self) -> int:
        """Coordinates learned from."""
        return len(self._coordinates)

    def take_touched(self) -> set[Any]:
        """Return the coordinates learned from since this was last called."""
        touched, self._touched = self._touched, set()
        return touched

    def snapshot(self, index: Hashable = None) -> tuple[float, float]:
        """Return z and n of one coordinate, or of the intercept: all there is to restore."""
        coordinate = self._bias if index is None else self._coordinates[index]
        return coordinate.z, coordinate.n

    def restore(self, z: float, n: float, index: Hashable = None) -> None:
        """Bring one coordinate, or the intercept, back to a snapshot."""
        coordinate = _Coordinate()
        coordinate.z, coordinate.n = z, n
        # A step of gradient 0 from weight 0 changes neither and computes what follows from them.
        if index is None:
            self._bias = coordinate
            self._step((coordinate,), (0.0,), 0.0, 0.0)
        else:
            self._coordinates[index] = coordinate
            self._step((coordinate,), (0.0,), self.l1, self.l2)

    def _score(self, x: dict[Hashable, Any]) -> float:
        score = self.intercept
        for name, value in x.items():
            score += self.weight(name) * value
        return score

    def _step(
        self,
        coordinates: Iterable[_Coordinate],
        gradients: Iterable[float],
        l1: float,
        l2: float,
    ) -> None:
        inverse = 1.0 / self.alpha
        ridge = self.beta * inverse + l2
        for coordinate, gradient in zip(coordinates, gradients, strict=False):
            coordinate.n = n = coordinate.n + gradient * gradient
            root = sqrt(n) * inverse
            coordinate.z = z = coordinate.z + gradient - (root - coordinate.root) * coordinate.w
            coordinate.root = root
            if z > l1:
                coordinate.w = (l1 - z) / (ridge + root)
            elif z < -l1:
                coordinate.w = (-l1 - z) / (ridge + root)
            else:
                coordinate.w = 0.0
