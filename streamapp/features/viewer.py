"""One viewer: everything kept about them, packed; also their row in the changelog."""

from __future__ import annotations

import msgspec

from streamapp.features.decay import DAY_MS
from streamapp.features.dedupe import EventIds
from streamapp.features.journal import Journal
from streamapp.features.playbacks import Playbacks
from streamapp.features.profile import Profile
from streamapp.features.recent import RecentActions
from streamapp.features.slates import OpenSlates, Slate

_ROW_VERSION = 2
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
        slates: those still needed; None if there are none.
        trust: packed, see `streamapp.features.trust`.
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
    slates: OpenSlates | None = None
    profile: Profile = msgspec.field(default_factory=Profile)
    journal: Journal = msgspec.field(default_factory=Journal)
    trust: bytes = b""


def _as_list(slates: object) -> list[Slate]:
    """Return open slates as they are in the row."""
    if isinstance(slates, OpenSlates):
        return list(slates)
    raise NotImplementedError


def _as_slates(_: type, rows: object) -> OpenSlates:
    """Return open slates from what is in the row."""
    return OpenSlates(msgspec.convert(rows, list[Slate]))


encode_viewer = msgspec.json.Encoder(enc_hook=_as_list).encode
decode_viewer = msgspec.json.Decoder(Viewer, dec_hook=_as_slates).decode
