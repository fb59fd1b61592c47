"""What a viewer has engaged, found again from what is kept of them to be taken back.

What an engagement was paired with follows from what the viewer had done before it in the session
(`streamapp.features.similarity`). That is not kept, but what it follows from is: impressions and
actions in the journal, in the order they came, and when each playback began and was last heard of.
The three are merged by event time, as if every heartbeat had come within 30 min of the one before,
as if a playback had been completed by its last, and as if of several actions of one time the one
that came last were the newest.

So what is found is what was counted when a viewer's events came in order, and when only actions
came late, among each other. When it was a playback that came after later actions, or an action
after later playbacks, then in a session of no more than six items each item and pair is still
found once, but at the minute of one of two events where the other's was meant. A session that
spans d then leaves at most 1 − 2^(−d/48 h) of 1 with either sign: for half an hour 0.7 %. In
longer sessions a pair may be found that was not counted, or the other way round, for each such
event that is late by five items.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from streamapp.features.item_names import ItemNames, unpacked
from streamapp.features.journal import Journal
from streamapp.features.playbacks import Playback, Playbacks
from streamapp.features.recent import ACTIONS, COMPLETE, ENGAGING, WATCH, RecentActions
from streamapp.features.sessions import GAP_MS, Sessions

_HEARTBEAT = -1
_EVERY_MS = GAP_MS - 1
"""Between two heartbeats that keep a session together."""


class Act(NamedTuple):
    """Something a viewer did.

    Attributes:
        action: index in `ACTIONS`; negative for what is none, and only joins the session.
        item: number of its item's name.
    """

    time_ms: int
    action: int = _HEARTBEAT
    item: int = 0

    @property
    def engages(self) -> bool:
        """Whether it engages its item."""
        return self.action >= 0 and ACTIONS[self.action] in ENGAGING


class Engagement(NamedTuple):
    """An item that was engaged, or would have been; and what came before.

    Attributes:
        recent, known: the viewer's actions and sessions then; they are good until the next one.
    """

    item_id: str
    time_ms: int
    recent: RecentActions
    known: Sessions


def engagements(
    journal: Journal, playbacks: Playbacks, last: Act, names: ItemNames
) -> Iterator[Engagement]:
    """Yield all of a viewer's engagements.

    Args:
        last: what the viewer did last, and is not in the journal.
    """
    recent, known = RecentActions(), Sessions()
    for number, act in enumerate(_acts(journal, playbacks, last)):
        item_id = names.name(act.item)
        if act.engages:
            yield Engagement(item_id, act.time_ms, recent, known)
        if act.action >= 0:
            recent.add(act.time_ms, f"{number:06}", act.action, item_id)
        known.add(act.time_ms, 0)


def _acts(journal: Journal, playbacks: Playbacks, last: Act) -> Iterator[Act]:
    """Yield what a viewer did as it came."""
    shown = [Act(impression.time_ms) for impression, _ in journal.since(0)]
    acted = [Act(time_ms, action, *unpacked(item)) for time_ms, item, action in journal.acts(0)]
    watched = [act for _, playback in playbacks.all() for act in _watched(playback)]
    watched.sort(key=lambda act: act.time_ms)
    return merge(shown, [*acted, last], watched, key=lambda act: act.time_ms)


def _watched(playback: Playback) -> Iterator[Act]:
    """Yield what there was of a playback, unless it was kept out."""
    if playback.kept_out:
        return
    start_ms, last_ms, item = playback.start_ms, playback.last_ms, playback.item
    yield Act(start_ms, WATCH, item)
    for time_ms in range(start_ms + _EVERY_MS, last_ms, _EVERY_MS):
        yield Act(time_ms)
    yield Act(last_ms, COMPLETE if playback.completed else _HEARTBEAT, item)
