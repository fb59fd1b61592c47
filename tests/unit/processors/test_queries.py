from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.processors.queries import decode_delta
from streamapp.signals import QuerySignal
from tests.oracles.items import DAY, HOUR, Event
from tests.oracles.pipeline import CUT_AT, Pipeline, compacted
from tests.oracles.queries import expected_queries, query_differences

START = 1_700_000_000_000


def at(seconds: float) -> int:
    return START + int(seconds * 1000)


def searched(event_id: str, second: float, query: str | None, *items: str, **fields: Any) -> Event:
    return "events.impressions", {
        "event_id": event_id,
        "occurred_at_ms": at(second),
        "viewer_id": "v",
        "request_id": f"r-{event_id}",
        "surface": "search",
        "query": query,
        "items": [{"item_id": item, "position": n} for n, item in enumerate(items, 1)],
    } | fields


def clicked(event_id: str, second: float, item_id: str, **fields: Any) -> Event:
    return "events.clicks", {
        "event_id": event_id,
        "occurred_at_ms": at(second),
        "viewer_id": "v",
        "item_id": item_id,
        "action": "click",
    } | fields


def totals(events: list[Event]) -> dict[str, dict[str, float]]:
    """Return what is counted by query, whatever order the events come in."""
    counted = []
    for order in (events, events[::-1]):
        pipeline = Pipeline()
        pipeline.play(order)
        rows = pipeline.last("signals.queries")
        assert query_differences(rows, expected_queries(order)) == []
        counted.append(
            {
                query: {n: c["total"] for n, c in row["counters"].items() if c["total"]}
                for query, row in rows.items()
            }
        )
    assert counted[0] == counted[1]
    return counted[0]


def test_searches_are_counted_by_their_normalised_query() -> None:
    events = [
        searched("e1", 0, "Kim  Chi", "a"),
        searched("e2", 100, "ｋｉｍ chi"),
        searched("e3", 200, " "),
        searched("e4", 300, None, "a"),
    ]
    assert totals(events) == {"kim chi": {"searches": 2, "zero_results": 1}}


def test_a_click_counts_for_the_query_of_the_search_it_names() -> None:
    search = searched("e1", 0, "kim", "a")
    named = clicked("c1", 6 * 3600, "a", request_id="r-e1", query="something else")
    too_late = clicked("c2", 6 * 3600 + 1, "a", request_id="r-e1")
    assert totals([search, named, too_late]) == {
        "kim": {"searches": 1, "clicks": 1},
        "something else": {},
    }


def test_a_click_that_names_no_request_counts_for_what_showed_its_item_last() -> None:
    first, then = searched("e1", 0, "kim", "a"), searched("e2", 100, "chi", "a")
    home = searched("e3", 200, None, "a", surface="home")
    clicks = [clicked("c1", 50, "a"), clicked("c2", 150, "a"), clicked("c3", 250, "a")]
    assert totals([first, then, home, *clicks]) == {
        "kim": {"searches": 1, "clicks": 1},
        "chi": {"searches": 1, "clicks": 1},
    }


def test_a_click_on_no_search_counts_for_the_query_it_carries_and_for_no_item() -> None:
    home = searched("e1", 0, None, "a", surface="home")
    events = [home, clicked("c1", 1, "a", query="Kim"), clicked("c2", 1, "b", query="kim")]
    assert totals(events) == {"kim": {"clicks": 2}}
    pipeline = Pipeline()
    pipeline.play(events)
    assert pipeline.last("signals.queries")["kim"]["items"] == []


def test_a_search_that_comes_after_its_click_takes_it_over() -> None:
    pipeline = Pipeline()
    pipeline.play([clicked("c1", 5, "a", query="kim")])
    pipeline.viewers.kill()
    pipeline.play([searched("e1", 0, "kim chi", "a")])
    rows = pipeline.last("signals.queries")
    assert rows["kim"]["counters"]["clicks"] == pytest.approx(
        {"total": 0, "30m": 0, "6h": 0, "7d": 0}, abs=1e-12
    )
    assert rows["kim chi"]["counters"]["clicks"]["total"] == 1
    assert rows["kim chi"]["items"][0]["clicks"] == 1


@pytest.mark.parametrize("action", ["like", "add_to_cart", "hide"])
def test_only_a_click_is_a_click(action: str) -> None:
    events = [searched("e1", 0, "kim", "a"), clicked("c", 1, "a", action=action, query="chi")]
    assert totals(events) == {"kim": {"searches": 1}}


@pytest.mark.parametrize(
    ("second", "query", "viewer", "reformulations"),
    [(60, "chi", "v", 1), (60.001, "chi", "v", 0), (5, "KIM", "v", 0), (5, "chi", "w", 0)],
)
def test_another_query_within_a_minute_reformulates_the_first(
    second: float, query: str, viewer: str, reformulations: int
) -> None:
    events = [searched("e1", 0, "kim", "a"), searched("e2", second, query, viewer_id=viewer)]
    assert totals(events)["kim"].get("reformulations", 0) == reformulations


@pytest.mark.parametrize(
    ("second", "item_id", "reformulations"),
    [(0, "a", 0), (10, "a", 0), (10, "x", 1), (20, "a", 0), (21, "a", 1), (-1, "a", 1)],
)
def test_a_search_that_was_clicked_before_the_next_is_not_given_up(
    second: float, item_id: str, reformulations: int
) -> None:
    events = [searched("e1", 0, "kim", "a"), searched("e2", 20, "chi", "b")]
    events.append(clicked("c1", second, item_id))
    assert totals(events)["kim"].get("reformulations", 0) == reformulations


def test_what_lies_between_two_searches_counts_in_whatever_order_it_comes() -> None:
    #  0 kim ── 10 kim (page 2) ── 20 chi ── 30 mool: page 2 and chi are given up
    events = [searched(f"e{n}", 10 * n, q) for n, q in enumerate(("kim", "kim", "chi", "mool"))]
    assert totals(events)["kim"]["reformulations"] == 1
    assert totals(events)["chi"]["reformulations"] == 1
    assert "reformulations" not in totals(events)["mool"]


def test_a_reformulation_counts_at_the_time_of_the_second_search() -> None:
    pipeline = Pipeline()
    pipeline.play([searched("e1", 0, "kim"), searched("e2", 60, "chi")])
    row = pipeline.last("signals.queries")["kim"]
    assert row["as_of_ms"] == at(60)
    assert row["counters"]["reformulations"] == {"total": 1, "30m": 1, "6h": 1, "7d": 1}
    assert row["counters"]["searches"]["30m"] == pytest.approx(2 ** (-1 / 30))


def test_an_item_far_down_that_is_clicked_as_often_is_the_better_answer() -> None:
    pipeline = Pipeline()
    others = [f"x{n}" for n in range(8)]
    for n in range(20):
        pipeline.play([searched(f"e{n}", n, "kim", "top", *others, "low", viewer_id=f"v{n}")])
        if n % 5 == 0:
            pipeline.play([clicked(f"t{n}", n, "top", viewer_id=f"v{n}")])
            pipeline.play([clicked(f"l{n}", n, "low", viewer_id=f"v{n}")])
    items = pipeline.last("signals.queries")["kim"]["items"]
    assert [item["item_id"] for item in items[:2]] == ["low", "top"]
    assert items[0]["clicks"] == items[1]["clicks"]
    assert items[-1]["rate"] < 0.03


def test_positions_and_prior_are_those_in_force() -> None:
    pipeline = Pipeline()
    pipeline.parameter("position_ctr/search", 0, [0.5])
    pipeline.parameter("prior/ctr", 0, 0.1)
    pipeline.play([searched("e1", 0, "kim", "a"), clicked("c1", 0, "a")])
    (item,) = pipeline.last("signals.queries")["kim"]["items"]
    assert item["rate"] == pytest.approx(0.1 * (1 + 2) / (0.5 + 2))


def test_a_query_that_is_suddenly_searched_is_hot() -> None:
    pipeline = Pipeline()
    pipeline.play([searched("e", 0, "kim")])
    assert pipeline.last("signals.queries")["kim"]["velocity"] == pytest.approx(1.0, abs=0.02)
    pipeline.play([searched(f"e{n}", 86_400 + n, "kim", viewer_id=f"v{n}") for n in range(50)])
    assert pipeline.last("signals.queries")["kim"]["velocity"] > 5


def test_a_search_that_comes_late_finds_the_click_before_it() -> None:
    events = [
        searched("e1", 0, "kim", "a"),
        clicked("c1", 10, "a"),
        searched("e2", 86_420, None, "z", viewer_id="w"),
        searched("e3", 30, "chi", "b"),
    ]
    pipeline = Pipeline()
    pipeline.play(events)
    rows = pipeline.last("signals.queries")
    assert rows["chi"]["counters"]["searches"]["total"] == 1
    assert rows["kim"]["counters"]["reformulations"]["total"] == 0


def test_a_query_nobody_searches_for_a_month_is_forgotten() -> None:
    pipeline = Pipeline()
    pipeline.play([searched("e1", 0, "kim", "a"), searched("e2", 86_400, "chi", "a")])
    pipeline.queries.kill(compacted)
    pipeline.advance(START + 30 * DAY - HOUR)
    assert set(pipeline.last("signals.queries")) == {"kim", "chi"}
    pipeline.advance(START + 30 * DAY + HOUR)
    assert set(pipeline.last("signals.queries")) == {"chi"}
    assert pipeline.emitted["signals.queries"][-1] == ("kim", None)
    assert pipeline.queries.log[-1] == (b"qkim", None)
    assert pipeline.queries.processor.rows == 1
    pipeline.queries.kill()
    assert pipeline.queries.processor.rows == 1


def test_a_query_still_searched_stays() -> None:
    pipeline = Pipeline()
    for day in range(0, 20, 5):
        pipeline.play([searched(f"e{day}", day * 86_400, "kim")])
        pipeline.queries.kill(compacted)
    assert totals_of(pipeline, "kim") == 4


def totals_of(pipeline: Pipeline, query: str) -> float:
    total: float = pipeline.last("signals.queries")[query]["counters"]["searches"]["total"]
    return total


def test_a_query_is_published_once_a_cut_and_nothing_new_writes_nothing() -> None:
    pipeline = Pipeline()
    pipeline.play([searched("e1", 0, "kim", "a"), searched("e2", 1, "kim", "a")])
    ((query, value),) = pipeline.emitted["signals.queries"]
    signal = msgspec.json.decode(value or b"", type=QuerySignal)
    assert (query, signal.query, signal.key) == ("kim", "kim", "kim")
    assert (signal.as_of_ms, signal.occurred_at_ms, signal.computed_at_ms) == (at(1), at(1), CUT_AT)
    assert pipeline.queries.cut().empty
    assert list(pipeline.queries.processor.cut(pipeline.queries.cut())) == []


def test_a_query_may_begin_with_what_the_engine_reserves() -> None:
    pipeline = Pipeline()
    pipeline.play([searched("e1", 0, "@progress", "a")])
    pipeline.queries.kill(compacted)
    assert all(not key.startswith(b"@") for key, _ in pipeline.queries.log)
    assert totals_of(pipeline, "@progress") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"deltas": {"stares": [1.0] * 4}},
        {"deltas": {"clicks": [1.0] * 3}},
        {"items": {"a": [1.0]}},
    ],
)
def test_a_delta_that_cannot_be_counted_is_refused(wrong: dict[str, Any]) -> None:
    delta = {"query": "kim", "as_of_ms": 1, "first_ms": 1, "deltas": {}, "items": {}}
    assert decode_delta(msgspec.json.encode(delta)).key == "kim"
    with pytest.raises(Rejection, match=r"no counter|array|with 1 numbers"):
        decode_delta(msgspec.json.encode(delta | wrong))


def test_the_oracle_sees_a_wrong_number() -> None:
    expected = expected_queries([searched("e1", 0, "kim", "a")])
    pipeline = Pipeline()
    pipeline.play([searched("e1", 0, "kim", "a")])
    actual = pipeline.last("signals.queries")
    assert query_differences(actual, expected) == []
    actual["kim"]["counters"]["clicks"]["6h"] += 1e-6
    actual["kim"]["items"][0]["impressions"] += 1e-6
    assert len(query_differences(actual, expected)) == 2
    assert query_differences({}, expected) == ["kim: missing"]


def test_a_viewer_who_only_looks_takes_little() -> None:
    """A journal of 30 slates of ten in 2 KB: no objects."""
    pipeline = Pipeline()
    items = [f"i{n}" for n in range(10)]
    pipeline.play([searched(f"e{n}", n, None, *items) for n in range(30)])
    journal = pipeline.viewers.processor._viewers.get("v").journal  # type: ignore[attr-defined]
    assert len(journal.shown) + len(journal.items) + len(journal.positions) == 30 * (27 + 40)
