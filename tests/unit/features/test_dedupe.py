from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.dedupe import EventIds
from streamapp.features.digest import digest
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def key(number: int) -> bytes:
    return digest(f"e{number}")


def add(ids: EventIds, number: int, time_ms: int, since_ms: int = 0) -> bool:
    return ids.add(key(number), time_ms, since_ms)


def test_an_id_counts_once() -> None:
    ids = EventIds()
    assert add(ids, 1, 0)
    assert not add(ids, 1, 0)
    assert add(ids, 2, 0)


def test_an_id_is_the_same_up_to_a_day_apart_in_either_direction() -> None:
    for time_ms, new in [(0, False), (2 * DAY_MS, False), (2 * DAY_MS + 1, True)]:
        ids = EventIds()
        add(ids, 1, DAY_MS)
        assert add(ids, 1, time_ms) is new


def test_what_was_before_since_is_forgotten() -> None:
    ids = EventIds()
    add(ids, 1, 10)
    assert not ids.add(key(1), 10, since_ms=10)
    assert ids.add(key(1), 11, since_ms=11)


def test_ids_that_are_forgotten_leave_memory() -> None:
    ids = EventIds()
    for number in range(5_000):
        add(ids, number, number, since_ms=number - 100)
    assert ids.held <= 1_000


@given(
    events=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=120),
    restore_at=st.integers(0, 120),
)
def test_ids_come_back_from_their_row(events: list[tuple[int, int]], restore_at: int) -> None:
    viewer = Viewer("v")
    known: list[tuple[int, int]] = []
    for at, (number, hour) in enumerate(events):
        if at == restore_at:
            viewer = decode_viewer(encode_viewer(viewer))
        duplicate = any(n == number and abs(h - hour) <= 24 for n, h in known)
        assert viewer.ids.add(key(number), hour * HOUR_MS, 0) is not duplicate
        known += [] if duplicate else [(number, hour)]
