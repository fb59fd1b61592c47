"""A contest of two models for one objective of one segment: both learn, one is the champion.

**A turn** is some seconds of examples. Each example is predicted by both models, measured, then
learned from, on trial. At the end of the turn the guard tries what it taught on earlier examples
(`streamapp.learning.guard`): if the champion became worse, the turn is undone, all of it but the
metrics; else it is accepted, which is what readers are told. A challenger that became worse is
undone by itself.

**The champion** is replaced when the challenger's losses are proven smaller, and goes back to its
weights of an hour ago when those are proven to be better (`streamapp.learning.duel`; turns that
were undone do not count). When the champion's loss drifts, above what a constant loses, the
challenger begins again from the champion's weights.

**Sampled negatives.** Of the examples without a click only a share r reaches the models; all with
a click do. Among what is kept the odds of a click are therefore 1/r times the true odds, so

    logit(p) = logit(p among the kept) + ln r

ln r ≤ 0: what is published must promise less than what was learned from. The model of the click
learns unweighted on what is kept, with −ln r as a known part of its score; so its own intercept is
that of the kept examples plus ln r, which is the one to publish, and stays right when r changes.
Each negative tells r = 1/weight. Other objectives of the same examples learn a clicked one as r of
an example, which is what it stands for beside the others. The weight is used in metrics, and to
admit coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, log1p
from typing import Literal

import mmh3

from streamapp.learning import model_rows
from streamapp.learning.baselines import RateBaselines, RateState
from streamapp.learning.drift import LossDrift
from streamapp.learning.duel import DuelState
from streamapp.learning.encoding import Coordinates
from streamapp.learning.evaluation import Prequential, logarithms
from streamapp.learning.ftrl import MAX_LOGIT, sigmoid
from streamapp.learning.model import OWN, Model
from streamapp.learning.model_rows import ContestHead, Counts, Row, Standing, TurnState
from streamapp.learning.model_settings import ContestSettings
from streamapp.learning.objectives import Objective
from streamapp.learning.reservoir import Reservoir
from streamapp.learning.rounds import Rounds
from streamapp.learning.sliced import SlicedPrequential
from streamapp.signals import Example, ModelMetrics

CHALLENGER = ".b"
"""What the id of a contest's second model ends with."""

_SEED = 0x5EED

Status = Literal["warming", "champion", "challenger", "rolled_back"]


class Contest:
    """Two models of one outcome, and who of them is the champion.

    Attributes:
        id: of the contest and its first model.
        models: as the settings name them; either may be champion.
        as_of_ms: event time of the newest example.
        counts: what happened.
        standing: who is champion, and why.
    """

    def __init__(
        self, contest_id: str, segment: str, objective: Objective, settings: ContestSettings
    ) -> None:
        self.id, self.segment, self.objective = contest_id, segment, objective
        self.as_of_ms = 0
        self.counts, self.standing = Counts(), Standing()
        self.models = (
            Model(contest_id, 0, settings.champion, settings),
            Model(contest_id + CHALLENGER, 1, settings.challenger, settings),
        )
        self._settings = settings
        self._keep_rate = settings.negative_keep_rate
        self._baselines = RateBaselines(
            settings.item_half_life_ms, settings.prior, settings.item_capacity
        )
        self._rates = tuple(Prequential(settings.half_life_examples) for _ in RateBaselines.NAMES)
        self._reservoir = Reservoir(settings.reservoir_capacity, settings.reservoir_one_in)
        self._duel, self._setback = Rounds(settings.duel), Rounds(settings.setback)
        self._drift = LossDrift(settings.drift_block)
        self._turn = TurnState(self._drift.snapshot())
        self._changed = False
        self._slices = SlicedPrequential(settings.slices, settings.half_life_examples)
        self._restored_rates: dict[str, RateState] = {}
        self._restored_duels: tuple[DuelState, DuelState] | None = None

    @property
    def champion(self) -> Model:
        """The model that readers score with."""
        return self.models[self.standing.champion]

    @property
    def challenger(self) -> Model:
        """The other."""
        return self.models[1 - self.standing.champion]

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
        offset, scale = self._sampled(example)
        draw = mmh3.hash(example.example_id, _SEED, False)  # noqa: FBT003  # unsigned
        scores = []
        for model, indices in zip(self.models, coordinates, strict=True):
            model.learned += 1
            # The challenger's older copies are kept; they predict once it is champion.
            known = model is champion
            scores.append(model.ftrl.learn(indices, y, offset, scale, draw, weight, copies=known))
        self._reservoir.offer(draw, coordinates, y, offset)
        constant = self._measure(example, y, scores)
        self._compare(example.viewer_id, y, offset, scores, constant)
        return sigmoid(scores[self.standing.champion][0])

    def _begin_turn(self) -> None:
        self._turn.began_ms = self.as_of_ms
        for model in self.models:
            if not model.learned:
                model.begin(self.as_of_ms)

    def _sampled(self, example: Example) -> tuple[float, float]:
        """Return what is known of the score, and how much of an example this is."""
        if example.kind != "click":
            return 0.0, 1.0
        if not example.labels.clicked:
            self._keep_rate = 1.0 / example.weight
        if self.objective.name == "click":
            return -log(self._keep_rate), 1.0
        return 0.0, min(1.0, example.weight * self._keep_rate)

    def _measure(self, example: Example, y: float, scores: list[tuple[float, ...]]) -> float:
        weight = example.weight
        for model, of_model in zip(self.models, scores, strict=True):
            for metric, score in zip(model.metrics, of_model, strict=False):
                metric.count(*logarithms(score), weight, y)
        rates = self._baselines.update(
            example.item_id, example.viewer_id, example.labelled_at_ms, weight, clicked=y
        )
        for metric, rate in zip(self._rates, rates, strict=True):
            metric.update(rate, weight, happened=y)
        features = example.features
        values = {name: features.get(name) for name in self._settings.slices}
        if "surface" in values:
            values["surface"] = example.surface
        self._slices.count(values, logarithms(scores[self.standing.champion][0]), weight, y)
        return rates.constant

    def _compare(
        self,
        viewer_id: str,
        y: float,
        offset: float,
        scores: list[tuple[float, ...]],
        constant: float,
    ) -> None:
        """Note what champion, challenger and the champion of an hour ago lost on an example."""
        place, turn = self.standing.champion, self._turn
        own = _loss(scores[place][0] + offset, y)
        by_challenger = own - _loss(scores[1 - place][0] + offset, y)
        by_hour = own - _loss(scores[place][1] + offset, y)
        compared = turn.compared.get(viewer_id)
        if compared is None:
            compared = turn.compared[viewer_id] = [0.0, 0.0, 0.0]
        compared[0] += 1.0
        compared[1] += _clipped(by_challenger)
        compared[2] += _clipped(by_hour)
        self._drift.update(own - _loss(log(constant / (1.0 - constant)) + offset, y))
        if self._drift.drift_detected:
            turn.drifted = True

    def forget(self, viewer_id: str) -> None:
        """Forget what is held of a viewer: their rate, and what they say of the models."""
        held = [one.forget(viewer_id) for one in (self._baselines, self._duel, self._setback)]
        compared = self._turn.compared.pop(viewer_id, None)
        self._changed |= any(held) or compared is not None

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
        wrong = champion.judge(self._reservoir.share)
        if wrong is None:
            self._accept(ends_ms)
        else:
            self._undo(f"{self._turn.examples} examples undone at {ends_ms}: {wrong}")
        self._turn = TurnState(self._drift.snapshot())

    def _undo(self, reason: str) -> None:
        self.counts.alarms += 1
        self.counts.undone += self._turn.examples
        self.standing.alarms = [reason, reason]
        for model in self.models:
            model.undo()
        self._reservoir.undo()
        self._drift.restore(self._turn.drift)

    def _accept(self, ends_ms: int) -> None:
        champion, challenger = self.champion, self.challenger
        hour = champion.ftrl.hour
        wrong = challenger.judge(self._reservoir.share)
        champion.accept(self.as_of_ms, ends_ms)
        if wrong is None:
            challenger.accept(self.as_of_ms, ends_ms)
        else:
            self.counts.challenger_alarms += 1
            self.standing.alarms[1 - self.standing.champion] = f"undone at {ends_ms}: {wrong}"
            challenger.undo()
        fresh = self._reservoir.accept()
        for model in self.models:
            model.hold(fresh)
        self._decide(ends_ms, renewed=champion.ftrl.hour != hour)

    def _decide(self, at_ms: int, *, renewed: bool) -> None:
        self._count_duels(at_ms, renewed=renewed)
        if self._setback.decided == "challenger":
            self._roll_back(at_ms)
        elif self._duel.decided == "challenger":
            self._promote(at_ms)
        elif self._turn.drifted:
            self._follow(at_ms)
        for rounds in (self._duel, self._setback):
            if rounds.decided is not None:
                rounds.restart()

    def _count_duels(self, at_ms: int, *, renewed: bool) -> None:
        fought = not (self.champion.warming or self.challenger.warming)
        known = self.champion.hour_examples >= self._settings.warm_up_examples
        if renewed:
            self._setback.restart()
            self.standing.rolled_back = False
        for viewer, (count, by_challenger, by_hour) in self._turn.compared.items():
            if fought:
                self._duel.update(viewer, by_challenger / count, at_ms, count)
            if known and not renewed:
                self._setback.update(viewer, by_hour / count, at_ms, count)

    def _promote(self, at_ms: int) -> None:
        self.counts.promotions += 1
        proof = f"{self._duel.lead:.4f} nats less lost a viewer-block, over {self._duel.blocks}"
        former = self.standing.champion
        self.standing.champion = 1 - former
        self.standing.rolled_back = False
        self.standing.said[former] = f"replaced at {at_ms}: {proof}"
        self.standing.said[1 - former] = f"promoted at {at_ms}: {proof}"
        self._drift = LossDrift(self._settings.drift_block)
        self._begin_anew()

    def _roll_back(self, at_ms: int) -> None:
        self.counts.rollbacks += 1
        self.champion.return_to_hour()
        self.standing.rolled_back = True
        self.standing.said[self.standing.champion] = (
            f"rolled back at {at_ms} to the weights of the last full hour: they lost "
            f"{self._setback.lead:.4f} nats less a viewer-block, over {self._setback.blocks}"
        )
        self._begin_anew()

    def _follow(self, at_ms: int) -> None:
        self.counts.drifts += 1
        self.challenger.follow(self.champion)
        place = self.standing.champion
        self.standing.said[place] = f"loss drifted at {at_ms}"
        self.standing.said[1 - place] = f"began again from the champion's weights at {at_ms}"
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._duel.restart()
        self._setback.restart()
        for model in self.models:
            model.news = True

    def published(self) -> None:
        """Something was published, which is part of the state."""
        self._changed = True

    def status(self, model: Model) -> Status:
        """Return the status of one of the models."""
        if model.warming:
            return "warming"
        if model is not self.champion:
            return "challenger"
        return "rolled_back" if self.standing.rolled_back else "champion"

    def reason(self, model: Model) -> str | None:
        """Return why the status of a model is what it is, where there is something to say."""
        standing, place = self.standing, self.models.index(model)
        refused = f"{standing.refused} feature values refused" if standing.refused else None
        return standing.alarms[place] or standing.said[place] or refused

    def metrics(self, model: Model) -> ModelMetrics:
        """How well a model predicted, and how well the baselines did."""
        own, *older = (one.quality for one in model.metrics)
        rates = {
            name: one.quality for name, one in zip(RateBaselines.NAMES, self._rates, strict=True)
        }
        return ModelMetrics(
            log_loss=own.log_loss,
            auc=own.auc,
            calibration=own.calibration,
            baselines=rates | dict(zip(OWN[1:], older, strict=True)),
            slices=self._slices.qualities if model is self.champion else {},
        )

    @property
    def evidence(self) -> float:
        """What those who bet on the challenger have made of 1."""
        return self._duel.evidence

    @property
    def size(self) -> int:
        """Rows held."""
        parts = (self._baselines, self._reservoir, self._duel, self._setback, self._slices)
        return 1 + sum(len(part) for part in parts) + sum(model.size for model in self.models)

    def rows(self) -> Iterator[Row]:
        """Yield the rows that changed since the last call."""
        if not self._changed:
            return
        self._changed = False
        encode, version = model_rows.encode, model_rows.VERSION
        yield f"{self.id}/c".encode(), encode(self._head())
        for model in self.models:
            yield from model.rows()
        for name, rate in self._baselines.changed():
            yield f"{self.id}/{name}".encode(), None if rate is None else encode((version, rate))
        for name, state in self._slices.changed():
            yield f"{self.id}/s/{name}".encode(), encode((version, state))
        for slot, (held, pending) in self._reservoir.changed():
            row = encode((version, held, pending)) if held or pending else None
            yield f"{self.id}/r/{slot}".encode(), row
        for kind, rounds in (("d", self._duel), ("b", self._setback)):
            for viewer, block in rounds.changed():
                row = None if block is None else encode((version, block))
                yield f"{self.id}/{kind}/{viewer}".encode(), row

    def _head(self) -> ContestHead:
        return ContestHead(
            version=model_rows.VERSION,
            as_of_ms=self.as_of_ms,
            keep_rate=self._keep_rate,
            standing=self.standing,
            counts=self.counts,
            overall=self._baselines.overall,
            metrics=[one.snapshot() for one in self._rates],
            reservoir=self._reservoir.snapshot(),
            duel=self._duel.snapshot(),
            setback=self._setback.snapshot(),
            drift=self._drift.snapshot(),
            turn=self._turn,
        )

    def restore(self, place: int, key: str, value: bytes | None) -> None:
        """Take a row by what follows the id in its key; a later one replaces an earlier.

        Args:
            place: of the model whose id the key begins with.
        """
        kind, _, name = key.partition("/")
        if kind == "w":
            self.models[place].restore_weight(int(name), value)
        elif kind in {"i", "v"}:
            self._restored_rates.pop(key, None)
            if value is not None:
                self._restored_rates[key] = model_rows.decode_rate(value)
        elif kind == "r":
            slot = None if value is None else model_rows.decode_slot(value)
            held, pending = (None, None) if slot is None else (slot.held, slot.pending)
            self._reservoir.restore_slot(int(name), held, pending)
        elif kind == "s":
            if value is not None:
                self._slices.restore(name, model_rows.decode_slice(value))
        elif kind in {"d", "b"}:
            rounds = self._duel if kind == "d" else self._setback
            rounds.restore_block(name, None if value is None else model_rows.decode_block(value))
        elif value is not None and kind == "c":
            self._restore_head(model_rows.decode_contest(value))
        elif value is not None:
            self.models[place].restore_head(model_rows.decode_model(value))

    def _restore_head(self, head: ContestHead) -> None:
        self.as_of_ms, self._keep_rate = head.as_of_ms, head.keep_rate
        self.standing, self.counts, self._turn = head.standing, head.counts, head.turn
        self._baselines.restore(head.overall, {})
        for one, state in zip(self._rates, head.metrics, strict=True):
            one.restore(state)
        self._reservoir.restore(head.reservoir)
        self._drift.restore(head.drift)
        self._restored_duels = (head.duel, head.setback)

    def ready(self) -> None:
        """All rows are in."""
        self._baselines.restore(self._baselines.overall, self._restored_rates)
        self._restored_rates = {}
        for rounds, state in zip(
            (self._duel, self._setback), self._restored_duels or (), strict=False
        ):
            rounds.restore(state)
        held = dict(self._reservoir.held())
        for model in self.models:
            model.ready(held)


def _loss(score: float, y: float) -> float:
    """Return −y·ln p − (1 − y)·ln(1 − p) of a score, nats."""
    if not -MAX_LOGIT < score < MAX_LOGIT:
        score = MAX_LOGIT if score > 0 else -MAX_LOGIT
    return log1p(exp(score)) - y * score


def _clipped(difference: float) -> float:
    if -1.0 < difference < 1.0:
        return difference
    return 1.0 if difference > 0 else -1.0
