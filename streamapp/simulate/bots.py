"""Four kinds of bots. Each breaks one habit of humans and keeps to the others as far as it can.

==========  =====================================================================================
burster     clicks everything it is shown, within a second or two, slate after slate
metronome   asks for a slate, clicks an item each 6 s to the tick, and plays each for a moment
repeater    comes back to one item again and again, at random times, and plays it for a moment
scraper     clicks through slates at a human pace and never plays anything
==========  =====================================================================================

A machine does not live faster because the world does: their times are not multiplied by its pace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from streamapp.simulate.behaviour import Behaviour, Happening, Scene, Shown
from streamapp.simulate.slates import shuffled
from streamapp.simulate.world import Viewer, World

PLAYED_MS = 2_000
"""How long a bot that hides behind playbacks plays an item."""


class Bot(ABC):
    """Uses the platform as a machine does."""

    __slots__ = ()

    def visit(
        self, world: World, viewer: Viewer, visit_id: str, at_ms: int, draw: Random
    ) -> list[Happening]:
        """Return what the bot does from `at_ms` on, by event time; ids begin with `visit_id`."""
        scene = Scene(world, viewer, visit_id, draw)
        self._run(scene, at_ms)
        return scene.in_order()

    @abstractmethod
    def _run(self, scene: Scene, at_ms: int) -> None:
        """Add to a scene what the bot does in one visit."""


@dataclass(frozen=True, slots=True)
class Burster(Bot):
    """Clicks all of a slate in quick succession.

    Attributes:
        slates: asked for in a visit, one a second and a half.
        gap_ms: longest time between two clicks.
    """

    slates: int = 12
    gap_ms: int = 180

    def _run(self, scene: Scene, at_ms: int) -> None:
        """Ask for slates, each with a click on all that it shows."""
        draw = scene.draw
        for _ in range(self.slates):
            for shown in _slate(scene, at_ms):
                at_ms += draw.randint(20, self.gap_ms)
                scene.act("click", shown, at_ms)
            at_ms += draw.randint(300, 1_500)


@dataclass(frozen=True, slots=True)
class Metronome(Bot):
    """Clicks by the clock.

    Attributes:
        clicks: in a visit.
        every_ms: between two of them, give or take `jitter_ms`.
    """

    clicks: int = 120
    every_ms: int = 6_000
    jitter_ms: int = 50

    def _run(self, scene: Scene, at_ms: int) -> None:
        """Ask for slates, and click and play shortly at even distances."""
        draw = scene.draw
        waiting: list[Shown] = []
        for number in range(self.clicks):
            clicked_ms = at_ms + number * self.every_ms + draw.randint(0, self.jitter_ms)
            waiting = waiting or _slate(scene, clicked_ms - self.every_ms // 2)
            shown = waiting.pop(0)
            scene.act("click", shown, clicked_ms)
            _play(scene, shown, clicked_ms + draw.randint(200, 900))


@dataclass(frozen=True, slots=True)
class Repeater(Bot):
    """Pushes one item, the same one in every visit.

    Attributes:
        clicks: in a visit.
        pause_ms: between two of them, on average.
    """

    clicks: int = 100
    pause_ms: float = 5_000.0

    def _run(self, scene: Scene, at_ms: int) -> None:
        """Click the item, which was never shown, and play it shortly."""
        world, draw = scene.world, scene.draw
        target = Random(f"{world.seed}:target:{scene.viewer.viewer_id}").choice(world.catalog)
        shown = Shown(target, world.surfaces[0], 1, None, None)
        for _ in range(self.clicks):
            at_ms += 200 + int(draw.expovariate(1.0) * self.pause_ms)
            scene.act("click", shown, at_ms)
            _play(scene, shown, at_ms + draw.randint(200, 900))


@dataclass(frozen=True, slots=True)
class Scraper(Bot):
    """Looks at slates and clicks, and is interested in nothing.

    Attributes:
        slates: asked for in a visit.
        clicked: probability of a click on each item shown.
        pause_ms: before each click, on average.
    """

    slates: int = 25
    clicked: float = 0.5
    pause_ms: float = 3_000.0

    def _run(self, scene: Scene, at_ms: int) -> None:
        """Ask for slates, and click."""
        draw = scene.draw
        for _ in range(self.slates):
            for shown in _slate(scene, at_ms):
                if draw.random() < self.clicked:
                    at_ms += 300 + int(draw.expovariate(1.0) * self.pause_ms)
                    scene.act("click", shown, at_ms)
            at_ms += 1_000 + int(draw.expovariate(1.0) * 2 * self.pause_ms)


BEHAVIOURS: Mapping[str, Behaviour] = MappingProxyType(
    {"burster": Burster(), "metronome": Metronome(), "repeater": Repeater(), "scraper": Scraper()}
)
"""By the names of `streamapp.simulate.world.BOTS`."""


def _slate(scene: Scene, at_ms: int) -> list[Shown]:
    """Show a slate of anything on the first surface; returns what can be clicked."""
    world = scene.world
    surface = world.surfaces[0]
    pool = world.pool(surface)
    placed = shuffled(world, scene.viewer, surface, pool, at_ms, scene.draw)
    request_id = scene.show(surface, placed, None, at_ms)
    return [
        Shown(one.item, surface, position, request_id, None)
        for position, one in enumerate(placed, 1)
    ]


def _play(scene: Scene, shown: Shown, at_ms: int) -> None:
    """Play something for a moment, if it can be played."""
    item = shown.item
    if item.kind != "product":
        scene.play(shown, at_ms, [("start", 0), ("exit", PLAYED_MS)])
