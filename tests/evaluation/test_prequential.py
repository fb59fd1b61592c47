"""The evaluation against plain copies, and that nothing is known before it happens."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from streamapp.learning.coordinate import sigmoid
from streamapp.learning.features import Encoder
from streamapp.learning.ftrl import FtrlLogistic
from streamapp.signals import FeatureSpec
from tests.evaluation.prequential import (
    ALPHA,
    BETA,
    COPIES,
    L1,
    L2,
    MODEL,
    Play,
    coordinates,
    foretell,
    scores,
)

SPEC = FeatureSpec(names=("viewer", "item", "taste"), crosses=(("viewer", "item"),))
HOUR = 3_600_000


def plays(count: int = 400, seed: int = 1) -> list[Play]:
    draw = Random(seed)
    found, at_ms = [], 0
    for _ in range(count):
        at_ms += draw.choice((0, 60_000, 900_000, 2 * HOUR))
        viewer, item = f"v{draw.randrange(8)}", f"i{draw.randrange(20)}"
        likes = 0.8 if viewer < "v4" else 0.2
        found.append(Play(viewer, item, at_ms, {"taste": likes}, draw.random() < likes))
    return found


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_predicts_as_the_model_did_at_the_last_boundary(name):
    of, period = plays(), COPIES[name]
    found = foretell(of, SPEC, 0.5)[name]
    for at in range(0, len(of), 13):
        boundary = of[at].at_ms // period * period
        before = [play for play in of[:at] if play.at_ms < boundary]
        then = FtrlLogistic(ALPHA, BETA, L1, L2)
        for play, indices in zip(before, coordinates(before, SPEC), strict=True):
            then.learn_indices(indices, float(play.happened))
        (indices,) = coordinates([of[at]], SPEC)
        assert found[at] == pytest.approx(then.predict_indices(indices), rel=1e-9)


def test_no_prediction_knows_its_own_outcome_or_a_later_one():
    of = plays()
    changed = [
        play if number < 200 else play._replace(happened=not play.happened)
        for number, play in enumerate(of)
    ]
    before, after = foretell(of, SPEC, 0.5), foretell(changed, SPEC, 0.5)
    for name, given in before.items():
        assert list(given[:201]) == list(after[name][:201])
        assert list(given[201:]) != list(after[name][201:])


def test_the_model_is_the_estimator_that_ships():
    of = plays()
    model, encoder = FtrlLogistic(ALPHA, BETA, L1, L2), Encoder(SPEC)
    for play, given in zip(of, foretell(of, SPEC, 0.5)[MODEL], strict=True):
        indices = encoder.indices(
            play.features, viewer=play.viewer, item=play.item, surface="", position=1
        )
        assert given == sigmoid(model.learn_indices(indices, float(play.happened)))


def test_scores_are_those_of_each_and_differences_from_the_model():
    of = plays()
    found = foretell(of, SPEC, 0.5)
    happened = np.array([play.happened for play in of])
    by_name = {score.name: score for score in scores(of, found, 50, seed=3)}
    assert set(by_name) == set(found)
    for name, given in found.items():
        loss = float(-np.log(np.where(happened, given, 1 - given)).mean())
        assert by_name[name].log_loss.value == pytest.approx(loss)
        assert by_name[name].calibration == pytest.approx(given.sum() / happened.sum())
        over = loss - by_name[MODEL].log_loss.value
        assert by_name[name].log_loss_over_model.value == pytest.approx(over, abs=1e-12)
    assert by_name["constant"].log_loss_over_model.low > 0.0
