from __future__ import annotations

from zlib import crc32

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.latest import HiddenItems, SeenItems

LIMIT = SeenItems.LIMIT

ids = st.sampled_from(("a", "b", 'c"', 'a","b', "\\", "\x02", "é", "dd")) | st.text(
    min_size=1, max_size=3
)
slates = st.lists(st.tuples(st.integers(0, 12), st.lists(ids, max_size=6)), max_size=25)
wide = st.lists(
    st.tuples(st.integers(0, 40), st.lists(st.integers(0, 150).map(str), min_size=20, max_size=60)),
    max_size=8,
)


def expected(happened: list[tuple[int, list[str]]], limit: int = LIMIT) -> list[str]:
    newest: dict[str, int] = {}
    for time_ms, items in happened:
        for item in items:
            newest[item] = max(time_ms, newest.get(item, 0))
    return sorted(newest, key=lambda item: (-newest[item], item))[:limit]


def published(items: SeenItems | HiddenItems) -> list[str]:
    return msgspec.json.decode(items.json(), type=list[str])


@given(happened=slates | wide)
def test_the_latest_items_are_kept_in_any_order_of_arrival(happened):
    seen = SeenItems()
    for time_ms, items in happened:
        seen.add(time_ms, items)
    assert published(seen) == expected(happened)
    assert seen.held == len(seen.sums) == len(expected(happened))


@given(happened=slates | wide, later=slates | wide, data=st.data())
def test_rows_in_any_order_give_the_same_items_back_and_go_on_alike(happened, later, data):
    seen, rows = SeenItems(), dict[bytes, bytes | None]()
    for time_ms, items in happened:
        rows.update(seen.add(time_ms, items))
    live = {key: row for key, row in rows.items() if row is not None}
    assert sorted(live) == sorted(seen.keys())
    restored = SeenItems()
    for key, row in data.draw(st.permutations(list(live.items()))):
        restored.restore(key[1:], row)
    for time_ms, items in later:
        assert dict(restored.add(time_ms, items)) == dict(seen.add(time_ms, items))
    assert restored == seen


@given(happened=slates | wide)
def test_a_changelog_read_whole_gives_the_same_items_back(happened):
    seen, restored = SeenItems(), SeenItems()
    for time_ms, items in happened:
        for key, row in seen.add(time_ms, items):
            restored.restore(key[1:], row)
    assert restored == seen


def test_a_slate_larger_than_the_limit_is_kept_in_part():
    seen = SeenItems()
    seen.add(5, [f"{n:03d}" for n in range(300)])
    assert published(seen) == [f"{n:03d}" for n in range(LIMIT)]
    seen.add(4, ["old"])
    assert "old" not in published(seen)


def test_two_items_of_one_checksum_are_two():
    first: dict[int, str] = {}
    numbers = ((crc32(f'{n}"'.encode()) & 0xFFFF, str(n)) for n in range(1 << 17))
    one, other = next(
        (first[checksum], name)
        for checksum, name in numbers
        if first.setdefault(checksum, name) != name
    )
    seen = SeenItems()
    seen.add(1, [one])
    seen.add(2, [other])
    assert seen.sums[0] == seen.sums[1]
    assert published(seen) == [other, one]


def test_a_hundred_items_take_less_than_two_kilobytes():
    seen = SeenItems()
    for n in range(50):
        seen.add(1_700_000_000_000 + n, [f"item-{10 * n + m:06d}" for m in range(10)])
    assert seen.held == LIMIT
    assert len(seen.text) + 2 * len(seen.sums) < 1_800


def test_nothing_yet_is_an_empty_list():
    assert bytes(HiddenItems().json()) == b"[]"
    assert HiddenItems().add(1, []) == []
