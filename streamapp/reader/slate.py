"""Which item comes next: by score, by chance, for new items, and not too many of one kind.

Places are filled from the top. At each place the *eligible* items are those not placed yet whose
creator and category have not had their share of the slate. With probability ε (`new_share`), if
new items are eligible, the place is for one of these, each with the same chance; otherwise for
any eligible item, drawn with probability

    wᵢ / Σ w over the eligible,    w = max(score, 10⁻⁶)^(1/temperature)

which is Plackett–Luce sampling (with no ε and no limits the slate has the distribution of the top
k of log w + Gumbel noise). At temperature 0 it is the best item. So an item's **propensity**, given
the items above it, is exactly

    ε·[new]/|new eligible| + (1 − ε)·wᵢ/Σw

with ε = 0 where no new item is eligible. It is conditional: the probability with which the item
came here once those above it had been placed, not the one with which it is here whatever is above.
1/propensity is the weight that makes the eligible items look as if each were here equally often.

Worked example: scores 0.2 (a), 0.1 (b), 0.1 (c, new), temperature 1, ε = 0.1. At the top a has
0.9 · 0.5 = 0.45, b 0.9 · 0.25 = 0.225, c 0.1 + 0.225 = 0.325. Below a, b has 0.9 · 0.5 = 0.45.

When nothing is eligible though items are left, the limits are lifted for the rest of the slate.

What is drawn at place k depends on the request's id and k alone: the same request of the same
state gives the same slate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamapp.features.digest import fraction
from streamapp.reader.weights import Numbers

LEAST_SCORE = 1e-6
"""Of scores below it, chance knows no difference; without chance the order is theirs."""

_BELOW_ONE = 1.0 - 2.0**-53

Mask = npt.NDArray[np.bool_]


class Place(NamedTuple):
    """A filled place.

    Attributes:
        candidate: which of the candidates it is.
        propensity: None when nothing of the slate was left to chance.
    """

    candidate: int
    propensity: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many items of a kind.

    Attributes:
        kinds: of each candidate; None is no kind, and has no limit.
        most: of one kind in a slate.
    """

    kinds: Sequence[Hashable | None]
    most: int


@dataclass(frozen=True, slots=True)
class Chance:
    """How much is left to chance.

    Attributes:
        request_id: what is drawn depends on it.
        temperature: 0: the best item comes first.
        new_share: ε of the formula above.
    """

    request_id: str = ""
    temperature: float = 0.0
    new_share: float = 0.0

    def draw(self, place: int, what: str) -> float:
        """Return a number in [0, 1), always the same for the same request, place and purpose."""
        return min(fraction(f"{self.request_id}/{what}/{place}"), _BELOW_ONE)


class Slate:
    """Fills places from the top.

    Args:
        scores: of the candidates; of equal ones the first comes first.
        new: whether each candidate is new.

    Attributes:
        lifted: True once the limits left nothing eligible.
    """

    def __init__(
        self,
        scores: Numbers,
        new: Sequence[bool],
        limits: Sequence[Limit],
        chance: Chance,
    ) -> None:
        self.lifted = False
        self._scores = scores
        self._new: Mask = np.asarray(new, dtype=np.bool_)
        self._new_left = int(self._new.sum())
        self._for_new = chance.new_share > 0.0 and self._new_left > 0
        self._limits = limits
        self._chance = chance
        self._by_chance = chance.temperature > 0.0 or self._for_new
        self._left: Mask = np.ones(len(scores), dtype=np.bool_)
        self._eligible: Mask = self._left.copy()
        self._eligible_left = len(scores)
        self._placed: list[Counter[Hashable]] = [Counter() for _ in limits]
        self._best_first = chance.temperature == 0.0
        logs = np.log(np.maximum(self._scores, LEAST_SCORE))
        self._all_log_weights = logs if self._best_first else logs / chance.temperature
        self._log_weights = self._all_log_weights.copy()  # −∞ of what is not eligible
        self._weights: Numbers | None = None

    def fill(self, count: int) -> list[Place]:
        """Return so many places, fewer if there are fewer candidates."""
        if not self._by_chance and not self._limits:
            order = np.argsort(-self._scores, kind="stable")[:count]
            return [Place(int(index), None) for index in order]
        return [self._next(place) for place in range(min(count, len(self._scores)))]

    def _next(self, place: int) -> Place:
        if not self._eligible_left:
            self.lifted = True
            self._eligible = self._left.copy()
            self._eligible_left = int(self._left.sum())
            self._new_left = int((self._left & self._new).sum())
            self._log_weights = np.where(self._left, self._all_log_weights, -np.inf)
            self._weights = None
        index, propensity = self._choose(place)
        self._take(index)
        return Place(index, propensity if self._by_chance else None)

    def _choose(self, place: int) -> tuple[int, float]:
        among_new = self._new_left
        share = self._chance.new_share if among_new else 0.0
        if share > 0.0 and self._chance.draw(place, "new") < share:
            new = np.flatnonzero(self._eligible & self._new)
            index = int(new[int(self._chance.draw(place, "item") * among_new)])
            by_score = self._probability(index)
        else:
            index, by_score = self._by_score(place)
        for_new = share / among_new if share and self._new[index] else 0.0
        return index, min(for_new + (1.0 - share) * by_score, 1.0)

    def _by_score(self, place: int) -> tuple[int, float]:
        """Return an eligible item by score, and with which probability it is this one."""
        if self._best_first:
            return self._best(), 1.0
        weights = self._weighed()
        sums = weights.cumsum()
        total = float(sums[-1])
        drawn = self._chance.draw(place, "item") * total
        if drawn < total:
            at = int(sums.searchsorted(drawn, side="right"))
        else:  # rounded up: the last of those that have any chance
            at = int(sums.searchsorted(total))
        return at, float(weights[at] / total)

    def _probability(self, index: int) -> float:
        """Return the probability of an eligible item by score."""
        if self._best_first:
            return 1.0 if index == self._best() else 0.0
        weights = self._weighed()
        return float(weights[index] / weights.sum())

    def _best(self) -> int:
        return int(np.argmax(np.where(self._eligible, self._scores, -np.inf)))

    def _weighed(self) -> Numbers:
        """Return the weights of all, 0 of what is not eligible; the largest is 1."""
        if self._weights is None:
            self._weights = np.exp(self._log_weights - self._log_weights.max())
        return self._weights

    def _take(self, index: int) -> None:
        self._left[index] = False
        self._bar(index)
        if self.lifted:
            return
        for limit, placed in zip(self._limits, self._placed, strict=True):
            kind = limit.kinds[index]
            if kind is None:
                continue
            placed[kind] += 1
            if placed[kind] >= limit.most:
                for other, its in enumerate(limit.kinds):
                    if its == kind and self._eligible[other]:
                        self._bar(other)

    def _bar(self, index: int) -> None:
        """Take an eligible item out of those that are; weights are made anew without the largest.

        So they stay precise however much smaller those are that are left.
        """
        self._eligible[index] = False
        self._log_weights[index] = -np.inf
        self._eligible_left -= 1
        self._new_left -= int(self._new[index])
        if self._weights is not None:
            largest = self._weights[index] == 1.0
            self._weights[index] = 0.0
            if largest:
                self._weights = None
