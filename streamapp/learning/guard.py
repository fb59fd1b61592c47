"""The guard before publishing: what a turn taught, tried on earlier examples.

Of the n₁ examples held with the outcome and the n₀ without, L₁ and L₀ are the mean log losses and
P₁ and P₀ the mean probabilities; π is the share of all that had it. Over all, so,

    L = π·L₁ + (1 − π)·L₀          P = π·P₁ + (1 − π)·P₀          C = P/π          (Σp / Σy)

**Loss.** D, what the turn adds to L, has the standard error e, from the differences by example. The
alarm: D > 10 % of L before, and D > 3·e. Four thousand clicks for nothing take L from 0.13 beyond
3; a turn of honest examples moves it by a per cent or so, either way.

**Calibration.** A turn moves ln P, P = π·P₁ + (1 − π)·P₀, by m. What all turns since a *milestone*
have moved it is M, the sum of their m: on the same examples Σy is the same, so e^M is how many
times C is what it was. The alarm: |M| > ln 2 + 3/√n, n being the outcomes that the model had
learned from at the milestone, and the turn made |M| larger. A milestone is passed when the warm-up
is over, when twice as many examples are accepted as at the last one, and at each full hour of
stream time. So poison that comes drop by drop moves a champion by no more than that, and where the
world has changed for good the model may follow by as much each hour. Honest traffic of a few clicks
a turn was seen to move it by a factor of 1.8 either way.

C itself tells little: those held with the outcome are older than those without, so what has come
to be known of items since shows in it, as if the model were at fault.

*Example*: learned from 10,000 examples with 400 outcomes, P went from 0.040 to 0.033 in some turns.
M = ln(0.033/0.040) = −0.19; the limit is 0.693 + 0.15 = 0.84, which P reaches at 0.017.

Nothing is judged before 30 examples of either kind are held. Until then the model is warming: it
has nothing to lose, and nobody scores with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamapp.learning.states import Milestone

Vector = npt.NDArray[np.float64]

LEAST_HELD = 30
WORSE = 0.1
ERRORS = 3.0
MOVED = log(2.0)
GROWTH = 2
"""Times as many examples as at the last milestone are at the next."""

_DIGITS = 9
"""Of the movement of a turn: how a sum was grouped, which a restart may change, is not kept."""

_MAX_LOGIT = 35.0
_PER_SLOT = 64
"""Coordinates known for each slot, before those no longer held are forgotten."""


class Trial(NamedTuple):
    """How weights do on the examples held."""

    loss: float
    probability: float
    losses: Vector


class Guard:
    """Tries the weights of one model on the examples held; `capacity` of them of either kind.

    Attributes:
        milestone: the last one passed, and what turns have moved since.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: dict[int, int] = {}  # coordinate → place in `_weights`; place 0 weighs 0
        self._weights: Vector = np.zeros(1)
        self._places: npt.NDArray[np.int64] = np.zeros((2 * capacity, 8), dtype=np.int64)
        self._y: Vector = np.zeros(2 * capacity)
        self._offset: Vector = np.zeros(2 * capacity)
        self._filled: npt.NDArray[np.bool_] = np.zeros(2 * capacity, dtype=np.bool_)
        self._tried: Vector = self._weights
        self._moves = 0.0
        self.milestone = Milestone()

    @property
    def ready(self) -> bool:
        """True once enough examples of either kind are held, or all that there is room for."""
        return self._held() >= min(LEAST_HELD, self._capacity)

    def judge(
        self, turned: Iterable[tuple[int, float]], before: float, now: float, share: float
    ) -> str | None:
        """Return why what a turn taught must not be published, or None.

        Args:
            turned: coordinates of the turn, with their weights now.
            before, now: the intercept, as accepted and now.
            share: of all examples, those with the outcome.
        """
        self._tried, self._moves = self._weights.copy(), 0.0
        places, known = [], self._known
        for index, weight in turned:
            place = known.get(index)
            if place is not None:
                places.append((place, weight))
        if places:
            where, weights = zip(*places, strict=True)
            self._tried[list(where)] = weights
        if not 0.0 < share < 1.0 or self._held() < LEAST_HELD:
            return None
        accepted = self._try(self._weights, before, share)
        staged = self._try(self._tried, now, share)
        self._moves = round(log(staged.probability / accepted.probability), _DIGITS)
        return self._worse(accepted, staged, share) or self._off()

    def _worse(self, accepted: Trial, staged: Trial, share: float) -> str | None:
        _, error = self._mean(staged.losses - accepted.losses, share)
        added = staged.loss - accepted.loss
        if added > WORSE * accepted.loss and added > ERRORS * error:
            return (
                f"log loss {accepted.loss:.4f} to {staged.loss:.4f}"
                f" on {self._filled.sum()} earlier examples"
            )
        return None

    def _off(self) -> str | None:
        milestone = self.milestone
        before, now = milestone.moved, milestone.moved + self._moves
        if abs(now) <= max(abs(before), milestone.limit):
            return None
        return (
            f"calibration {exp(before):.2f} to {exp(now):.2f} times that at"
            f" {milestone.examples} examples"
        )

    def _held(self) -> int:
        """Return how many examples are held of the kind of which there are fewer."""
        filled, capacity = self._filled, self._capacity
        return min(int(filled[:capacity].sum()), int(filled[capacity:].sum()))

    def _try(self, weights: Vector, intercept: float, share: float) -> Trial:
        scores = weights[self._places].sum(axis=1) + (intercept + self._offset)
        np.clip(scores, -_MAX_LOGIT, _MAX_LOGIT, out=scores)
        zeros = np.logaddexp(0.0, scores)  # −ln(1 − p)
        losses = zeros - self._y * scores
        loss, _ = self._mean(losses, share)
        probability, _ = self._mean(np.exp(scores - zeros), share)
        return Trial(loss, probability, losses)

    def _mean(self, values: Vector, share: float) -> tuple[float, float]:
        """Return the mean over all examples and its standard error."""
        mean = variance = 0.0
        for part, weight in ((0, 1.0 - share), (1, share)):
            mine = slice(part * self._capacity, (part + 1) * self._capacity)
            some = values[mine][self._filled[mine]]
            mean += weight * float(some.mean())
            variance += weight**2 * float(some.var()) / len(some)
        return mean, sqrt(variance)

    def accept(self) -> None:
        """What was judged last is what is accepted."""
        self._weights = self._tried
        self.milestone.moved += self._moves

    def pass_milestone(self, examples: int, share: float, hour: int) -> None:
        """Pass a milestone if there is one at the end of this turn.

        Args:
            examples: accepted so far, warm-up over.
            share: of them, those with the outcome.
            hour: of stream time.
        """
        last = self.milestone
        if share > 0.0 and (examples >= GROWTH * last.examples or hour != last.hour):
            limit = MOVED + ERRORS / sqrt(share * examples)
            self.milestone = Milestone(examples, hour, limit)

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

    def clear(self) -> None:
        """Hold nothing."""
        self._filled[:] = False
        self._places[:] = 0
        self.milestone = Milestone()
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
