"""What a bot does reaches nobody, from the verdict on. Timelines are in seconds from START."""

from __future__ import annotations

from typing import Any

import pytest

from streamapp.processors.viewers_settings import ViewersSettings
from tests.oracles.items import HOUR, MINUTE
from tests.oracles.pipeline import Pipeline
from tests.unit.processors.test_viewers import acted, at, examples, shown, totals, viewers, watched

VERDICT = 23
"""Of clicks 50 ms apart the 24th makes the verdict: 1.15 s."""


def burst(count: int, begin: float = 0.0, item_id: str = "x") -> list[tuple[str, dict[str, Any]]]:
    """Clicks 50 ms apart on one item."""
    return [acted(f"b{begin}-{n}", begin + 0.05 * n, item_id) for n in range(count)]


def trust(pipeline: Pipeline) -> tuple[str, list[str]]:
    signal = pipeline.last("signals.viewers")["v"]
    return signal["trust"], signal["trust_reasons"]


def test_with_the_verdict_no_click_counts_any_more() -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play(burst(40), cuts=[VERDICT - 1])
    counted = [
        signal["counters"]["clicks"]["total"] for signal in pipeline.records("signals.items")
    ]
    assert counted == [VERDICT, 0.0]
    pipeline.advance(at(3))
    reasons = ["burst", "short_intervals", "regular_intervals", "repeated_item"]
    assert trust(pipeline) == ("bot", reasons)
    assert len(pipeline.last("signals.viewers")["v"]["recent"]) == 40


def test_neither_slates_nor_searches_nor_watches_of_a_bot_count_and_they_show_in_the_signal() -> (
    None
):
    pipeline = Pipeline(ViewersSettings())
    slate = shown("e", 5, "a", "b", query="kim", surface="search")
    empty = shown("f", 6, query="chi")
    click = acted("c", 7, "a", request_id="r-e", query="kim")
    pipeline.play([*burst(24), slate, empty, click, watched("w", 8, 9_000, item_id="a")])
    pipeline.advance(at(3_000))
    assert set(pipeline.last("signals.items")) == {"x"}
    assert "activity.queries" not in pipeline.emitted
    assert "training.examples" not in pipeline.emitted
    signal = pipeline.last("signals.viewers")["v"]
    assert signal["seen"] == ["a", "b"]
    assert signal["session"]["impressions"] == 2
    assert signal["session"]["watched_ms"] == 9_000


def test_a_slate_that_is_open_when_the_verdict_falls_gives_no_examples() -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play([shown("e", 0, "a"), *burst(24, 1), acted("c", 10, "a")])
    pipeline.advance(at(3_000))
    assert examples(pipeline) == {}
    viewer = viewers(pipeline)._viewers.get("v")
    assert viewer is not None
    assert viewer.slates is None


@pytest.mark.parametrize("killed", [False, True])
def test_of_a_playback_that_was_under_way_nothing_counts_any_more(killed: bool) -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play([watched("w1", 0, 1_000), *burst(24, 1), watched("w2", 60, 60_000)])
    if killed:
        pipeline.viewers.kill()
    assert totals(pipeline, "i") == {}
    pipeline.advance(at(60) + 40 * MINUTE)
    assert totals(pipeline, "i") == {}
    # 8 h later it is a human again, and goes on with it.
    pipeline.play([watched("w3", 8 * 3_600, 90_000), acted("c", 8 * 3_600 + 1, "y")])
    pipeline.advance(at(8 * 3_600) + HOUR)
    assert trust(pipeline) == ("ok", [])
    assert totals(pipeline, "i") == {}
    assert totals(pipeline, "y") == {"clicks": 1}


def test_a_playback_that_times_out_while_its_viewer_is_a_bot_is_not_counted_as_closed() -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play([watched("w1", 0, 1_000), *burst(24, 1)])
    pipeline.advance(at(0) + 40 * MINUTE)
    assert totals(pipeline, "i") == {}
    # Nor is that taken back which was never counted.
    pipeline.play([watched("w2", 1_000, 2_000)])
    assert totals(pipeline, "i") == {}


def test_a_suspect_counts() -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play([*burst(20), shown("e", 5, "a"), watched("w", 6, 1_000)])
    pipeline.advance(at(200))
    assert trust(pipeline)[0] == "suspect"
    assert totals(pipeline, "x") == {"clicks": 20}
    assert totals(pipeline, "i")["watches"] == 1
    assert examples(pipeline) == {"a": False}


@pytest.mark.parametrize(("hours", "counts"), [(5.9, False), (6.1, True), (7.1, True)])
def test_with_time_a_bot_counts_again(hours: float, counts: bool) -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play([*burst(24), acted("c", 3_600 * hours, "y"), shown("e", 3_600 * hours + 1, "z")])
    pipeline.viewers.kill()
    pipeline.advance(at(3_600 * hours + 200))
    assert ("y" in pipeline.last("signals.items")) == counts
    assert examples(pipeline) == ({"z": False} if counts else {})


def test_after_an_erasure_nobody_remembers_a_bot() -> None:
    pipeline = Pipeline(ViewersSettings())
    erasure = ("privacy.erasures", {"viewer_id": "v", "requested_at_ms": at(10)})
    pipeline.play([*burst(24), erasure, acted("c", 11, "y")])
    pipeline.advance(at(12))
    assert trust(pipeline) == ("ok", [])
    assert totals(pipeline, "y") == {"clicks": 1}
    gauges = {tuple(labels.values()): n for _, labels, n in viewers(pipeline).labelled_gauges()[:3]}
    assert gauges == {("suspect",): 0, ("bot",): 0, ("ok",): 1}


def test_a_bot_that_is_idle_for_a_month_is_counted_no_more() -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play(burst(24))
    processor = viewers(pipeline)
    assert ("viewers_by_trust", {"trust": "bot"}, 1.0) in processor.labelled_gauges()
    pipeline.advance(at(0) + 32 * 24 * HOUR)
    assert ("viewers_by_trust", {"trust": "bot"}, 0.0) in processor.labelled_gauges()
    assert ("viewers_by_trust", {"trust": "ok"}, 0.0) in processor.labelled_gauges()


def test_who_takes_over_knows_the_bots() -> None:
    pipeline = Pipeline(ViewersSettings())
    pipeline.play(burst(24))
    pipeline.viewers.kill()
    gauges = viewers(pipeline).labelled_gauges()
    assert ("viewers_by_trust", {"trust": "bot"}, 1.0) in gauges
    pipeline.play([acted("c", 5, "y")])
    assert "y" not in pipeline.last("signals.items")


def test_only_said_a_bot_counts() -> None:
    pipeline = Pipeline(ViewersSettings(keep_out_bots=False))
    pipeline.play([*burst(40), shown("e", 5, "a")])
    pipeline.advance(at(200))
    assert trust(pipeline)[0] == "bot"
    assert totals(pipeline, "x") == {"clicks": 40}
    assert examples(pipeline) == {"a": False}
