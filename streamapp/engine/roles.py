"""The roles: what is deployed as one kind of worker, and which processors it hosts.

A processor is imported when its role is built: a worker loads only what it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamapp.engine.admission import UNLIMITED_MS, Rules
from streamapp.errors import ConfigurationError
from streamapp.features.catalog import Catalog
from streamapp.features.erasure_requests import ErasureRequests
from streamapp.features.item_signals import ItemSignals
from streamapp.features.parameters import Parameters
from streamapp.processors.base import Processor
from streamapp.settings import Settings

ERASURES = "privacy.erasures"
"""Taken however late they come: what a viewer asks for is not to be refused."""

ITEM_SIGNALS = "signals.items"


@dataclass(frozen=True, slots=True)
class Views:
    """What every task of a worker sees alike: the broadcast topics, read whole."""

    catalog: Catalog
    parameters: Parameters
    item_signals: ItemSignals
    erasures: ErasureRequests

    @classmethod
    def empty(cls) -> Views:
        """Views before anything was read."""
        return cls(Catalog(), Parameters(), ItemSignals(), ErasureRequests())

    def update(self, topic: str, key: str, value: bytes | None) -> bool:
        """Take one broadcast record; True when it changed the view in a way to be told of."""
        if topic == ITEM_SIGNALS:
            self.item_signals.update(key, value)
            return False  # looked up when an item is shown; what was looked up stays
        if topic == ERASURES:
            return self.erasures.update(key, value)
        view: Catalog | Parameters = self.catalog if topic == "catalog.items" else self.parameters
        return view.update(key, value)


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of worker.

    Attributes:
        build: makes the processors of one task.
        processors: their names, in that order; each has a changelog.
        inputs: partitioned topics, all with the same number of partitions.
        outputs: topics written besides the changelogs.
        broadcasts: topics each worker reads whole before it processes anything; which of them,
            `reads` says.
        checks_times: events enter here, and what is too late or in the future is refused. What
            was accepted once is not refused further on: the partitions it comes from keep no
            common pace, least of all while a backlog is worked off.
        turn_ms: what others wait for comes out when stream time passes a multiple of this; 0: at
            any time. Commits wait for that, up to `runner.LONGEST_WAIT` intervals: in between
            there would be rows to write only.
    """

    name: str
    processors: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    broadcasts: tuple[str, ...]
    build: Callable[[Views, Settings], Sequence[Processor]]
    checks_times: bool = False
    turn_ms: int = 0

    def reads(self, settings: Settings) -> tuple[str, ...]:
        """Return the broadcast topics that are read with these settings."""
        left_out = () if settings.item_features else (ITEM_SIGNALS,)
        return tuple(topic for topic in self.broadcasts if topic not in left_out)

    def rules(self, settings: Settings) -> Rules:
        """Return the bounds on this role's input records."""
        checked = self.checks_times
        return Rules(
            grace_ms=settings.grace_ms if checked else UNLIMITED_MS,
            in_future_ms=settings.in_future_ms if checked else UNLIMITED_MS,
            max_event_bytes=settings.max_event_bytes,
            skip=settings.skip,
            never_late=frozenset((ERASURES,)),
        )


def _ingest(views: Views, settings: Settings) -> Sequence[Processor]:
    from streamapp.processors.viewers import Viewers
    from streamapp.processors.viewers_settings import ViewersSettings

    own = ViewersSettings(
        click_window_ms=settings.click_window_ms,
        click_window_ms_by_surface=settings.click_window_ms_by_surface,
        negative_keep_rate=settings.negative_keep_rate,
        grace_ms=settings.grace_ms,
        keep_out_bots=settings.keep_out_bots,
        session_keep_rate=settings.session_keep_rate,
        segment_by=settings.segment_by,
    )
    return [Viewers(views.catalog, views.parameters, own, views.item_signals)]


def _signals(views: Views, _: Settings) -> Sequence[Processor]:
    from streamapp.processors.candidates import Candidates
    from streamapp.processors.items import Items, ItemsSettings
    from streamapp.processors.queries import Queries, QueriesSettings
    from streamapp.processors.similar import Similar, SimilarSettings

    return [
        Items(views.catalog, views.parameters, ItemsSettings()),
        Queries(views.parameters, QueriesSettings()),
        Candidates(views.catalog),
        Similar(views.catalog, SimilarSettings()),
    ]


def _learn(views: Views, settings: Settings) -> Sequence[Processor]:
    from streamapp.processors.anomalies import Anomalies, AnomaliesSettings
    from streamapp.processors.estimators import Estimators, EstimatorsSettings
    from streamapp.processors.factors import Factors, FactorsSettings
    from streamapp.processors.learner import Learner
    from streamapp.processors.learner_settings import LearnerSettings

    learner = LearnerSettings(
        negative_keep_rate=settings.negative_keep_rate,
        objectives=settings.objectives,
        suffix=settings.model_suffix,
    )
    return [
        Learner(learner, views.erasures),
        Estimators(EstimatorsSettings(interval_ms=settings.estimate_interval_ms)),
        Anomalies(AnomaliesSettings()),
        Factors(FactorsSettings(model=f"factors{settings.model_suffix}"), views.erasures),
    ]


ROLES = {
    role.name: role
    for role in (
        Role(
            name="ingest",
            processors=("viewers",),
            inputs=("events.impressions", "events.clicks", "events.watches", ERASURES),
            outputs=(
                "activity.items",
                "activity.queries",
                "activity.pairs",
                "activity.sessions",
                "signals.viewers",
                "training.examples",
                "events.rejected",
            ),
            broadcasts=("catalog.items", "control.parameters", ITEM_SIGNALS),
            build=_ingest,
            checks_times=True,
        ),
        Role(
            name="signals",
            processors=("items", "queries", "candidates", "similar"),
            inputs=("activity.items", "activity.queries", "activity.trending", "activity.pairs"),
            outputs=(
                "signals.items",
                "signals.queries",
                "activity.trending",
                "candidates.trending",
                "activity.pairs",
                "candidates.similar",
                "events.rejected",
            ),
            broadcasts=("catalog.items", "control.parameters"),
            build=_signals,
        ),
        Role(
            name="learn",
            processors=("learner", "estimators", "anomalies", "factors"),
            inputs=("training.examples", "activity.sessions"),
            outputs=(
                "models.versions",
                "models.weights",
                "models.factors",
                "control.parameters",
                "events.rejected",
            ),
            broadcasts=(ERASURES,),
            build=_learn,
            turn_ms=1_000,
        ),
    )
}


def role(name: str) -> Role:
    """Return a role by name.

    Raises:
        ConfigurationError: there is no such role.
    """
    if name not in ROLES:
        raise ConfigurationError(f"unknown role {name!r}; choose one of {', '.join(ROLES)}")
    return ROLES[name]
