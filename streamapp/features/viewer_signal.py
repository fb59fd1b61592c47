"""The record of signals.viewers: all that is known of a viewer, as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from streamapp.features.parameters import Parameters
from streamapp.features.sessions import newest
from streamapp.features.trust import unpack
from streamapp.features.viewer import Viewer
from streamapp.signals import Habits, ViewerSession, ViewerSignal

_encode = msgspec.json.Encoder().encode


def viewer_signal(viewer: Viewer, parameters: Parameters, computed_at_ms: int) -> bytes:
    """Return a viewer's signal, as of their newest event; it has been one already."""
    profile, as_of_ms = viewer.profile, viewer.newest_ms
    trust = unpack(viewer.trust)
    session = newest(profile.sessions)
    # Most of it is kept as nearly JSON, and goes in as it is.
    affinity: Any = profile.affinity_json(as_of_ms)
    recent: Any = viewer.recent.json()
    seen: Any = profile.seen_json()
    hidden: Any = profile.hidden_json()
    hours: Any = profile.hours_json(as_of_ms)
    prior = parameters.prior("watch_ratio", None, as_of_ms)
    return _encode(
        ViewerSignal(
            viewer_id=viewer.viewer_id,
            as_of_ms=as_of_ms,
            computed_at_ms=computed_at_ms,
            trust=trust.name,
            trust_reasons=trust.reason_names,
            recent=recent,
            affinity=affinity,
            session=ViewerSession(
                f"{viewer.viewer_id}:{session.started_at_ms}",
                session.started_at_ms,
                session.impressions,
                session.clicks,
                session.watches,
                session.watched_ms,
            ),
            seen=seen,
            hidden=hidden,
            habits=Habits(hours, profile.watch_ratio(as_of_ms, prior)),
        )
    )
