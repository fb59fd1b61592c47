"""The profile of a viewer: what signals.viewers says besides the recent actions.

=========== ======================================================================================
session     the newest one, see `streamapp.features.sessions`
seen        the last 50 items shown, by the newest time each was shown
hidden      the last 50 items hidden or reported, by the newest time
affinity    to categories and creators: decayed sums (6 h, 7 d) of the weights below
habits      when and how far the viewer watches, see `streamapp.features.habits`
=========== ======================================================================================

**Affinity.** What a viewer does with an item counts for its category and its creator as the
catalog knows them when the event is processed; an item it does not know adds nothing. A playback
watched to the end counts once, at the time of its first heartbeat, when that becomes known.
Worked example: a click on drama 6 h ago and a like of it now are 6h: 1·2^(−1) + 3 = 3.5 and
7d: 1·2^(−1/28) + 3 ≈ 3.976. At most 20 categories and 20 creators are kept, see
`streamapp.features.affinities` for which and what that costs.

All of it is a function of the set of events, whatever their order, and bounded in size.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from streamapp.features.affinities import Affinities
from streamapp.features.habits import WatchHabits
from streamapp.features.latest import LatestItems
from streamapp.features.sessions import Sessions

WEIGHTS: Final = {
    "click": 1.0,
    "like": 3.0,
    "follow": 3.0,
    "share": 4.0,
    "add_to_cart": 4.0,
    "purchase": 6.0,
    "complete": 2.0,
    "hide": -4.0,
    "report": -6.0,
}
"""What an action, or a playback watched to the end (`complete`), adds to affinities."""

HIDES: Final = ("hide", "report")
"""Actions by which an item is hidden."""


@mypyc_attr(acyclic=True)
class Profile:
    """One viewer's profile; what there is nothing of yet takes no memory."""

    __slots__ = ("categories", "creators", "habits", "hidden", "seen", "sessions")

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.seen: LatestItems | None = None
        self.hidden: LatestItems | None = None
        self.categories: Affinities | None = None
        self.creators: Affinities | None = None
        self.habits: WatchHabits | None = None

    def show(self, time_ms: int, item_ids: list[str]) -> None:
        """Take items that were shown."""
        if not item_ids:
            return
        if self.seen is None:
            self.seen = LatestItems()
        self.seen.add(time_ms, item_ids)

    def hide(self, time_ms: int, item_id: str) -> None:
        """Take an item that was hidden, or reported."""
        if self.hidden is None:
            self.hidden = LatestItems()
        self.hidden.add(time_ms, [item_id])

    def care(self, action: str, time_ms: int, category: str | None, creator: str | None) -> None:
        """Take what was done with an item of a category and creator: a key of `WEIGHTS`."""
        amount = WEIGHTS[action]
        if category is not None:
            if self.categories is None:
                self.categories = Affinities()
            self.categories.add(category, time_ms, amount)
        if creator is not None:
            if self.creators is None:
                self.creators = Affinities()
            self.creators.add(creator, time_ms, amount)

    def watch_ratio(self, time_ms: int, prior: float) -> float:
        """Return how much of a playback the viewer watches on average, at a time."""
        return prior if self.habits is None else self.habits.watch_ratio(time_ms, prior)

    @property
    def watching(self) -> WatchHabits:
        """The habits, begun with the first playback."""
        if self.habits is None:
            self.habits = WatchHabits()
        return self.habits
