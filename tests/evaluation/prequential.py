"""The learner on a log in time order, each outcome foretold before it is learned from.

=============  ==================================================================================
model          hashed features, FTRL with the settings that are shipped
constant       the rate so far
item_rate      that of the item
viewer_rate    that of the viewer
both           item and viewer together, in log-odds
hour_old       the model as it was at the last full hour, on the same features
day_old        the model as it was at the last midnight, UTC
=============  ==================================================================================

Outcomes are learned at the time of the event: in these logs nothing says when they became known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import process_time
from typing import NamedTuple

import numpy as np
from rich.table import Table

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.learning.baselines import RATES, RateBaselines
from streamapp.learning.coordinate import sigmoid
from streamapp.learning.features import Encoder
from streamapp.learning.ftrl import FtrlLogistic
from streamapp.signals import FeatureSpec
from tests.evaluation.scoring import Draws, Estimate, Shown, Vector

MODEL = "model"
COPIES = {"hour_old": HOUR_MS, "day_old": DAY_MS}
ALPHA, BETA, L1, L2 = 0.2, 1.0, 0.0, 1.0
"""Of FTRL, as shipped."""


class Play(NamedTuple):
    """One row of a log, to be foretold.

    Attributes:
        features: known before it.
        among: AUC compares plays of one kind only.
    """

    viewer: str
    item: str
    at_ms: int
    features: Mapping[str, float | str]
    happened: bool
    surface: str = ""
    position: int = 1
    among: str = ""


class Score(NamedTuple):
    """How well one way of predicting did, and how much more than the model it lost (nats)."""

    name: str
    log_loss: Estimate
    auc: Estimate
    calibration: float
    log_loss_over_model: Estimate
    auc_over_model: Estimate


class FrozenCopy:
    """The weights as they were at the last boundary of a period; prediction only."""

    def __init__(self, model: FtrlLogistic, period_ms: int) -> None:
        self._model = model
        self._period_ms = period_ms
        self._intercept = model.intercept
        self._weights: dict[int, float] = {}
        self._stale: set[int] = set()
        self._period = 0

    def learned(self, indices: Sequence[int]) -> None:
        """Note what the model has learned from since."""
        self._stale.update(indices)

    def predict(self, indices: Sequence[int], at_ms: int) -> float:
        """Return the probability; at the first example of a period, catch up first."""
        if at_ms // self._period_ms != self._period:
            self._period = at_ms // self._period_ms
            self._intercept = self._model.intercept
            self._weights.update((index, self._model.weight(index)) for index in self._stale)
            self._stale.clear()
        return sigmoid(self._intercept + sum(self._weights.get(index, 0.0) for index in indices))


def classifier(prior: float) -> FtrlLogistic:
    """Return the model, before it has learned anything."""
    return FtrlLogistic(ALPHA, BETA, L1, L2, intercept_init=float(np.log(prior / (1.0 - prior))))


def coordinates(plays: Sequence[Play], spec: FeatureSpec) -> list[list[int]]:
    """Return the coordinates of each play."""
    encoder = Encoder(spec)
    return [_indices(encoder, play) for play in plays]


def _indices(encoder: Encoder, play: Play) -> list[int]:
    return encoder.indices(
        play.features,
        viewer=play.viewer,
        item=play.item,
        surface=play.surface,
        position=play.position,
    )


def foretell(plays: Sequence[Play], spec: FeatureSpec, prior: float) -> dict[str, Vector]:
    """Return the probability given to each play, by the way it was foretold."""
    model = classifier(prior)
    copies = {name: FrozenCopy(model, period) for name, period in COPIES.items()}
    baselines = RateBaselines(7.0 * DAY_MS, prior, capacity=100_000)
    found: dict[str, list[float]] = {n: [] for n in (MODEL, *RATES, *COPIES)}
    for play, indices in zip(plays, coordinates(plays, spec), strict=True):
        for name, copy in copies.items():
            found[name].append(copy.predict(indices, play.at_ms))
            copy.learned(indices)
        found[MODEL].append(sigmoid(model.learn_indices(indices, float(play.happened))))
        rates = baselines.update(play.item, play.viewer, play.at_ms, 1.0, clicked=play.happened)
        for name, rate in rates._asdict().items():
            found[name].append(rate)
    return {name: np.array(values) for name, values in found.items()}


def microseconds(plays: Sequence[Play], spec: FeatureSpec, prior: float, rounds: int = 3) -> float:
    """Return the CPU time of encoding, foretelling and learning an example: the best round's."""
    best = float("inf")
    for _ in range(rounds):
        model, encoder = classifier(prior), Encoder(spec)
        begin = process_time()
        for play in plays:
            model.learn_indices(_indices(encoder, play), float(play.happened))
        best = min(best, process_time() - begin)
    return best / len(plays) * 1e6


def scores(
    plays: Sequence[Play], found: Mapping[str, Vector], draws: int, seed: int
) -> list[Score]:
    """Return the scores of all, with intervals over draws of the viewers."""
    shown = Shown(
        [play.happened for play in plays],
        [play.viewer for play in plays],
        [play.among for play in plays],
    )
    drawn, happened = Draws(shown, draws, seed), float(sum(shown.clicked))
    losses = {name: drawn.log_loss(given) for name, given in found.items()}
    areas = {name: drawn.auc(given) for name, given in found.items()}
    return [
        Score(
            name,
            _estimate(losses[name]),
            _estimate(areas[name]),
            float(given.sum()) / happened,
            _estimate(losses[name] - losses[MODEL]),
            _estimate(areas[name] - areas[MODEL]),
        )
        for name, given in found.items()
    ]


def _estimate(of_draws: Vector) -> Estimate:
    return Estimate.of(float(of_draws[0]), of_draws[1:])


def table(of: Sequence[Score], title: str) -> Table:
    """Return the scores as a person reads them."""
    shown = Table("foretold by", box=None, header_style="dim", title=title, title_justify="left")
    for column in ("log loss", "AUC", "Σp/Σy", "log loss − model's", "AUC − model's"):
        shown.add_column(column, justify="right")
    for one in of:
        cells = [f"{one.log_loss.value:.4f}", f"{one.auc.value:.3f}", f"{one.calibration:.3f}"]
        if one.name != MODEL:
            cells.append("{:+.4f} ({:+.4f} to {:+.4f})".format(*one.log_loss_over_model))
            cells.append("{:+.3f} ({:+.3f} to {:+.3f})".format(*one.auc_over_model))
        shown.add_row(one.name.replace("_", " "), *cells)
    return shown
