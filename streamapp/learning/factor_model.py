"""The factor model of one segment: gather requests, predict their pairs, learn, measure, publish.

Examples of kind click are what it learns from; of those without a click a share may have been left
out, which changes nothing: of the pairs of a request a share is learned from then. Beside the
model learns a baseline, from the same pairs: item biases and places alone, the same for all
viewers.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamapp.learning.bpr import Bpr, BprSettings
from streamapp.learning.earlier_pairs import EarlierPairs, Pair
from streamapp.learning.factor_publication import THRESHOLD, FactorPublication
from streamapp.learning.factor_table import Kind, Row
from streamapp.learning.item_bias import ItemBias
from streamapp.learning.open_request import (
    Compared,
    OpenRequest,
    RecentSlots,
    compared,
    opened,
)
from streamapp.learning.pair_quality import PairQuality
from streamapp.signals import Example, ModelMetrics


@dataclass(frozen=True)
class FactorSettings(BprSettings):
    """What a factor model learns, and what is measured.

    Attributes:
        threshold: a row of which no number has moved by this much is withheld.
        warm_up_requests: a model that has learned from fewer requests is warming.
        half_life_requests: of the metrics.
    """

    threshold: float = THRESHOLD
    warm_up_requests: int = 1_000
    half_life_requests: float = 5_000.0


TABLES = ("viewer", "item", "told")
"""What there are many rows of."""


class FactorModel:
    """Learns what suits whom from the examples of one segment, in their order.

    Attributes:
        examples: taken in.
        requests: learned from.
        as_of_ms: event time of the newest example.
        published: requests the published version has learned from.
        alarms: times that staging went back to what was published.
        bpr, baseline: what learns.
        publication: what readers hold.
        open, recent, earlier, qualities: see their classes; the latter of both that learn.
        changed: small things that changed since this was cleared: "" for counts, metrics and
            publication, and "open", "recent", "places".
        dirty: ids whose rows changed, by table.
    """

    def __init__(self, model_id: str, settings: FactorSettings) -> None:
        self.id = model_id
        self.examples = 0
        self.requests = 0
        self.as_of_ms = 0
        self.published = 0
        self.alarms = 0
        self.bpr = Bpr(settings)
        self.baseline = ItemBias(
            settings.bias_rate, settings.l2, settings.early, settings.max_norm, settings.items
        )
        self.publication = FactorPublication(settings.threshold, self.bpr.viewers, self.bpr.items)
        self._settings = settings
        self.open: OpenRequest | None = None
        self.recent = RecentSlots()
        self.earlier = EarlierPairs(settings.dimensions)
        self.qualities = [PairQuality(settings.half_life_requests) for _ in range(2)]
        self.changed: set[str] = set()
        self.dirty: dict[str, set[str]] = {table: set() for table in TABLES}

    def learn(self, example: Example, stream_time_ms: int) -> None:
        """Take one label; learn from the request before, if this one is of another."""
        request = self.open
        if request is None or not request.holds(example):
            self._close()
            request = self.open = opened(example)
        request.update(example, stream_time_ms)
        self.examples += 1
        self.as_of_ms = max(self.as_of_ms, example.labelled_at_ms)
        self.changed.update(("", "open"))

    def forget(self, viewer: str) -> None:
        """Forget all that is held of a viewer; the next version deletes the row readers hold."""
        if self.open is not None and self.open.viewer == viewer:
            self.open = None
            self.changed.add("open")
        if self.earlier.forget(viewer):
            self.changed.add("")
        if self.bpr.viewers.entry(viewer) is not None:
            self.bpr.viewers.put_back(viewer, None)
            self.changed.add("")
        self.publication.erase(viewer)

    def advance(self, stream_time_ms: int) -> None:
        """Learn from the request whose labels have all come in."""
        if self.open is not None and stream_time_ms > self.open.due_ms:
            self._close()

    def _close(self) -> None:
        request, self.open = self.open, None
        if request is None:
            return
        said = compared(request, self.recent.ring)
        self.recent.update(request.slots.values())
        self.changed.update(("", "open", "recent"))
        if said is not None:
            self._learn(request, said)

    def _learn(self, request: OpenRequest, said: Compared) -> None:
        self.requests += 1
        if self.earlier.wants(request.at_ms):
            self._keep(request, said)
        own, baseline = self.qualities
        own.update(self.bpr.learn_one(request.viewer, said.preferred, said.passed))
        baseline.update(self.baseline.learn_one(said.preferred, said.passed))
        self.changed.add("places")

    def _keep(self, request: OpenRequest, said: Compared) -> None:
        """Keep the pair of the first two, for what is learned later."""
        preferred, passed = said.preferred[0], said.passed[0]
        offset = self.bpr.places.get(preferred.place) - self.bpr.places.get(passed.place)
        self.earlier.add(
            f"{request.viewer}/{request.request}",
            Pair(1, 0, request.at_ms, request.viewer, preferred.item, passed.item, offset),
        )

    def owed(self, stream_time_ms: int) -> bool:
        """Return whether something was learned before this time that is not published.

        What has the time of the last label may have more to follow, however soon a cut is taken.
        """
        passed = self.open is None or stream_time_ms > self.open.taken_ms
        return passed and self.requests > self.published

    def publish(self, stream_time_ms: int) -> list[tuple[Kind, str, Row | None]] | None:
        """Begin a version; return its changed rows (None deletes one).

        Returns:
            None when what was learned contradicts earlier pairs: it is forgotten, and readers keep
            the version they have. Where viewers were erased there is a version nevertheless, with
            their rows alone.
        """
        self.take_touched()
        self.publication.at_ms = stream_time_ms
        self.published = self.requests
        self.changed.add("")
        if self.earlier.contradicted(self.bpr.get, self.publication.table.get, self.as_of_ms):
            self.publication.undo()
            self.earlier.refuse()
            self.alarms += 1
            self.take_touched(again=False)
            if not self.publication.erased:
                return None
        else:
            self.earlier.accept()
        due = self.publication.publish()
        self.dirty["told"].update(f"{kind}/{name}" for kind, name, _ in due)
        return due

    @property
    def warming(self) -> bool:
        """True while the model has seen too little to be trusted."""
        return self.requests < self._settings.warm_up_requests

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self._settings.dimensions

    @property
    def metrics(self) -> ModelMetrics:
        """How well it told preferences, and how well biases alone did."""
        own, baseline = (one.quality for one in self.qualities)
        return ModelMetrics(
            log_loss=own.log_loss,
            auc=own.auc,
            calibration=own.calibration,
            baselines={"item_bias": baseline},
        )

    @property
    def size(self) -> int:
        """Rows held."""
        learning = self.bpr.viewers.size + self.bpr.items.size
        return 1 + learning + len(self.baseline) + len(self.publication.table)

    def take_touched(self, *, again: bool = True) -> None:
        """Note what changed, for the changelog and (`again`) for the next version."""
        for rows in (self.bpr.viewers, self.bpr.items):
            touched = rows.take_touched()
            self.dirty[rows.kind] |= touched
            if again:
                self.publication.touch(rows.kind, touched)
