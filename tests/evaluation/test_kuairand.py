"""On the real log the learner beats all baselines; and what it is told was known before."""

from __future__ import annotations

import pytest

from tests import logs
from tests.evaluation.kuairand import OUTCOMES, PRIOR, SPEC, Row, in_order, main, plays
from tests.evaluation.prequential import MODEL, foretell, scores


def row(user: str, video: str, at_ms: int, **fields: str) -> Row:
    known = {"user_id": user, "video_id": video, "time_ms": str(at_ms)}
    outcome = {"label": "1", "play_time_ms": "9000", "duration_ms": "10000"}
    return {**known, **outcome, **fields}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_on_real_plays_the_learner_beats_every_baseline_beyond_doubt(outcome):
    of = list(plays(in_order(logs.kuairand()), outcome))
    found = {score.name: score for score in scores(of, foretell(of, SPEC, PRIOR), 100, seed=1)}
    assert len(of) == {"completion": 16_490, "like": 20_366}[outcome]
    assert found[MODEL].calibration == pytest.approx(1.0, abs=0.02)
    others = [score for name, score in found.items() if name != MODEL]
    assert len(others) == 6
    for score in others:
        assert score.log_loss_over_model.low > 0.0, score
        assert score.auc_over_model.high < 0.0, score


def test_a_play_is_told_what_was_before_it_only():
    rows = in_order(
        [row("a", "x", 1), row("a", "x", 3, label="0"), row("a", "x", 2), row("b", "x", 4)]
    )
    first, second, third, fourth = plays(rows, "like")
    assert first.features["last_like"] == ""
    assert first.features["viewer_like_odds"] == 1.0
    assert second.features["last_like"] == "1"
    assert third.features["last_like"] == "11"
    assert fourth.features["last_like"] == ""
    # Of 3 before, 2 were liked: (2 + 20·c)/(3 + 20), c = (2 + 20·0.5)/(3 + 20).
    odds = (2 + 20 * 12 / 23) / (3 + 20 - 2 - 20 * 12 / 23)
    assert fourth.features["item_like_odds"] == pytest.approx(odds, rel=1e-6)
    assert [play.happened for play in (first, second, third)] == [True, True, False]


def test_rows_sent_twice_count_once_and_plays_of_unknown_duration_have_no_completion():
    rows = in_order([row("a", "x", 2, duration_ms="0"), row("a", "x", 1), row("a", "x", 1)])
    assert [play.happened for play in plays(rows, "like")] == [True, True]
    assert [play.happened for play in plays(rows, "completion")] == [False]


def test_without_the_log_the_command_says_where_it_should_be(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(logs, "KUAIRAND", tmp_path / "away")
    assert main([]) == 2
    assert "away" in capsys.readouterr().out.replace("\n", "")
