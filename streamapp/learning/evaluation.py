"""Prequential evaluation: how well the probabilities given before learning did.

Everything decays by examples: an example weighs half of one seen `half_life` examples later. By
examples and not by time, so that a figure always rests on the same amount of evidence: a quiet
night neither empties it nor lets a handful of examples stand for the model.
"""

from __future__ import annotations

from math import exp, inf, log, log1p
from typing import Final

from streamapp.learning.states import PrequentialState
from streamapp.signals import Quality

RESOLUTION: Final = 8
"""Bins of the score histogram in one unit of log-odds; it goes from −16 to 16."""

_HALF_SPAN: Final = 16.0

SMALLEST: Final = 1e-12
LARGEST: Final = 0.999999999999
"""Probabilities are clipped to these bounds: no single example costs more than 27.6."""

_MAX_SCORE: Final = 27.63102111592755
"""Log-odds of the largest."""

_RESCALE: Final = 2.0**64


def logarithms(score: float) -> tuple[float, float, float]:
    """Return the probability of a score (log-odds), its logarithm and that of its complement.

    Both probabilities are at least 1e-12.
    """
    if not -_MAX_SCORE < score < _MAX_SCORE:
        score = _MAX_SCORE if score > 0 else -_MAX_SCORE
    odds = exp(score)
    no = -log1p(odds)
    return odds / (1.0 + odds), score + no, no


class Prequential:
    """Decayed log loss, AUC and calibration of one sequence of predictions.

    AUC comes from a histogram of scores (log-odds): predictions of one bin count as ties. A
    histogram over probabilities would put nearly all rare-click predictions in one bin.

    Args:
        half_life: examples.
        resolution: bins in a unit of log-odds; fewer make a smaller state and a coarser AUC.

    The weights of past examples are not touched: each new one weighs 2^(1/half_life) times the
    one before, and all sums are scaled down, by a power of two, before they grow out of range.
    """

    def __init__(self, half_life: float = inf, resolution: int = RESOLUTION) -> None:
        self._growth = 2.0 ** (1.0 / half_life)
        self._scale = 1.0
        self._weight = 0.0
        self._loss = 0.0
        self._expected = 0.0
        self._positives = 0.0
        self._resolution = float(resolution)
        self._last = 2 * int(_HALF_SPAN) * resolution - 1
        self._without = [0.0] * (self._last + 1)
        self._with = [0.0] * (self._last + 1)

    def update(self, probability: float, *, happened: float, weight: float = 1.0) -> None:
        """Take one prediction that stands for `weight` such, and whether it happened.

        A share of what could have happened (0 to 1) counts as that much of both outcomes.
        """
        if not SMALLEST < probability < LARGEST:
            probability = min(max(probability, SMALLEST), LARGEST)
        self.count(probability, log(probability), log1p(-probability), weight, happened)

    def count(
        self, probability: float, yes: float, no: float, weight: float, happened: float
    ) -> None:
        """Take one prediction of which the logarithms are known, of it and of its complement."""
        self._scale = scale = self._scale * self._growth
        if scale > _RESCALE:
            self._rescale()
            scale = self._scale
        weight *= scale
        self._weight += weight
        self._expected += weight * probability
        number = int((yes - no + _HALF_SPAN) * self._resolution)
        if not 0 <= number <= self._last:
            number = min(max(number, 0), self._last)
        if happened:
            positive = weight * happened
            self._positives += positive
            self._loss -= positive * yes
            self._with[number] += positive
            weight -= positive
            if not weight:
                return
        self._loss -= weight * no
        self._without[number] += weight

    def _rescale(self) -> None:
        factor = 1.0 / _RESCALE
        self._scale *= factor
        self._weight *= factor
        self._loss *= factor
        self._expected *= factor
        self._positives *= factor
        for bins in (self._without, self._with):
            bins[:] = [value * factor for value in bins]

    @property
    def log_loss(self) -> float | None:
        """Mean −ln of the probability given to what happened."""
        return self._loss / self._weight if self._weight else None

    @property
    def calibration(self) -> float | None:
        """Σ probability / Σ positives: 1 is calibrated, above 1 promises too much."""
        return self._expected / self._positives if self._positives else None

    @property
    def auc(self) -> float | None:
        """Chance that a random positive scored above a random negative, ties half."""
        below = pairs = 0.0
        for negatives, positives in zip(self._without, self._with, strict=True):
            pairs += positives * (below + negatives / 2.0)
            below += negatives
        positives = sum(self._with)
        return pairs / (below * positives) if below and positives else None

    @property
    def quality(self) -> Quality:
        """All three."""
        return Quality(log_loss=self.log_loss, auc=self.auc, calibration=self.calibration)

    def snapshot(self) -> PrequentialState:
        """Return the state, for JSON."""
        histogram = [
            (number, negatives, positives)
            for number, (negatives, positives) in enumerate(
                zip(self._without, self._with, strict=True)
            )
            if negatives or positives
        ]
        return PrequentialState(
            self._scale, self._weight, self._loss, self._expected, self._positives, histogram
        )

    def restore(self, state: PrequentialState) -> None:
        """Go on exactly from a snapshot."""
        self._scale, self._weight, self._loss = state.scale, state.weight, state.loss
        self._expected, self._positives = state.expected, state.positives
        self._without = [0.0] * (self._last + 1)
        self._with = [0.0] * (self._last + 1)
        for number, negatives, positives in state.histogram:
            self._without[number] = negatives
            self._with[number] = positives
