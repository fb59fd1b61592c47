from __future__ import annotations

from math import log
from random import Random

import numpy as np
import pytest

from tests.evaluation.scoring import Draws, Estimate, Shown


def shown(count: int, viewers: int, seed: int = 3) -> Shown:
    draw = Random(seed)
    return Shown(
        [draw.random() < 0.3 for _ in range(count)],
        [f"v{draw.randrange(viewers)}" for _ in range(count)],
        [draw.choice(("men", "women")) for _ in range(count)],
    )


def test_the_log_loss_of_the_data_comes_first():
    log = Draws(Shown([True, False], ["a", "b"], ["x", "x"]), 5, seed=1)
    loss = log.log_loss(np.array([0.5, 0.2]))
    assert loss[0] == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)
    assert len(loss) == 6


def test_pairs_are_of_one_kind_and_ties_count_half():
    data = shown(200, viewers=20)
    scores = [Random(n).randrange(6) for n in range(200)]
    won = pairs = 0.0
    for i in range(200):
        for j in range(200):
            if data.clicked[i] and not data.clicked[j] and data.among[i] == data.among[j]:
                pairs += 1
                won += 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
    auc = Draws(data, 3, seed=1).auc(np.array(scores, dtype=float))
    assert auc[0] == pytest.approx(won / pairs)


def test_a_draw_is_the_figure_over_the_viewers_drawn():
    data = shown(300, viewers=5)
    draws = Draws(data, 4, seed=2)
    given = np.linspace(0.1, 0.9, 300)
    times = draws._times[3]
    assert times.sum() == 5
    losses, count = 0.0, 0.0
    for clicked, viewer, p in zip(data.clicked, data.viewer, given, strict=True):
        often = times[sorted(set(data.viewer)).index(viewer)]
        losses -= often * log(p if clicked else 1.0 - p)
        count += often
    assert draws.log_loss(given)[3] == pytest.approx(losses / count)
    assert draws.auc(given)[3] == pytest.approx(repeated(data, given, times))


def repeated(data: Shown, scores: np.ndarray, times: np.ndarray) -> float:
    """AUC of a log in which each viewer's impressions are as often as the viewer was drawn."""
    names = sorted(set(data.viewer))
    chosen = [n for n, v in enumerate(data.viewer) for _ in range(int(times[names.index(v)]))]
    again = Shown(
        [data.clicked[n] for n in chosen],
        [data.viewer[n] for n in chosen],
        [data.among[n] for n in chosen],
    )
    return float(Draws(again, 1, seed=1).auc(scores[chosen])[0])


def test_of_one_viewer_alone_nothing_can_be_said_but_what_was_seen():
    data = shown(100, viewers=1)
    loss = Draws(data, 50, seed=1).log_loss(np.full(100, 0.3))
    estimate = Estimate.of(float(loss[0]), loss[1:])
    assert estimate.low == pytest.approx(estimate.high) == pytest.approx(estimate.value)


def test_the_same_seed_draws_the_same_viewers():
    first, second = (Draws(shown(100, 10), 20, seed=4).auc(np.arange(100.0)) for _ in range(2))
    assert list(first) == list(second)
