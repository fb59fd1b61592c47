"""Bayesian personalised ranking: viewers and items as vectors, so that what is liked scores higher.

Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback" (UAI 2009), by stochastic
gradient descent, with a bias for each item. How well item i suits viewer u is

    s(u, i) = bᵢ + pᵤ · qᵢ

and of an item i that u preferred and an item j that u passed over, i was preferred with probability

    σ(x),   x = s(u, i) + t(place of i) − s(u, j) − t(place of j)

t is what a place adds (`streamapp.learning.pairs`). It is learned, and left out of scores: readers
compare items as if all were shown in one place.

**One step** takes all pairs of a request, P preferred × N passed over, from the same parameters:
it descends along the gradient of

    w · Σ_{i in P} Σ_{j in N} −ln σ(x_ij) + λ/2 · Σ over the rows used of |row|²,   w = 1/√N

With c_i = w·Σ_j σ(−x_ij) and c_j = −w·Σ_i σ(−x_ij), each at its own rate η:

    b += η·(a·c − λ·b)     q += η·(a·c·p − λ·q)     p += η·(Σ c·q − λ·p)     t += η·c

w is between 1 and 1/N: the pairs of one click are no independent evidence, and yet more say more.
a = 1 + `early`/n at the n-th event of an item: what little is known of a new one counts for more.

A viewer begins at zero, so that items differ by their biases alone until there is evidence; an item
begins as `streamapp.learning.factor_rows` says. Every row keeps within a norm of `max_norm`, so
whatever the labels say the scores stay finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from streamapp.errors import ConfigurationError
from streamapp.learning.factor_rows import Beginning, Entry, FactorRows
from streamapp.learning.factor_table import Kind, Row, score
from streamapp.learning.pairs import Places, Slot, pair_steps


@dataclass(frozen=True)
class BprSettings:
    """How rows look, and how fast they learn.

    Attributes:
        dimensions: numbers in a vector.
        viewer_rate: η of the vectors of viewers. Where viewers are in fact much alike, a high one
            learns tastes from chance: 0.1 loses there more than it gains where tastes differ.
        item_rate: η of the vectors of items.
        bias_rate: η of biases and places.
        early: how much faster a new item learns.
        l2: λ.
        own: what the id brings to each number of the vector an item begins with: its standard
            deviation.
        traits: what category and creator of the item bring, likewise.
        max_norm: of a row, its bias included; also what a place may add.
        viewers, items: rows held of each.
        admission: requests with a pair that a viewer or item is part of before it has a row.
    """

    dimensions: int = 16
    viewer_rate: float = 0.03
    item_rate: float = 0.05
    bias_rate: float = 0.03
    early: float = 10.0
    l2: float = 0.01
    own: float = 0.1
    traits: tuple[float, ...] = (0.4, 0.1)
    max_norm: float = 4.0
    viewers: int = 200_000
    items: int = 100_000
    admission: int = 3

    def __post_init__(self) -> None:
        rates = (self.viewer_rate, self.item_rate, self.bias_rate)
        if not all(0.0 < number < inf for number in (*rates, self.own, self.max_norm)):
            raise ConfigurationError("factors need rates, spread and norm above 0")
        if not (0.0 <= self.l2 * max(rates) < 1.0 and 0.0 <= self.early < inf):
            raise ConfigurationError("factors need 0 ≤ l2 · rate < 1 and early ≥ 0")
        if min(self.dimensions, self.viewers, self.items, self.admission) < 1:
            raise ConfigurationError("factors need dimensions, room for rows, and an admission")


class Bpr:
    """Viewers and items as vectors.

    Attributes:
        viewers, items: the rows.
        places: t.
    """

    def __init__(self, settings: BprSettings) -> None:
        self.settings = settings
        begin = Beginning(settings.dimensions, settings.own, settings.traits)
        self.viewers = FactorRows("viewer", begin.of_viewer, settings.viewers, settings.admission)
        self.items = FactorRows("item", begin.of_item, settings.items, settings.admission)
        self.places = Places(settings.bias_rate, settings.max_norm)
        self._zeros = np.zeros(1 + settings.dimensions)
        self._item_rates = np.full(1 + settings.dimensions, settings.item_rate)
        self._item_rates[0] = settings.bias_rate
        self._item_keep = 1.0 - self._item_rates * settings.l2
        self._viewer_keep = 1.0 - settings.viewer_rate * settings.l2
        self._largest = settings.max_norm**2

    def get(self, kind: Kind, name: str) -> Row | None:
        """Return the row of a viewer or an item; None while it has none."""
        return (self.viewers if kind == "viewer" else self.items).get(name)

    def predict_one(self, viewer: str, item: str) -> float:
        """Return s(u, i), taking whoever has no row for one of zeros."""
        return score(self.get, viewer, item)

    def learn_one(
        self, viewer: str, preferred: Sequence[Slot], passed: Sequence[Slot]
    ) -> list[float]:
        """Predict all pairs of a request, then learn from them.

        Args:
            preferred, passed: at least one of each; no item twice.

        Returns:
            x of the pairs, from before learning.
        """
        slots = (*preferred, *passed)
        items = [self.items.use(slot.item, slot.traits) for slot in slots]
        own = self.viewers.use(viewer)
        rows = np.array([self._zeros if item.row is None else item.row for item in items])
        taste = (self._zeros if own.row is None else own.row).copy()
        taste[0] = 1.0  # so that rows · taste is a score, bias and all
        scores = (rows @ taste).tolist()
        scores = [s + self.places.get(slot.place) for s, slot in zip(scores, slots, strict=True)]
        margins, steps = pair_steps(scores, len(preferred))
        self._move_items(items, rows, steps, taste)
        if own.row is not None:
            moved = own.row * self._viewer_keep + np.array(steps) @ rows * self.settings.viewer_rate
            moved[0] = 0.0
            own.row = self._within(moved)
        self.places.update(slots, steps)
        return margins

    def _move_items(
        self, items: Sequence[Entry], rows: Row, steps: Sequence[float], taste: Row
    ) -> None:
        early = self.settings.early
        hasty = [s * (1.0 + early / item.events) for s, item in zip(steps, items, strict=True)]
        moved = rows * self._item_keep
        moved += np.array(hasty)[:, None] * (taste * self._item_rates)
        squared = np.einsum("ij,ij->i", moved, moved).tolist()
        for item, row, norm in zip(items, moved, squared, strict=True):
            if item.row is not None:  # a copy: a view would keep all the others alive
                item.row = row.copy() if norm <= self._largest else self._within(row)

    def _within(self, row: Row) -> Row:
        squared = float(row.dot(row))
        return row if squared <= self._largest else row * sqrt(self._largest / squared)
