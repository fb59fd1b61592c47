"""What a worker shows of itself: Prometheus metrics under `streamapp_`, and hooks that feed them.

Pure code counts nothing itself: the engine calls the hooks below, and what is a state rather
than an event (rows, lag, model quality) is read when Prometheus asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamapp.processors.base import Cut

COMMIT_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
FRESH_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 15, 30, 60, 300, 3600)


class Gauge(NamedTuple):
    """A state read when it is asked for, as in `Gauge("rows", {"processor": "items"}, 12)`."""

    name: str
    labels: dict[str, str]
    value: float


GAUGES = {
    "rows": "Keys held in memory, by processor.",
    "consumer_lag_records": "Committed records not yet processed, by input topic.",
    "tasks": "Partitions of this worker, by state.",
    "restore_remaining_rows": "Upper bound of the changelog rows still to be restored.",
    "stream_time_seconds": "Event time reached (the least of the running tasks), epoch seconds.",
    "model_log_loss": "Prequential log loss, by model.",
    "model_auc": "Prequential area under the ROC curve, by model.",
    "model_ndcg": "NDCG of the order a model gives the items of a request, by model.",
    "model_calibration": "Sum of predictions over sum of labels, by model.",
    "model_baseline_log_loss": "Prequential log loss of what a model has to beat, by baseline.",
    "model_examples": "Examples learnt, by model.",
    "model_champion": "1 for the model that readers score with, 0 for its challenger.",
    "model_alarms": "Turns undone by the guard before publishing, by contest.",
    "model_challenger_alarms": "Turns undone of the challenger alone, by contest.",
    "model_undone_examples": "Examples whose learning was undone, by contest.",
    "model_stalemates": "Times nothing was accepted any more and models warmed anew, by contest.",
    "model_refused_values": "Feature values out of range, by contest.",
    "model_promotions": "Challengers that became champion, by contest.",
    "model_rollbacks": "Champions that went back to weights of an hour ago, by contest.",
    "model_drifts": "Times that the champion's loss drifted, by contest.",
    "model_duel_evidence": "Capital of those who bet on the challenger, by contest.",
    "offsets_truncated": "Times that committed offsets were found beyond retention.",
    "broadcast_records": "Keys of the broadcast views, by topic.",
    "viewers_by_trust": "Viewers held, by trust.",
    "actions_by_trust": "Actions of viewers since the start, by trust before each.",
    "duplicates": "Events since the start that were dropped: their ids had come before.",
    "erased_events": "Events since the start that were dropped: their viewer had asked for it.",
    "late_impressions": "Impressions since the start that gave no example: a later event of their"
    " viewer had come before them.",
    "crowded_impressions": "Impressions since the start that gave no example: their viewer had too"
    " many slates open already.",
    "crowded_completions": "Slates since the start that gave no example of what was played: their"
    " viewer had too many that waited for one already.",
    "verdicts": "Changes of trust since the start, by the trust come to, once for each reason.",
}


class Observer:
    """Counts what happens in one worker. Safe to scrape from another thread.

    Args:
        wall_clock: epoch milliseconds.
    """

    def __init__(self, wall_clock: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.committed_at: dict[int, float] = {}
        self._wall_clock = wall_clock
        self._records = Counter(
            "streamapp_events", "Records read, by input topic.", ["topic"], registry=self.registry
        )
        self._rejected = Counter(
            "streamapp_rejected",
            "Input records rejected, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._written = Counter(
            "streamapp_written",
            "Output records committed, by topic.",
            ["topic"],
            registry=self.registry,
        )
        self._written_rows = Counter(
            "streamapp_changelog_rows",
            "Changelog rows committed, by processor.",
            ["processor"],
            registry=self.registry,
        )
        self._failed = Counter(
            "streamapp_commits_failed",
            "Transactions that failed; their task was restored.",
            registry=self.registry,
        )
        self._commit = Histogram(
            "streamapp_commit_seconds",
            "Time of one transaction.",
            buckets=COMMIT_SECONDS,
            registry=self.registry,
        )
        self._fresh = Histogram(
            "streamapp_event_to_publish_seconds",
            "From an event's occurred_at_ms to the commit of what it changed (sampled).",
            buckets=FRESH_SECONDS,
            registry=self.registry,
        )
        self._bad_broadcast = Counter(
            "streamapp_broadcast_rejected",
            "Broadcast records that could not be used, by topic.",
            ["topic"],
            registry=self.registry,
        )

    def received(self, topic: str, records: int) -> None:
        """A batch was offered to its task."""
        if records:
            self._records.labels(topic).inc(records)

    def rejected(self, reasons: dict[str, int]) -> None:
        """Records rejected since the last call, by reason."""
        for reason, count in reasons.items():
            self._rejected.labels(reason).inc(count)

    def broadcast_rejected(self, topic: str) -> None:
        """A broadcast record could not be used."""
        self._bad_broadcast.labels(topic).inc()

    def up_to_date(self, partition: int) -> None:
        """There was nothing to commit: as good as a commit, for the health."""
        self.committed_at[partition] = monotonic()

    @contextmanager
    def committing(self, partition: int, cut: Cut, samples: Iterable[int]) -> Iterator[None]:
        """Around one transaction; `samples` are event times of events in the cut."""
        began = monotonic()
        try:
            yield
        except BaseException:
            self._failed.inc()
            raise
        self.committed_at[partition] = monotonic()
        self._commit.observe(monotonic() - began)
        for topic, records in cut.outputs.items():
            self._written.labels(topic).inc(len(records))
        for processor, rows in cut.rows.items():
            self._written_rows.labels(processor).inc(len(rows))
        now_ms = self._wall_clock()
        for occurred_at_ms in samples:
            self._fresh.observe(max(now_ms - occurred_at_ms, 0) / 1000)

    def read_gauges_from(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        """Let every scrape read the state through this function."""
        self.registry.register(_Gauges(gauges))


class _Gauges(Collector):
    def __init__(self, gauges: Callable[[], Iterable[Gauge]]) -> None:
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in self._gauges():
            family = families.get(name)
            if family is None:
                family = families[name] = GaugeMetricFamily(
                    f"streamapp_{name}", GAUGES[name], labels=list(labels)
                )
            family.add_metric(list(labels.values()), value)
        return families.values()
