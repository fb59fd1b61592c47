"""What a worker shows of itself, as Prometheus reads it."""

from __future__ import annotations

import re

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamapp.errors import CommitFailed
from streamapp.metrics import GAUGES, Gauge, Observer
from streamapp.processors.base import Cut

UNITS = ("seconds", "rows", "records", "bytes")


@pytest.fixture
def observer() -> Observer:
    return Observer(lambda: 10_000)


def samples(observer: Observer) -> dict[str, float]:
    """Every sample as `name{label=value}`."""
    families = text_string_to_metric_families(generate_latest(observer.registry).decode())
    return {
        one.name + "".join(f"{{{k}={v}}}" for k, v in one.labels.items()): one.value
        for family in families
        for one in family.samples
        if not one.name.endswith("_created")
    }


def committed(observer: Observer, *event_times: int) -> None:
    cut = Cut(0, 0)
    cut.emit("signals.items", "i1", b"{}")
    cut.emit("signals.items", "i2", b"{}")
    cut.rows["items"] = [(b"i1", b"{}")]
    with observer.committing(3, cut, event_times):
        pass


def test_events_are_counted_by_topic_and_an_empty_batch_makes_no_sample(observer):
    observer.received("events.clicks", 3)
    observer.received("events.clicks", 4)
    observer.received("events.watches", 0)
    shown = samples(observer)
    assert shown["streamapp_events_total{topic=events.clicks}"] == 7
    assert not any("events.watches" in name for name in shown)


def test_rejections_are_counted_by_reason(observer):
    observer.rejected({"too_late": 2, "invalid_json": 1})
    observer.rejected({"too_late": 1})
    shown = samples(observer)
    assert shown["streamapp_rejected_total{reason=too_late}"] == 3
    assert shown["streamapp_rejected_total{reason=invalid_json}"] == 1


def test_a_commit_is_timed_and_what_it_wrote_counted(observer):
    committed(observer)
    shown = samples(observer)
    assert shown["streamapp_commit_seconds_count"] == 1
    assert shown["streamapp_written_total{topic=signals.items}"] == 2
    assert shown["streamapp_changelog_rows_total{processor=items}"] == 1
    assert 3 in observer.committed_at


def test_a_failed_commit_counts_as_such_and_as_nothing_else(observer):
    with pytest.raises(CommitFailed), observer.committing(3, Cut(0, 0), [1]):
        raise CommitFailed("fenced")
    shown = samples(observer)
    assert shown["streamapp_commits_failed_total"] == 1
    assert shown["streamapp_commit_seconds_count"] == 0
    assert shown["streamapp_event_to_publish_seconds_count"] == 0
    assert observer.committed_at == {}


def test_freshness_is_from_the_event_to_its_commit_by_the_wall_clock(observer):
    committed(observer, 9_750, 8_000)
    shown = samples(observer)
    assert shown["streamapp_event_to_publish_seconds_count"] == 2
    assert shown["streamapp_event_to_publish_seconds_sum"] == 2.25
    assert shown["streamapp_event_to_publish_seconds_bucket{le=0.3}"] == 1


def test_an_event_of_the_future_is_as_fresh_as_can_be(observer):
    committed(observer, 11_000)
    assert samples(observer)["streamapp_event_to_publish_seconds_sum"] == 0


def test_having_nothing_to_commit_is_as_good_as_a_commit(observer):
    observer.up_to_date(5)
    assert 5 in observer.committed_at
    assert samples(observer)["streamapp_commit_seconds_count"] == 0


def test_a_bad_broadcast_record_is_counted_by_topic(observer):
    observer.broadcast_rejected("catalog.items")
    assert samples(observer)["streamapp_broadcast_rejected_total{topic=catalog.items}"] == 1


def test_gauges_are_read_anew_at_every_scrape(observer):
    rows = [1.0]
    observer.read_gauges_from(lambda: [Gauge("rows", {"processor": "items"}, rows[0])])
    assert samples(observer)["streamapp_rows{processor=items}"] == 1
    rows[0] = 2.0
    assert samples(observer)["streamapp_rows{processor=items}"] == 2


def test_gauges_of_one_name_are_one_family(observer):
    observer.read_gauges_from(
        lambda: [Gauge("tasks", {"state": "running"}, 3), Gauge("tasks", {"state": "restoring"}, 1)]
    )
    text = generate_latest(observer.registry).decode()
    assert text.count("# TYPE streamapp_tasks gauge") == 1
    shown = samples(observer)
    assert shown["streamapp_tasks{state=running}"] == 3
    assert shown["streamapp_tasks{state=restoring}"] == 1


def test_every_name_says_its_unit_or_is_a_count_and_has_its_help(observer):
    observer.read_gauges_from(lambda: [Gauge(name, {}, 0.0) for name in GAUGES])
    text = generate_latest(observer.registry).decode()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        assert name.startswith("streamapp_")
        assert re.search(rf"^# HELP {name} \S.*\.$", text, re.MULTILINE), name
        if kind == "histogram":
            assert name.endswith(UNITS)


def test_registries_of_two_workers_do_not_mix():
    one, other = Observer(lambda: 0), Observer(lambda: 0)
    one.received("events.clicks", 1)
    assert "streamapp_events_total{topic=events.clicks}" not in samples(other)
