"""Ranking layers that are compared: each ranks by what it has read.

===========  ==================================================================================
popularity   by the items' click rate of late (`ctr` of signals.items), to the second
hour_old     by signals and models as they were when the last hour was full
fresh        by signals and models as last published
===========  ==================================================================================

An hour is as long as one says. All explore alike: a share of the slates is shuffled, and says with
which propensities.
"""

from __future__ import annotations

from random import Random

from streamapp.reader import Context, Options, Ranker, State
from streamapp.simulate import Item, Placed, Surface, Viewer, World, shuffled

ARMS = ("popularity", "hour_old", "fresh")

CATALOG = "catalog.items"

Key = bytes | str | None


class Arm:
    """A ranking layer of its own.

    Args:
        options: how its reader ranks.
        explored: share of the slates that are shuffled.
        hour_ms: what was published is taken over once so long; 0: at once. The catalog always is.
        segment: of its models.
    """

    def __init__(
        self, options: Options, explored: float, hour_ms: int = 0, segment: str = "all"
    ) -> None:
        self.state = State()
        self._ranker = Ranker(self.state, options)
        self._explored = explored
        self._hour_ms = hour_ms
        self._segment = segment
        self._hour: int | None = None
        self._held: dict[tuple[str, Key], bytes | None] = {}

    @classmethod
    def named(
        cls,
        name: str,
        *,
        explored: float,
        hour_ms: int,
        segment: str = "all",
        log_features: bool = False,
    ) -> Arm:
        """Return one of `ARMS`."""
        options = Options(
            with_models=name != "popularity",
            show_seen=True,
            stale_topic_ms=2 * hour_ms,
            log_features=log_features,
        )
        return cls(options, explored, hour_ms if name == "hour_old" else 0, segment)

    def take(self, topic: str, key: Key, value: bytes | None) -> None:
        """Take a record that was published."""
        if self._hour_ms and topic != CATALOG:
            self._held.pop((topic, key), None)  # so that it comes last, as on a compacted topic
            self._held[topic, key] = value
        else:
            self.state.update(topic, key, value)

    def turn(self, at_ms: int) -> None:
        """Go on to a time: if an hour is full, take over what was published up to now."""
        if not self._hour_ms or at_ms // self._hour_ms == self._hour:
            return
        self._hour = at_ms // self._hour_ms
        for (topic, key), value in self._held.items():
            self.state.update(topic, key, value)
        self._held.clear()

    def rank(
        self,
        world: World,
        viewer: Viewer,
        surface: Surface,
        pool: tuple[Item, ...],
        at_ms: int,
        draw: Random,
    ) -> list[Placed]:
        """Go on to a time, and return a slate."""
        self.turn(at_ms)
        if draw.random() < self._explored:
            return shuffled(world, viewer, surface, pool, at_ms, draw)
        items = {item.item_id: item for item in draw.sample(pool, len(pool))}  # of equals, any
        context = Context(
            request_id=f"{viewer.viewer_id}:{at_ms}",
            at_ms=at_ms,
            surface=surface.name,
            limit=len(surface.theta),
            segment=self._segment,
            device=viewer.device,
            country=viewer.country,
        )
        ranking = self._ranker.rank(viewer.viewer_id, items, context)
        return [
            Placed(items[one.item_id], one.score, one.propensity, one.features)
            for one in ranking.items
        ]
