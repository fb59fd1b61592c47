"""What models learn from and how fast, and by which rules two of them contend."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamapp.errors import ConfigurationError
from streamapp.features.decay import DAY_MS
from streamapp.learning.duel import DuelSettings
from streamapp.learning.features import DEFAULT_SPEC
from streamapp.learning.snapshots import THRESHOLD
from streamapp.signals import FeatureSpec


@dataclass(frozen=True)
class ModelSettings:
    """Settings of one model.

    Attributes:
        spec: features; of a model that has learned, only names and crosses may change.
        alpha, beta, l1, l2: of `streamapp.learning.ftrl`.
        admission: examples after which a coordinate is held, on average; 1 is at once.
        expiry_days: days of stream time that a coordinate nobody touches is held.
    """

    spec: FeatureSpec = DEFAULT_SPEC
    alpha: float = 0.2
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 1.0
    admission: float = 3.0
    expiry_days: int = 30

    def __post_init__(self) -> None:
        if not self.alpha > 0 or min(self.beta, self.l1, self.l2) < 0:
            raise ConfigurationError("FTRL needs alpha > 0 and beta, l1, l2 ≥ 0")
        if not (self.admission >= 1 and self.expiry_days >= 1):
            raise ConfigurationError("a model needs an admission and an expiry of at least 1")


CHALLENGER = ModelSettings(alpha=0.1, l2=2.0)
"""More careful than the champion: smaller steps, and drawn towards 0 twice as much."""


@dataclass(frozen=True)
class ContestSettings:
    """Settings of a contest: the models that differ, and what they have in common.

    Attributes:
        champion, challenger: the models, as they begin.
        prior: rate of the outcome before anything is known.
        negative_keep_rate: share of the negatives that is learned from, until the first tells it.
        warm_up_examples: a model that has learned from fewer is warming, and so is one whose guard
            holds too few of either outcome to judge by (`streamapp.learning.guard`).
        half_life_examples: of the metrics; NDCG has `half_life_requests`.
        slices: features whose values have metrics of their own.
        item_half_life_ms: of the counts behind the rates.
        item_capacity: items whose rate is held, and viewers.
        threshold: changes of a weight smaller than this are withheld.
        interval_ms: turns end at multiples of this stream time, and not before they hold
            `turn_examples` examples or have lasted `turn_ms`: each costs a trial.
        reservoir_capacity: examples of each outcome held for trials.
        reservoir_one_in: one of so many replaces one that is held.
        duel: champion against challenger; its alpha is that of all duels together.
        setback: champion against its copy of an hour ago; alpha is that of each hour.
        drift_block: examples whose mean loss is one observation of `streamapp.learning.drift`.
    """

    champion: ModelSettings = field(default_factory=ModelSettings)
    challenger: ModelSettings = CHALLENGER
    prior: float = 0.03
    negative_keep_rate: float = 1.0
    warm_up_examples: int = 1_000
    half_life_examples: float = 20_000.0
    half_life_requests: float = 2_000.0
    slices: tuple[str, ...] = ("surface", "kind", "device")
    item_half_life_ms: float = 7.0 * DAY_MS
    item_capacity: int = 100_000
    threshold: float = THRESHOLD
    interval_ms: int = 1_000
    turn_examples: int = 32
    turn_ms: int = 5_000
    reservoir_capacity: int = 500
    reservoir_one_in: int = 32
    duel: DuelSettings = field(default_factory=DuelSettings)
    setback: DuelSettings = field(
        default_factory=lambda: DuelSettings(alpha=0.001, block_ms=60_000)
    )
    drift_block: int = 1_000

    def __post_init__(self) -> None:
        if not (0 < self.prior < 1 and 0 < self.negative_keep_rate <= 1):
            raise ConfigurationError(
                "a model needs a prior within (0, 1) and a negative keep rate within (0, 1]"
            )
