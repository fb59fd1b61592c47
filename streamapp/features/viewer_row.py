"""The row of a viewer in the changelog.

Number, newest event time and stream time of the latest step have the same places in it as in the
row of a step. What a part of a viewer is said to be there, the class of that part says.
"""

from __future__ import annotations

import msgspec

from streamapp.features.affinities import Affinities
from streamapp.features.latest import LatestItems
from streamapp.features.profile import Profile
from streamapp.features.sessions import Sessions
from streamapp.features.slates import OpenSlates, Slate
from streamapp.features.steps import ShownStep
from streamapp.features.viewer import FEWEST_STEPS, NEVER, Viewer
from streamapp.features.viewer_parts import (
    HabitsPart,
    IdsPart,
    JournalPart,
    PlaybacksPart,
    RecentPart,
)

_VERSION = 2


class _Affinities(msgspec.Struct, gc=False, array_like=True):
    landmark_ms: int = 0
    names: tuple[str, ...] = ()
    sums: bytes = b""


class _Slate(msgspec.Struct, gc=False, array_like=True):
    key: bytes
    shown: ShownStep
    clicked: tuple[int, ...] = ()
    labelled: bool = False
    actions: tuple[tuple[int, int], ...] = ()
    begun: tuple[tuple[int, bytes], ...] = ()
    as_of_ms: int = -1
    categories: _Affinities | None = None
    creators: _Affinities | None = None


class _Latest(msgspec.Struct, gc=False, array_like=True):
    """Items and runs, the newest first."""

    happened: list[str] = []
    runs: bytes = b""


class _Profile(msgspec.Struct, gc=False, array_like=True):
    sessions: bytes = b""
    seen: _Latest | None = None
    hidden: _Latest | None = None
    categories: _Affinities | None = None
    creators: _Affinities | None = None
    habits: HabitsPart | None = None


class _Viewer(msgspec.Struct, gc=False, array_like=True):
    version: int = _VERSION
    number: int = 0
    newest_ms: int = -1
    stream_ms: int = 0
    viewer_id: str = ""
    since: int = 0
    every: int = FEWEST_STEPS
    steps: int = 0
    published_ms: int = NEVER
    owed: bool = False
    ids: IdsPart = msgspec.field(default_factory=IdsPart)
    recent: RecentPart = msgspec.field(default_factory=RecentPart)
    playbacks: PlaybacksPart = msgspec.field(default_factory=PlaybacksPart)
    slates: list[_Slate] | None = None
    profile: _Profile = msgspec.field(default_factory=_Profile)
    journal: JournalPart = msgspec.field(default_factory=JournalPart)
    trust: bytes = b""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Viewer).decode


def encode_viewer(viewer: Viewer) -> bytes:
    """Return the row of a viewer."""
    return _encode(
        _Viewer(
            _VERSION,
            viewer.number,
            viewer.newest_ms,
            viewer.stream_ms,
            viewer.viewer_id,
            viewer.since,
            viewer.every,
            viewer.steps,
            viewer.published_ms,
            viewer.owed,
            IdsPart.of(viewer.ids),
            RecentPart.of(viewer.recent),
            PlaybacksPart.of(viewer.playbacks),
            None if viewer.slates is None else [_of_slate(each) for each in viewer.slates.all()],
            _of_profile(viewer.profile),
            JournalPart.of(viewer.journal),
            viewer.trust,
        )
    )


def decode_viewer(row: bytes) -> Viewer:
    """Return the viewer of a row."""
    kept = _decode(row)
    viewer = Viewer(kept.viewer_id)
    viewer.number, viewer.newest_ms, viewer.stream_ms = kept.number, kept.newest_ms, kept.stream_ms
    viewer.since, viewer.every, viewer.steps = kept.since, kept.every, kept.steps
    viewer.published_ms, viewer.owed, viewer.trust = kept.published_ms, kept.owed, kept.trust
    viewer.ids, viewer.recent = kept.ids.back(), kept.recent.back()
    viewer.playbacks = kept.playbacks.back()
    if kept.slates is not None:
        viewer.slates = OpenSlates()
        for slate in kept.slates:
            viewer.slates.add(_to_slate(slate))
    viewer.profile = _to_profile(kept.profile)
    viewer.journal = kept.journal.back()
    return viewer


def _of_affinities(affinities: Affinities | None) -> _Affinities | None:
    if affinities is None:
        return None
    return _Affinities(affinities.landmark_ms, affinities.names, affinities.sums)


def _to_affinities(kept: _Affinities | None) -> Affinities | None:
    return None if kept is None else Affinities(kept.landmark_ms, kept.names, kept.sums)


def _of_slate(slate: Slate) -> _Slate:
    return _Slate(
        slate.key,
        slate.shown,
        slate.clicked,
        slate.labelled,
        slate.actions,
        slate.begun,
        slate.as_of_ms,
        _of_affinities(slate.categories),
        _of_affinities(slate.creators),
    )


def _to_slate(kept: _Slate) -> Slate:
    slate = Slate(kept.key, kept.shown, [slot.item_id for slot in kept.shown.event.items])
    slate.clicked, slate.labelled = kept.clicked, kept.labelled
    slate.actions, slate.begun, slate.as_of_ms = kept.actions, kept.begun, kept.as_of_ms
    slate.categories = _to_affinities(kept.categories)
    slate.creators = _to_affinities(kept.creators)
    return slate


def _of_latest(latest: LatestItems | None) -> _Latest | None:
    return None if latest is None else _Latest(*latest.newest_first())


def _to_latest(kept: _Latest | None) -> LatestItems | None:
    return None if kept is None else LatestItems.restored(kept.happened, kept.runs)


def _of_profile(profile: Profile) -> _Profile:
    habits = profile.habits
    return _Profile(
        profile.sessions.pack(),
        _of_latest(profile.seen),
        _of_latest(profile.hidden),
        _of_affinities(profile.categories),
        _of_affinities(profile.creators),
        None if habits is None else HabitsPart.of(habits),
    )


def _to_profile(kept: _Profile) -> Profile:
    profile, habits = Profile(), kept.habits
    profile.sessions = Sessions(kept.sessions)
    profile.seen, profile.hidden = _to_latest(kept.seen), _to_latest(kept.hidden)
    profile.categories = _to_affinities(kept.categories)
    profile.creators = _to_affinities(kept.creators)
    profile.habits = None if habits is None else habits.back()
    return profile
