"""The evaluation of factors finds tastes where there are some, and only there."""

from __future__ import annotations

from random import Random

from tests import logs
from tests.evaluation.factors import Request, evaluate, main, means, requests


def tastes(count: int, *, strength: float) -> list[Request]:
    """Ten items a request; a viewer clicks those of their own half more often, by `strength`."""
    draw = Random(5)
    made = []
    for _ in range(count):
        viewer = draw.randrange(20)
        shown = draw.sample(range(40), 10)
        clicked = {
            f"i{n}": draw.random() < 0.5 + strength * (1 if n % 2 == viewer % 2 else -1)
            for n in shown
        }
        made.append(Request(f"v{viewer}", clicked))
    return made


def test_where_viewers_differ_factors_beat_popularity_and_where_not_they_do_not():
    found = means(evaluate(tastes(1_500, strength=0.4)), resamples=100, seed=1)
    assert (found["factors"] - found["popularity"]).min() > 0.05
    alike = means(evaluate(tastes(500, strength=0.0)), resamples=100, seed=1)
    assert abs(alike["factors"][0] - 0.5) < 0.03


def test_ten_plays_of_a_viewer_are_a_request_and_twice_the_same_row_is_one_play():
    rows = [
        {"user_id": f"{n % 2}", "video_id": f"{n}", "time_ms": f"{n}", "label": f"{n % 3 // 2}"}
        for n in range(24)
    ]
    found = list(requests([*rows, rows[0]], "label"))
    assert [(one.viewer, len(one.clicked)) for one in found] == [
        ("0", 10),
        ("1", 10),
        ("0", 2),
        ("1", 2),
    ]
    assert found[0].clicked["2"] is True
    assert found[0].clicked["4"] is False


def test_without_the_log_the_command_says_where_it_should_be(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(logs, "KUAIRAND", tmp_path / "away")
    assert main([]) == 2
    assert "away" in capsys.readouterr().out.replace("\n", "")
