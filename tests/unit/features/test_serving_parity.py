"""The features ingest writes are those a reader computes from the records published before.

::

    events ─▶ viewers, items ─▶ signals.viewers, signals.items, catalog.items
                    │                          │ streamapp.features.serving
                    ▼                          ▼
             training.examples ══ features ══ of the same slate

What says how eager a viewer is, and what they care for, is that of the events by brute force, too.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.events import CatalogItem
from streamapp.features.serving import features, item_features, last_clicked, viewer_features
from streamapp.features.viewer_signal import viewer_signal
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.signals import Example, ItemSignal, ViewerSignal
from tests.oracles.items import DAY, MINUTE, Event
from tests.oracles.pipeline import Pipeline
from tests.oracles.profiles import expected_profiles
from tests.oracles.serving import expected_affinities, expected_eagerness, rounding
from tests.oracles.worlds import START, worlds

CATALOG: dict[str, dict[str, Any]] = {
    "i1": {"category": "drama", "creator_id": 'c"1', "title": "Kim chi, slowly", "kind": "vod"},
    "i2": {"category": "50% \x01", "creator_id": "c2", "duration_ms": 600_000},
    "new": {"title": "Straße"},
}
RAISED_MS = START + 3_600_000
PARAMETERS = [{"name": "prior/watch_ratio", "valid_from_ms": RAISED_MS, "value": 0.8}]
SHOWN = ("i1", "i2", 'i"3', "new", "unknown")


def slate(at_ms: int, query: str | None) -> Event:
    items = [{"item_id": item, "position": at} for at, item in enumerate(SHOWN, 1)]
    served = {"item_id": "i1", "position": 9, "features": {"x": 1.5}}
    event = {
        "event_id": "slate",
        "occurred_at_ms": at_ms,
        "viewer_id": "v1",
        "request_id": "slate",
        "surface": "home",
        "device": "tv",
        "items": [*items, served],
    }
    return "events.impressions", event | ({"query": query} if query else {})


def by_the_reader(
    signal: ViewerSignal | None, items: dict[str, Any], at_ms: int, query: str | None
) -> list[dict[str, Any]]:
    catalog = {
        item_id: msgspec.convert({"item_id": item_id, **fields}, CatalogItem)
        for item_id, fields in CATALOG.items()
    }
    clicked = None if signal is None else last_clicked(signal)
    last = None if clicked is None else catalog.get(clicked)
    viewer = viewer_features(
        signal,
        at_ms,
        last_category=None if last is None else last.category,
        device="tv",
        query=query,
    )
    found = []
    for item_id in SHOWN:
        item, known = catalog.get(item_id), items.get(item_id)
        of_item = item_features(item, None if known is None else msgspec.convert(known, ItemSignal))
        found.append(features(viewer, of_item, None if item is None else item.title))
    return [*found, {"x": 1.5}]


@given(
    events=worlds(("click", "playback", "impression")),
    later_ms=st.integers(0, 9) | st.integers(29 * MINUTE, DAY) | st.integers(0, 20 * DAY),
    query=st.sampled_from((None, " ", "KIM chi", "strasse soup")),
    killed=st.booleans(),
)
def test_a_reader_computes_what_examples_say(
    events: list[Event], later_ms: int, query: str | None, killed: bool
) -> None:
    playing = Pipeline(ViewersSettings(keep_out_bots=False))
    for item_id, fields in CATALOG.items():
        playing.catalog_item(item_id, **fields)
    playing.parameter("prior/watch_ratio", RAISED_MS, 0.8)
    playing.play(events)
    at_ms = max(START, playing.viewers.stream_time_ms) + later_ms
    playing.advance(at_ms)
    signal = published(playing)
    expected = by_the_reader(signal, playing.last("signals.items"), at_ms, query)
    playing.play([slate(at_ms, query)])
    playing.parameter("prior/watch_ratio", 0, 0.1)  # known too late
    playing.parameter("prior/watch_ratio", RAISED_MS, 0.1)
    if killed:
        playing.viewers.kill()
    playing.advance(at_ms + DAY)
    given = [
        msgspec.json.decode(value, type=Example)
        for _, value in playing.emitted["training.examples"]
        if value is not None
    ]
    given = [example for example in given if example.request_id == "slate"]
    found = [example.features for example in given if example.kind == "click"]
    assert found == expected
    check_by_brute_force(found[:-1], events, at_ms)


def check_by_brute_force(found: list[dict[str, Any]], events: list[Event], at_ms: int) -> None:
    profile = expected_profiles(
        events, stream_time_ms=at_ms, catalog=CATALOG, parameters=PARAMETERS
    ).get("v1")
    eagerness = expected_eagerness(profile, at_ms)
    for item_id, features_of_one in zip(SHOWN, found, strict=True):
        expected = eagerness | expected_affinities(profile, at_ms, CATALOG.get(item_id, {}))
        of_viewer = {
            name: value
            for name, value in features_of_one.items()
            if name.startswith(("affinity", "session", "viewer"))
        }
        assert of_viewer.keys() == expected.keys()
        for name, value in expected.items():
            assert of_viewer[name] == pytest.approx(value, abs=rounding(name, value)), name


def published(playing: Pipeline) -> ViewerSignal | None:
    """Return what the viewer's signal would say now, as it comes out of JSON."""
    processor = playing.viewers.processor
    assert isinstance(processor, Viewers)
    viewer = processor._viewers.get("v1")
    if viewer is None:
        return None
    return msgspec.json.decode(viewer_signal(viewer, playing.parameters, 0), type=ViewerSignal)
