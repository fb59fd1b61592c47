"""How well predictions foretold clicks, and how sure that is: intervals clustered by viewer.

Impressions of one viewer are no independent evidence. So whole viewers are drawn, with
replacement, as many as there are; each draw gives the figure anew, and 95 % of the draws lie
within the interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8, 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

_SMALLEST = 1e-12


class Estimate(NamedTuple):
    """A figure and the interval that holds 95 % of the draws."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: Vector) -> Estimate:
        """Return a figure with the interval of its draws."""
        low, high = np.nanquantile(drawn, (0.025, 0.975))
        return cls(value, float(low), float(high))

    @property
    def decides(self) -> bool:
        """Say whether 0 is out of the interval."""
        return self.low > 0.0 or self.high < 0.0


class Shown(NamedTuple):
    """Impressions to be foretold, one entry each.

    Attributes:
        clicked: whether each was clicked.
        viewer: who saw it.
        among: impressions compete with those of one kind only, as of one campaign.
    """

    clicked: Sequence[bool]
    viewer: Sequence[str]
    among: Sequence[str]


class Draws:
    """The viewers drawn, how often each: the same for all predictions, so they can be compared."""

    def __init__(self, shown: Shown, resamples: int, seed: int) -> None:
        self._clicked = np.array(shown.clicked, dtype=bool)
        self._among = np.array(shown.among)
        names, self._viewer = np.unique(np.array(shown.viewer), return_inverse=True)
        self._viewers = len(names)
        even = np.full(self._viewers, 1.0 / self._viewers)
        drawn = np.random.default_rng(seed).multinomial(self._viewers, even, size=resamples)
        once = np.ones((1, self._viewers))
        self._times = np.concatenate((once, drawn.astype(float)))  # the first one is the data

    def log_loss(self, probabilities: Vector) -> Vector:
        """Return the mean −ln of the probability given to what happened: of the data, and draws."""
        given = np.clip(probabilities, _SMALLEST, 1.0 - _SMALLEST)
        losses = -np.log(np.where(self._clicked, given, 1.0 - given))
        shares: Vector = (self._times @ self._by_viewer(losses)) / (
            self._times @ self._by_viewer(np.ones(len(losses)))
        )
        return shares

    def auc(self, scores: Vector) -> Vector:
        """Return the chance that what was clicked scores above what was not, ties half.

        Pairs are of one kind, and weigh as often as both their viewers were drawn.
        """
        above, pairs = np.zeros(len(self._times)), np.zeros(len(self._times))
        for kind in np.unique(self._among):
            won, met = self._pairs(scores, self._among == kind)
            above += ((self._times @ won) * self._times).sum(axis=1)
            pairs += ((self._times @ met) * self._times).sum(axis=1)
        with np.errstate(invalid="ignore"):  # a draw without any click says nothing
            share: Vector = above / pairs
        return share

    def _pairs(self, scores: Vector, of: npt.NDArray[np.bool_]) -> tuple[Vector, Vector]:
        """Return, by viewer of what was clicked and viewer of what was not, pairs won and all."""
        _, rank = np.unique(scores[of], return_inverse=True)
        clicked, viewer = self._clicked[of], self._viewer[of]
        won = np.zeros((self._viewers, self._viewers))
        for other in np.unique(viewer[~clicked]):
            passed = np.bincount(rank[~clicked & (viewer == other)], minlength=len(rank))
            below = np.cumsum(passed) - passed / 2.0
            won[:, other] = np.bincount(viewer[clicked], below[rank[clicked]], self._viewers)
        counts = [np.bincount(viewer[one], minlength=self._viewers) for one in (clicked, ~clicked)]
        return won, np.outer(*counts).astype(float)

    def _by_viewer(self, values: Vector) -> Vector:
        sums: Vector = np.bincount(self._viewer, values, self._viewers).astype(float)
        return sums
