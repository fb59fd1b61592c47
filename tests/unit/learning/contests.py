"""Contests to teach in tests, without a processor around them."""

from __future__ import annotations

from collections.abc import Iterable

from streamapp.learning.contest import Contest
from streamapp.learning.coordinate import sigmoid
from streamapp.learning.encoding import PairEncoder
from streamapp.learning.model_settings import ContestSettings
from streamapp.learning.objectives import OBJECTIVES
from streamapp.signals import Example, ModelMetrics


class Taught:
    """A contest that is given examples as they are."""

    def __init__(
        self,
        settings: ContestSettings | None = None,
        objective: str = "click",
        rows: dict[bytes, bytes] | None = None,
    ) -> None:
        settings = settings or ContestSettings()
        self.contest = Contest("click-all", "all", OBJECTIVES[objective], settings)
        self.encoder = PairEncoder(settings.champion.spec, settings.challenger.spec)
        for key, value in (rows or {}).items():
            model_id, _, rest = key.decode().partition("/")
            self.contest.restore(int(model_id.endswith(".b")), rest, value)
        self.contest.ready()

    def learn(self, example: Example) -> float:
        """Let stream time pass, then learn; return what the champion predicted."""
        self.contest.advance(example.labelled_at_ms // 1_000 * 1_000)
        before = self.encoder.refused
        coordinates = self.encoder.encode(example)
        refused = self.encoder.refused - before
        outcome = self.contest.objective.outcome(example)
        assert outcome is not None
        return self.contest.learn(example, outcome, coordinates, refused)

    def learn_all(self, examples: Iterable[Example]) -> None:
        """Learn from all."""
        for example in examples:
            self.learn(example)

    def predict(self, example: Example) -> float:
        """Return the champion's probability, as of what was learned."""
        contest = self.contest
        indices = self.encoder.encode(example)[contest.standing.champion]
        return sigmoid(contest.champion.ftrl.predict(indices))

    def accepted(self, example: Example) -> float:
        """Return the champion's probability, as of what was accepted."""
        contest = self.contest
        ftrl = contest.champion.ftrl
        indices = self.encoder.encode(example)[contest.standing.champion]
        return sigmoid(ftrl.accepted_intercept + sum(map(ftrl.accepted, indices)))

    @property
    def metrics(self) -> ModelMetrics:
        """The champion's."""
        return self.contest.metrics(self.contest.champion)

    def rows(self, into: dict[bytes, bytes]) -> None:
        """Take rows as a changelog does."""
        for key, value in self.contest.rows():
            into.pop(key, None)
            if value is not None:
                into[key] = value
