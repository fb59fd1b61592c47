"""The viewers of the demo, split over the arms: who ranks for whom, and what comes of it.

A viewer belongs to one arm, by a hash. Events name it as the variant of the experiment `ranker`,
and STREAMAPP_SEGMENT_BY makes it the segment of their examples: each arm has models of its own,
which learn from its own viewers. What the items' signals count is of all viewers, as it is in
production while an experiment runs.
"""

from __future__ import annotations

from streamapp.demo.arms import ARMS, Arm
from streamapp.demo.tally import Tally
from streamapp.features.digest import fraction
from streamapp.simulate import Human, Sent, Viewer

EXPERIMENT = "ranker"
SEGMENT_BY = f"experiment:{EXPERIMENT}"

EXPLORED = 0.1


class Split:
    """Viewers, arms, and a tally of each arm.

    Args:
        hour_ms: how often the hour-old arm takes over what was published.

    Attributes:
        tallies: what the visits of each arm's viewers come to; none counts until one says so.
    """

    def __init__(self, hour_ms: int) -> None:
        self.tallies = {name: Tally() for name in ARMS}
        self._arms = {
            name: Arm.named(name, explored=EXPLORED, hour_ms=hour_ms, segment=name) for name in ARMS
        }
        self._humans = {
            name: Human(ranker=arm.rank, experiments={EXPERIMENT: name})
            for name, arm in self._arms.items()
        }

    def human(self, viewer: Viewer) -> Human:
        """Return how a viewer behaves, and who ranks for them."""
        return self._humans[arm_of(viewer.viewer_id)]

    def take(self, topic: str, key: bytes | str | None, value: bytes | None) -> None:
        """Take a record that was published."""
        for arm in self._arms.values():
            arm.take(topic, key, value)

    def count_from(self, since_ms: int) -> None:
        """Count visits from a time on."""
        for tally in self.tallies.values():
            tally.since_ms = since_ms

    def count(self, sent: Sent) -> None:
        """Count an event that a viewer sent."""
        self.tallies[arm_of(sent.key)].take(sent)


def arm_of(viewer_id: str) -> str:
    """Return the arm a viewer belongs to."""
    return ARMS[int(fraction(f"{EXPERIMENT}/{viewer_id}") * len(ARMS)) % len(ARMS)]
