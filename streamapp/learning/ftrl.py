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
from math import isfinite
from typing import Any

from river import base

from streamapp.errors import ConfigurationError
from streamapp.learning.coordinate import Coordinate, settle, sigmoid, step

MAX_MAGNITUDE = 1e15
"""Of a feature: far beyond it squares of gradients are more than a float holds."""


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
        ConfigurationError: alpha is not positive, another argument is negative, or one not finite.
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 0.0,
        intercept_init: float = 0.0,
    ) -> None:
        if not all(map(isfinite, (alpha, beta, l1, l2, intercept_init))):
            raise ConfigurationError("FTRL needs finite numbers")
        if not alpha > 0 or min(beta, l1, l2) < 0:
            raise ConfigurationError("FTRL needs alpha > 0 and beta, l1, l2 ≥ 0")
        self.alpha = alpha
        self.beta = beta
        self.l1 = l1
        self.l2 = l2
        self.intercept_init = intercept_init
        self._coordinates: defaultdict[Hashable, Coordinate] = defaultdict(Coordinate)
        self._bias = Coordinate()
        self._touched: set[Any] = set()
        self._penalised = (alpha, beta / alpha + l2, l1)
        self._free = (alpha, beta / alpha, 0.0)

    def learn_one(self, x: dict[Hashable, Any], y: Any) -> None:
        """Learn from features by name.

        Raises:
            ValueError: a feature is no number within ±`MAX_MAGNITUDE`; nothing is learned then.
        """
        _check(x)
        gradient = sigmoid(self._score(x)) - (1.0 if y else 0.0)
        coordinates = self._coordinates
        found = [coordinates[name] for name in x]
        self._touched.update(x)
        for coordinate, value in zip(found, x.values(), strict=True):
            step([coordinate], gradient * value, *self._penalised)
        step([self._bias], gradient, *self._free)

    def predict_proba_one(self, x: dict[Hashable, Any], **_: Any) -> dict[Any, float]:
        """Return the probabilities of False and True.

        Raises:
            ValueError: a feature is no number within ±`MAX_MAGNITUDE`.
        """
        _check(x)
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
        step(found, gradient, *self._penalised)
        step([self._bias], gradient, *self._free)
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
        coordinate = Coordinate()
        if index is None:
            self._bias = coordinate
            settle(coordinate, z, n, *self._free)
        else:
            self._coordinates[index] = coordinate
            settle(coordinate, z, n, *self._penalised)

    def _score(self, x: dict[Hashable, Any]) -> float:
        score = self.intercept
        for name, value in x.items():
            score += self.weight(name) * value
        return score


def _check(x: dict[Hashable, Any]) -> None:
    # A comparison with NaN is never true.
    if not all(-MAX_MAGNITUDE <= value <= MAX_MAGNITUDE for value in x.values()):
        raise ValueError(f"features must be numbers within ±{MAX_MAGNITUDE:g}")
