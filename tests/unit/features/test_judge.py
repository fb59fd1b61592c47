"""What a judge counts, and whose sessions are learnt from."""

from __future__ import annotations

import msgspec

from streamapp.features.catalog import Catalog
from streamapp.features.digest import fraction
from streamapp.features.judge import Judge
from streamapp.features.parameters import Parameters
from streamapp.features.recent import ACTIONS
from streamapp.features.viewer import Viewer
from streamapp.signals import SessionVector

START = 1_700_000_000_000
HOUR = 3_600_000


def judge(session_keep_rate: float = 1.0) -> Judge:
    return Judge(Catalog(), Parameters(), session_keep_rate=session_keep_rate)


def act(one: Judge, viewer: Viewer, count: int, gap_ms: int = 50, action: str = "click") -> None:
    """Let a viewer act so many times, at even distances after their newest event."""
    for _ in range(count):
        at_ms = max(viewer.newest_ms, START) + gap_ms
        index = ACTIONS.index(action)
        item_id = "i" if gap_ms < 1_000 else f"i{at_ms}"
        viewer.recent.add(at_ms, f"e{at_ms}", index, item_id)
        viewer.profile.sessions.add(at_ms, 0, clicks=1)
        one.act(viewer, index, at_ms)
        viewer.newest_ms = at_ms


def figures(one: Judge, viewers: int = 10) -> dict[str, float]:
    return {
        " ".join([name, *labels.values()]): value for name, labels, value in one.figures(viewers)
    }


def test_viewers_actions_and_verdicts_are_counted_by_trust_and_reason():
    one, viewer = judge(), Viewer("v")
    act(one, viewer, 30)
    assert figures(one) == {
        "viewers_by_trust suspect": 0,
        "viewers_by_trust bot": 1,
        "viewers_by_trust ok": 9,
        "actions_by_trust ok": 16,
        "actions_by_trust suspect": 8,
        "actions_by_trust bot": 6,
        "verdicts suspect burst": 1,
        "verdicts suspect repeated_item": 1,
        "verdicts bot burst": 1,
        "verdicts bot short_intervals": 1,
        "verdicts bot regular_intervals": 1,
        "verdicts bot repeated_item": 1,
    }


def test_who_is_forgotten_or_ok_again_is_counted_no_more_and_who_is_restored_is():
    one, viewer, other = judge(), Viewer("v"), Viewer("w")
    act(one, viewer, 30)
    act(one, other, 30)
    one.rest(viewer, viewer.newest_ms + 8 * HOUR)
    assert figures(one)["viewers_by_trust bot"] == 1
    assert figures(one)["viewers_by_trust suspect"] == 0
    assert figures(one)["verdicts ok burst"] == 1
    again = judge()
    again.restore(other)
    again.restore(viewer)
    assert figures(again)["viewers_by_trust bot"] == 1
    one.forget("w")
    one.forget("nobody")
    assert figures(one)["viewers_by_trust bot"] == 0


def test_a_session_is_taken_with_every_sixteenth_deliberate_action_but_not_of_a_bot():
    one, viewer, bot = judge(), Viewer("v"), Viewer("b")
    for n in range(40):
        act(one, viewer, 1, gap_ms=20_000 + 9_000 * (n % 3))
        act(one, viewer, 1, gap_ms=1, action="like")
    act(one, bot, 40)
    taken = [msgspec.json.decode(record, type=SessionVector) for record in one.take_sessions()]
    # A session of 31 and of 63, likes and all, and one of 16.
    assert [session.vector[0] for session in taken] == [0.4167, 0.5, 0.3406]
    assert list(one.take_sessions()) == []


def test_sessions_of_a_share_of_the_viewers_are_learnt_from():
    one = judge(session_keep_rate=0.5)
    for n in range(40):
        act(one, Viewer(f"v{n}"), 16, gap_ms=1_000)
    expected = sum(fraction(f"v{n}") < 0.5 for n in range(40))
    assert len(list(one.take_sessions())) == expected
    assert 0 < expected < 40
