from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamapp.errors import ConfigurationError
from streamapp.events import Impression
from streamapp.features.segments import segment_of
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.settings import Settings
from tests.oracles.pipeline import Pipeline
from tests.unit.processors.test_viewers import acted, at, shown, watched


def impression(**fields: Any) -> Impression:
    _, event = shown("e", 0, "a", **fields)
    return msgspec.convert(event, Impression)


@pytest.mark.parametrize(
    ("by", "fields", "segment"),
    [
        ("", {"country": "kr"}, "all"),
        ("surface", {"surface": "search"}, "search"),
        ("country", {"country": "kr"}, "kr"),
        ("country", {}, "all"),
        ("experiment:new", {"experiments": {"new": "b", "old": "a"}}, "b"),
        ("experiment:new", {"experiments": {"old": "a"}}, "all"),
        ("experiment:new", {}, "all"),
    ],
)
def test_a_segment_is_what_the_setting_names_of_a_slate(
    by: str, fields: dict[str, Any], segment: str
) -> None:
    assert segment_of(impression(**fields), by) == segment


@pytest.mark.parametrize("by", ["viewer", "experiment:", "Surface"])
def test_what_decides_nothing_is_refused(by: str) -> None:
    with pytest.raises(ConfigurationError, match=f"STREAMAPP_SEGMENT_BY={by}: expected"):
        Settings.from_env({"STREAMAPP_SEGMENT_BY": by})


def test_examples_of_both_kinds_say_their_segment_and_are_keyed_by_it() -> None:
    pipeline = Pipeline(ViewersSettings(segment_by="surface"))
    slates = [shown("e1", 0, "a", surface="search"), shown("e2", 1, "i", "b")]
    pipeline.play([*slates, acted("c", 2, "a"), watched("w", 3, 1_000, state="exit")])
    pipeline.advance(at(3 * 3_600))
    keys = [key for key, _ in pipeline.emitted["training.examples"]]
    records = pipeline.records("training.examples")
    assert keys == [record["segment"] for record in records] == ["search", "home", "home", "home"]
    assert [record["kind"] for record in records] == ["click", "click", "click", "completion"]
