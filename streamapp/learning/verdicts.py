"""Who of a contest's two models is champion, and what proves it.

**Promotion.** The challenger becomes champion when its losses are proven smaller
(`streamapp.learning.duel`). Duels follow each other; that any of them ever promotes falsely has the
probability `duel.alpha` at most (`streamapp.learning.rounds`).

**Setback.** The champion goes back to its weights of the last full hour when these are proven
better. Each hour has a duel of its own, in which `setback.alpha` is risked: going back falsely
costs what the rest of an hour taught, and one that gets harder every hour would protect no more.

**Drift.** When the champion's loss drifts, above what a constant loses, the challenger begins again
from the champion's weights.

**Stalemate.** When nothing is accepted any more, both warm anew (`streamapp.learning.stalemate`).

Turns that are undone do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, log1p
from typing import Literal

from streamapp.learning import model_rows
from streamapp.learning.coordinate import MAX_LOGIT
from streamapp.learning.drift import LossDrift
from streamapp.learning.model import Model
from streamapp.learning.model_rows import ContestHead, Counts, Row, Standing, TurnState
from streamapp.learning.model_settings import ContestSettings
from streamapp.learning.rounds import Rounds

Status = Literal["warming", "champion", "challenger", "rolled_back"]


class Verdicts:
    """Who is champion.

    Attributes:
        models: as the settings name them; either may be champion.
        standing: who is champion, and why.
        counts: what happened.
        duel: champion against challenger.
        setback: champion against its copy of an hour ago.
        drift: of the champion's loss.
    """

    def __init__(self, models: tuple[Model, Model], settings: ContestSettings) -> None:
        self.models = models
        self.standing, self.counts = Standing(), Counts()
        self.duel, self.setback = Rounds(settings.duel), Rounds(settings.setback, spends=False)
        self.drift = LossDrift(settings.drift_block)
        self._settings = settings

    @property
    def champion(self) -> Model:
        """The model that readers score with."""
        return self.models[self.standing.champion]

    @property
    def challenger(self) -> Model:
        """The other."""
        return self.models[1 - self.standing.champion]

    def compare(
        self,
        turn: TurnState,
        viewer_id: str,
        y: float,
        offset: float,
        scores: list[tuple[float, ...]],
        constant: float,
    ) -> None:
        """Note what champion, challenger and the champion of an hour ago lost on an example.

        Args:
            turn: to note it in.
            scores: of both models, as `StagedFtrl.learn` returns them; the challenger's may lack
                those of its copies.
            constant: the rate over all examples.
        """
        place = self.standing.champion
        own = _loss(scores[place][0] + offset, y)
        by_challenger = own - _loss(scores[1 - place][0] + offset, y)
        by_hour = own - _loss(scores[place][1] + offset, y)
        compared = turn.compared.get(viewer_id)
        if compared is None:
            compared = turn.compared[viewer_id] = [0.0, 0.0, 0.0]
        compared[0] += 1.0
        compared[1] += _clipped(by_challenger)
        compared[2] += _clipped(by_hour)
        self.drift.update(own - _loss(log(constant / (1.0 - constant)) + offset, y))
        if self.drift.drift_detected:
            turn.drifted = True

    def decide(self, turn: TurnState, at_ms: int, *, renewed: bool) -> None:
        """Count what an accepted turn compared, and act on what that proves.

        Args:
            renewed: the champion's copy of an hour ago was taken anew.
        """
        self._count(turn, at_ms, renewed=renewed)
        if self.setback.decided == "challenger":
            self._roll_back(at_ms)
        elif self.duel.decided == "challenger":
            self._promote(at_ms)
        elif turn.drifted:
            self._follow(at_ms)
        for rounds in (self.duel, self.setback):
            if rounds.decided is not None:
                rounds.restart()

    def _count(self, turn: TurnState, at_ms: int, *, renewed: bool) -> None:
        fought = not (self.champion.warming or self.challenger.warming)
        known = self.champion.hour_examples >= self._settings.warm_up_examples
        if renewed:
            self.setback.restart()
            self.standing.rolled_back = False
        for viewer, (count, by_challenger, by_hour) in turn.compared.items():
            if fought:
                self.duel.update(viewer, by_challenger / count, at_ms, count)
            if known and not renewed:
                self.setback.update(viewer, by_hour / count, at_ms, count)

    def _promote(self, at_ms: int) -> None:
        self.counts.promotions += 1
        proof = f"{self.duel.lead:.4f} nats less lost a viewer-block, over {self.duel.blocks}"
        former = self.standing.champion
        self.standing.champion = 1 - former
        self.standing.rolled_back = False
        self.standing.said[former] = f"replaced at {at_ms}: {proof}"
        self.standing.said[1 - former] = f"promoted at {at_ms}: {proof}"
        self.drift = LossDrift(self._settings.drift_block)
        self._begin_anew()

    def _roll_back(self, at_ms: int) -> None:
        self.counts.rollbacks += 1
        self.champion.return_to_hour()
        self.standing.rolled_back = True
        self.standing.said[self.standing.champion] = (
            f"rolled back at {at_ms} to the weights of the last full hour: they lost "
            f"{self.setback.lead:.4f} nats less a viewer-block, over {self.setback.blocks}"
        )
        self._begin_anew()

    def _follow(self, at_ms: int) -> None:
        self.counts.drifts += 1
        self.challenger.follow(self.champion)
        place = self.standing.champion
        self.standing.said[place] = f"loss drifted at {at_ms}"
        self.standing.said[1 - place] = f"began again from the champion's weights at {at_ms}"
        self._begin_anew()

    def warm_anew(self, undone: int, since_ms: int, at_ms: int) -> None:
        """The models warm anew, after so many examples were undone."""
        self.counts.stalemates += 1
        why = f"{undone} examples undone since {since_ms}, what they were tried on is given up"
        self.standing.said = [f"warming anew at {at_ms}: {why}"] * 2
        self.standing.alarms = [None, None]
        for model in self.models:
            model.warm_anew()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.duel.restart()
        self.setback.restart()
        for model in self.models:
            model.news = True

    def forget(self, viewer_id: str) -> bool:
        """Forget what a viewer says of the models; return whether anything was held."""
        held = [one.forget(viewer_id) for one in (self.duel, self.setback)]
        return any(held)

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

    def __len__(self) -> int:
        """Rows held."""
        return len(self.duel) + len(self.setback)

    def rows(self, contest: str) -> Iterator[Row]:
        """Yield the rows of open blocks that changed since the last call."""
        for kind, rounds in (("d", self.duel), ("b", self.setback)):
            for viewer, block in rounds.changed():
                row = None if block is None else model_rows.encode((model_rows.VERSION, block))
                yield f"{contest}/{kind}/{viewer}".encode(), row

    def restore_block(self, kind: str, viewer: str, value: bytes | None) -> None:
        """Take the row of an open block; a later one replaces an earlier."""
        rounds = self.duel if kind == "d" else self.setback
        rounds.restore_block(viewer, None if value is None else model_rows.decode_block(value))

    def ready(self, head: ContestHead) -> None:
        """All blocks are in; take the rest."""
        self.standing, self.counts = head.standing, head.counts
        self.drift.restore(head.drift)
        self.duel.restore(head.duel, head.duel_number)
        self.setback.restore(head.setback, 1)


def _loss(score: float, y: float) -> float:
    """Return −y·ln p − (1 − y)·ln(1 − p) of a score, nats."""
    if not -MAX_LOGIT < score < MAX_LOGIT:
        score = MAX_LOGIT if score > 0 else -MAX_LOGIT
    return log1p(exp(score)) - y * score


def _clipped(difference: float) -> float:
    if -1.0 < difference < 1.0:
        return difference
    return 1.0 if difference > 0 else -1.0
