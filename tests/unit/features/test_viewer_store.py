"""A viewer whose row is long: it is cut into pieces that brokers take, and bounded in all."""

from __future__ import annotations

from typing import Any

import pytest

from streamapp.features import dedupe, journal, playbacks
from streamapp.features.dedupe import EventIds
from streamapp.features.digest import digest
from streamapp.features.item_names import packed
from streamapp.features.journal import Journal, Slots, request_tag
from streamapp.features.playbacks import Playback, Playbacks, playback_key
from streamapp.features.viewer_row import encode_viewer
from streamapp.features.viewer_store import MOST_STEPS, PIECE
from tests.oracles.pipeline import Compact, Pipeline, compacted, half_compacted, whole
from tests.unit.processors.test_viewers import at, shown, viewers, watched

DAY = 24 * 3_600
PLAYED = 4_000


def played(first: int, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return playbacks that one heartbeat begins and ends, one in 10 s."""
    return [
        watched(f"e{n}", n * 10, 600_000, item_id=f"i{n % 7}", playback_id=f"p{n}")
        for n in range(first, first + count)
    ]


def busy() -> Pipeline:
    pipeline = Pipeline()
    events = played(0, PLAYED)
    pipeline.play(events, cuts=range(100, PLAYED, 100))
    return pipeline


def row_of(pipeline: Pipeline) -> bytes:
    viewer = viewers(pipeline)._viewers.get("v")
    assert viewer is not None
    viewer.published_ms, viewer.owed = 0, False  # not exact after a restore
    viewer.steps = 0  # nor is this
    return encode_viewer(viewer)


def kinds(pipeline: Pipeline) -> set[bytes]:
    """Return the first bytes of the keys that are in the changelog and not deleted."""
    return {key[:1] for key, value in dict(pipeline.viewers.log).items() if value is not None}


@pytest.mark.parametrize("compact", [whole, compacted, half_compacted])
def test_a_long_row_comes_back_from_its_pieces(compact: Compact) -> None:
    pipeline = busy()
    sizes = [len(value) for _, value in pipeline.viewers.log if value is not None]
    assert max(sizes) == PIECE
    assert b"w" in kinds(pipeline)
    before = row_of(pipeline)
    assert len(before) > PIECE
    pipeline.viewers.kill(compact)
    assert row_of(pipeline) == before


@pytest.mark.parametrize("killed", [False, True])
def test_pieces_that_are_no_longer_needed_are_deleted(killed: bool) -> None:
    pipeline = busy()
    if killed:
        pipeline.viewers.kill(compacted)
    later = [shown(f"s{n}", 4 * DAY + n * 60, "a") for n in range(PLAYED)]
    pipeline.play(later, cuts=range(100, PLAYED, 100))
    last = played(4 * DAY // 10 + PLAYED * 6, MOST_STEPS + 1)
    pipeline.play(last, cuts=range(10, MOST_STEPS, 10))
    before = row_of(pipeline)
    assert len(before) < PIECE
    assert b"w" not in kinds(pipeline)
    pipeline.viewers.kill(half_compacted)
    assert row_of(pipeline) == before


def test_pieces_go_with_their_viewer() -> None:
    pipeline = busy()
    pipeline.play([("privacy.erasures", {"viewer_id": "v", "requested_at_ms": at(DAY)})])
    assert kinds(pipeline).isdisjoint({b"v", b"w", b"s"})
    pipeline.viewers.kill()
    assert viewers(pipeline).rows == 0


def test_of_too_many_ids_the_first_are_forgotten() -> None:
    ids, number = EventIds(), dedupe.MAX_IDS + 2_000
    for n in range(number):
        assert ids.add(digest(f"e{n}"), n, 0)
    assert ids.held <= dedupe.MAX_IDS
    late = range(number - dedupe.MAX_IDS * 2 // 5, number, 97)
    assert not any(ids.add(digest(f"e{n}"), n, 0) for n in late)
    assert any(ids.add(digest(f"e{n}"), n, 0) for n in range(500))


def test_of_too_many_playbacks_the_first_are_forgotten() -> None:
    table, number = Playbacks(), playbacks.MAX_KEPT + 500
    keys = [playback_key(f"p{n}", "i") for n in range(number)]
    for n, key in enumerate(keys):
        playback = Playback(0, n, n)
        playback.closed = True
        table.forget(key, 0)
        table.put(key, playback)
    assert table.held <= playbacks.MAX_KEPT
    assert all(table.get(key) is not None for key in keys[-playbacks.MAX_KEPT * 2 // 5 :])
    assert any(table.get(key) is None for key in keys[:500])


def test_of_too_many_items_in_impressions_the_first_are_forgotten() -> None:
    kept, slots = Journal(), Slots(0, packed(list(range(500))), list(range(1, 501)))
    for n in range(journal.MAX_ITEMS // 500 + 10):
        kept.show(n, n.to_bytes(8, "big"), request_tag("r"), None, slots)
    assert len(kept.items) == 4 * journal.MAX_ITEMS
    assert next(one.time_ms for one, _ in kept.since(0)) == 10
