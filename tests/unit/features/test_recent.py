from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.recent import ACTIONS, MAX_RECENT, Action, RecentActions, item_of
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
        recent.add(entry)
    assert published(recent) == as_published(entries)
    assert recent.held == min(len(entries), MAX_RECENT)


@given(entries=actions, time_ms=st.integers(0, 31) | st.integers(0, 2**45))
def test_those_since_a_time_are_given_newest_first(entries: list[Action], time_ms: int) -> None:
    recent = RecentActions()
    for entry in entries:
        recent.add(entry)
    newest = sorted(entries, reverse=True)[:MAX_RECENT]
    expected = [(e.occurred_at_ms, e.action, e.item_id) for e in newest]
    given = [(at_ms, action, item_of(item)) for at_ms, action, item in recent.since(time_ms)]
    assert given == [entry for entry in expected if entry[0] >= time_ms]


@given(entries=actions, data=st.data())
def test_rows_by_slot_give_the_same_actions_back(
    entries: list[Action], data: st.DataObject
) -> None:
    recent, rows = RecentActions(), dict[int, Action]()
    for entry in entries:
        slot = recent.add(entry)
        if slot is not None:
            rows[slot] = entry
    assert sorted(rows) == list(range(recent.held))
    restored = RecentActions()
    for slot, entry in data.draw(st.permutations(list(rows.items()))):
        restored.put(slot, entry)
    assert published(restored) == published(recent)


@given(entries=actions, more=actions)
def test_a_changelog_replayed_whole_goes_on_like_the_original(
    entries: list[Action], more: list[Action]
) -> None:
    recent, restored = RecentActions(), RecentActions()
    for entry in entries:
        slot = recent.add(entry)
        if slot is not None:
            restored.put(slot, entry)
    assert restored == recent
    for entry in more:
        assert restored.add(entry) == recent.add(entry)
    assert published(restored) == published(recent)


@given(entries=actions)
def test_counts_and_the_last_item_are_those_of_the_actions_kept(entries: list[Action]) -> None:
    recent = RecentActions()
    for entry in entries:
        recent.add(entry)
    kept = as_published(entries)
    for action in ACTIONS:
        mine = [entry.item_id for entry in kept if entry.action == action]
        assert recent.count(action) == len(mine)
        assert recent.last_item(action) == (mine[0] if mine else None)


def test_an_action_older_than_50_others_is_not_taken() -> None:
    recent = RecentActions()
    for time_ms in range(1, 51):
        recent.add(Action(time_ms, "e", 0, "i"))
    before = published(recent)
    assert recent.add(Action(0, "e", 0, "late")) is None
    assert published(recent) == before


def test_an_action_takes_the_slot_of_the_one_it_pushes_out() -> None:
    recent = RecentActions()
    for time_ms in range(50):
        assert recent.add(Action(time_ms, "e", 0, "i")) == time_ms
    assert recent.add(Action(100, "e", 0, "i")) == 0
    assert recent.add(Action(50, "e", 0, "i")) == 1


def test_a_removed_action_leaves_its_slot_empty() -> None:
    recent = RecentActions()
    for time_ms in range(3):
        recent.add(Action(time_ms, "e", time_ms, f"i{time_ms}"))
    recent.remove(1)
    recent.remove(7)
    assert [entry.item_id for entry in published(recent)] == ["i2", "i0"]


def test_nothing_yet_is_an_empty_list() -> None:
    assert bytes(RecentActions().json()) == b"[]"
