"""Judges the viewers of one partition: whom to trust, and which sessions there are to learn from.

What moves a viewer from ok to bot and back is in `streamapp.features.trust`; here it is applied to
viewers, with what the catalog and control.parameters say, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from streamapp.features import half_space, trust_rules
from streamapp.features.catalog import Catalog
from streamapp.features.digest import fraction
from streamapp.features.figure import Figure
from streamapp.features.parameters import Parameters
from streamapp.features.session_vector import Vector, vector
from streamapp.features.sessions import newest
from streamapp.features.trust import (
    BOT,
    LOOK_EVERY,
    OK,
    STATES,
    Trust,
    counted,
    unpack,
)
from streamapp.features.viewer import Viewer
from streamapp.signals import SessionVector

_encode = msgspec.json.Encoder().encode


class _Look(NamedTuple):
    """What a look found; `seen` is the session's vector, if it took it."""

    reasons: int
    seen: Vector | None


class Judge:
    """Keeps the trust in each viewer up to date.

    Args:
        session_keep_rate: share of the viewers whose sessions are learnt from.
    """

    def __init__(
        self,
        catalog: Catalog,
        parameters: Parameters,
        *,
        session_keep_rate: float = 1.0,
    ) -> None:
        self._catalog = catalog
        self._parameters = parameters
        self._session_keep_rate = session_keep_rate
        self._doubted: dict[str, int] = {}
        self._doubts: Counter[int] = Counter()
        self._actions: Counter[int] = Counter()
        self._reasons: Counter[tuple[int, str]] = Counter()
        self._sessions: list[tuple[int, Vector]] = []

    def rest(self, viewer: Viewer, time_ms: int) -> None:
        """Let time pass for a viewer, before their event of this time counts."""
        before = unpack(viewer.trust)
        after = before.rested(max(time_ms, viewer.newest_ms))
        if after is not before:
            self._move(viewer, before, after)

    def act(self, viewer: Viewer, action: int, time_ms: int) -> None:
        """Take an action that is among the viewer's recent ones and in their session.

        Args:
            action: index in `streamapp.features.recent.ACTIONS`.
        """
        packed = viewer.trust
        self._actions[packed[1] if len(packed) > 1 else OK] += 1
        if action not in trust_rules.DELIBERATE:
            return
        viewer.trust = packed = counted(packed)
        if packed[0] % LOOK_EVERY == 0:
            self._judge(viewer, unpack(packed), max(time_ms, viewer.newest_ms))

    def _judge(self, viewer: Viewer, before: Trust, time_ms: int) -> None:
        look = self._look(viewer, time_ms, takes_vector=before.actions == 0)
        after = before.looked(look.reasons, time_ms, took_vector=look.seen is not None)
        if look.seen is not None and after.state != BOT:
            self._teach(viewer, time_ms, look.seen)
        if after.state != before.state:
            self._move(viewer, before, after)
        else:
            viewer.trust = after.pack()

    def _look(self, viewer: Viewer, time_ms: int, *, takes_vector: bool) -> _Look:
        recent = viewer.recent
        if recent.held < trust_rules.FEWEST:
            return _Look(0, None)
        acts = recent.since(recent.newest_ms - trust_rules.REACH_MS)
        chosen = trust_rules.deliberate(acts)
        reasons = trust_rules.found(acts, chosen, self._catalog)
        if not takes_vector:
            return _Look(reasons, None)
        seen = vector(newest(viewer.profile.sessions), [at_ms for at_ms, _ in chosen])
        learnt = self._parameters.get(half_space.PARAMETER, time_ms, None)
        if isinstance(learnt, tuple) and half_space.is_anomaly(learnt, seen):
            reasons |= trust_rules.ANOMALY
        return _Look(reasons, seen)

    def _teach(self, viewer: Viewer, time_ms: int, seen: Vector) -> None:
        """Let a session be learnt from."""
        rate = self._session_keep_rate
        if rate >= 1.0 or fraction(viewer.viewer_id) < rate:
            self._sessions.append((time_ms, seen))

    def _move(self, viewer: Viewer, before: Trust, after: Trust) -> None:
        viewer.trust = after.pack()
        for name in (after if after.state != OK else before).reason_names:
            self._reasons[after.state, name] += 1
        self._enter(viewer.viewer_id, after.state)

    def _enter(self, viewer_id: str, state: int) -> None:
        self.forget(viewer_id)
        if state != OK:
            self._doubted[viewer_id] = state
            self._doubts[state] += 1

    def forget(self, viewer_id: str) -> None:
        """A viewer is no more."""
        state = self._doubted.pop(viewer_id, None)
        if state is not None:
            self._doubts[state] -= 1

    def restore(self, viewer: Viewer) -> None:
        """Take a viewer that came back from the changelog."""
        if len(viewer.trust) > 1:
            self._enter(viewer.viewer_id, unpack(viewer.trust).state)

    def take_sessions(self) -> Iterator[bytes]:
        """Yield the encoded records of activity.sessions since the last call."""
        sessions, self._sessions = self._sessions, []
        for as_of_ms, seen in sessions:
            yield _encode(SessionVector(as_of_ms=as_of_ms, vector=seen))

    def figures(self, viewers: int) -> list[Figure]:
        """Return the gauges, given how many viewers are held; from any thread."""
        held = {state: self._doubts[state] for state in range(1, len(STATES))}
        held[OK] = viewers - sum(held.values())
        acted, moved = list(self._actions.items()), list(self._reasons.items())
        figures: list[Figure] = []
        for name, counts in (("viewers_by_trust", held.items()), ("actions_by_trust", acted)):
            figures += [(name, {"trust": STATES[state]}, float(n)) for state, n in counts]
        for (state, reason), n in moved:
            figures.append(("verdicts", {"trust": STATES[state], "reason": reason}, float(n)))
        return figures
