"""What the demo has seen: counts, freshness and the newest signals, from the records themselves."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from streamapp.demo.arms import ARMS
from streamapp.demo.tally import Tally
from streamapp.signals import Example, ItemSignal, ModelVersion, RejectedRecord

ITEMS = "signals.items"
VIEWERS = "signals.viewers"
EXAMPLES = "training.examples"
VERSIONS = "models.versions"
WEIGHTS = "models.weights"
REJECTED = "events.rejected"
TOPICS = (ITEMS, VIEWERS, EXAMPLES, VERSIONS, WEIGHTS, REJECTED)

EPOCH = "/@epoch"
RATE_SECONDS = 5.0

SEGMENTS = (ARMS[-1], "all")
"""Whose model and examples are shown: the fresh arm's, or everybody's."""

Truth = Callable[[Example], float | None]
"""The probability with which the simulation had this example clicked; None if it cannot tell."""


class _Dated(msgspec.Struct):
    as_of_ms: int


class Freshness(NamedTuple):
    """Age of the newest signal, ms, over the samples taken."""

    p50: int
    p90: int
    p99: int


class Board:
    """Takes records in, and holds what the view shows of them.

    Args:
        truth: of an example, to tell how good a model could be at best.
        arms: tally of each ranking that is compared.

    Attributes:
        model: the newest version of the model of clicks that the freshest arm is ranked by, or of
            all viewers.
        sent: events sent, by topic; duplicates count, broken records do not.
        received: records by output topic.
        items: the newest signal of each item.
        viewers: of whom a signal was seen.
        weights: weights held by a reader that applied all records.
        epochs: versions of the model closed.
        age_ms: of the newest signal, when last looked at; None before the first signal.
    """

    def __init__(self, truth: Truth, arms: Mapping[str, Tally] | None = None) -> None:
        self.arms = arms or {}
        self.sent: Counter[str] = Counter()
        self.broken = 0
        self.received: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.items: dict[str, ItemSignal] = {}
        self.viewers: set[str] = set()
        self.weights: set[str] = set()
        self.weight_records = 0
        self.epochs = 0
        self.model: ModelVersion | None = None
        self.clicked = 0
        self.age_ms: int | None = None
        self._truth = truth
        self._best = (0.0, 0)
        self._newest_ms = 0
        self._ages: list[int] = []
        self._sent_at: deque[tuple[float, int]] = deque()

    def count_sent(self, topics: Sequence[str], broken: int, at: float) -> None:
        """Count a batch of events sent at this time (monotonic seconds)."""
        self.sent.update(topics)
        self.broken += broken
        self._sent_at.append((at, len(topics) + broken))

    def rate(self, at: float) -> float:
        """Events sent a second, over the last few seconds."""
        while self._sent_at and self._sent_at[0][0] < at - RATE_SECONDS:
            self._sent_at.popleft()
        if not self._sent_at:
            return 0.0
        span = max(at - self._sent_at[0][0], 1.0)
        return sum(count for _, count in self._sent_at) / span

    def take(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Take a record of one of `TOPICS`."""
        self.received[topic] += 1
        name = (key or b"").decode()
        if topic == WEIGHTS:
            self._take_weight(name, value)
        elif value is None:
            self.items.pop(name, None)
        elif topic == ITEMS:
            signal = self.items[name] = msgspec.json.decode(value, type=ItemSignal)
            self._newest_ms = max(self._newest_ms, signal.as_of_ms)
        elif topic == VIEWERS:
            self.viewers.add(name)
            self._newest_ms = max(self._newest_ms, msgspec.json.decode(value, type=_Dated).as_of_ms)
        elif topic == EXAMPLES:
            example = msgspec.json.decode(value, type=Example)
            if example.kind == "click" and example.segment in SEGMENTS:
                self._take_example(example)
        elif topic == VERSIONS:
            version = msgspec.json.decode(value, type=ModelVersion)
            if version.segment in SEGMENTS and _serves_clicks(version):
                self.model = version
        elif topic == REJECTED:
            self.rejected[msgspec.json.decode(value, type=RejectedRecord).reason] += 1

    def _take_weight(self, key: str, value: bytes | None) -> None:
        if key.endswith(EPOCH):
            self.epochs += 1
            return
        self.weight_records += 1
        if value is None:
            self.weights.discard(key)
        else:
            self.weights.add(key)

    def _take_example(self, example: Example) -> None:
        self.clicked += example.labels.clicked
        chance = self._truth(example)
        if chance is not None:
            loss, count = self._best
            likelihood = chance if example.labels.clicked else 1.0 - chance
            self._best = (loss - math.log(likelihood), count + 1)

    @property
    def best_loss(self) -> float | None:
        """Mean log loss of the simulation's own probabilities: no model can do better."""
        loss, count = self._best
        return loss / count if count else None

    def look(self, now_ms: int) -> None:
        """Take a sample of the age of the newest signal."""
        if self._newest_ms:
            self.age_ms = now_ms - self._newest_ms
            self._ages.append(self.age_ms)

    @property
    def freshness(self) -> Freshness | None:
        """Percentiles of the samples; None before the first signal."""
        if not self._ages:
            return None
        ages = sorted(self._ages)
        p50, p90, p99 = (ages[int(q * (len(ages) - 1))] for q in (0.5, 0.9, 0.99))
        return Freshness(p50, p90, p99)

    def hottest(self, count: int) -> list[ItemSignal]:
        """Return the items with the most clicks of late, the hottest first."""

        def heat(signal: ItemSignal) -> tuple[float, str]:
            clicks = signal.counters.get("clicks")
            # Decayed sums are as of each item's own time.
            age = self._newest_ms - signal.as_of_ms
            return (clicks.m30 * 2.0 ** (-age / 1_800_000) if clicks else 0.0, signal.item_id)

        return sorted(self.items.values(), key=heat, reverse=True)[:count]

    @property
    def missing(self) -> list[str]:
        """What a run that worked must have produced and this one has not."""
        produced = {
            "events": self.sent.total(),
            ITEMS: self.received[ITEMS],
            VIEWERS: self.received[VIEWERS],
            EXAMPLES: self.received[EXAMPLES],
            VERSIONS: self.received[VERSIONS],
            WEIGHTS: self.weight_records,
        }
        return [name for name, count in produced.items() if not count]


def _serves_clicks(version: ModelVersion) -> bool:
    return version.objective == "click" and version.status != "challenger"
