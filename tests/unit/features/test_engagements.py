"""What a viewer engaged is found again from the journal and the playbacks.

::

    0 s        1 min       2 min        3 min      4 min
    click a    watch b     slate shown  like c     (complete b)   click d, the last
"""

from __future__ import annotations

from streamapp.features.co_engagement import LAST
from streamapp.features.engagements import Act, engagements
from streamapp.features.item_names import ItemNames, packed
from streamapp.features.journal import NO_REQUEST, Journal, Slots
from streamapp.features.playbacks import Playback, Playbacks, playback_key
from streamapp.features.recent import ACTIONS

START = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE


class Viewer:
    """A viewer's journal and playbacks."""

    def __init__(self) -> None:
        self.names = ItemNames(24 * HOUR)
        self.journal = Journal()
        self.playbacks = Playbacks()

    def act(self, item_id: str, at_ms: int, action: str = "click") -> None:
        item = packed([self.names.number(item_id)])
        self.journal.act(START + at_ms, item, NO_REQUEST, ACTIONS.index(action), None)

    def show(self, at_ms: int) -> None:
        self.journal.show(START + at_ms, b"12345678", NO_REQUEST, None, Slots(0, b"", []))

    def play(self, item_id: str, at_ms: int, for_ms: int, *, completed: bool = False) -> None:
        playback = Playback(self.names.number(item_id), START + at_ms, START + at_ms + for_ms)
        playback.completed = completed
        self.playbacks.put(playback_key(f"p{at_ms}", item_id), playback)

    def found(self, last: str, at_ms: int, action: str = "click") -> dict[str, list[str]]:
        """Return what each engaged item was paired with, the newest first."""
        end = Act(START + at_ms, ACTIONS.index(action), self.names.number(last))
        return {
            f"{one.item_id} {(one.time_ms - START) // MINUTE}": [
                item.decode()
                for item in one.recent.engaged(*one.known.span(one.time_ms), most=LAST)
            ]
            for one in engagements(self.journal, self.playbacks, end, self.names)
        }


def test_actions_playbacks_and_slates_are_taken_by_time() -> None:
    viewer = Viewer()
    viewer.act("a", 0)
    viewer.act("c", 3 * MINUTE, "like")
    viewer.play("b", MINUTE, 3 * MINUTE, completed=True)
    viewer.show(2 * MINUTE)
    assert viewer.found("d", 5 * MINUTE) == {
        "a 0": [],
        "b 1": ["a"],
        "c 3": ["b", "a"],
        "d 5": ["b", "c", "a"],  # the completion of b was the newest
    }


def test_hides_engage_nothing_and_are_paired_with_nothing() -> None:
    viewer = Viewer()
    viewer.act("a", 0, "hide")
    viewer.act("b", MINUTE)
    assert viewer.found("c", 2 * MINUTE, "report") == {"b 1": []}


def test_slates_and_long_playbacks_keep_a_session_together() -> None:
    viewer = Viewer()
    viewer.act("a", 0)
    viewer.show(20 * MINUTE)
    viewer.act("b", 45 * MINUTE)
    viewer.play("film", 46 * MINUTE, 2 * HOUR)
    assert viewer.found("c", 46 * MINUTE + 2 * HOUR + 20 * MINUTE)["c 186"] == ["film", "b", "a"]


def test_a_gap_ends_a_session() -> None:
    viewer = Viewer()
    viewer.act("a", 0)
    assert viewer.found("b", 30 * MINUTE) == {"a 0": [], "b 30": []}


def test_actions_that_came_late_come_late_again() -> None:
    viewer = Viewer()
    viewer.act("b", 2 * MINUTE)
    viewer.act("a", MINUTE)
    assert viewer.found("c", 3 * MINUTE) == {"b 2": [], "a 1": ["b"], "c 3": ["b", "a"]}


def test_a_playback_that_was_kept_out_is_none() -> None:
    viewer = Viewer()
    viewer.play("a", 0, MINUTE)
    key = playback_key("p0", "a")
    playback = viewer.playbacks.get(key)
    assert playback is not None
    playback.kept_out = True
    viewer.playbacks.put(key, playback)
    assert viewer.found("b", 2 * MINUTE) == {"b 2": []}
