"""A visit is five events within 30 s. Timelines are in seconds from START."""

from __future__ import annotations

from typing import Any

import pytest

from streamapp.features.viewer import Viewer
from streamapp.features.viewer_rest import get_up, lay_to_rest
from streamapp.features.viewer_row import encode_viewer
from streamapp.features.viewer_store import REST_MS, REST_STEP_MS
from tests.oracles.pipeline import Pipeline
from tests.unit.processors.test_viewers import acted, at, shown, viewers, watched

HOUR = 3_600
REST = (REST_MS + REST_STEP_MS) // 1_000


def visit(hour: int) -> list[tuple[str, dict[str, Any]]]:
    """Return a search that is clicked, a playback to the end, one that is left, and a hide."""
    second, n = hour * HOUR, f"-{hour}"
    return [
        shown(f"s{n}", second, "a", f"b{n}", query="kim chi"),
        acted(f"c{n}", second + 5, "a", request_id=f"r-s{n}"),
        watched(f"w{n}", second + 9, 600_000, item_id="a", playback_id=f"p{n}"),
        watched(f"x{n}", second + 20, 5_000, item_id=f"b{n}", playback_id=f"q{n}"),
        acted(f"h{n}", second + 30, f"b{n}", "hide"),
    ]


def pipeline() -> Pipeline:
    made = Pipeline()
    made.catalog_item("a", kind="short", creator_id="c", category="d", status="active")
    return made


def visitor() -> Viewer:
    played = pipeline()
    played.play([event for hour in (0, 2, 3) for event in visit(hour)])
    viewer = viewers(played)._viewers.get("v")
    assert viewer is not None
    return viewer


def texts(viewer: Viewer) -> list[int]:
    profile = viewer.profile
    assert profile.seen is not None
    assert profile.creators is not None
    return [id(text) for text in [*profile.seen.happened, *profile.creators.names]]


def test_a_viewer_gets_up_as_they_were() -> None:
    viewer = visitor()
    before, shared = encode_viewer(viewer), texts(viewer)
    lay_to_rest(viewer)
    get_up(viewer)
    assert encode_viewer(viewer) == before
    assert texts(viewer) == shared


def test_so_does_one_who_has_done_nothing_yet() -> None:
    viewer = Viewer("v")
    before = encode_viewer(viewer)
    lay_to_rest(viewer)
    get_up(viewer)
    assert encode_viewer(viewer) == before


@pytest.mark.parametrize("part", ["ids", "journal", "playbacks", "profile", "recent"])
def test_a_viewer_at_rest_has_no_parts(part: str) -> None:
    viewer = visitor()
    lay_to_rest(viewer)
    with pytest.raises(AttributeError):
        getattr(viewer, part)


def rests(played: Pipeline) -> bool:
    (viewer,) = viewers(played)._viewers
    return bool(viewer.rest)


def test_a_viewer_rests_from_an_hour_after_the_last_event_to_the_next() -> None:
    #  0 visit ── 30 s last event ── 1 h: up ── 1 h 2 s: at rest ── 5 h: a duplicate ── 5 h 40 min
    played = pipeline()
    played.play(visit(0))
    played.advance(at(30 + REST_MS // 1_000))
    assert not rests(played)
    played.advance(at(30 + REST))
    assert rests(played)
    played.play([watched("w-0", 5 * HOUR, 1)])
    assert viewers(played).duplicates == 1
    assert not rests(played)
    played.advance(at(6 * HOUR + 4))
    assert rests(played)


def test_that_viewers_rest_between_visits_does_not_show() -> None:
    """Those who come back from the changelog with each visit do not rest before it."""
    rested, restored = pipeline(), pipeline()
    for hour in (0, 2, 4, 30, 32, 60):
        for played in (rested, restored):
            played.play(visit(hour))
            played.advance(at(hour * HOUR + 2_000))  # what was left has closed
            played.advance(at(hour * HOUR + 3_500))
        assert not rests(rested)
        rested.advance(at(hour * HOUR + 30 + REST))
        assert rests(rested)
        restored.viewers.kill()
    for topic in ("signals.viewers", "signals.items", "signals.queries"):
        assert rested.last(topic) == restored.last(topic), topic


def test_one_at_rest_is_erased_like_others() -> None:
    played = pipeline()
    played.play(visit(0))
    leave(played)
    played.play([("privacy.erasures", {"viewer_id": "v", "requested_at_ms": at(3 * HOUR)})])
    assert viewers(played).rows == 0
    assert played.last("signals.viewers") == {}


def test_one_at_rest_is_forgotten_like_others() -> None:
    played = pipeline()
    played.play(visit(0))
    leave(played)
    played.advance(at(32 * 24 * HOUR))
    assert viewers(played).rows == 0
    played.play(visit(32 * 24))
    assert not rests(played)


def leave(played: Pipeline) -> None:
    """Let time go on after a visit: first everything closes, then the viewer rests."""
    played.advance(at(2_000))
    played.advance(at(2 * HOUR))
    assert rests(played)
