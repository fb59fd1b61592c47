"""Two real logs, replayed without Kafka: the signals and labels that their rows say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from streamapp import replay
from streamapp.settings import Settings
from tests import logs
from tests.oracles.items import differences


@pytest.fixture(scope="module")
def log() -> logs.Log:
    return logs.both()


class Replayed(NamedTuple):
    signals: dict[str, Any]
    examples: list[dict[str, Any]]
    rejected: int


def replayed(directory: Path, log: logs.Log, events: list[logs.Logged]) -> Replayed:
    source = logs.write_files(directory / "in", [*log.broadcast, *events])
    # There are no completions to learn from: what clicks teach is measured in tests/evaluation.
    settings = Settings(objectives="completion=1")
    assert replay.run(source, directory / "out", sort=False, settings=settings) == 0

    def records(topic: str) -> list[dict[str, Any]]:
        with (directory / "out" / f"{topic}.jsonl").open("rb") as file:
            return [msgspec.json.decode(line) for line in file]

    signals = {record["key"]: record["value"] for record in records("signals.items")}
    examples = [record["value"] for record in records("training.examples")]
    return Replayed(signals, examples, len(records("events.rejected")))


def test_a_replay_gives_the_same_signals_and_the_labels_of_the_log(log, tmp_path):
    found = replayed(tmp_path, log, log.events)
    assert differences(found.signals, log.expected)[:20] == []
    assert found.rejected == 0
    labels = {
        e["request_id"]: (e["item_id"], e["position"], e["propensity"], e["labels"]["clicked"])
        for e in found.examples
    }
    assert len(found.examples) == len(labels)
    assert labels == logs.expected_labels(logs.open_bandit())


def test_a_replay_of_the_shuffled_events_gives_the_same_signals(log, tmp_path):
    found = replayed(tmp_path, log, logs.shuffled(log.events, 4))
    assert differences(found.signals, log.expected)[:20] == []
    assert found.rejected == 0
