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
        for at in np.flatnonzero(self._clicked):
            others = ~self._clicked & (self._among == self._among[at])
            won = np.where(others, np.sign(scores[at] - scores) / 2.0 + 0.5, 0.0)
            weight = self._times[:, self._viewer[at]]
            above += weight * (self._times @ self._by_viewer(won))
            pairs += weight * (self._times @ self._by_viewer(others.astype(float)))
        with np.errstate(invalid="ignore"):  # a draw without any click says nothing
            share: Vector = above / pairs
        return share

    def _by_viewer(self, values: Vector) -> Vector:
        sums: Vector = np.bincount(self._viewer, values, self._viewers).astype(float)
        return sums
