"""What visits come to: clicks and watch time, counted as the events go by."""

from __future__ import annotations

from math import sqrt

from streamapp.simulate import Sent
from streamapp.simulate.behaviour import CLICKS, IMPRESSIONS, WATCHES


class Tally:
    """Counts visits that begin at a time or later, each from its first slate on.

    Attributes:
        since_ms: of visits that begin before, nothing counts; None: of none.
    """

    def __init__(self, since_ms: int | None = None) -> None:
        self.since_ms = since_ms
        self._before: set[str] = set()
        self._clicks: dict[str, int] = {}
        self._watched: dict[str, int] = {}

    def take(self, sent: Sent) -> None:
        """Take an event; those of a playback come in order."""
        topic, event = sent.topic, sent.event
        visit = event["session_id"]
        if topic == IMPRESSIONS and visit not in self._before:
            since_ms = self.since_ms
            if visit in self._clicks:
                return
            if since_ms is not None and event["occurred_at_ms"] >= since_ms:
                self._clicks[visit] = 0
            else:
                self._before.add(visit)
        elif topic == CLICKS and visit in self._clicks:
            self._clicks[visit] += event["action"] == "click"
        elif topic == WATCHES and visit in self._clicks:
            self._watched[event["playback_id"]] = event["watched_ms"]

    @property
    def visits(self) -> int:
        """Visits counted."""
        return len(self._clicks)

    @property
    def clicks(self) -> int:
        """Clicks in these visits."""
        return sum(self._clicks.values())

    @property
    def watched_ms(self) -> int:
        """Watch time in these visits."""
        return sum(self._watched.values())

    @property
    def clicks_a_visit(self) -> tuple[float, float] | None:
        """Mean and its standard error; None for fewer than two visits."""
        count = self.visits
        if count < 2:  # noqa: PLR2004  # one visit has no spread
            return None
        mean = self.clicks / count
        spread = sum((clicks - mean) ** 2 for clicks in self._clicks.values()) / (count - 1)
        return mean, sqrt(spread / count)
