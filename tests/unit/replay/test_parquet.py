"""The Parquet file says what training.examples of the same replay say."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from streamapp import replay
from streamapp.cli import main
from streamapp.errors import ConfigurationError
from streamapp.features.serving import TYPES
from streamapp.replay.parquet import FEATURE, NAME
from streamapp.replay.report import Report
from streamapp.settings import Settings
from streamapp.simulate import World, catalog, traffic

SERVED = {"ctr": "high", "recent_clicks": 1.5, "kind": "vod", "own": 0.5, "text": "x", "new": True}


def source(directory: Path) -> Path:
    """Write half an hour of traffic, some of it served with features of its own."""
    world = World(seed=3, viewers=20, items=20)
    sent = [
        *catalog(world, 0),
        *islice(traffic(world, start_ms=1_700_000_000_000, rate=1.0, seed=4), 800),
    ]
    directory.mkdir()
    files: dict[str, list[str]] = {}
    for number, one in enumerate(sent):
        event = dict(one.event)
        if one.topic == "events.impressions" and number % 7 == 0:
            event["items"] = [slot | {"features": SERVED} for slot in event["items"]]
        files.setdefault(one.topic, []).append(json.dumps(event) + "\n")
    for topic, lines in files.items():
        (directory / f"{topic}.jsonl").write_text("".join(lines))
    return directory


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("replay")
    events = source(directory / "in")
    settings = Settings(negative_keep_rate=0.7, segment_by="surface")
    examples = directory / "examples"
    replay.run(events, directory / "out", sort=False, settings=settings, examples=examples)
    return directory


def as_record(row: dict[str, Any]) -> dict[str, Any]:
    """Put a row together again as the record it was made of."""
    given = {name: value for name, value in row.items() if value is not None}
    features = {name: given.pop(FEATURE + name) for name in TYPES if FEATURE + name in given}
    features |= dict(given.pop("other_numbers")) | dict(given.pop("other_texts"))
    labels = {
        name: given.pop(name)
        for name in ("clicked", "actions", "watched_ms", "completed", "watched_share")
        if name in given
    }
    return given | {"features": features, "labels": labels}


def without_unknown(record: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if value is not None}
    labels = {name: value for name, value in record["labels"].items() if value is not None}
    left_out = ("schema", "computed_at_ms")
    kept = {name: value for name, value in kept.items() if name not in left_out}
    return kept | {"labels": {"actions": []} | labels}


def test_the_rows_are_the_records_that_the_same_replay_writes(replayed):
    lines = (replayed / "out" / "training.examples.jsonl").read_text().splitlines()
    records = [without_unknown(json.loads(line)["value"]) for line in lines]
    rows = pq.read_table(replayed / "examples" / NAME).to_pylist()
    assert [as_record(row) for row in rows] == records
    assert len(rows) > 300
    assert {row["kind"] for row in rows} == {"click", "completion"}
    assert len({row["segment"] for row in rows}) > 1


def test_every_declared_feature_is_a_column_of_its_type_and_the_others_are_in_maps(replayed):
    table = pq.read_table(replayed / "examples" / NAME)
    arrow = {int: "int64", float: "double", str: "string"}
    assert {name: str(table.schema.field(FEATURE + name).type) for name in TYPES} == {
        name: arrow[kind] for name, kind in TYPES.items()
    }
    (served, *_) = [row for row in table.to_pylist() if dict(row["other_numbers"])]
    assert dict(served["other_numbers"]) == {"recent_clicks": 1.5, "own": 0.5, "new": 1.0}
    assert dict(served["other_texts"]) == {"ctr": "high", "text": "x"}
    assert (served["feature_kind"], served["feature_ctr"]) == ("vod", None)
    known = {name for name in TYPES if any(table.column(FEATURE + name).to_pylist())}
    assert {"ctr", "coec", "velocity", "affinity_category", "query_match", "category"} <= known


def test_a_replay_can_write_examples_alone(replayed, tmp_path, capsys):
    assert main(["replay", "--from", str(replayed / "in"), "--examples", str(tmp_path / "a")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert "training.examples" in capsys.readouterr().out


def test_a_directory_that_holds_something_is_left_alone(replayed, tmp_path):
    (tmp_path / "other").touch()
    with pytest.raises(ConfigurationError, match="no empty directory"):
        replay.run(replayed / "in", None, sort=False, settings=Settings(), examples=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_failure_leaves_no_file(replayed, tmp_path, monkeypatch):
    def fail(_: Report) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Report, "tick", fail)
    with pytest.raises(ConfigurationError, match="full"):
        replay.run(replayed / "in", None, sort=False, settings=Settings(), examples=tmp_path / "x")
    assert list((tmp_path / "x").iterdir()) == []


@pytest.mark.parametrize("known", [True, False])
def test_what_items_did_up_to_a_step_is_known_in_the_next_unless_told_not_to(tmp_path, known):
    (tmp_path / "in").mkdir()
    slot = [{"item_id": "i1", "position": 1}]
    slates = [
        {"event_id": f"e{second}", "occurred_at_ms": 1_700_000_000_000 + 1_000 * second}
        | {"viewer_id": "v", "request_id": f"r{second}", "surface": "home", "items": slot}
        for second in (0, 1)
    ]
    lines = "".join(json.dumps(slate) + "\n" for slate in slates)
    (tmp_path / "in" / "events.impressions.jsonl").write_text(lines)
    settings = Settings(item_features=known)
    replay.run(tmp_path / "in", None, sort=False, settings=settings, examples=tmp_path / "x")
    first, second = pq.read_table(tmp_path / "x" / NAME).column("feature_ctr").to_pylist()
    assert (first, second) == (None, 0.0286 if known else None)  # 20 · 0.03 / 21
