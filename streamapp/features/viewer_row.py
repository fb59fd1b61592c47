"""The row of a viewer in the changelog.

Number, newest event time and stream time of the latest step have the same places in it as in the
row of a step. What a part of a viewer is said to be there, the class of that part says.
"""

from __future__ import annotations

import msgspec

from streamapp.features.affinities import Affinities
from streamapp.features.dedupe import EventIds
from streamapp.features.habits import WatchHabits
from streamapp.features.journal import Journal
from streamapp.features.latest import LatestItems
from streamapp.features.playbacks import Playback, Playbacks
from streamapp.features.profile import Profile
from streamapp.features.recent import RecentActions
from streamapp.features.sessions import Sessions
from streamapp.features.slates import OpenSlates, Slate
from streamapp.features.steps import ShownStep
from streamapp.features.viewer import FEWEST_STEPS, NEVER, Viewer

_VERSION = 2


class _Ids(msgspec.Struct, gc=False, array_like=True):
    held: int = 0
    buckets: tuple[bytearray, ...] = ()


class _Recent(msgspec.Struct, gc=False, array_like=True):
    held: int = 0
    newest_ms: int = -1
    actions: bytes = b""
    ids: bytes = b""


class _Playback(msgspec.Struct, gc=False, array_like=True):
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


class _Playbacks(msgspec.Struct, gc=False, array_like=True):
    held: int = 0
    buckets: tuple[bytearray, ...] = ()
    playing: bytes = b""
    latest: _Playback | None = None


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


class _Habits(msgspec.Struct, gc=False, array_like=True):
    landmark_ms: int = -1
    hours: bytes = b""
    ratio_sum: float = 0.0
    ratio_n: float = 0.0


class _Profile(msgspec.Struct, gc=False, array_like=True):
    sessions: bytes = b""
    seen: _Latest | None = None
    hidden: _Latest | None = None
    categories: _Affinities | None = None
    creators: _Affinities | None = None
    habits: _Habits | None = None


class _Journal(msgspec.Struct, gc=False, array_like=True):
    shown: bytes = b""
    items: bytes = b""
    positions: bytes = b""
    acted: bytes = b""
    queries: dict[int, str] | None = None
    shown_gone: int = 0
    acted_gone: int = 0
    newest_search_ms: int = -1
    newest_click_ms: int = -1


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
    ids: _Ids = msgspec.field(default_factory=_Ids)
    recent: _Recent = msgspec.field(default_factory=_Recent)
    playbacks: _Playbacks = msgspec.field(default_factory=_Playbacks)
    slates: list[_Slate] | None = None
    profile: _Profile = msgspec.field(default_factory=_Profile)
    journal: _Journal = msgspec.field(default_factory=_Journal)
    trust: bytes = b""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Viewer).decode


def encode_viewer(viewer: Viewer) -> bytes:
    """Return the row of a viewer."""
    recent = viewer.recent
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
            _Ids(viewer.ids.held, viewer.ids.buckets),
            _Recent(recent.held, recent.newest_ms, recent.actions, recent.ids),
            _of_playbacks(viewer.playbacks),
            None if viewer.slates is None else [_of_slate(each) for each in viewer.slates.all()],
            _of_profile(viewer.profile),
            _of_journal(viewer.journal),
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
    viewer.ids = EventIds(kept.ids.held, kept.ids.buckets)
    recent = kept.recent
    viewer.recent = RecentActions(recent.held, recent.newest_ms, recent.actions, recent.ids)
    viewer.playbacks = _to_playbacks(kept.playbacks)
    if kept.slates is not None:
        viewer.slates = OpenSlates()
        for slate in kept.slates:
            viewer.slates.add(_to_slate(slate))
    viewer.profile = _to_profile(kept.profile)
    viewer.journal = _to_journal(kept.journal)
    return viewer


def _of_playbacks(playbacks: Playbacks) -> _Playbacks:
    one = playbacks.latest
    latest = None
    if one is not None:
        latest = _Playback(
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
    return _Playbacks(playbacks.held, playbacks.buckets, playbacks.playing, latest)


def _to_playbacks(kept: _Playbacks) -> Playbacks:
    one, latest = kept.latest, None
    if one is not None:
        latest = Playback(one.item, one.start_ms, one.last_ms)
        latest.watched_ms, latest.duration_ms = one.watched_ms, one.duration_ms
        latest.closed, latest.timed_out = one.closed, one.timed_out
        latest.completed, latest.kept_out = one.completed, one.kept_out
        latest.ratio, latest.grown = one.ratio, one.grown
    return Playbacks(kept.held, kept.buckets, kept.playing, latest)


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
        None
        if habits is None
        else _Habits(habits.landmark_ms, habits.hours, habits.ratio_sum, habits.ratio_n),
    )


def _to_profile(kept: _Profile) -> Profile:
    profile, habits = Profile(), kept.habits
    profile.sessions = Sessions(kept.sessions)
    profile.seen, profile.hidden = _to_latest(kept.seen), _to_latest(kept.hidden)
    profile.categories = _to_affinities(kept.categories)
    profile.creators = _to_affinities(kept.creators)
    if habits is not None:
        profile.habits = WatchHabits(
            habits.landmark_ms, habits.hours, habits.ratio_sum, habits.ratio_n
        )
    return profile


def _of_journal(journal: Journal) -> _Journal:
    return _Journal(
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


def _to_journal(kept: _Journal) -> Journal:
    journal = Journal()
    journal.shown, journal.items, journal.positions = kept.shown, kept.items, kept.positions
    journal.acted, journal.queries = kept.acted, kept.queries
    journal.shown_gone, journal.acted_gone = kept.shown_gone, kept.acted_gone
    journal.newest_search_ms = kept.newest_search_ms
    journal.newest_click_ms = kept.newest_click_ms
    return journal
