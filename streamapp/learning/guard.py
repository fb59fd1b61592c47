"""The guard before publishing: what a turn taught, tried on earlier examples.

Of the n₁ examples held with the outcome and the n₀ without, L₁ and L₀ are the mean log losses and
P₁ and P₀ the mean probabilities; π is the share of all that had it. Over all, so,

    L = π·L₁ + (1 − π)·L₀          C = (π·P₁ + (1 − π)·P₀)/π          (Σ p / Σ y)

**Loss.** D, what the turn adds to L, has the standard error e, from the differences by example. The
alarm: D > 10 % of L before, and D > 3·e. Four thousand clicks for nothing take L from 0.13 beyond
3; a turn of honest examples moves it by a per cent or so, either way.

**Calibration.** ln C has the variance 1/n₁ + var(P)/P². The alarm: its 95 % interval lies outside
0.8 to 1.25, the turn made it worse, and n₁ > 400; fewer outcomes do not tell a calibration.

*Example*: C = 1.5 with n₁ = 500, var(P)/P² = 0.002: ln 1.5 ± 1.96·√0.004 is 1.32 to 1.70, outside.

Nothing is judged before 30 examples of either kind are held: a model that knows nothing yet has
nothing to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

LEAST_HELD = 30
LEAST_OUTCOMES = 400
WORSE = 0.1
ERRORS = 3.0
CALIBRATED = (0.8, 1.25)
_MAX_LOGIT = 35.0
_PER_SLOT = 64
"""Coordinates known for each slot, before those no longer held are forgotten."""


class Trial(NamedTuple):
    """How weights do on the examples held."""

    loss: float
    calibration: float
    calibration_error: float
    losses: Vector


class Guard:
    """Tries the weights of one model on the examples held; `capacity` of them of either kind."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: dict[int, int] = {}  # coordinate → place in `_weights`; place 0 weighs 0
        self._weights: Vector = np.zeros(1)
        self._places: npt.NDArray[np.int64] = np.zeros((2 * capacity, 8), dtype=np.int64)
        self._y: Vector = np.zeros(2 * capacity)
        self._offset: Vector = np.zeros(2 * capacity)
        self._filled: npt.NDArray[np.bool_] = np.zeros(2 * capacity, dtype=np.bool_)
        self._tried: Vector = self._weights

    def judge(
        self, turned: Iterable[tuple[int, float]], before: float, now: float, share: float
    ) -> str | None:
        """Return why what a turn taught must not be published, or None.

        Args:
            turned: coordinates of the turn, with their weights now.
            before, now: the intercept, as accepted and now.
            share: of all examples, those with the outcome.
        """
        self._tried = self._weights.copy()
        places, known = [], self._known
        for index, weight in turned:
            place = known.get(index)
            if place is not None:
                places.append((place, weight))
        if places:
            where, weights = zip(*places, strict=True)
            self._tried[list(where)] = weights
        if not 0.0 < share < 1.0 or min(self._counts()) < LEAST_HELD:
            return None
        accepted = self._try(self._weights, before, share)
        staged = self._try(self._tried, now, share)
        return self._worse(accepted, staged, share) or self._off(accepted, staged)

    def _worse(self, accepted: Trial, staged: Trial, share: float) -> str | None:
        _, error = self._mean(staged.losses - accepted.losses, share)
        added = staged.loss - accepted.loss
        if added > WORSE * accepted.loss and added > ERRORS * error:
            return (
                f"log loss {accepted.loss:.4f} to {staged.loss:.4f}"
                f" on {self._filled.sum()} earlier examples"
            )
        return None

    def _off(self, accepted: Trial, staged: Trial) -> str | None:
        outcomes = self._counts()[1]
        if outcomes <= LEAST_OUTCOMES or abs(log(staged.calibration)) <= abs(
            log(accepted.calibration)
        ):
            return None
        margin = 1.96 * sqrt(1.0 / outcomes + staged.calibration_error**2)
        low, high = (staged.calibration * exp(sign * margin) for sign in (-1, 1))
        if high < CALIBRATED[0] or low > CALIBRATED[1]:
            return (
                f"calibration {accepted.calibration:.2f} to {staged.calibration:.2f}"
                f" on {outcomes} earlier outcomes"
            )
        return None

    def _try(self, weights: Vector, intercept: float, share: float) -> Trial:
        scores = weights[self._places].sum(axis=1) + (intercept + self._offset)
        np.clip(scores, -_MAX_LOGIT, _MAX_LOGIT, out=scores)
        zeros = np.logaddexp(0.0, scores)  # −ln(1 − p)
        losses = zeros - self._y * scores
        loss, _ = self._mean(losses, share)
        promised, error = self._mean(np.exp(scores - zeros), share)
        happened, _ = self._mean(self._y, share)
        return Trial(loss, promised / happened, error / promised, losses)

    def _mean(self, values: Vector, share: float) -> tuple[float, float]:
        """Return the mean over all examples and its standard error."""
        mean = variance = 0.0
        for part, weight in ((0, 1.0 - share), (1, share)):
            mine = slice(part * self._capacity, (part + 1) * self._capacity)
            some = values[mine][self._filled[mine]]
            mean += weight * float(some.mean())
            variance += weight**2 * float(some.var()) / len(some)
        return mean, sqrt(variance)

    def _counts(self) -> tuple[int, int]:
        filled, capacity = self._filled, self._capacity
        return int(filled[:capacity].sum()), int(filled[capacity:].sum())

    def accept(self) -> None:
        """What was judged last is what is accepted."""
        self._weights = self._tried

    def place(
        self,
        slot: int,
        indices: Sequence[int],
        y: float,
        offset: float,
        weight: Callable[[int], float],
    ) -> None:
        """Hold an example; `weight` tells the accepted weight of a coordinate."""
        known = self._known
        fresh = [index for index in indices if index not in known]
        if fresh:
            start = len(known) + 1
            known.update(zip(fresh, range(start, start + len(fresh)), strict=True))
            self._grow(len(known) + 1)
            self._weights[start : len(known) + 1] = [weight(index) for index in fresh]
        if len(indices) > self._places.shape[1]:
            wider = len(indices) - self._places.shape[1]
            self._places = np.pad(self._places, ((0, 0), (0, wider)))
        self._places[slot] = 0
        self._places[slot, : len(indices)] = [known[index] for index in indices]
        self._y[slot], self._offset[slot], self._filled[slot] = y, offset, True
        if len(known) > _PER_SLOT * 2 * self._capacity:
            self._forget()

    def _grow(self, size: int) -> None:
        if size > len(self._weights):
            self._weights = np.concatenate([self._weights, np.zeros(size)])

    def _forget(self) -> None:
        """Forget the coordinates of examples that were replaced."""
        used, places = np.unique(np.append(self._places, 0), return_inverse=True)
        self._places = places[:-1].reshape(self._places.shape)
        self._weights = self._weights[used]
        new = {int(old): place for place, old in enumerate(used)}
        self._known = {index: new[place] for index, place in self._known.items() if place in new}

    def reset(self, weight: Callable[[int], float]) -> None:
        """Read all weights anew, after they changed otherwise than by a turn."""
        for index, place in self._known.items():
            self._weights[place] = weight(index)
