"""One viewer: everything kept about them; `streamapp.features.viewer_row` makes a row of it."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from streamapp.features.decay import DAY_MS
from streamapp.features.dedupe import EventIds
from streamapp.features.journal import Journal
from streamapp.features.playbacks import Playbacks
from streamapp.features.profile import Profile
from streamapp.features.recent import RecentActions
from streamapp.features.slates import OpenSlates

NEVER: Final = -DAY_MS
"""Stream time of the last signal of a viewer who has had none."""

FEWEST_STEPS: Final = 32
"""Between two rows of a viewer."""


@mypyc_attr(acyclic=True)
class Viewer:
    """One viewer.

    Attributes:
        number: of the latest step, from 1.
        newest_ms: newest event time.
        stream_ms: stream time at the latest step.
        since: steps since the row was last written.
        every: so many steps are written before the row is written again.
        steps: the most steps written so before any of the rows.
        pieces: how many the row has after the first one.
        published_ms: stream time of the last signal.
        owed: the signal has changed since.
        rest, names: what is kept of the parts that a viewer at rest has not; empty of one who is
            up, see `streamapp.features.viewer_rest`.
        slates: those still needed; None if there are none.
        trust: packed, see `streamapp.features.trust`.
    """

    __slots__ = (
        "every",
        "ids",
        "journal",
        "names",
        "newest_ms",
        "number",
        "owed",
        "pieces",
        "playbacks",
        "profile",
        "published_ms",
        "recent",
        "rest",
        "since",
        "slates",
        "steps",
        "stream_ms",
        "trust",
        "viewer_id",
    )
    __deletable__ = ("ids", "journal", "playbacks", "profile", "recent")

    def __init__(self, viewer_id: str) -> None:
        self.viewer_id = viewer_id
        self.number = 0
        self.newest_ms = -1
        self.stream_ms = 0
        self.since = 0
        self.every = FEWEST_STEPS
        self.steps = 0
        self.pieces = 0
        self.published_ms = NEVER
        self.owed = False
        self.rest = b""
        self.names: tuple[str, ...] = ()
        self.ids = EventIds()
        self.recent = RecentActions()
        self.playbacks = Playbacks()
        self.slates: OpenSlates | None = None
        self.profile = Profile()
        self.journal = Journal()
        self.trust = b""
