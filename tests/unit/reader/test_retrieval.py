"""Candidates: from each source in turn, each item once."""

from __future__ import annotations

from typing import Any

from streamapp.reader.request import Context
from streamapp.reader.retrieval import candidates
from streamapp.reader.state import State
from tests.unit.reader.worlds import (
    NOW_MS,
    FactorAuthor,
    Sent,
    catalog_item,
    encoded,
    feed,
    item_list,
    viewer_signal,
)

SIMILAR, TRENDING = "candidates.similar", "candidates.trending"


def found(records: list[Sent], count: int = 200, viewer: str = "v1", **fields: Any) -> list[str]:
    known: dict[str, Any] = {"request_id": "r1", "at_ms": NOW_MS, "surface": "home"}
    asked = Context(**known | fields)
    return candidates(feed(State(), records), viewer, asked, count)


def test_items_like_those_of_late_come_newest_first_in_turn():
    records = [
        viewer_signal("v1", recent=[("a", "click"), ("b", "watch"), ("x", "hide"), ("a", "watch")]),
        item_list(SIMILAR, "a", "a1", "a2", "a3"),
        item_list(SIMILAR, "b", "b1", "a1", "b2"),
        item_list(SIMILAR, "x", "x1"),
    ]
    assert found(records) == ["a1", "b1", "a2", "a3", "b2"]
    assert found(records, count=2) == ["a1", "b1"]


def test_trending_items_come_from_the_categories_cared_for_most_then_from_anywhere():
    liked = {"drama": 2.0, "news": 5.0, "sport": 1.0, "music": 0.5, "horror": -3.0}
    records = [
        viewer_signal("v1", categories=liked),
        *(item_list(TRENDING, f"category:{name}", f"{name}1") for name in liked),
        item_list(TRENDING, "all", "news1", "any1"),
    ]
    assert found(records) == ["news1", "drama1", "sport1", "any1"]
    assert found(records, viewer="nobody") == ["news1", "any1"]


def test_a_query_is_answered_by_what_was_found_in_it():
    record = {
        "query": "kim chi",
        "as_of_ms": NOW_MS,
        "computed_at_ms": NOW_MS,
        "counters": {},
        "velocity": 1.0,
        "items": [
            {"item_id": item, "impressions": 9.0, "clicks": 1.0, "rate": 0.1} for item in "pq"
        ],
    }
    records = [Sent("signals.queries", "kim chi", encoded(record))]
    assert found(records, query="  Kim  CHI") == ["p", "q"]
    assert found(records) == []
    assert found(records, query="stew") == []


def test_the_nearest_items_by_factors_and_new_items_take_their_turns():
    author = FactorAuthor()
    factors = author.publish(
        {
            ("viewer", "v1"): [0.0, 1.0, 0.0],
            ("item", "far"): [0.0, -1.0, 0.0],
            ("item", "near"): [0.0, 2.0, 0.0],
            ("item", "dear"): [0.5, 1.0, 0.0],
        }
    )
    records = [*factors, catalog_item("n1"), catalog_item("n2")]
    assert found(records) == ["near", "n2", "dear", "n1", "far"]
    assert found(records, viewer="nobody") == ["n2", "n1"]
