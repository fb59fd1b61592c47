"""learner: labelled examples in; click models learn, and are published.

In: training.examples, keyed by segment, so one task sees all examples of a segment in one order.
Each is predicted first, then learned from (`streamapp.learning.click_model`).

Kept: a model a segment. Its id is the model name, "-", and the segment percent-encoded, as in
`click-all` or `click-market%2Fde`: an id contains no "/", so `<id>/<feature>` reads one way.

Out, of a model that learned something, at most once a second of stream time, in this order:
models.weights with the weights that changed, `<id>/@epoch` closing them, and models.versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from re import fullmatch
from typing import ClassVar
from urllib.parse import quote, unquote

import msgspec

from streamapp.errors import ConfigurationError, Rejection
from streamapp.events import decoder
from streamapp.learning.click_model import ClickModel, ModelSettings
from streamapp.processors.base import Cut, Row
from streamapp.signals import EpochClose, Example, ModelVersion, ModelWeight

WEIGHTS = "models.weights"
VERSIONS = "models.versions"

_decode = decoder(Example, "training.examples")
_encode = msgspec.json.Encoder().encode


def decode_example(value: bytes) -> Example:
    """Decode one example; raise Rejection for one that cannot be learned from."""
    example = _decode(value)
    if not example.weight >= 1.0:
        raise Rejection("invalid_field", "weight: 1 over a keep rate is at least 1")
    return example


@dataclass(frozen=True)
class LearnerSettings(ModelSettings):
    """Settings of the models, and of their publication.

    Attributes:
        model: name of the models; another name begins new models and leaves the old ones be.
        publish_interval_ms: stream time between two versions of a model, at least.
    """

    model: str = "click"
    publish_interval_ms: int = 1_000


class Learner:
    """A click model for each segment of one partition."""

    name: ClassVar[str] = "learner"
    inputs: ClassVar[tuple[str, ...]] = ("training.examples",)

    def __init__(self, settings: LearnerSettings) -> None:
        if not fullmatch(r"[A-Za-z0-9_]+", settings.model):
            raise ConfigurationError(
                f"the model name {settings.model!r} may hold letters, digits and _ only"
            )
        self._settings = settings
        self._models: dict[str, ClickModel] = {}

    def decoder(self, topic: str) -> Callable[[bytes], Example]:  # noqa: ARG002  # one input
        """Return what decodes one example."""
        return decode_example

    def process(self, topic: str, event: Example) -> None:  # noqa: ARG002  # one input
        """Predict the example, then learn from it; of playbacks nothing is learned yet."""
        if event.kind != "click":
            return
        self._model(event.segment).learn(event)

    def advance(self, stream_time_ms: int) -> None:
        """Nothing is due between cuts: versions are published when one is taken."""

    def follow(self, topic: str, key: str) -> None:
        """No broadcast topic is read."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Publish the models that are due; return what changed in all."""
        rows: list[Row] = []
        for _, model in sorted(self._models.items()):
            if self._is_due(model, cut.stream_time_ms):
                self._publish(model, cut)
            rows.extend(model.rows())
        return rows

    def _is_due(self, model: ClickModel, stream_time_ms: int) -> bool:
        last = model.publication.at_ms
        return model.owed and (
            last is None or stream_time_ms - last >= self._settings.publish_interval_ms
        )

    def _publish(self, model: ClickModel, cut: Cut) -> None:
        for index, weight in model.publish(cut.stream_time_ms):
            record = None if weight == 0.0 else _weight(model, index, weight, cut)
            cut.emit(WEIGHTS, f"{model.id}/{index}", record, partition_by=model.id)
        cut.emit(WEIGHTS, f"{model.id}/@epoch", _close(model, cut), partition_by=model.id)
        cut.emit(VERSIONS, model.id, _version(model, cut))

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog; those of models of another name are left alone."""
        for key, value in rows:
            model_id, _, rest = key.decode().partition("/")
            name, _, segment = model_id.partition("-")
            if name == self._settings.model:
                self._model(unquote(segment)).restore(rest, value)

    def ready(self) -> None:
        """All rows are in."""
        for model in self._models.values():
            model.ready()

    @property
    def rows(self) -> int:
        """Rows held, of all models."""
        return sum(model.size for model in list(self._models.values()))

    def gauges(self) -> dict[str, float]:
        """Quality of the model with the most examples, as the engine's metrics name it."""
        models = list(self._models.values())
        if not models:
            return {}
        model = max(models, key=lambda one: one.examples)
        metrics = model.metrics
        gauges = {
            "model_log_loss": metrics.log_loss,
            "model_auc": metrics.auc,
            "model_calibration": metrics.calibration,
            "model_baseline_log_loss": metrics.baselines["item_rate"].log_loss,
            "model_examples": float(model.examples),
        }
        return {name: value for name, value in gauges.items() if value is not None}

    def _model(self, segment: str) -> ClickModel:
        model = self._models.get(segment)
        if model is None:
            model_id = f"{self._settings.model}-{quote(segment, safe='')}"
            model = self._models[segment] = ClickModel(model_id, self._settings)
        return model


def _weight(model: ClickModel, index: int, weight: float, cut: Cut) -> bytes:
    return _encode(
        ModelWeight(
            model=model.id,
            feature=str(index),
            weight=weight,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
        )
    )


def _close(model: ClickModel, cut: Cut) -> bytes:
    return _encode(
        EpochClose(
            model=model.id,
            epoch=model.publication.epoch,
            count=len(model.publication.table),
            checksum=model.publication.table.checksum,
            intercept=model.intercept,
            spec=model.spec,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
        )
    )


def _version(model: ClickModel, cut: Cut) -> bytes:
    return _encode(
        ModelVersion(
            model=model.id,
            version=model.publication.epoch,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
            examples=model.examples,
            metrics=model.metrics,
            status="warming" if model.warming else "champion",
        )
    )
