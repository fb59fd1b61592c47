"""A contest of two models for one objective of one segment: both learn, one is the champion.

**A turn** is some seconds of examples. Each example is predicted by both models, measured, then
learned from, on trial. At the end of the turn the guard tries what it taught on earlier examples
(`streamapp.learning.guard`): if the champion became worse, the turn is undone, all of it but the
metrics; else it is accepted, which is what readers are told. A challenger that became worse is
undone by itself. Where that never ends the models warm anew (`streamapp.learning.stalemate`).

**The champion** is replaced, or goes back to older weights, when that is proven to be better
(`streamapp.learning.verdicts`).

**Sampled negatives** are made up for while learning (`streamapp.learning.negative_sampling`); the
weight of an example is used in metrics, and to admit coordinates.
"""

from __future__ import annotations

import mmh3

from streamapp.learning import model_rows
from streamapp.learning.contest_quality import ContestQuality
from streamapp.learning.coordinate import sigmoid
from streamapp.learning.encoding import Coordinates
from streamapp.learning.model import Model
from streamapp.learning.model_rows import ContestHead, Counts, Row, Standing, TurnState
from streamapp.learning.model_settings import ContestSettings
from streamapp.learning.negative_sampling import NegativeSampling
from streamapp.learning.objectives import Objective
from streamapp.learning.reservoir import Reservoir
from streamapp.learning.staging import StagedFtrl
from streamapp.learning.stalemate import Stalemate
from streamapp.learning.verdicts import Status, Verdicts
from streamapp.signals import Example, ModelMetrics

CHALLENGER = ".b"
"""What the id of a contest's second model ends with."""

_SEED = 0x5EED


class Contest:
    """Two models of one outcome, and who of them is the champion.

    Attributes:
        id: of the contest and its first model.
        models: as the settings name them; either may be champion.
        as_of_ms: event time of the newest example.
        reservoir: earlier examples.
    """

    def __init__(
        self, contest_id: str, segment: str, objective: Objective, settings: ContestSettings
    ) -> None:
        self.id, self.segment, self.objective = contest_id, segment, objective
        self.as_of_ms = 0
        self.models = (
            Model(contest_id, 0, settings.champion, settings),
            Model(contest_id + CHALLENGER, 1, settings.challenger, settings),
        )
        self.reservoir = Reservoir(settings.reservoir_capacity, settings.reservoir_one_in)
        self._settings = settings
        self._sampling = NegativeSampling(objective.name, settings.negative_keep_rate)
        self._quality = ContestQuality(settings)
        self._verdicts = Verdicts(self.models, settings)
        self._stalemate = Stalemate()
        self._turn = TurnState(self._verdicts.drift.snapshot())
        self._changed = False
        self._restored: ContestHead | None = None

    @property
    def champion(self) -> Model:
        """The model that readers score with."""
        return self._verdicts.champion

    @property
    def challenger(self) -> Model:
        """The other."""
        return self._verdicts.challenger

    @property
    def counts(self) -> Counts:
        """What happened."""
        return self._verdicts.counts

    @property
    def standing(self) -> Standing:
        """Who is champion, and why."""
        return self._verdicts.standing

    def learn(
        self, example: Example, y: float, coordinates: Coordinates, refused: int = 0
    ) -> float:
        """Predict with both models, then learn; return the champion's probability.

        Args:
            example: of the contest's segment and objective.
            y: what happened, from 0 to 1.
            coordinates: of the example, for the first model and the second.
            refused: feature values of it that were refused.
        """
        turn, weight, champion = self._turn, example.weight, self.champion
        self.as_of_ms = max(self.as_of_ms, example.labelled_at_ms)
        if not turn.examples:
            self._begin_turn()
        turn.examples += 1
        turn.refused += refused
        self._changed = True
        kept = self._sampling.keep_rate
        offset, scale = self._sampling.update(example)
        if self.objective.name == "click":
            keep_rates = (kept, self._sampling.keep_rate)
            self._quality.rank(example, self.models, coordinates, self.as_of_ms, keep_rates)
        draw = mmh3.hash(example.example_id, _SEED, False)  # noqa: FBT003  # unsigned
        scores: list[tuple[float, ...]] = []
        beside: StagedFtrl | None = None
        for model, indices in zip(self.models, coordinates, strict=True):
            model.learned += 1
            told = model.ftrl.learn(indices, y, offset, scale, draw, weight, beside)
            # The challenger's older copies are kept; they are measured once it is champion.
            scores.append(told if model is champion else told[:1])
            beside = model.ftrl if coordinates[1] is indices else None
        self.reservoir.offer(draw, coordinates, y, offset)
        place = self.standing.champion
        constant = self._quality.measure(example, y, self.models, scores, place)
        self._verdicts.compare(turn, example.viewer_id, y, offset, scores, constant)
        return sigmoid(scores[place][0])

    def _begin_turn(self) -> None:
        self._turn.began_ms = self.as_of_ms
        for model in self.models:
            if not model.learned:
                model.begin(self.as_of_ms)

    def forget(self, viewer_id: str) -> None:
        """Forget what is held of a viewer: rate, open requests, what they say of the models."""
        measured = self._quality.forget(viewer_id, self.models)
        fought = self._verdicts.forget(viewer_id)
        compared = self._turn.compared.pop(viewer_id, None)
        self._changed |= measured or fought or compared is not None

    def advance(self, stream_time_ms: int) -> None:
        """End the turn if it is over; to be called when stream time passes a full interval."""
        if self._turn.examples:
            ends_ms = self._ends_ms()
            if stream_time_ms >= ends_ms:
                self._end_turn(ends_ms)

    def _ends_ms(self) -> int:
        """Return when the turn is over, as told by its examples alone."""
        settings, turn = self._settings, self._turn
        last = self.as_of_ms + 1
        if turn.examples < settings.turn_examples:
            last = max(last, turn.began_ms + settings.turn_ms)
        return -(-last // settings.interval_ms) * settings.interval_ms

    def _end_turn(self, ends_ms: int) -> None:
        standing, champion = self.standing, self.champion
        standing.refused, standing.alarms = self._turn.refused, [None, None]
        self.counts.refused += self._turn.refused
        self._changed = True
        wrong = champion.judge(self.reservoir.share)
        if wrong is None:
            self._accept(ends_ms)
        else:
            self._undo(ends_ms, wrong)
        self._turn = TurnState(self._verdicts.drift.snapshot())

    def _undo(self, ends_ms: int, wrong: str) -> None:
        reason = f"{self._turn.examples} examples undone at {ends_ms}: {wrong}"
        self.counts.alarms += 1
        self.counts.undone += self._turn.examples
        self.standing.alarms = [reason, reason]
        for model in self.models:
            model.undo(ends_ms, self.reservoir.share)
        self._stalemate.undo(*self.reservoir.turn, ends_ms)
        self.reservoir.undo()
        self._verdicts.drift.restore(self._turn.drift)
        if self._stalemate.is_lasting(self.champion.examples, ends_ms):
            self._warm_anew(ends_ms)

    def _warm_anew(self, ends_ms: int) -> None:
        stalemate = self._stalemate
        self._verdicts.warm_anew(stalemate.undone, stalemate.state.since_ms or 0, ends_ms)
        stalemate.end()
        self.reservoir.clear()

    def _accept(self, ends_ms: int) -> None:
        champion, challenger = self.champion, self.challenger
        hour, share = champion.ftrl.hour, self.reservoir.share
        wrong = challenger.judge(share)
        champion.accept(self.as_of_ms, ends_ms, share)
        if wrong is None:
            challenger.accept(self.as_of_ms, ends_ms, share)
        else:
            self.counts.challenger_alarms += 1
            self.standing.alarms[1 - self.standing.champion] = f"undone at {ends_ms}: {wrong}"
            challenger.undo(ends_ms, share)
        self._stalemate.accept(self._turn.examples)
        fresh = self.reservoir.accept()
        for model in self.models:
            model.hold(fresh)
        self._verdicts.decide(self._turn, ends_ms, renewed=champion.ftrl.hour != hour)

    def published(self) -> None:
        """Something was published, which is part of the state."""
        self._changed = True

    def status(self, model: Model) -> Status:
        """Return the status of one of the models."""
        return self._verdicts.status(model)

    def reason(self, model: Model) -> str | None:
        """Return why the status of a model is what it is, where there is something to say."""
        return self._verdicts.reason(model)

    def metrics(self, model: Model) -> ModelMetrics:
        """How well a model predicted, and how well the baselines did."""
        return self._quality.metrics(model, champion=model is self.champion)

    @property
    def evidence(self) -> float:
        """What those who bet on the challenger have made of 1."""
        return self._verdicts.duel.evidence

    @property
    def size(self) -> int:
        """Rows held."""
        parts = (self._quality, self.reservoir, self._verdicts)
        return 1 + sum(len(part) for part in parts) + sum(model.size for model in self.models)

    def rows(self) -> list[Row]:
        """Return the rows that changed since the last call."""
        if not self._changed:
            return []
        self._changed = False
        encode, version = model_rows.encode, model_rows.VERSION
        rows: list[Row] = [(f"{self.id}/c".encode(), encode(self._head()))]
        for model in self.models:
            rows += model.rows()
        rows += self._quality.rows(self.id)
        for slot, (held, pending) in self.reservoir.changed():
            row = encode((version, held, pending)) if held or pending else None
            rows.append((f"{self.id}/r/{slot}".encode(), row))
        rows += self._verdicts.rows(self.id)
        return rows

    def _head(self) -> ContestHead:
        quality, verdicts = self._quality, self._verdicts
        return ContestHead(
            version=model_rows.VERSION,
            as_of_ms=self.as_of_ms,
            keep_rate=self._sampling.keep_rate,
            standing=verdicts.standing,
            counts=verdicts.counts,
            overall=quality.baselines.overall,
            metrics=[one.snapshot() for one in quality.of_rates],
            reservoir=self.reservoir.snapshot(),
            duel=verdicts.duel.snapshot(),
            setback=verdicts.setback.snapshot(),
            drift=verdicts.drift.snapshot(),
            turn=self._turn,
            duel_number=verdicts.duel.number,
            stalemate=self._stalemate.state,
        )

    def restore(self, place: int, key: str, value: bytes | None) -> None:
        """Take a row by what follows the id in its key; a later one replaces an earlier.

        Args:
            place: of the model whose id the key begins with.
        """
        kind, _, name = key.partition("/")
        if kind == "w":
            self.models[place].restore_weight(int(name), value)
        elif kind == "q":
            self.models[place].restore_request(name, value)
        elif kind in {"i", "v"}:
            self._quality.restore_rate(key, value)
        elif kind == "s":
            self._quality.restore_slice(name, value)
        elif kind in {"d", "b"}:
            self._verdicts.restore_block(kind, name, value)
        elif kind == "r":
            slot = None if value is None else model_rows.decode_slot(value)
            held, pending = (None, None) if slot is None else (slot.held, slot.pending)
            self.reservoir.restore_slot(int(name), held, pending)
        elif value is not None and kind == "c":
            self._restored = model_rows.decode_contest(value)
        elif value is not None:
            self.models[place].restore_head(model_rows.decode_model(value))

    def ready(self) -> None:
        """All rows are in."""
        if self._restored is not None:
            self._restore_head(self._restored)
            self._restored = None
        self._quality.ready()
        held = dict(self.reservoir.held())
        for model in self.models:
            model.ready(held)

    def _restore_head(self, head: ContestHead) -> None:
        self.as_of_ms, self._turn = head.as_of_ms, head.turn
        self._sampling.keep_rate = head.keep_rate
        self._verdicts.ready(head)
        self._stalemate.state = head.stalemate
        self._quality.restore_overall(head.overall, head.metrics)
        self.reservoir.restore(head.reservoir)
