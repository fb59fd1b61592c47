"""A viewer at rest: what nobody asks for until their next event, compressed.

Of the viewers held few are about. The others are of use only when they are back: meanwhile all but
a few numbers is one compressed string, and a tuple of the names of items, categories and creators,
of which all viewers share the texts. That takes little more than half the memory, and to lay a
viewer to rest and get them up again costs half of what an event does.

The parts are gone meanwhile: who asks a viewer at rest for one gets an AttributeError.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import cramjam
import msgspec

from streamapp.features.affinities import Affinities
from streamapp.features.latest import LatestItems
from streamapp.features.profile import Profile
from streamapp.features.sessions import Sessions
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_parts import (
    HabitsPart,
    IdsPart,
    JournalPart,
    PlaybacksPart,
    RecentPart,
)


class _Latest(msgspec.Struct, gc=False, array_like=True):
    """Latest items without their names."""

    held: int
    runs: bytes


class _Affinities(msgspec.Struct, gc=False, array_like=True):
    """Affinities without their names."""

    held: int
    landmark_ms: int
    sums: bytes


class _Rest(msgspec.Struct, gc=False, array_like=True):
    ids: IdsPart
    recent: RecentPart
    playbacks: PlaybacksPart
    journal: JournalPart
    sessions: bytes
    habits: HabitsPart | None
    seen: _Latest | None
    hidden: _Latest | None
    categories: _Affinities | None
    creators: _Affinities | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Rest).decode


def lay_to_rest(viewer: Viewer) -> None:
    """Put away what only the viewer's next event needs."""
    profile, habits = viewer.profile, viewer.profile.habits
    names: list[str] = []
    kept = _Rest(
        IdsPart.of(viewer.ids),
        RecentPart.of(viewer.recent),
        PlaybacksPart.of(viewer.playbacks),
        JournalPart.of(viewer.journal),
        profile.sessions.pack(),
        None if habits is None else HabitsPart.of(habits),
        _of_latest(profile.seen, names),
        _of_latest(profile.hidden, names),
        _of_affinities(profile.categories, names),
        _of_affinities(profile.creators, names),
    )
    viewer.rest, viewer.names = bytes(cramjam.lz4.compress_block(_encode(kept))), tuple(names)
    del viewer.ids, viewer.recent, viewer.playbacks, viewer.journal, viewer.profile


def get_up(viewer: Viewer) -> None:
    """Bring a viewer at rest back as they were."""
    kept, names = _decode(cramjam.lz4.decompress_block(viewer.rest)), iter(viewer.names)
    profile, habits = Profile(), kept.habits
    profile.sessions = Sessions(kept.sessions)
    profile.habits = None if habits is None else habits.back()
    profile.seen, profile.hidden = _to_latest(kept.seen, names), _to_latest(kept.hidden, names)
    profile.categories = _to_affinities(kept.categories, names)
    profile.creators = _to_affinities(kept.creators, names)
    viewer.ids, viewer.recent = kept.ids.back(), kept.recent.back()
    viewer.playbacks, viewer.journal = kept.playbacks.back(), kept.journal.back()
    viewer.profile = profile
    viewer.rest, viewer.names = b"", ()


def _of_latest(latest: LatestItems | None, names: list[str]) -> _Latest | None:
    if latest is None:
        return None
    names += latest.happened
    return _Latest(len(latest.happened), latest.runs)


def _to_latest(kept: _Latest | None, names: Iterator[str]) -> LatestItems | None:
    if kept is None:
        return None
    latest = LatestItems()
    latest.happened, latest.runs = list(islice(names, kept.held)), kept.runs
    return latest


def _of_affinities(affinities: Affinities | None, names: list[str]) -> _Affinities | None:
    if affinities is None:
        return None
    names += affinities.names
    return _Affinities(len(affinities.names), affinities.landmark_ms, affinities.sums)


def _to_affinities(kept: _Affinities | None, names: Iterator[str]) -> Affinities | None:
    if kept is None:
        return None
    affinities = Affinities(kept.landmark_ms)
    affinities.names, affinities.sums = tuple(islice(names, kept.held)), kept.sums
    return affinities
