"""One model of a contest: what it learns on trial, what is accepted, and what readers hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from math import log

from streamapp.errors import ConfigurationError
from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.learning import model_rows
from streamapp.learning.evaluation import Prequential
from streamapp.learning.first_place import FirstPlace
from streamapp.learning.guard import Guard
from streamapp.learning.model_rows import ModelHead, Row
from streamapp.learning.model_settings import ContestSettings, ModelSettings
from streamapp.learning.ranking_quality import RankingQuality
from streamapp.learning.snapshots import Publication
from streamapp.learning.staged_coordinate import BIAS, StagedCoordinate
from streamapp.learning.staging import StagedFtrl
from streamapp.learning.states import Held, OpenRequest, RankingState
from streamapp.signals import FeatureSpec

OWN = ("model", "hour_old", "day_old")
"""What is measured of a model: its predictions, and those of its older copies."""


class Model:
    """Learns the probability of one outcome, in turns.

    Attributes:
        ftrl: what learns.
        metrics: as `OWN` names them.
        ranking: how well it orders the items of a request.
        learned: examples learned from, this turn's among them.
        examples, as_of_ms: of the last accepted turn.
        hour_examples: examples that the copy of an hour ago had learned from.
        publication: what readers hold.
        owed: weights were accepted that are not published.
        news: there is something else to say of what is published.

    Args:
        place: 0 for the first model of its contest, 1 for the second.
        shared: settings of the contest.
    """

    def __init__(
        self, model_id: str, place: int, settings: ModelSettings, shared: ContestSettings
    ) -> None:
        self.id = model_id
        self.learned = self.examples = self.as_of_ms = self.hour_examples = 0
        self.owed = self.news = False
        self.publication = Publication(shared.threshold)
        self.ftrl = StagedFtrl(settings, log(shared.prior / (1.0 - shared.prior)))
        self._place = place
        self._settings = settings
        self._shared = shared
        self.ranking = RankingQuality(shared.half_life_requests)
        self._first_place = FirstPlace(settings.spec)
        self._guard = Guard(shared.reservoir_capacity)
        self._ranking = RankingState()
        self._requests: dict[str, OpenRequest] = {}
        self.measure_anew()

    def measure_anew(self) -> None:
        """Forget how well it did."""
        self.metrics = [Prequential(self._shared.half_life_examples) for _ in OWN]
        self.ranking.restart()

    def begin(self, at_ms: int) -> None:
        """Begin at a time: the copies are of its hour and day, and know nothing."""
        self.ftrl.hour, self.ftrl.day = at_ms // HOUR_MS, at_ms // DAY_MS

    @property
    def spec(self) -> FeatureSpec:
        """How features become coordinates."""
        return self._settings.spec

    @property
    def warming(self) -> bool:
        """True while the model has seen too little, or too little of either outcome."""
        return self.examples < self._shared.warm_up_examples or not self._guard.ready

    @property
    def size(self) -> int:
        """Rows held."""
        return 1 + self.ftrl.size + len(self.ranking)

    def score_first(self, indices: Sequence[int], position: int) -> float:
        """Return what readers would rank an item by, up to what all items have in common.

        Args:
            indices: the coordinates that are on where it was shown.
        """
        return self.ftrl.accepted_score(self._first_place.move(indices, position))

    def judge(self, share: float) -> str | None:
        """Return why this turn must not be accepted, or None; see `streamapp.learning.guard`."""
        ftrl = self.ftrl
        return self._guard.judge(ftrl.turned(), ftrl.accepted_intercept, ftrl.intercept, share)

    def accept(self, as_of_ms: int, ends_ms: int, share: float) -> None:
        """End the turn, at a time, with what it taught; `share` of examples had the outcome."""
        hour, day = ends_ms // HOUR_MS, ends_ms // DAY_MS
        ftrl, renewed, dawned = self.ftrl, hour != self.ftrl.hour, day != self.ftrl.day
        self.publication.touch(ftrl.accept(hour, day))
        self._guard.accept()
        self.ranking.renew()
        self.examples, self.as_of_ms, self.owed = self.learned, as_of_ms, True
        if renewed:
            self.hour_examples = self.examples
        if dawned:
            self._change(ftrl.expire(day - self._settings.expiry_days))
        self._pass_milestone(share, hour)

    def undo(self, ends_ms: int, share: float) -> None:
        """End the turn as if it had not been, but that time has passed."""
        self.ftrl.undo()
        self.learned, self.news = self.examples, True
        self._pass_milestone(share, ends_ms // HOUR_MS)

    def _pass_milestone(self, share: float, hour: int) -> None:
        if not self.warming:
            self._guard.pass_milestone(self.examples, share, hour)

    def hold(self, fresh: Mapping[int, Held]) -> None:
        """Judge by these examples too, by slot."""
        for slot, held in fresh.items():
            indices = held.coordinates[self._place]
            self._guard.place(slot, indices, held.y, held.offset, self.ftrl.accepted)

    def warm_anew(self) -> None:
        """Give up what turns were tried on. Between turns only."""
        self._guard.clear()
        self.news = True

    def return_to_hour(self) -> None:
        """Go back to the weights of an hour ago. Between turns only."""
        self._change(self.ftrl.return_to_hour())
        self._guard.milestone.moved = 0.0

    def follow(self, other: Model) -> None:
        """Begin again from the weights of another. Between turns only."""
        self._change(self.ftrl.follow(other.ftrl))
        self._guard.milestone = copy(other._guard.milestone)
        self.learned, self.examples, self.as_of_ms = other.learned, other.examples, other.as_of_ms
        self.hour_examples = other.hour_examples
        self.measure_anew()

    def _change(self, changed: list[StagedCoordinate]) -> None:
        if changed:
            self.publication.touch(changed)
            self._guard.reset(self.ftrl.accepted)
            self.ranking.renew()
            self.owed = True

    def publish(self, stream_time_ms: int) -> list[StagedCoordinate]:
        """Begin a version; return the coordinates of which readers are told another weight."""
        due = self.publication.publish(self.ftrl.turn, stream_time_ms)
        self.ftrl.tell(due)
        self.owed = self.news = False
        return due

    def announce(self, stream_time_ms: int) -> None:
        """Say something of the version that is published."""
        self.publication.at_ms = stream_time_ms
        self.news = False

    def rows(self) -> list[Row]:
        """Return the rows that changed since the last call, and the head in any case."""
        rows: list[Row] = [(self.id.encode(), model_rows.encode(self._head()))]
        self._add_weights(rows)
        encode, version, start = model_rows.encode, model_rows.VERSION, f"{self.id}/q/"
        for request, opened in self.ranking.changed():
            row = None if opened is None else encode((version, opened))
            rows.append(((start + request).encode(), row))
        return rows

    def _add_weights(self, rows: list[Row]) -> None:
        encode, version, start = model_rows.encode, model_rows.VERSION, f"{self.id}/w/"
        for one in self.ftrl.take_dirty():
            row = None
            # A WeightRow, without building it. What readers still hold is known until they do not.
            if one.held:
                row = encode((version, one.told, one.state))
            elif one.told:
                row = encode((version, one.told, None))
            rows.append(((start + str(one.index)).encode(), row))

    def _head(self) -> ModelHead:
        spec, ftrl, told = self.spec, self.ftrl, self.publication
        return ModelHead(
            version=model_rows.VERSION,
            hash=spec.hash,
            seed=spec.seed,
            bits=spec.bits,
            buckets=spec.buckets,
            bias=ftrl.bias,
            turn=ftrl.turn,
            hour=ftrl.hour,
            day=ftrl.day,
            learned=self.learned,
            examples=self.examples,
            as_of_ms=self.as_of_ms,
            hour_examples=self.hour_examples,
            epoch=told.epoch,
            published_at_ms=told.at_ms,
            owed=self.owed,
            news=self.news,
            metrics=[one.snapshot() for one in self.metrics],
            ranking=self.ranking.snapshot(),
            milestone=self._guard.milestone,
        )

    def restore_head(self, head: ModelHead) -> None:
        """Take the row of the model."""
        spec = self.spec
        now = (spec.hash, spec.seed, spec.bits, spec.buckets)
        then = (head.hash, head.seed, head.bits, head.buckets)
        if now != then:
            raise ConfigurationError(
                f"model {self.id} has learned with hash, seed, bits, buckets = {then}, "
                f"the feature spec now says {now}: give the models another name"
            )
        ftrl, told = self.ftrl, self.publication
        ftrl.restore(BIAS, head.bias)
        ftrl.turn, ftrl.hour, ftrl.day = head.turn, head.hour, head.day
        self.learned, self.examples, self.as_of_ms = head.learned, head.examples, head.as_of_ms
        self.hour_examples = head.hour_examples
        told.epoch, told.at_ms = head.epoch, head.published_at_ms
        self.owed, self.news = head.owed, head.news
        for one, state in zip(self.metrics, head.metrics, strict=True):
            one.restore(state)
        self._ranking = head.ranking
        self._guard.milestone = head.milestone

    def restore_request(self, request: str, value: bytes | None) -> None:
        """Take the row of an open request; a later one replaces an earlier."""
        self._requests.pop(request, None)
        if value is not None:
            self._requests[request] = model_rows.decode_request(value)

    def restore_weight(self, index: int, value: bytes | None) -> None:
        """Take the row of a coordinate; a later one replaces an earlier."""
        row = None if value is None else model_rows.decode_weight(value)
        if row is None:
            self.ftrl.restore(index, None)
        else:
            self.ftrl.restore(index, row.state, row.published)

    def ready(self, held: Mapping[int, Held]) -> None:
        """All rows are in; judge by these examples."""
        self.publication.restore(self.ftrl.ready(), self.ftrl.turn)
        self.ranking.restore(self._ranking, self._requests)
        self._requests = {}
        self.hold(held)
