"""One viewer: everything kept about them, packed; also their row in the changelog."""

from __future__ import annotations

import msgspec

from streamapp.features.decay import DAY_MS
from streamapp.features.dedupe import EventIds
from streamapp.features.journal import Journal
from streamapp.features.playbacks import Playbacks
from streamapp.features.profile import Profile
from streamapp.features.recent import RecentActions
from streamapp.features.slates import Slate

_ROW_VERSION = 1
_NEVER = -DAY_MS

FEWEST_STEPS = 32
"""Between two rows of a viewer."""


class Viewer(msgspec.Struct, gc=False, array_like=True):
    """One viewer, in memory and as a row.

    Attributes:
        number: of the latest step, from 1. It, `newest_ms` and `stream_ms` have the same places
            in the row as in that of a step.
        newest_ms: newest event time.
        stream_ms: stream time at the latest step.
        since: steps since the row was last written.
        every: so many steps are written before the row is written again.
        steps: the most steps written so before any of the rows.
        published_ms: stream time of the last signal.
        owed: the signal has changed since.
        slates: those still needed by request, oldest first.
    """

    version: int = _ROW_VERSION
    number: int = 0
    newest_ms: int = -1
    stream_ms: int = 0
    viewer_id: str = ""
    since: int = 0
    every: int = FEWEST_STEPS
    steps: int = 0
    published_ms: int = _NEVER
    owed: bool = False
    ids: EventIds = msgspec.field(default_factory=EventIds)
    recent: RecentActions = msgspec.field(default_factory=RecentActions)
    playbacks: Playbacks = msgspec.field(default_factory=Playbacks)
    slates: dict[str, tuple[Slate, ...]] = msgspec.field(default_factory=dict)
    profile: Profile = msgspec.field(default_factory=Profile)
    journal: Journal = msgspec.field(default_factory=Journal)

    def add_slate(self, slate: Slate) -> None:
        """Keep a slate."""
        request_id = slate.shown.event.request_id
        self.slates[request_id] = (*self.slates.get(request_id, ()), slate)

    def drop_slate(self, slate: Slate) -> None:
        """Forget a slate."""
        request_id = slate.shown.event.request_id
        others = tuple([other for other in self.slates[request_id] if other is not slate])
        if others:
            self.slates[request_id] = others
        elif len(self.slates) > 1:
            del self.slates[request_id]
        else:
            self.slates = {}  # one that was emptied would keep its memory

    def slate(self, request_id: str, key: bytes) -> Slate | None:
        """Return a slate."""
        for slate in self.slates.get(request_id, ()):
            if slate.key == key:
                return slate
        return None

    def all_slates(self) -> list[Slate]:
        """Return the slates of all requests."""
        return [slate for slates in self.slates.values() for slate in slates]


encode_viewer = msgspec.json.Encoder().encode
decode_viewer = msgspec.json.Decoder(Viewer).decode
