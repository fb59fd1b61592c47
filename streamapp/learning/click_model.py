"""The click model of one segment: predict, learn, measure, publish.

**Sampled negatives.** Of the examples without a click only a share r reaches the model; all with
a click do. Among what is kept the odds of a click are therefore 1/r times the true odds, so

    logit(p) = logit(p among the kept) + ln r

ln r ≤ 0: what is published must promise less than what was learned from. The model learns
unweighted on what is kept, with −ln r as a known part of its score; so its own intercept is that of
the kept examples plus ln r, which is the one to publish, and stays right when r changes. Each
negative tells r = 1/weight. The weight is used in metrics and nowhere else: weighting the learning
as well would correct twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

from streamapp.errors import ConfigurationError
from streamapp.features.decay import DAY_MS
from streamapp.learning import model_rows
from streamapp.learning.baselines import RateBaselines, RateState
from streamapp.learning.evaluation import Prequential
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.learning.ftrl import FtrlLogistic, sigmoid
from streamapp.learning.model_rows import Head, RateRow, WeightRow
from streamapp.learning.snapshots import THRESHOLD, Publication
from streamapp.signals import Example, FeatureSpec, ModelMetrics

Row = tuple[bytes, bytes | None]
"""A changelog row: key, value; None deletes."""


@dataclass(frozen=True)
class ModelSettings:
    """What a click model learns from, how fast, and what is measured.

    Attributes:
        spec: features; of a model that has learned, only names and crosses may change.
        alpha, beta, l1, l2: of `FtrlLogistic`.
        prior: click rate before anything is known.
        negative_keep_rate: r, until the first negative tells it.
        warm_up_examples: a model that has learned from fewer is warming.
        half_life_examples: of the metrics.
        item_half_life_ms: of the counts behind the baselines.
        item_capacity: items whose rate is held, and viewers.
        threshold: changes of a weight smaller than this are withheld.
    """

    spec: FeatureSpec = DEFAULT_SPEC
    alpha: float = 0.2
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 1.0
    prior: float = 0.03
    negative_keep_rate: float = 1.0
    warm_up_examples: int = 1_000
    half_life_examples: float = 20_000.0
    item_half_life_ms: float = 7.0 * DAY_MS
    item_capacity: int = 100_000
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        if not (0 < self.prior < 1 and 0 < self.negative_keep_rate <= 1):
            raise ConfigurationError(
                "a click model needs a prior within (0, 1) and a negative keep rate within (0, 1]"
            )


class ClickModel:
    """Learns the probability of a click from the examples of one segment, in their order.

    Attributes:
        examples: learned from.
        as_of_ms: event time of the newest.
        published: examples the published version has learned from.
        publication: what readers hold.
    """

    def __init__(self, model_id: str, settings: ModelSettings) -> None:
        self.id = model_id
        self.examples = 0
        self.as_of_ms = 0
        self.published = 0
        self.publication = Publication(settings.threshold)
        self._settings = settings
        self._keep_rate = settings.negative_keep_rate
        self._encoder = Encoder(settings.spec)
        self._classifier = FtrlLogistic(
            alpha=settings.alpha,
            beta=settings.beta,
            l1=settings.l1,
            l2=settings.l2,
            intercept_init=log(settings.prior / (1.0 - settings.prior)),
        )
        self._baselines = RateBaselines(
            settings.item_half_life_ms, settings.prior, settings.item_capacity
        )
        self._metrics = {
            name: Prequential(settings.half_life_examples)
            for name in ("model", *RateBaselines.NAMES)
        }
        self._dirty: set[int] = set()
        self._changed = False
        self._restored_rates: dict[str, RateState] = {}

    def learn(self, example: Example) -> float:
        """Predict the example, then learn from it; return the probability that was predicted."""
        clicked, weight = example.labels.clicked, example.weight
        if not clicked:
            self._keep_rate = 1.0 / weight
        self.examples += 1
        self.as_of_ms = max(self.as_of_ms, example.labelled_at_ms)
        self._changed = True
        score = self._classifier.learn_indices(
            self._coordinates(example), float(clicked), -log(self._keep_rate)
        )
        probability = sigmoid(score)
        rates = self._baselines.update(
            example.item_id, example.viewer_id, example.labelled_at_ms, weight, clicked=clicked
        )
        for metric, predicted in zip(self._metrics.values(), (probability, *rates), strict=True):
            metric.update(predicted, weight, happened=clicked)
        return probability

    def predict(self, example: Example) -> float:
        """Return the probability that an item shown so is clicked, as of what was learned."""
        return self._classifier.predict_indices(self._coordinates(example))

    def _coordinates(self, example: Example) -> list[int]:
        return self._encoder.indices(
            example.features,
            viewer=example.viewer_id,
            item=example.item_id,
            surface=example.surface,
            position=example.position,
        )

    @property
    def owed(self) -> bool:
        """True when something was learned that is not published."""
        return self.examples > self.published

    def publish(self, stream_time_ms: int) -> list[tuple[int, float]]:
        """Begin a version; return its changed weights by coordinate (0 deletes)."""
        self._take_touched()
        due = self.publication.publish(self._classifier.weight, stream_time_ms)
        self._dirty.update(index for index, _ in due)
        self.published = self.examples
        self._changed = True
        return due

    @property
    def intercept(self) -> float:
        """The intercept to publish; ln r is in it."""
        return self._classifier.intercept

    @property
    def spec(self) -> FeatureSpec:
        """How features become coordinates."""
        return self._settings.spec

    @property
    def warming(self) -> bool:
        """True while the model has seen too little to be trusted."""
        return self.examples < self._settings.warm_up_examples

    @property
    def metrics(self) -> ModelMetrics:
        """How well it predicted, and how well the baselines did."""
        quality = {name: one.quality for name, one in self._metrics.items()}
        own = quality.pop("model")
        return ModelMetrics(
            log_loss=own.log_loss, auc=own.auc, calibration=own.calibration, baselines=quality
        )

    @property
    def refused(self) -> int:
        """Feature values refused since this process began."""
        return self._encoder.refused

    @property
    def size(self) -> int:
        """Rows held."""
        return 1 + self._classifier.size + len(self._baselines)

    def rows(self) -> Iterator[Row]:
        """Yield the rows that changed since the last call."""
        if not self._changed:
            return
        self._changed = False
        self._take_touched()
        dirty, self._dirty = self._dirty, set()
        table = self.publication.table
        yield self.id.encode(), model_rows.encode(self._head())
        for index in sorted(dirty):
            z, n = self._classifier.snapshot(index)
            row = (model_rows.VERSION, z, n, table.get(index))  # a WeightRow, without building it
            yield f"{self.id}/w/{index}".encode(), model_rows.encode(row)
        for name, rate in self._baselines.changed():
            value = None if rate is None else model_rows.encode(RateRow(model_rows.VERSION, rate))
            yield f"{self.id}/{name}".encode(), value

    def restore(self, key: str, value: bytes | None) -> None:
        """Take a row, by what follows the id in its key; a later one replaces an earlier."""
        kind, _, name = key.partition("/")
        if kind in {"i", "v"}:
            self._restored_rates.pop(key, None)
            if value is not None:
                self._restored_rates[key] = model_rows.decode_rate(value).rate
        elif value is not None and kind == "w":
            self._restore_weight(int(name), model_rows.decode_weight(value))
        elif value is not None:
            self._restore_head(model_rows.decode_head(value))

    def ready(self) -> None:
        """All rows are in."""
        self._baselines.restore(self._baselines.overall, self._restored_rates)
        self._restored_rates = {}

    def _take_touched(self) -> None:
        touched = self._classifier.take_touched()
        self._dirty |= touched
        self.publication.touch(touched)

    def _head(self) -> Head:
        spec = self.spec
        return Head(
            version=model_rows.VERSION,
            hash=spec.hash,
            seed=spec.seed,
            bits=spec.bits,
            buckets=spec.buckets,
            examples=self.examples,
            as_of_ms=self.as_of_ms,
            keep_rate=self._keep_rate,
            bias=self._classifier.snapshot(),
            epoch=self.publication.epoch,
            published_at_ms=self.publication.at_ms,
            published_examples=self.published,
            overall=self._baselines.overall,
            metrics=[one.snapshot() for one in self._metrics.values()],
        )

    def _restore_head(self, head: Head) -> None:
        spec = self.spec
        now, then = ((one.hash, one.seed, one.bits, one.buckets) for one in (spec, head))
        if now != then:
            raise ConfigurationError(
                f"model {self.id} has learned with hash, seed, bits, buckets = {then}, "
                f"the feature spec now says {now}: give the model another name"
            )
        self.examples, self.as_of_ms = head.examples, head.as_of_ms
        self._keep_rate = head.keep_rate
        self._classifier.restore(*head.bias)
        self.publication.epoch = head.epoch
        self.publication.at_ms = head.published_at_ms
        self.published = head.published_examples
        self._baselines.restore(head.overall, {})
        for one, state in zip(self._metrics.values(), head.metrics, strict=True):
            one.restore(state)

    def _restore_weight(self, index: int, row: WeightRow) -> None:
        self._classifier.restore(row.z, row.n, index)
        self.publication.restore(index, row.published, self._classifier.weight(index))
