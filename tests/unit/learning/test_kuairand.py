"""The click model on a real log in time order: plays of short videos that were liked or hated.

KuaiRand (Kuaishou, CC BY-SA 4.0). CI has it at the place below; elsewhere the test is skipped.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamapp.learning.model_settings import ContestSettings
from streamapp.signals import Example
from tests.unit.learning.contests import Taught
from tests.unit.learning.examples import example

LOG = Path(__file__).parents[3].parent / "shared/data/kuairand/interactions.tsv.gz"

pytestmark = pytest.mark.skipif(
    not LOG.exists(), reason=f"the KuaiRand log is not at {LOG}; CI has it"
)


def plays(column: str) -> Iterator[Example]:
    """Yield the plays in time order; a play with 1 in the column counts as a click."""
    with gzip.open(LOG, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    rows.sort(key=lambda row: (int(row["time_ms"]), row["user_id"], row["video_id"]))
    for number, row in enumerate(rows):
        yield example(
            int(row["time_ms"]),
            example_id=f"{number}:1",
            clicked=row[column] == "1",
            viewer_id=row["user_id"],
            item_id=row["video_id"],
            features={"duration_ms": float(row["duration_ms"])},
        )


@pytest.mark.parametrize("column", ["label", "long_view"])
def test_on_real_plays_it_beats_the_item_rate_and_the_constant(column):
    model = Taught(ContestSettings(prior=0.5, half_life_examples=math.inf))
    model.learn_all(plays(column))
    assert model.contest.champion.learned == 20_440
    assert model.contest.counts.alarms == 0
    metrics = model.metrics
    assert metrics.log_loss is not None
    assert metrics.auc is not None
    for name in ("constant", "item_rate"):
        baseline = metrics.baselines[name]
        assert baseline.log_loss is not None
        assert baseline.auc is not None
        assert metrics.log_loss < baseline.log_loss - 0.03
        assert metrics.auc > baseline.auc + 0.02
    assert metrics.calibration == pytest.approx(1.0, abs=0.02)
