"""The record of signals.viewers: all that is known of a viewer, as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from streamapp.features.parameters import Parameters
from streamapp.features.profile import Profile
from streamapp.features.sessions import newest
from streamapp.features.trust import unpack
from streamapp.features.viewer import Viewer
from streamapp.signals import Affinities, Habits, ViewerSession, ViewerSignal

_encode = msgspec.json.Encoder().encode


def viewer_signal(viewer: Viewer, parameters: Parameters, computed_at_ms: int) -> bytes:
    """Return a viewer's signal, as of their newest event; it has been one already."""
    profile, as_of_ms = viewer.profile, viewer.newest_ms
    session, habits = newest(profile.sessions), profile.habits
    trust = unpack(viewer.trust)
    prior = parameters.prior("watch_ratio", None, as_of_ms)
    recent: Any = viewer.recent.json()  # kept as nearly JSON, it goes in as it is
    return _encode(
        ViewerSignal(
            viewer_id=viewer.viewer_id,
            as_of_ms=as_of_ms,
            computed_at_ms=computed_at_ms,
            trust=trust.name,
            trust_reasons=trust.reason_names,
            recent=recent,
            affinity=_affinity(profile, as_of_ms),
            session=ViewerSession(
                f"{viewer.viewer_id}:{session.started_at_ms}",
                session.started_at_ms,
                session.impressions,
                session.clicks,
                session.watches,
                session.watched_ms,
            ),
            seen=profile.seen.items() if profile.seen else [],
            hidden=profile.hidden.items() if profile.hidden else [],
            habits=Habits(
                {} if habits is None else habits.by_hour(as_of_ms),
                profile.watch_ratio(as_of_ms, prior),
            ),
        )
    )


def _affinity(profile: Profile, time_ms: int) -> Affinities:
    categories, creators = profile.categories, profile.creators
    return Affinities(
        {} if categories is None else categories.by_name(time_ms),
        {} if creators is None else creators.by_name(time_ms),
    )
