"""How well a contest's models predict, beside what they have to beat, overall and by slice.

The models of clicks also have an NDCG (`streamapp.learning.ranking_quality`). Slots are scored with
the weights that were accepted before the turn, so with none that knows their request, and as if
they all were in the first place, as readers rank. While negatives are sampled no request is whole,
and none is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamapp.learning import model_rows
from streamapp.learning.baselines import RATES, RateBaselines
from streamapp.learning.encoding import Coordinates
from streamapp.learning.evaluation import Prequential, logarithms
from streamapp.learning.model import OWN, Model
from streamapp.learning.model_rows import Row
from streamapp.learning.model_settings import ContestSettings
from streamapp.learning.ranking_quality import LAST, is_drawn
from streamapp.learning.sliced import SlicedPrequential
from streamapp.learning.states import PrequentialState, RateState
from streamapp.signals import Example, ModelMetrics


class ContestQuality:
    """Measures each example before it is learned from; the models keep their own figures.

    Attributes:
        baselines: the rates.
        of_rates: how well each predicts.
        slices: metrics of the champion by slice.
    """

    def __init__(self, settings: ContestSettings) -> None:
        self.baselines = RateBaselines(
            settings.item_half_life_ms, settings.prior, settings.item_capacity
        )
        self.of_rates = [Prequential(settings.half_life_examples) for _ in RATES]
        self.slices = SlicedPrequential(settings.slices, settings.half_life_examples)
        self._dimensions = settings.slices
        self._restored: dict[str, RateState] = {}

    def measure(
        self,
        example: Example,
        y: float,
        models: tuple[Model, Model],
        scores: list[tuple[float, ...]],
        champion: int,
    ) -> float:
        """Count one example; return the rate over all before it.

        Args:
            scores: of both models, as `StagedFtrl.learn` returns them; what is there is measured.
            champion: its place.
        """
        weight = example.weight
        told = logarithms(scores[champion][0])
        for place, of_model in enumerate(scores):
            metrics = models[place].metrics
            for number, score in enumerate(of_model):
                known = number == 0 and place == champion
                probability, yes, no = told if known else logarithms(score)
                metrics[number].count(probability, yes, no, weight, y)
        constant, of_item, of_viewer, both = self.baselines.count(
            example.item_id, example.viewer_id, example.labelled_at_ms, weight, y
        )
        by_constant, by_item, by_viewer, by_both = self.of_rates
        by_constant.update(constant, happened=y, weight=weight)
        by_item.update(of_item, happened=y, weight=weight)
        by_viewer.update(of_viewer, happened=y, weight=weight)
        by_both.update(both, happened=y, weight=weight)
        self._slice(example, told, y)
        return constant

    def _slice(self, example: Example, predicted: tuple[float, float, float], y: float) -> None:
        features, weight = example.features, example.weight
        for name in self._dimensions:
            value = example.surface if name == "surface" else features.get(name)
            self.slices.count(name, value, predicted, weight, y)

    def rank(
        self,
        example: Example,
        models: tuple[Model, Model],
        coordinates: Coordinates,
        as_of_ms: int,
        keep_rates: tuple[float, float],
    ) -> None:
        """Note how both models would have ordered a request, by one of its slots.

        Args:
            keep_rates: of the negatives, as known before the example and with it. Where only one
                of them is 1, the example tells that its request is not whole.
        """
        if max(keep_rates) < 1.0:
            return
        request = _viewer(example.viewer_id) + example.request_id
        weight, propensity = 1.0 / min(keep_rates), example.propensity
        drawn, clicked = is_drawn(propensity), example.labels.clicked
        for model, indices in zip(models, coordinates, strict=True):
            score = model.score_first(indices, example.position) if drawn else LAST
            model.ranking.update(
                request,
                score,
                at_ms=as_of_ms,
                clicked=clicked,
                weight=weight,
                propensity=propensity,
            )

    def forget(self, viewer_id: str, models: tuple[Model, Model]) -> bool:
        """Forget a viewer's rate and requests; return whether anything was held."""
        start = _viewer(viewer_id)
        held = [model.ranking.forget(start) for model in models]
        return self.baselines.forget(viewer_id) or any(held)

    def metrics(self, model: Model, *, champion: bool) -> ModelMetrics:
        """How well a model predicted, and how well the baselines did; slices of the champion."""
        own = model.metrics[0].quality
        baselines = {name: self.of_rates[place].quality for place, name in enumerate(RATES)}
        for place, name in enumerate(OWN):
            if place > 0:
                baselines[name] = model.metrics[place].quality
        return ModelMetrics(
            log_loss=own.log_loss,
            auc=own.auc,
            calibration=own.calibration,
            baselines=baselines,
            ndcg=model.ranking.ndcg,
            slices=self.slices.qualities if champion else {},
        )

    def __len__(self) -> int:
        """Rows held."""
        return len(self.baselines) + len(self.slices)

    def rows(self, contest: str) -> Iterator[Row]:
        """Yield the rows of rates and slices that changed since the last call."""
        encode, version = model_rows.encode, model_rows.VERSION
        for name, rate in self.baselines.changed():
            yield f"{contest}/{name}".encode(), None if rate is None else encode((version, rate))
        for name, state in self.slices.changed():
            yield f"{contest}/s/{name}".encode(), encode((version, state))

    def restore_rate(self, key: str, value: bytes | None) -> None:
        """Take the row of a rate, by the key that the baselines gave; a later one replaces it."""
        self._restored.pop(key, None)
        if value is not None:
            self._restored[key] = model_rows.decode_rate(value)

    def restore_slice(self, name: str, value: bytes | None) -> None:
        """Take the row of a slice; none is ever deleted."""
        if value is not None:
            self.slices.restore(name, model_rows.decode_slice(value))

    def restore_overall(self, overall: RateState, metrics: list[PrequentialState]) -> None:
        """Take what is small: the counts over everything, and how well each rate predicts."""
        self.baselines.restore(overall, {})
        for one, state in zip(self.of_rates, metrics, strict=True):
            one.restore(state)

    def ready(self) -> None:
        """All rows are in."""
        self.baselines.restore(self.baselines.overall, self._restored)
        self._restored = {}


def _viewer(viewer_id: str) -> str:
    """Return how the names of a viewer's requests begin, and no other's."""
    return str(len(viewer_id)) + ":" + viewer_id + "/"
