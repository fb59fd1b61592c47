"""All that a ranking layer holds, fed record by record: no I/O, no clock.

    state = State()
    state.update("signals.items", "i7", b'{"schema":1,"item_id":"i7", …}')

Whoever reads the topics feeds it, in the order of each partition: `streamapp.reader.kafka`, or a
replay. Nothing waits for anything else; each update is whole when it returns, and whoever ranks
does so between two of them, on the same thread.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from streamapp.errors import ConfigurationError, Rejection
from streamapp.features.parameters import Parameters
from streamapp.learning.features import Encoder
from streamapp.reader.copies import Copies
from streamapp.reader.factor_copy import FactorCopy
from streamapp.reader.held import HeldRecords
from streamapp.reader.items import Items
from streamapp.reader.switch import Switch
from streamapp.reader.weight_copy import WeightCopy
from streamapp.reader.weights import Weights
from streamapp.signals import ModelVersion, QuerySignal, SimilarList, TrendingList, ViewerSignal

T = TypeVar("T")

WEIGHTS = "models.weights"
FACTORS = "models.factors"
VERSIONS = "models.versions"

DEFAULT_SEGMENT = "all"
"""The segment whose models are used where a request's own has none."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a reader holds at most; of more, what was updated the longest ago is forgotten.

    Attributes:
        viewers, items, similar, queries: signals and lists held.
        new_below: an item shown less often than this is new.
    """

    viewers: int = 200_000
    items: int = 1_000_000
    similar: int = 200_000
    queries: int = 50_000
    new_below: float = 100.0


class Champion(NamedTuple):
    """A model to score with.

    Attributes:
        version: what models.versions says of it.
        epoch: of the weights in use.
        intercept, weights: of that epoch.
    """

    version: ModelVersion
    epoch: int
    intercept: float
    weights: Weights
    encoder: Encoder


class Freshness(NamedTuple):
    """How fresh a topic is.

    Attributes:
        records: taken so far, deletions among them.
        as_of_ms: newest event time seen; None before any, and of topics that have none.
        age_ms: now − as_of_ms.
        behind: committed records not yet read; None when nobody reads it here.
    """

    records: int
    as_of_ms: int | None
    age_ms: int | None
    behind: int | None = None


class State:
    """Signals, candidates, models and the catalog, as of the last record fed.

    Args:
        bounds: how much to hold.

    Attributes:
        rejected: records that could not be used, by topic.
        trouble: why the last of these could not.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        self.items = Items(bounds.items, bounds.new_below)
        self.viewers = HeldRecords(ViewerSignal, "signals.viewers", bounds.viewers)
        self.queries = HeldRecords(QuerySignal, "signals.queries", bounds.queries)
        self.similar = HeldRecords(SimilarList, "candidates.similar", bounds.similar)
        self.trending = HeldRecords(TrendingList, "candidates.trending", bounds.similar)
        self.parameters = Parameters()
        self.weights = Copies(WeightCopy)
        self.factors = Copies(FactorCopy)
        self.rejected: Counter[str] = Counter()
        self.trouble: str | None = None
        self._switch = Switch()
        self._champions: dict[str, dict[str, Champion]] = {}
        self._records: Counter[str] = Counter()
        self._newest: dict[str, int] = {}
        self._take: dict[str, Callable[[str, bytes | None], int | None]] = {
            "signals.items": self.items.update,
            "signals.viewers": self.viewers.update,
            "signals.queries": self.queries.update,
            "candidates.similar": self.similar.update,
            "candidates.trending": self.trending.update,
            "catalog.items": self.items.update_catalog,
            "control.parameters": self._update_parameter,
            VERSIONS: self._update_version,
            WEIGHTS: partial(self._update_copy, self.weights),
            FACTORS: partial(self._update_copy, self.factors),
        }

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the topics it takes, without any prefix."""
        return tuple(self._take)

    def update(self, topic: str, key: bytes | str | None, value: bytes | None) -> None:
        """Take one record; None deletes. One that cannot be used is counted and left out."""
        take = self._take.get(topic)
        if take is None or key is None:
            return
        text = key if isinstance(key, str) else key.decode(errors="replace")
        self._records[topic] += 1
        try:
            as_of_ms = take(text, value)
        except (Rejection, ConfigurationError) as error:
            self.rejected[topic] += 1
            self.trouble = f"{topic}, key {text!r}: {error}"
            return
        if as_of_ms is not None and as_of_ms > self._newest.get(topic, -1):
            self._newest[topic] = as_of_ms

    def viewer(self, viewer_id: str) -> ViewerSignal | None:
        """Return the signal of a viewer, None if there is none that can be used."""
        return self._held(self.viewers, "signals.viewers", viewer_id)

    def query(self, query: str) -> QuerySignal | None:
        """Return the signal of a normalised query."""
        return self._held(self.queries, "signals.queries", query)

    def similar_to(self, item_id: str) -> SimilarList | None:
        """Return the items most similar to one."""
        return self._held(self.similar, "candidates.similar", item_id)

    def trending_in(self, name: str) -> TrendingList | None:
        """Return a trending list: all, category:X or kind:live."""
        return self._held(self.trending, "candidates.trending", name)

    def champions(self, segment: str) -> dict[str, Champion]:
        """Return the models to score with, by objective.

        Those of the segment; for an objective it has none of, that of `DEFAULT_SEGMENT`.
        """
        general = self._champions.get(DEFAULT_SEGMENT, {})
        own = self._champions.get(segment, {})
        return general | own

    def freshness(self, now_ms: int) -> dict[str, Freshness]:
        """Return how fresh each topic is, at a time."""
        return {
            topic: Freshness(
                self._records[topic],
                newest := self._newest.get(topic),
                None if newest is None else now_ms - newest,
            )
            for topic in self._take
        }

    def newest_ms(self, topic: str) -> int | None:
        """Return the newest event time of a topic."""
        return self._newest.get(topic)

    def copies(self) -> dict[str, Copies[WeightCopy] | Copies[FactorCopy]]:
        """Return the copies that are whole or not, by topic."""
        return {WEIGHTS: self.weights, FACTORS: self.factors}

    def read_through(self, topic: str) -> None:
        """All records of a topic of models have come once more; see `Copies.read_again`."""
        self.copies()[topic].read_through()
        self._champions = self._serving()

    def gauges(self) -> dict[str, float]:
        """Return what is held, and what went wrong, for metrics."""
        closes = [copy for copies in self.copies().values() for _, copy in copies.models()]
        return {
            "items": len(self.items),
            "items_in_catalog": len(self.items.catalog),
            "viewers": len(self.viewers),
            "viewers_forgotten": self.viewers.forgotten,
            "items_forgotten": self.items.forgotten,
            "versions_applied": sum(copy.applied for copy in closes),
            "versions_torn": sum(copy.torn for copy in closes),
            "rejected": self.rejected.total(),
        }

    def _held(self, records: HeldRecords[T], topic: str, key: str) -> T | None:
        try:
            return records.get(key)
        except Rejection as rejection:
            self.rejected[topic] += 1
            self.trouble = f"{topic}, key {key!r}: {rejection}"
            return None

    def _update_parameter(self, key: str, value: bytes | None) -> None:
        self.parameters.update(key, value)

    def _update_version(self, key: str, value: bytes | None) -> int | None:
        self._switch.update(key, value)
        self._champions = self._serving()
        version = self._switch.get(key)
        return None if version is None else version.as_of_ms

    def _update_copy(
        self, copies: Copies[WeightCopy] | Copies[FactorCopy], key: str, value: bytes | None
    ) -> int | None:
        if not copies.update(key, value):
            return None
        self._champions = self._serving()
        copy = copies.get(key.partition("/")[0])
        return None if copy is None or copy.close is None else copy.close.as_of_ms

    def _epoch(self, model: str) -> int:
        copy = self.weights.get(model)
        return 0 if copy is None else copy.epoch

    def _serving(self) -> dict[str, dict[str, Champion]]:
        serving: defaultdict[str, dict[str, Champion]] = defaultdict(dict)
        for (segment, objective), version in self._switch.champions(self._epoch).items():
            copy = self.weights.get(version.model)
            if copy is not None and copy.close is not None and copy.encoder is not None:
                close = copy.close
                serving[segment][objective] = Champion(
                    version, close.epoch, close.intercept, copy.weights, copy.encoder
                )
        return dict(serving)
