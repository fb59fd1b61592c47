"""The closed loop shows arms the same viewers, and nothing before its time."""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from streamapp.demo.arms import ARMS, Arm
from streamapp.simulate.drift import HOUR_MS
from tests.evaluation.closed_loop import __main__ as command
from tests.evaluation.closed_loop import runs as making
from tests.evaluation.closed_loop.loop import LAG_MS, Loop
from tests.evaluation.closed_loop.picture import Point, svg
from tests.evaluation.closed_loop.results import COMPARED, Results, Run, markdown
from tests.evaluation.closed_loop.scenario import START_MS, Scenario

SHORT = Scenario(viewers=6, items=40, hours=0.5, warm_up_hours=0.2)


class Watched(Arm):
    """An arm that checks what it is given against the time."""

    now_ms = START_MS
    newest_ms = 0
    records = 0

    def turn(self, at_ms: int) -> None:
        assert at_ms >= self.now_ms
        self.now_ms = at_ms
        super().turn(at_ms)

    def take(self, topic: str, key: bytes | str | None, value: bytes | None) -> None:
        super().take(topic, key, value)
        if topic.startswith("signals.") and value is not None:
            as_of_ms = json.loads(value)["as_of_ms"]
            assert as_of_ms <= self.now_ms - LAG_MS
            self.newest_ms = max(self.newest_ms, as_of_ms)
            self.records += 1


def outcome(name: str, drift: float = 0.6, seed: int = 1) -> Run:
    return making.run(making.Asked(SHORT, drift, seed, name))


def test_nothing_is_known_before_it_happened_and_all_of_it_a_moment_later():
    arm = Watched.named("fresh", explored=0.1, hour_ms=HOUR_MS)
    assert isinstance(arm, Watched)
    loop = Loop(SHORT, SHORT.world(1, 0.6), arm)
    result = loop.run(1)
    assert result.events > 300
    assert arm.records > 300
    assert arm.newest_ms > arm.now_ms - 120_000
    assert not loop.rejected
    assert not arm.state.rejected


def test_a_run_is_the_same_each_time_and_arms_have_the_same_visits():
    runs = [outcome(name) for name in ARMS]
    again = making.runs([making.Asked(SHORT, 0.6, 1, name) for name in ARMS], processes=2)
    assert sorted(again, key=lambda one: ARMS.index(one.arm)) == runs
    assert len({run.visits for run in runs}) == 1
    assert runs[0].visits == sum(v.at_ms >= SHORT.measured_from_ms for v in SHORT.visits(1))
    assert 0 < runs[0].clicks < runs[0].events
    assert outcome("fresh", seed=2) != runs[2]
    assert outcome("fresh", drift=0.0) != runs[2]


def made_up(drift: float, gain: float) -> Iterator[Run]:
    """Ten seeds of 100 visits: hour-old has 200 to 245 clicks, fresh `gain` more, ± 1."""
    for seed in range(10):
        base = 200 + 5 * seed
        fresh = base + round(gain) + (1 if seed % 2 else -1)
        for arm, clicks in (("popularity", 150), ("hour_old", base), ("fresh", fresh)):
            yield Run(drift, seed, arm, 100, clicks, 10_000 * clicks, 9)


def test_arms_are_compared_seed_by_seed():
    difference = Results(made_up(0.6, 20)).difference(0.6, "fresh", "hour_old", "clicks")
    half = 2.262 * (10 / 9) ** 0.5 / 100 / 10**0.5  # differences are 19 and 21 clicks
    assert difference.mean == pytest.approx(0.2)
    assert (difference.low, difference.high) == pytest.approx((0.2 - half, 0.2 + half), rel=1e-3)
    assert difference.lift == pytest.approx([d / 2.225 for d in difference[:3]])
    assert difference.decides
    nothing = Results(made_up(0.0, 0)).difference(0.0, "fresh", "hour_old", "watched_s")
    assert nothing.mean == 0.0
    assert not nothing.decides


def test_the_table_marks_what_is_decided():
    results = Results([*made_up(0.0, 0), *made_up(0.6, 20), Run(0.9, 1, "fresh", 1, 1, 1, 1)])
    assert results.drifts == [0.0, 0.6]
    lines = list(markdown(results))
    control, drifting = (line for line in lines if "fresh against hour-old" in line)
    assert control.startswith("| 0 | fresh against hour-old | +0.0 % (-0.3 to +0.3)")
    assert drifting.startswith("| 0.6 | fresh against hour-old | **+9.0 % (+8.6 to +9.3)**")
    assert "| 0.6 | 10 | hour-old | 2.23 | 22.2 s |" in lines
    assert len(lines) == (2 + 2 * len(ARMS)) + 1 + (2 + 2 * len(COMPARED))


def test_the_picture_shows_a_higher_lift_higher_up():
    points = [Point(0.0, 0.001, -0.01, 0.012), Point(0.6, 0.09, 0.07, 0.11)]
    picture = ET.fromstring(svg("Lift", [("clicks", points)]))  # noqa: S314  # our own
    one, other = (c.attrib for c in picture if c.tag.endswith("circle"))
    assert float(one["cx"]) < float(other["cx"])
    assert float(one["cy"]) > float(other["cy"])
    texts = [t.text for t in picture if t.tag.endswith("text")]
    assert {"Lift", "clicks", "0 %", "+10 %", "0.6"} <= set(texts)


def test_the_command_writes_the_runs_the_table_and_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    made = {(r.drift, r.seed, r.arm): r for r in [*made_up(0.0, 0), *made_up(0.6, 20)]}
    asked: list[tuple[float, int, str]] = []

    def run(one: making.Asked) -> Run:
        asked.append((one.drift, one.seed, one.arm))
        return made[one.drift, one.seed, one.arm]

    monkeypatch.setattr(making, "run", run)
    arguments = ["--drifts", "0,0.6", "--sweep", "", "--to", str(tmp_path)]
    assert command.main(["--seeds", "3", *arguments]) == 0
    assert not (tmp_path / command.TABLE).exists()  # too few seeds for an interval
    assert command.main(["--seeds", "5", "--go-on", *arguments]) == 0
    assert len(asked) == len(set(asked)) == 5 * 2 * 3
    said = json.loads((tmp_path / command.RUNS).read_text())
    assert [Run(*one) for one in said["runs"]] == sorted(
        (made[key] for key in asked), key=lambda r: (r.drift, r.seed, ARMS.index(r.arm))
    )
    table = (tmp_path / command.TABLE).read_text()
    assert "--seeds 5 --drifts 0,0.6" in table
    assert "fresh against hour-old" in table
    assert "fresh against hour-old" in capsys.readouterr().out
    assert (tmp_path / command.PICTURE).read_text().startswith("<svg")


def test_the_sweep_has_its_own_number_of_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[float, int]] = []

    def run(one: making.Asked) -> Run:
        asked.append((one.drift, one.seed))
        return Run(one.drift, one.seed, one.arm, 10, 20, 3_000, 99)

    monkeypatch.setattr(making, "run", run)
    arguments = ["--seeds", "3", "--drifts", "0", "--sweep-seeds", "2", "--sweep", "0.3,0.9"]
    assert command.main([*arguments, "--to", str(tmp_path)]) == 0
    expected = {(0.0, 1), (0.0, 2), (0.0, 3), (0.3, 1), (0.3, 2), (0.9, 1), (0.9, 2)}
    assert set(asked) == expected
