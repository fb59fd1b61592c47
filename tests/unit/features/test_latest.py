from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.latest import LIMIT, MORE, LatestItems
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer

Happened = list[tuple[int, list[str]]]

ids = st.sampled_from(("a", "b", "c", "dd")) | st.text(min_size=1, max_size=3)
slates = st.lists(st.tuples(st.integers(0, 12), st.lists(ids, max_size=6)), max_size=25)
wide = st.lists(
    st.tuples(st.integers(0, 40), st.lists(st.integers(0, 150).map(str), min_size=20, max_size=60)),
    max_size=8,
)


def expected(happened: Happened, limit: int = LIMIT) -> list[str]:
    newest: dict[str, int] = {}
    for time_ms, items in happened:
        for item in items:
            newest[item] = max(time_ms, newest.get(item, 0))
    return sorted(newest, key=lambda item: (-newest[item], item))[:limit]


@given(happened=slates | wide)
def test_the_latest_items_are_kept_in_any_order_of_arrival(happened: Happened) -> None:
    seen = LatestItems()
    for time_ms, items in happened:
        seen.add(time_ms, items)
    assert seen.items() == expected(happened)


@given(happened=slates | wide, later=slates | wide)
def test_they_go_on_from_their_row_alike(happened: Happened, later: Happened) -> None:
    viewer = Viewer("v")
    seen = viewer.profile.seen = LatestItems()
    for time_ms, items in happened:
        seen.add(time_ms, items)
    other = decode_viewer(encode_viewer(viewer))
    restored = other.profile.seen
    assert restored is not None
    for time_ms, items in later:
        seen.add(time_ms, items)
        restored.add(time_ms, items)
    assert encode_viewer(other) == encode_viewer(viewer)
    assert seen.items() == restored.items() == expected(happened + later)


def test_a_slate_larger_than_the_limit_is_kept_in_part() -> None:
    seen = LatestItems()
    seen.add(5, [f"{n:03d}" for n in range(300)])
    assert seen.items() == [f"{n:03d}" for n in range(LIMIT)]
    seen.add(4, ["old"])
    assert "old" not in seen.items()


def test_little_more_than_the_limit_is_ever_held() -> None:
    seen = LatestItems()
    for n in range(500):
        seen.add(n, [f"item-{n % 70}"])
        assert len(seen.happened) <= LIMIT + MORE
        assert sum(seen.runs[8::9]) == len(seen.happened)


def test_nothing_yet_is_an_empty_list() -> None:
    hidden = LatestItems()
    hidden.add(1, [])
    assert hidden.items() == []
