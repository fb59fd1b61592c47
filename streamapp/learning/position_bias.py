"""Position bias of a surface: how likely each position is looked at, and clicked.

**The model** (PBM; Chuklin, Markov, de Rijke, "Click Models for Web Search", 2015, ch. 3): an
impression of item i at position k is clicked with the probability

    P(click) = θ_k · α_i        θ_k: position k is looked at; α_i: what is looked at is clicked

Only products show, so θ_1 = 1 by definition: θ_k is relative to the top.

**What is kept** per item and position: impressions N_ik and clicks C_ik, decayed by event time
with half-life h. They are the sufficient statistics of the model: EM over them is EM over all
examples, each weighing w · 2^(−age/h). A negative kept at rate r weighs w = 1/r, a click 1; that
is the one place where the sampling is corrected.

**EM.** Textbook EM (ib., ch. 4) sets θ_k to the mean posterior of "looked at" over its
impressions, 1 for a click and θ_k(1 − α_i)/(1 − θ_k·α_i) else; likewise α_i. It gains only a share
α of what is missing at each step, hopeless for α of a few percent. Setting θ_k equal to that mean
and sorting gives the same fixed points as

    θ_k · Σ_i (N_ik − C_ik)·α_i / (1 − θ_k·α_i) = Σ_i C_ik
    α_i · Σ_k (N_ik − C_ik)·θ_k / (1 − θ_k·α_i) = Σ_k C_ik

where the likelihood itself is highest in one block while the other is held: ECME (Liu and Rubin
1994). The left sides are convex in the unknown, a Newton step each is taken in turn until nothing
moves. With items shown at many positions that takes some thirty rounds.

**Prior.** θ_k starts from a prior θ⁰_k that weighs as much as s = 10 clicks (a gamma density in
the click count): s is added to the right side of the first line, s·θ_k/θ⁰_k to the left.

**Randomised traffic.** Rankers show at the top what they expect to be clicked. As far as that is
by viewer, C_ik/N_ik is no longer θ_k·α_i, and no estimate from such a log is right. Impressions
with a propensity p < 1, the probability that this item was put at this position, are therefore
counted apart and weigh 1/p (at most 1,000) times as much: then each item counts at each position
as if it were there in all requests, whoever asked (Joachims, Swaminathan, Schnabel, "Unbiased
Learning-to-Rank with Biased Feedback", WSDM 2017; the regression of α within EM that Wang et al.,
"Position Bias Estimation for Unbiased Learning to Rank in Personal Search", WSDM 2018, propose
for logs without randomisation is what the item's own α_i stands for here). If the candidates of
all positions are the same, θ follows directly,

    θ_k = Σ_(shown at k) clicked/p  ÷  Σ_(shown at 1) clicked/p

and the equations above, over the weighted counts, come to that; they also hold where low positions
are reached by long lists only. The estimate from all other traffic is their prior, the shipped
k^−0.7 the prior of that. Weighted clicks count as (Σ 1/p)²/Σ 1/p² clicks against the prior.

*Example.* Items a (α 0.5) and b (0.1), θ_2 = 0.5, 1,000 requests, a on top with p = 0.9::

    position 1   a 900 shown, 450 clicked    b 100 shown, 10 clicked     raw rate 0.46
    position 2   a 100 shown,  25 clicked    b 900 shown, 45 clicked     raw rate 0.07

Raw, θ_2 would be 0.07/0.46 = 0.15. With 1/p: (25/0.1 + 45/0.9) / (450/0.9 + 10/0.1) = 300/600.

**Without any exploration** the published θ is only as good as the assumption that an item's appeal
does not depend on who is shown it where. In simulated populations whose ranker knows each viewer's
taste, θ of ten positions comes out 20 to 50 % too low at the last ones, however long the log is;
with half of the slates shuffled all ten are within 10 % of the truth.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from streamapp.features.parameters import shipped_position_ctr
from streamapp.features.rates import shrunk
from streamapp.learning.click_table import ClickTable, Matrix, count_at

LAST_POSITION = 50
"""Positions beyond it count as it."""

PRIOR_CLICKS = 10.0
"""Clicks that a prior of θ weighs as much as."""

MAX_PROPENSITY_WEIGHT = 1_000.0
MAX_ROUNDS = 60
_SETTLED = 1e-5
_LEAST = 1e-9

Vector = npt.NDArray[np.float64]


def examination(
    clicks: Matrix, shown: Matrix, prior: Vector, strength: float = PRIOR_CLICKS
) -> Vector:
    """Return θ by position, each within (0, 1], the first 1.

    Args:
        clicks, shown: items × positions; clicks ≤ shown.
        prior: θ⁰ by position, all above 0.
        strength: s, clicks the prior weighs as much as.

    >>> shown = np.array([[900.0, 100.0], [100.0, 900.0]])
    >>> clicks = np.array([[450.0, 25.0], [10.0, 45.0]])
    >>> examination(clicks, shown, np.array([1.0, 0.8]), strength=1e-6).round(4).tolist()
    [1.0, 0.5]
    """
    misses = shown - clicks
    of_item, of_position = clicks.sum(axis=1), clicks.sum(axis=0) + strength
    theta = np.minimum(prior, 1.0)
    theta[:1] = 1.0
    alpha = np.minimum(of_item / np.maximum(shown @ theta, _LEAST), 1.0)
    for _ in range(MAX_ROUNDS):
        alpha = _newton(alpha, theta, misses.T, of_item, np.zeros(1))
        moved = _newton(theta, alpha, misses, of_position, strength / prior)
        moved[:1] = 1.0
        change = float(np.max(np.abs(moved - theta) / theta, initial=0.0))
        theta = moved
        if change < _SETTLED:
            break
    return theta


def _newton(x: Vector, other: Vector, misses: Matrix, right: Vector, pull: Vector) -> Vector:
    """Solve x·(Σ misses·other/(1 − x·other) + pull) = right for each x, by one step, within [0, 1].

    `misses` has the sums' terms along its first axis.
    """
    seen = np.maximum(1.0 - other[:, None] * x, _LEAST)
    terms = misses * (other[:, None] / seen)
    value, slope = terms.sum(axis=0) + pull, (terms / seen).sum(axis=0) + pull
    step: Vector = (x * (slope - value) + right) / np.maximum(slope, _LEAST)
    return np.clip(step, _LEAST, 1.0)


class SurfaceRow(msgspec.Struct, array_like=True):
    """The row of a surface: all but what is kept by item.

    Attributes:
        counts: shown and clicked by position, 8-byte floats.
        weighted, squared: Σ 1/p and Σ 1/p² over the decayed clicks with a propensity.
        fresh: impressions since θ was last estimated, not decayed.
    """

    version: int
    counts: bytes
    weighted: float
    squared: float
    fresh: float


class PositionBias:
    """What one surface has shown, and what follows about its positions.

    Amounts are forward decayed, as the caller gives them; `scale` brings them to a time.

    Attributes:
        fresh: impressions since θ was last estimated, not decayed.
    """

    KINDS = ("logged", "randomised")

    def __init__(self, items: int, admission: float) -> None:
        self.fresh = 0.0
        self._counts: array[float] = array("d")
        self._weighted = self._squared = 0.0
        self._tables = {kind: ClickTable(items, admission) for kind in self.KINDS}
        self._touched = False

    def add(
        self,
        item: str,
        position: int,
        decay: float,
        weight: float,
        propensity: float | None,
        draw_id: str,
        *,
        clicked: bool,
    ) -> None:
        """Count an impression; it weighs `decay · weight`, of which `weight` is for sampling."""
        place = min(position, LAST_POSITION)
        amount = decay * weight
        self.fresh += weight
        self._touched = True
        count_at(self._counts, place, amount, clicked=clicked)
        kind = "logged"
        if propensity is not None and propensity < 1.0:
            kind, inverse = "randomised", min(1.0 / propensity, MAX_PROPENSITY_WEIGHT)
            amount *= inverse
            if clicked:
                self._weighted += amount
                self._squared += amount * inverse
        self._tables[kind].add(item, place, amount, draw_id, weight, clicked=clicked)

    @property
    def mass(self) -> float:
        """Impressions, in the caller's units."""
        return sum(self._counts[::2])

    @property
    def rows(self) -> int:
        """Rows held."""
        return 1 + sum(len(table) for table in self._tables.values())

    def position_ctr(self, scale: float) -> list[float]:
        """Return the mean click rate by position, shrunk towards the shipped one."""
        shown, clicked = self._counts[::2], self._counts[1::2]
        return [
            shrunk(c * scale, n * scale, shipped_position_ctr(position))
            for position, (n, c) in enumerate(zip(shown, clicked, strict=True), 1)
        ]

    def theta(self, scale: float) -> list[float]:
        """Return θ by position; what is left of too little is forgotten first."""
        self.fresh, self._touched = 0.0, True
        positions = len(self._counts) // 2
        prior = np.array([shipped_position_ctr(k) for k in range(1, positions + 1)])
        estimate: Vector = prior / prior[0]
        # A weighted click counts as one, against the prior: the sums are brought to clicks.
        per_click = min(self._weighted / self._squared, 1.0) if self._squared > 0.0 else 1.0
        for kind, unit in (("logged", 1.0), ("randomised", per_click)):
            table = self._tables[kind]
            table.forget(0.5 / (scale * unit) if scale * unit > 0.0 else float("inf"))
            clicks, shown = (_wide(m * (scale * unit), positions) for m in table.matrices())
            if len(table):
                estimate = examination(clicks, shown, estimate)
        return [float(value) for value in estimate]

    def rescale(self, factor: float) -> None:
        """Multiply all amounts: the caller's units have changed."""
        self._counts = array("d", [value * factor for value in self._counts])
        self._weighted *= factor
        self._squared *= factor
        self._touched = True
        for table in self._tables.values():
            table.rescale(factor)

    def changed(self) -> Iterator[tuple[str, SurfaceRow | bytes | None]]:
        """Yield what changed since the last call: "" for the surface, KIND/ITEM for an item."""
        if self._touched:
            self._touched = False
            counts = self._counts.tobytes()
            yield "", SurfaceRow(1, counts, self._weighted, self._squared, self.fresh)
        for kind, table in self._tables.items():
            for item, value in table.changed():
                yield f"{kind}/{item}", value

    def restore(self, row: SurfaceRow) -> None:
        """Take the row of the surface."""
        self._counts = array("d", row.counts)
        self._weighted, self._squared, self.fresh = row.weighted, row.squared, row.fresh

    def restore_item(self, kind: str, item: str, counts: bytes) -> None:
        """Take the row of an item."""
        self._tables[kind].restore(item, counts)

    def names(self) -> Iterator[str]:
        """Yield the names of all rows there may be, as `changed` gives them."""
        yield ""
        for kind, table in self._tables.items():
            for item in sorted(table.names()):
                yield f"{kind}/{item}"


def _wide(matrix: Matrix, positions: int) -> Matrix:
    """Add positions none of the items was shown at."""
    return np.pad(matrix, ((0, 0), (0, positions - matrix.shape[1])))
