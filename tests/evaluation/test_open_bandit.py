"""The evaluation itself: on part of the real logs, and where the answer is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tests import logs
from tests.evaluation.open_bandit import (
    PRIOR,
    SPEC,
    Row,
    evaluate,
    learn,
    main,
    plays,
    predictions,
)
from tests.evaluation.prequential import MODEL, foretell, scores

BEGIN = datetime(2019, 11, 24, tzinfo=UTC)


def test_the_clicks_of_a_week_do_not_tell_corrected_rates_from_raw_ones():
    rows = [row for row in logs.open_bandit() if row["id"].startswith("random-men")]
    found = evaluate(rows, share=0.5, resamples=200, seed=1)
    assert found.learnt_from[0] + found.foretold[0] == 10_000
    assert found.learnt_from[1] + found.foretold[1] == 46
    assert list(found.places) == ["men"]
    assert all(0.0 < place < 0.02 for place in found.places["men"])
    (corrected,) = [score for score in found.scores if score.name == "corrected"]
    assert not corrected.log_loss_over_raw.decides
    assert not corrected.auc_over_raw.decides


def test_the_learner_runs_on_both_policies_and_stays_calibrated_but_207_clicks_decide_little():
    slots = plays(logs.open_bandit())
    assert (len(slots), sum(slot.happened for slot in slots)) == (40_000, 207)
    found = {
        score.name: score for score in scores(slots, foretell(slots, SPEC, PRIOR), 200, seed=1)
    }
    assert found[MODEL].calibration == pytest.approx(1.0, abs=0.1)
    assert not found["constant"].log_loss_over_model.decides
    assert not found["hour_old"].log_loss_over_model.decides


EXAMINED = (1.0, 0.5, 0.2)
APPEAL = {0: 0.1, 1: 0.15, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5}


def biased(count: int) -> list[Row]:
    """A log whose first half mostly has what is liked best in the last place."""
    draw, rows = Random(5), []
    for number in range(count):
        item = draw.randrange(6)
        usual, propensity = item // 2 + 1, 1 / 3
        position = draw.randint(1, 3)
        if number < count / 2:
            position = usual if draw.random() < 0.7 else position
            propensity = 0.8 if position == usual else 0.1
        at = BEGIN + timedelta(seconds=20 * number)
        rows.append(
            {
                "id": f"{number}",
                "campaign": "men",
                "timestamp": at.isoformat(timespec="microseconds"),
                "item_id": f"{item}",
                "position": f"{position}",
                "propensity_score": f"{propensity}",
                "click": f"{int(draw.random() < EXAMINED[position - 1] * APPEAL[item])}",
                **{f"user_feature_{n}": f"{draw.randrange(4)}" for n in range(4)},
            }
        )
    return rows


def test_where_the_place_decides_corrected_rates_foretell_better_than_raw_ones():
    found = evaluate(biased(6_000), share=0.5, resamples=200, seed=1)
    scores = {score.name: score for score in found.scores}
    for name in ("corrected", "coec"):
        gained = scores[f"{name} and place"]
        assert gained.log_loss_over_raw.high < 0.0, gained
        assert gained.auc_over_raw.low > 0.0, gained
        assert scores[name].auc_over_raw.low > 0.0, scores[name]


def test_the_same_seed_gives_the_same_figures():
    first, second = (evaluate(biased(600), share=0.5, resamples=50, seed=2) for _ in range(2))
    assert first == second


def test_an_item_never_seen_before_is_foretold_the_prior():
    rows = biased(500)
    learnt = learn(rows[:400])
    unseen = {**rows[-1], "item_id": "99"}
    found = predictions(learnt, [unseen])
    for name in ("constant", "raw", "corrected", "coec"):
        assert found[name] == [pytest.approx(learnt.prior)]


def test_without_the_logs_the_command_says_where_they_should_be(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(logs, "OPEN_BANDIT", tmp_path / "away")
    assert main([]) == 2
    assert "away" in capsys.readouterr().out.replace("\n", "")
