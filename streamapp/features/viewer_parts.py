"""Parts of a viewer that are numbers and bytes, as their row and a viewer at rest have them.

What the fields mean, the class of each part says.
"""

from __future__ import annotations

from typing import Self

import msgspec

from streamapp.features.dedupe import EventIds
from streamapp.features.habits import WatchHabits
from streamapp.features.journal import Journal
from streamapp.features.playbacks import Playback, Playbacks
from streamapp.features.recent import RecentActions


class IdsPart(msgspec.Struct, gc=False, array_like=True):
    """The event ids of a viewer."""

    held: int = 0
    buckets: tuple[bytearray, ...] = ()

    @classmethod
    def of(cls, ids: EventIds) -> Self:
        """Return the part of these."""
        return cls(ids.held, ids.buckets)

    def back(self) -> EventIds:
        """Return what it was made of."""
        return EventIds(self.held, self.buckets)


class RecentPart(msgspec.Struct, gc=False, array_like=True):
    """The recent actions."""

    held: int = 0
    newest_ms: int = -1
    actions: bytes = b""
    ids: bytes = b""

    @classmethod
    def of(cls, recent: RecentActions) -> Self:
        """Return the part of these."""
        return cls(recent.held, recent.newest_ms, recent.actions, recent.ids)

    def back(self) -> RecentActions:
        """Return what it was made of."""
        return RecentActions(self.held, self.newest_ms, self.actions, self.ids)


class PlaybackPart(msgspec.Struct, gc=False, array_like=True):
    """One playback."""

    item: int
    start_ms: int
    last_ms: int
    watched_ms: int = 0
    duration_ms: int = 0
    closed: bool = False
    timed_out: bool = False
    completed: bool = False
    kept_out: bool = False
    ratio: float = -1.0
    grown: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def of(cls, one: Playback) -> Self:
        """Return the part of this one."""
        return cls(
            one.item,
            one.start_ms,
            one.last_ms,
            one.watched_ms,
            one.duration_ms,
            one.closed,
            one.timed_out,
            one.completed,
            one.kept_out,
            one.ratio,
            one.grown,
        )

    def back(self) -> Playback:
        """Return what it was made of."""
        one = Playback(self.item, self.start_ms, self.last_ms)
        one.watched_ms, one.duration_ms = self.watched_ms, self.duration_ms
        one.closed, one.timed_out = self.closed, self.timed_out
        one.completed, one.kept_out = self.completed, self.kept_out
        one.ratio, one.grown = self.ratio, self.grown
        return one


class PlaybacksPart(msgspec.Struct, gc=False, array_like=True):
    """The playbacks."""

    held: int = 0
    buckets: tuple[bytearray, ...] = ()
    playing: bytes = b""
    latest: PlaybackPart | None = None

    @classmethod
    def of(cls, playbacks: Playbacks) -> Self:
        """Return the part of these."""
        one = playbacks.latest
        latest = None if one is None else PlaybackPart.of(one)
        return cls(playbacks.held, playbacks.buckets, playbacks.playing, latest)

    def back(self) -> Playbacks:
        """Return what it was made of."""
        latest = None if self.latest is None else self.latest.back()
        return Playbacks(self.held, self.buckets, self.playing, latest)


class HabitsPart(msgspec.Struct, gc=False, array_like=True):
    """The habits."""

    landmark_ms: int = -1
    hours: bytes = b""
    ratio_sum: float = 0.0
    ratio_n: float = 0.0

    @classmethod
    def of(cls, habits: WatchHabits) -> Self:
        """Return the part of these."""
        return cls(habits.landmark_ms, habits.hours, habits.ratio_sum, habits.ratio_n)

    def back(self) -> WatchHabits:
        """Return what it was made of."""
        return WatchHabits(self.landmark_ms, self.hours, self.ratio_sum, self.ratio_n)


class JournalPart(msgspec.Struct, gc=False, array_like=True):
    """The journal."""

    shown: bytes = b""
    items: bytes = b""
    positions: bytes = b""
    acted: bytes = b""
    queries: dict[int, str] | None = None
    shown_gone: int = 0
    acted_gone: int = 0
    newest_search_ms: int = -1
    newest_click_ms: int = -1

    @classmethod
    def of(cls, journal: Journal) -> Self:
        """Return the part of this one."""
        return cls(
            bytes(journal.shown),
            bytes(journal.items),
            journal.positions,
            bytes(journal.acted),
            journal.queries,
            journal.shown_gone,
            journal.acted_gone,
            journal.newest_search_ms,
            journal.newest_click_ms,
        )

    def back(self) -> Journal:
        """Return what it was made of."""
        journal = Journal()
        journal.shown, journal.items, journal.positions = self.shown, self.items, self.positions
        journal.acted, journal.queries = self.acted, self.queries
        journal.shown_gone, journal.acted_gone = self.shown_gone, self.acted_gone
        journal.newest_search_ms = self.newest_search_ms
        journal.newest_click_ms = self.newest_click_ms
        return journal
