"""Our arithmetic is that of Vowpal Wabbit; skipped where its wheel or the log is not installed."""

from __future__ import annotations

import pytest

from tests import logs
from tests.evaluation.kuairand import OUTCOMES
from tests.evaluation.vowpal import PYTHON, SETTINGS, compare, examples_of, main


@pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON}, which `make bench` makes, with VW")
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_log_loss_is_within_1_percent_of_vowpal_wabbits(outcome, settings):
    found = compare(examples_of(outcome), settings, PYTHON)
    assert found.ratio == pytest.approx(1.0, abs=0.01)
    assert found.furthest < 0.05
    if settings.l1 == settings.l2 == 0.0:  # nothing differs but the width of a number
        assert found.furthest < 1e-3


@pytest.mark.parametrize("missing", ["log", "wheel"])
def test_without_the_log_or_the_wheel_the_command_says_what_is_missing(
    monkeypatch, capsys, tmp_path, missing
):
    there = tmp_path / "there"
    there.touch()
    monkeypatch.setattr(logs, "KUAIRAND", tmp_path / "away" if missing == "log" else there)
    python = there if missing == "log" else tmp_path / "away"
    assert main(["--python", str(python)]) == 2
    assert "away" in capsys.readouterr().out.replace("\n", "")
