from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.recent import ACTIONS, MAX_RECENT, Action, RecentActions, item_of
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer
from streamapp.signals import RecentAction

actions = st.lists(
    st.builds(
        Action,
        st.integers(0, 30) | st.integers(0, 2**45),
        st.text(min_size=1, max_size=4),
        st.integers(0, len(ACTIONS) - 1),
        st.text(min_size=1, max_size=4),
    ),
    unique_by=lambda action: action[:3],
    max_size=80,
)


def as_published(entries: list[Action]) -> list[RecentAction]:
    newest = sorted(entries, reverse=True)[:MAX_RECENT]
    return [RecentAction(e.item_id, ACTIONS[e.action], e.occurred_at_ms) for e in newest]


def published(recent: RecentActions) -> list[RecentAction]:
    return msgspec.json.decode(recent.json(), type=list[RecentAction])


@given(entries=actions)
def test_the_last_50_are_kept_in_any_order_of_arrival(entries: list[Action]) -> None:
    recent = RecentActions()
    for entry in entries:
        recent.add(*entry)
    assert published(recent) == as_published(entries)
    assert recent.held == min(len(entries), MAX_RECENT)


@given(entries=actions, time_ms=st.integers(0, 31) | st.integers(0, 2**45))
def test_those_since_a_time_are_given_newest_first(entries: list[Action], time_ms: int) -> None:
    recent = RecentActions()
    for entry in entries:
        recent.add(*entry)
    newest = sorted(entries, reverse=True)[:MAX_RECENT]
    expected = [(e.occurred_at_ms, e.action, e.item_id) for e in newest]
    given = [(at_ms, action, item_of(item)) for at_ms, action, item in recent.since(time_ms)]
    assert given == [entry for entry in expected if entry[0] >= time_ms]


@given(entries=actions, more=actions)
def test_they_go_on_from_their_row_like_the_original(
    entries: list[Action], more: list[Action]
) -> None:
    viewer = Viewer("v")
    for entry in entries:
        viewer.recent.add(*entry)
    restored = decode_viewer(encode_viewer(viewer))
    for entry in more:
        restored.recent.add(*entry)
        viewer.recent.add(*entry)
    assert encode_viewer(restored) == encode_viewer(viewer)


@given(entries=actions)
def test_counts_and_the_last_item_are_those_of_the_actions_kept(entries: list[Action]) -> None:
    recent = RecentActions()
    for entry in entries:
        recent.add(*entry)
    kept = as_published(entries)
    for action in ACTIONS:
        mine = [entry.item_id for entry in kept if entry.action == action]
        assert recent.count(action) == len(mine)
        assert recent.last_item(action) == (mine[0] if mine else None)


def test_an_action_older_than_50_others_is_not_taken() -> None:
    recent = RecentActions()
    for time_ms in range(1, 51):
        recent.add(time_ms, "e", 0, "i")
    before = published(recent)
    recent.add(0, "e", 0, "late")
    assert published(recent) == before


def test_nothing_yet_is_an_empty_list() -> None:
    assert bytes(RecentActions().json()) == b"[]"


near = st.lists(
    st.builds(
        Action,
        st.integers(1_700_000_000_000, 1_700_000_000_030) | st.integers(0, 2**45),
        st.text("abcdefgh", min_size=1, max_size=4),
        st.integers(0, len(ACTIONS) - 1),
        st.sampled_from(("i1", "i2", 'i"3', "4", "\x015", "i66", "i7", "i8")),
    ),
    unique_by=lambda action: action[:3],
    max_size=60,
)
moments = st.integers(1_700_000_000_000, 1_700_000_000_031) | st.integers(0, 2**45)


@given(entries=near | actions, from_ms=moments, to_ms=moments, most=st.integers(1, 6))
def test_the_items_last_acted_on_in_a_time_are_told_newest_first(
    entries: list[Action], from_ms: int, to_ms: int, most: int
) -> None:
    recent = RecentActions()
    for entry in entries:
        recent.add(*entry)
    told = [msgspec.json.decode(b'"%b"' % item) for item in recent.engaged(from_ms, to_ms, most)]
    engaged = [
        action.item_id
        for action in as_published(entries)
        if action.action not in ("hide", "report") and from_ms <= action.occurred_at_ms <= to_ms
    ]
    assert told == list(dict.fromkeys(engaged))[:most]
