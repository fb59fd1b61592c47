"""learner: labelled examples in; models learn, contend, and are published.

In: training.examples, keyed by segment, so one task sees all examples of a segment in one order.
Each is predicted first, then learned from (`streamapp.learning.contest`).

Kept: for each segment and objective a contest of two models. A model's id is the objective, "-",
and the segment percent-encoded, as in `click-all` or `click-market%2Fde`; that of the second model
of a contest ends with `.b`. An id contains no "/", so `<id>/<feature>` reads one way.

Out, when a turn of a contest has ended, at most once for each second of stream time, in this
order: models.weights with the weights that changed, `<id>/@epoch` closing them, and
models.versions. Where nothing was accepted, models.versions alone says why.

Of viewers, rates and open blocks of duels are held: privacy.erasures takes them, and examples from
before the request are left out from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from math import isfinite
from re import fullmatch
from typing import ClassVar
from urllib.parse import quote, unquote

import msgspec

from streamapp.errors import ConfigurationError, Rejection
from streamapp.events import decoder
from streamapp.features.erasure_requests import ErasureRequests, Returns
from streamapp.features.figure import Figure
from streamapp.learning import objectives
from streamapp.learning.contest import CHALLENGER, Contest
from streamapp.learning.encoding import PairEncoder
from streamapp.learning.model import Model
from streamapp.learning.model_settings import ContestSettings
from streamapp.learning.objectives import Objective
from streamapp.learning.staged_coordinate import StagedCoordinate
from streamapp.processors.base import Cut, Row
from streamapp.processors.learner_settings import LearnerSettings
from streamapp.signals import EpochClose, Example, ModelVersion, ModelWeight

WEIGHTS = "models.weights"
VERSIONS = "models.versions"

_decode = decoder(Example, "training.examples")
_encode = msgspec.json.Encoder().encode


def decode_example(value: bytes) -> Example:
    """Decode one example; raise Rejection for one that cannot be learned from."""
    example = _decode(value)
    if not 1.0 <= example.weight <= _LARGEST_WEIGHT:
        raise Rejection("invalid_field", "weight: 1 over a keep rate is from 1 to 1e6")
    share = example.labels.watched_share
    if share is not None and not 0.0 <= share <= 1.0:
        raise Rejection("invalid_field", "labels.watched_share: a share is from 0 to 1")
    return example


_LARGEST_WEIGHT = 1e6


class Learner:
    """The contests of one partition."""

    name: ClassVar[str] = "learner"
    inputs: ClassVar[tuple[str, ...]] = ("training.examples",)

    def __init__(self, settings: LearnerSettings, erasures: ErasureRequests | None = None) -> None:
        if not fullmatch(r"[A-Za-z0-9_]*", settings.suffix):
            raise ConfigurationError(
                f"the model suffix {settings.suffix!r} may hold letters, digits and _ only"
            )
        self._settings = settings
        declared = objectives.parse(settings.objectives)
        self._objectives = {one.name + settings.suffix: one for one in declared}
        self._encoder = PairEncoder(settings.champion.spec, settings.challenger.spec)
        self._contests: dict[str, Contest] = {}
        self._of: dict[tuple[str, str], list[Contest]] = {}
        self._due_ms = 0
        self._returns = Returns(erasures)

    def decoder(self, topic: str) -> Callable[[bytes], Example]:  # noqa: ARG002  # one input
        """Return what decodes one example."""
        return decode_example

    def process(self, topic: str, event: Example) -> None:  # noqa: ARG002  # one input
        """Predict the example, then learn from it, for each objective it tells of."""
        contests = self._of.get((event.segment, event.kind))
        if contests is None:
            contests = self._open(event.segment, event.kind)
        if not contests or self._returns.is_erased(event.viewer_id, event.served_at_ms):
            return
        refused = self._encoder.refused
        coordinates = self._encoder.encode(event)
        refused = self._encoder.refused - refused
        for contest in contests:
            outcome = contest.objective.outcome(event)
            if outcome is not None:
                contest.learn(event, outcome, coordinates, refused)

    def advance(self, stream_time_ms: int) -> None:
        """End the turns that are over, when a full interval has passed."""
        if stream_time_ms >= self._due_ms:
            interval = self._settings.interval_ms
            now = stream_time_ms // interval * interval
            self._due_ms = now + interval
            for contest in self._contests.values():
                contest.advance(now)

    def follow(self, topic: str, key: str) -> None:  # noqa: ARG002  # one topic
        """Forget a viewer who asked for it."""
        for contest in self._contests.values():
            contest.forget(key)

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Publish what was accepted; return what changed in all."""
        rows: list[Row] = list(self._returns.rows())
        for _, contest in sorted(self._contests.items()):
            for model in (contest.champion, contest.challenger):
                if model.owed:
                    self._publish(contest, model, cut)
                elif model.news and model.publication.epoch:
                    model.announce(cut.stream_time_ms)
                    self._announce(contest, model, cut)
            rows.extend(contest.rows())
        return rows

    def _publish(self, contest: Contest, model: Model, cut: Cut) -> None:
        due = model.publish(cut.stream_time_ms)
        cut.emit_together(WEIGHTS, _weights(model, due, cut), partition_by=model.id)
        cut.emit(WEIGHTS, f"{model.id}/@epoch", _close(model, cut), partition_by=model.id)
        self._announce(contest, model, cut)

    def _announce(self, contest: Contest, model: Model, cut: Cut) -> None:
        contest.published()
        cut.emit(VERSIONS, model.id, _version(contest, model, cut))

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog; those of models of another name are left alone."""
        for key, value in self._returns.restore(rows):
            model_id, _, rest = key.decode().partition("/")
            contest_id = model_id.removesuffix(CHALLENGER)
            contest = self._contest(contest_id)
            if contest is not None:
                contest.restore(int(model_id != contest_id), rest, value)

    def _contest(self, contest_id: str) -> Contest | None:
        contest = self._contests.get(contest_id)
        if contest is None:
            name, _, segment = contest_id.partition("-")
            objective = self._objectives.get(name)
            if objective is not None:
                contest = self._build(contest_id, unquote(segment), objective)
        return contest

    def _open(self, segment: str, kind: str) -> list[Contest]:
        """Begin the contests of a segment that examples of a kind are for."""
        ids = [
            f"{name}-{_quoted(segment)}"
            for name, objective in self._objectives.items()
            if objective.kind == kind
        ]
        contests = [one for one in map(self._contest, ids) if one is not None]
        self._of[segment, kind] = contests
        return contests

    def _build(self, contest_id: str, segment: str, objective: Objective) -> Contest:
        own = {one.name: getattr(self._settings, one.name) for one in fields(ContestSettings)}
        if objective.name != "click":
            own["prior"] = objective.prior
        contest = Contest(contest_id, segment, objective, ContestSettings(**own))
        self._contests[contest_id] = contest
        return contest

    def ready(self) -> None:
        """All rows are in; forget who asked for it in the meantime."""
        for contest in self._contests.values():
            contest.ready()
        for viewer_id in self._returns.ready():
            for contest in self._contests.values():
                contest.forget(viewer_id)

    @property
    def rows(self) -> int:
        """Rows held, of all contests."""
        return sum(contest.size for contest in list(self._contests.values()))

    def labelled_gauges(self) -> list[Figure]:
        """Quality of each model, and what happened in each contest."""
        return [figure for one in list(self._contests.values()) for figure in _figures(one)]


def _quoted(segment: str) -> str:
    """Return a segment as it is in the ids of models: the end `.b` is a challenger's alone."""
    return quote(segment, safe="").replace(".", "%2E")


def _figures(contest: Contest) -> Iterable[Figure]:
    for model in contest.models:
        label = {"model": model.id}
        metrics = contest.metrics(model)
        figures = {
            "model_log_loss": metrics.log_loss,
            "model_auc": metrics.auc,
            "model_ndcg": metrics.ndcg,
            "model_calibration": metrics.calibration,
            "model_examples": float(model.examples),
            "model_champion": float(model is contest.champion),
        }
        for name, value in figures.items():
            if value is not None and isfinite(value):
                yield name, label, value
        for baseline, quality in metrics.baselines.items():
            if quality.log_loss is not None:
                named = {**label, "baseline": baseline}
                yield "model_baseline_log_loss", named, quality.log_loss
    counts = contest.counts
    happened = {
        "model_alarms": counts.alarms,
        "model_challenger_alarms": counts.challenger_alarms,
        "model_undone_examples": counts.undone,
        "model_stalemates": counts.stalemates,
        "model_refused_values": counts.refused,
        "model_promotions": counts.promotions,
        "model_rollbacks": counts.rollbacks,
        "model_drifts": counts.drifts,
        "model_duel_evidence": contest.evidence,
    }
    for name, count in happened.items():
        yield name, {"contest": contest.id}, float(count)


def _weights(
    model: Model, due: list[StagedCoordinate], cut: Cut
) -> Iterator[tuple[bytes, bytes | None]]:
    name, as_of_ms, computed_at_ms = model.id, model.as_of_ms, cut.computed_at_ms
    for one in due:
        feature, weight, record = str(one.index), one.told, None
        if weight != 0.0:
            record = _encode(
                ModelWeight(
                    model=name,
                    feature=feature,
                    weight=weight,
                    as_of_ms=as_of_ms,
                    computed_at_ms=computed_at_ms,
                )
            )
        yield f"{name}/{feature}".encode(), record


def _close(model: Model, cut: Cut) -> bytes:
    return _encode(
        EpochClose(
            model=model.id,
            epoch=model.publication.epoch,
            count=model.publication.told.count,
            checksum=model.publication.told.checksum,
            intercept=model.ftrl.accepted_intercept,
            spec=model.spec,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
        )
    )


def _version(contest: Contest, model: Model, cut: Cut) -> bytes:
    return _encode(
        ModelVersion(
            model=model.id,
            segment=contest.segment,
            objective=contest.objective.name,
            objective_weight=contest.objective.weight,
            version=model.publication.epoch,
            as_of_ms=model.as_of_ms,
            computed_at_ms=cut.computed_at_ms,
            examples=model.examples,
            metrics=contest.metrics(model),
            status=contest.status(model),
            reason=contest.reason(model),
        )
    )
