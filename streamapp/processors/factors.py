"""factors: labelled examples in; vectors of viewers and items learn what suits whom.

In: training.examples of kind click, keyed by segment, so one task sees all examples of a segment in
one order. Those of a request make pairs, what was clicked against what was not; each pair is
predicted first, then learned from (`streamapp.learning.bpr`).

Kept: a model a segment, with a bounded number of viewers and items. Its id is the model name, "-",
and the segment percent-encoded, as in `factors-all`: an id contains no "/", so
`<id>/viewer/<viewer_id>` and `<id>/item/<item_id>` read one way.

At most once a second of stream time what was learned is made a version; if it contradicts earlier
pairs (`streamapp.learning.earlier_pairs`) it is forgotten. That does not depend on when cuts are,
so neither does what is learned.

Out, of a model with a new version, in this order: models.factors with the rows that changed,
`<id>/@epoch` closing them, and models.versions; of several versions since the last cut the newest
one. Of what was forgotten models.versions tells, with the version that stays.

privacy.erasures takes all that is held of a viewer: their row is null in a version that does not
wait for its second, and examples from before the request are left out from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from re import fullmatch
from typing import ClassVar
from urllib.parse import quote, unquote

import msgspec

from streamapp.errors import ConfigurationError
from streamapp.features.erasure_requests import ErasureRequests, Returns
from streamapp.learning.factor_changelog import FactorChangelog
from streamapp.learning.factor_model import FactorModel, FactorSettings
from streamapp.learning.factor_table import Kind
from streamapp.learning.factor_table import Row as FactorRow
from streamapp.processors.base import Cut, Row
from streamapp.processors.learner import VERSIONS, decode_example
from streamapp.signals import Example, FactorsClose, ModelFactor, ModelVersion

FACTORS = "models.factors"
OBJECTIVE = "factors"
"""What models.versions calls it: the order of items for a viewer, not a probability."""

CONTRADICTED = "forgot what was learned since this version: it contradicts earlier pairs"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class FactorsSettings(FactorSettings):
    """Settings of the models, and of their publication.

    Attributes:
        model: name of the models; another name begins new models and leaves the old ones be.
        publish_interval_ms: stream time between two versions of a model, at least.
    """

    model: str = "factors"
    publish_interval_ms: int = 1_000


@dataclass(slots=True)
class _Made:
    """What came of a model since the last cut.

    Attributes:
        rows: of new versions, as they are now; None without any.
        contradicted: something was forgotten.
    """

    rows: dict[tuple[Kind, str], FactorRow | None] | None = None
    contradicted: bool = False


class Factors:
    """A factor model for each segment of one partition."""

    name: ClassVar[str] = "factors"
    inputs: ClassVar[tuple[str, ...]] = ("training.examples",)

    def __init__(self, settings: FactorsSettings, erasures: ErasureRequests | None = None) -> None:
        if not fullmatch(r"[A-Za-z0-9_]+", settings.model):
            raise ConfigurationError(
                f"the model name {settings.model!r} may hold letters, digits and _ only"
            )
        self._settings = settings
        self._models: dict[str, FactorModel] = {}
        self._changelogs: dict[str, FactorChangelog] = {}
        self._made: dict[str, _Made] = {}
        self._stream_time_ms = 0
        self._returns = Returns(erasures)

    def decoder(self, topic: str) -> Callable[[bytes], Example]:  # noqa: ARG002  # one input
        """Return what decodes one example."""
        return decode_example

    def process(self, topic: str, event: Example) -> None:  # noqa: ARG002  # one input
        """Take one label; of a request that is complete the pairs are learned from."""
        if event.kind == "click" and not self._returns.is_erased(
            event.viewer_id, event.served_at_ms
        ):
            self._model(event.segment).learn(event, self._stream_time_ms)

    def advance(self, stream_time_ms: int) -> None:
        """Learn from requests of which nothing more is to come; make the versions that are due."""
        self._stream_time_ms = stream_time_ms
        for segment, model in self._models.items():
            model.advance(stream_time_ms)
            if self._is_due(model, stream_time_ms):
                self._make(segment, model, stream_time_ms)

    def follow(self, topic: str, key: str) -> None:  # noqa: ARG002  # one topic
        """Forget a viewer who asked for it."""
        for model in self._models.values():
            model.forget(key)

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Publish the models that are due; return what changed in all."""
        rows: list[Row] = list(self._returns.rows())
        for segment, model in sorted(self._models.items()):
            if model.publication.erased:  # which does not wait for its second
                self._make(segment, model, cut.stream_time_ms)
            made = self._made.pop(segment, None)
            if made is not None:
                _publish(segment, model, made, cut)
            rows.extend(self._changelogs[segment].rows())
        return rows

    def _is_due(self, model: FactorModel, stream_time_ms: int) -> bool:
        last = model.publication.at_ms
        return model.owed(stream_time_ms) and (
            last is None or stream_time_ms - last >= self._settings.publish_interval_ms
        )

    def _make(self, segment: str, model: FactorModel, stream_time_ms: int) -> None:
        """Make a version of what was learned, or forget it."""
        made = self._made.setdefault(segment, _Made())
        alarms = model.alarms
        due = model.publish(stream_time_ms)
        made.contradicted |= model.alarms > alarms
        if due is not None:
            made.rows = (made.rows or {}) | {(kind, name): row for kind, name, row in due}

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog; those of models of another name are left alone."""
        for key, value in self._returns.restore(rows):
            model_id, _, rest = key.decode().partition("/")
            name, _, segment = model_id.partition("-")
            if name == self._settings.model:
                self._model(unquote(segment))
                self._changelogs[unquote(segment)].restore(rest, value)

    def ready(self) -> None:
        """All rows are in; forget who asked for it in the meantime."""
        for changelog in self._changelogs.values():
            changelog.ready()
        for viewer_id in self._returns.ready():
            for model in self._models.values():
                model.forget(viewer_id)

    @property
    def rows(self) -> int:
        """Rows held, of all models."""
        return sum(model.size for model in list(self._models.values()))

    def _model(self, segment: str) -> FactorModel:
        model = self._models.get(segment)
        if model is None:
            model_id = f"{self._settings.model}-{quote(segment, safe='')}"
            model = self._models[segment] = FactorModel(model_id, self._settings)
            self._changelogs[segment] = FactorChangelog(model)
        return model


def _publish(segment: str, model: FactorModel, made: _Made, cut: Cut) -> None:
    if made.rows is not None:
        for (kind, name), row in sorted(made.rows.items(), key=itemgetter(0)):
            record = None if row is None else _factor(model, kind, name, row, cut)
            cut.emit(FACTORS, f"{model.id}/{kind}/{name}", record, partition_by=model.id)
        cut.emit(FACTORS, f"{model.id}/@epoch", _close(model, cut), partition_by=model.id)
    reason = CONTRADICTED if made.contradicted else None
    cut.emit(VERSIONS, model.id, _version(segment, model, reason, cut))


def _factor(model: FactorModel, kind: Kind, name: str, row: FactorRow, cut: Cut) -> bytes:
    bias, *vector = row.tolist()
    return _encode(
        ModelFactor(
            model=model.id,
            kind=kind,
            id=name,
            bias=bias,
            vector=vector,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
        )
    )


def _close(model: FactorModel, cut: Cut) -> bytes:
    table = model.publication.table
    return _encode(
        FactorsClose(
            model=model.id,
            epoch=model.publication.epoch,
            count=len(table),
            checksum=table.checksum,
            dimensions=model.dimensions,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
        )
    )


def _version(segment: str, model: FactorModel, reason: str | None, cut: Cut) -> bytes:
    return _encode(
        ModelVersion(
            model=model.id,
            segment=segment,
            objective=OBJECTIVE,
            version=model.publication.epoch,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
            examples=model.examples,
            metrics=model.metrics,
            status="warming" if model.warming else "champion",
            reason=reason,
        )
    )
