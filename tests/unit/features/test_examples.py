from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamapp.events import decode_impression
from streamapp.features.catalog import Catalog
from streamapp.features.examples import examples
from streamapp.features.slates import Slate
from streamapp.features.steps import ShownStep
from streamapp.signals import Example

START = 1_700_000_000_000


Made = tuple[Slate, list[str]]


def slate(items: list[dict[str, Any]], *, clicked: tuple[int, ...] = (), **fields: Any) -> Made:
    event = {
        "event_id": "e",
        "occurred_at_ms": START,
        "viewer_id": "v",
        "request_id": 'r"1',
        "surface": "home",
        "items": [{"position": at, **item} for at, item in enumerate(items, 1)],
        **fields,
    }
    catalog = Catalog()
    for item_id, category in (("a", "drama"), ("b", "news")):
        record = {"item_id": item_id, "category": category, "kind": "vod", "duration_ms": 5000}
        catalog.update(item_id, msgspec.json.encode(record))
    impression = decode_impression(msgspec.json.encode(event))
    said = catalog.features([slot.item_id for slot in impression.items])
    step = ShownStep(1, START, START, impression, START + 120_000, "drama", 1, 1, 0, [])
    made = Slate(b"12345678", step, [slot.item_id for slot in impression.items])
    made.clicked = clicked
    return made, said


def decoded(made: Made, keep_rate: float = 1.0) -> list[Example]:
    values = examples("v", *made, keep_rate, START + 5)
    return [msgspec.json.decode(value, type=Example, strict=True) for value in values]


def test_an_example_says_what_was_shown_where_and_what_came_of_it() -> None:
    items: list[dict[str, Any]] = [{"item_id": "a"}, {"item_id": "b", "propensity": 0.25}]
    first, second = decoded(slate(items, clicked=(1,)))
    assert (first.example_id, second.example_id) == ('r"1:1', 'r"1:2')
    assert (first.labels.clicked, second.labels.clicked) == (False, True)
    assert (first.propensity, second.propensity) == (None, 0.25)
    assert (second.request_id, second.viewer_id, second.item_id) == ('r"1', "v", "b")
    assert (second.surface, second.position, second.segment) == ("home", 2, "all")
    assert second.served_at_ms == START
    assert second.labelled_at_ms == second.as_of_ms == START + 120_000
    assert second.computed_at_ms == START + 5


def test_an_example_has_exactly_the_fields_of_the_contract() -> None:
    (value,) = examples("v", *slate([{"item_id": "a"}]), 1.0, START)
    assert set(msgspec.json.decode(value)) == set(Example.__struct_fields__)


def test_features_are_those_known_when_it_was_shown() -> None:
    items = [{"item_id": "a"}, {"item_id": "b"}, {"item_id": "unknown"}]
    known, other, unknown = decoded(slate(items, device="tv", country="KR"))
    viewer = {
        "device": "tv",
        "country": "KR",
        "last_category": "drama",
        "recent_clicks": 1,
        "recent_watches": 1,
        "recent_completes": 0,
    }
    item = {"kind": "vod", "duration_ms": 5000}
    assert known.features == viewer | item | {"category": "drama", "same_category": 1}
    assert other.features == viewer | item | {"category": "news", "same_category": 0}
    assert unknown.features == viewer


def test_features_it_was_served_with_stand_alone() -> None:
    served = {"x": 0.5, "y": "z", "new": True, "none": None}
    (example,) = decoded(slate([{"item_id": "a", "features": served}]))
    assert example.features == {"x": 0.5, "y": "z", "new": 1.0}


def test_no_features_at_all_are_an_empty_object() -> None:
    (example,) = decoded(slate([{"item_id": "a", "features": {}}]))
    assert example.features == {}


@pytest.mark.parametrize("keep_rate", [0.1, 0.5])
def test_negatives_are_kept_at_the_rate_and_weigh_its_inverse(keep_rate: float) -> None:
    made = slate([{"item_id": f"i{n}"} for n in range(500)], clicked=(3,))
    kept = decoded(made, keep_rate)
    assert [e.item_id for e in kept if e.labels.clicked] == ["i3"]
    assert {e.weight for e in kept if e.labels.clicked} == {1.0}
    assert {e.weight for e in kept if not e.labels.clicked} == {1 / keep_rate}
    assert 0.8 * keep_rate < len(kept) / 500 < 1.3 * keep_rate
    assert decoded(made, keep_rate) == kept


def test_a_keep_rate_of_zero_keeps_what_was_clicked() -> None:
    made = slate([{"item_id": "a"}, {"item_id": "b"}], clicked=(0,))
    assert [example.item_id for example in decoded(made, 0.0)] == ["a"]
