"""What is left of bots in the items' numbers, and what is lost of people, end to end.

A simulated audience of which 5 % are bots of four kinds goes through viewers, anomalies and items;
then the same audience without what its bots did. There is a cut after each click, so that it is
known whose clicks each delta counts or takes back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile
from math import sqrt
from typing import NamedTuple

import msgspec
import pytest

from streamapp.features.catalog import Catalog
from streamapp.features.parameters import Parameters
from streamapp.processors.anomalies import Anomalies, AnomaliesSettings
from streamapp.processors.items import Items, ItemsSettings
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.simulate import BOTS, World, catalog, traffic
from streamapp.simulate.delivery import Sent
from tests.oracles.items import HOUR
from tests.oracles.pipeline import Stage

START = 1_700_000_000_000
HOURS = 2
CUT_EVERY_MS = 10_000
HALF_LIFE_MS = 6 * HOUR
HUMAN = "human"


class Click(NamedTuple):
    """A click that counts until it is taken back.

    Attributes:
        viewer_id: whose it is.
        time_ms: event time.
    """

    viewer_id: str
    time_ms: int


class Town:
    """Viewers, anomalies and items, and whose clicks count.

    Attributes:
        clicks: all that were sent, duplicates aside.
        counting: those that count now.
        taken_back_ms: stream time at which one that counted was taken back.
    """

    def __init__(self, world: World) -> None:
        view, self.parameters = Catalog(), Parameters()
        for sent in catalog(world, START):
            view.update(sent.key, sent.value)
        self.viewers = Stage(lambda: Viewers(view, self.parameters, ViewersSettings()))
        learnt = AnomaliesSettings(window=50, least_scored=100)
        self.anomalies = Stage(lambda: Anomalies(learnt))
        self.items = Stage(lambda: Items(view, self.parameters, ItemsSettings()))
        self.ctr: dict[str, float] = {}
        self.clicks: set[Click] = set()
        self.counting: dict[str, set[Click]] = defaultdict(set)
        self.taken_back_ms: dict[Click, int] = {}

    def play(self, stream: Iterable[Sent]) -> Town:
        due_ms = START + CUT_EVERY_MS
        for sent in stream:
            self.viewers.send(sent.topic, sent.value)
            if sent.event.get("action") == "click":
                self.book(Click(sent.key, sent.event["occurred_at_ms"]), self.cut())
            if self.viewers.stream_time_ms >= due_ms:
                self.publish()
                due_ms = self.viewers.stream_time_ms + CUT_EVERY_MS
        self.cut()
        self.publish()
        return self

    def book(self, click: Click, counted: int) -> None:
        """Note what a click changed: it counts, or it was the one that gave a bot away."""
        self.clicks.add(click)
        mine = self.counting[click.viewer_id]
        if counted > 0:
            assert counted == 1
            mine.add(click)
        elif counted < 0:
            assert counted == -len(mine)
            self.taken_back_ms |= dict.fromkeys(mine, self.viewers.stream_time_ms)
            mine.clear()

    def cut(self) -> int:
        """Cut the viewers, hand on what comes out; return by how many clicks the items change."""
        counted = 0.0
        outputs = self.viewers.cut().outputs
        for _, delta, _ in outputs.get("activity.items", ()):
            assert delta is not None
            self.items.send("activity.items", delta)
            counted += msgspec.json.decode(delta)["deltas"].get("clicks", [0.0])[0]
        for _, session, _ in outputs.get("activity.sessions", ()):
            assert session is not None
            self.anomalies.send("activity.sessions", session)
        return round(counted)

    def publish(self) -> None:
        """Cut who takes what the viewers hand on."""
        for key, value, _ in self.anomalies.cut().outputs.get("control.parameters", ()):
            assert key is not None
            self.parameters.update(key.decode(), value)
        for key, value, _ in self.items.cut().outputs.get("signals.items", ()):
            assert key is not None
            assert value is not None
            self.ctr[key.decode()] = msgspec.json.decode(value)["ctr"]

    def lost(self, click: Click, within_ms: int) -> bool:
        """Say whether a click did not count, or not for longer than this."""
        if click in self.counting[click.viewer_id]:
            return False
        taken_back_ms = self.taken_back_ms.get(click, click.time_ms)
        return taken_back_ms - click.time_ms <= within_ms


class Truth:
    """How likely people were to click each item where it was shown to them, as of late.

    Attributes:
        weight: impressions by item, decayed as those that the items' rate rests on.
    """

    def __init__(self, world: World, stream: Iterable[Sent], at_ms: int) -> None:
        items = {item.item_id: item for item in world.catalog}
        surfaces = {surface.name: surface for surface in world.surfaces}
        chances: dict[str, float] = defaultdict(float)
        self.weight: dict[str, float] = defaultdict(float)
        for event in {sent.event["event_id"]: sent.event for sent in stream}.values():
            weight = 2.0 ** (-(at_ms - event["occurred_at_ms"]) / HALF_LIFE_MS)
            viewer = world.viewer(int(event["viewer_id"][1:]))
            for slot in event.get("items", ()):
                item, surface = items[slot["item_id"]], surfaces[event["surface"]]
                chance = world.click_probability(viewer, item, surface, slot["position"], at_ms)
                self.weight[item.item_id] += weight
                chances[item.item_id] += weight * chance
        self.ctr = {item_id: chances[item_id] / n for item_id, n in self.weight.items()}

    def error(self, ctr: dict[str, float]) -> float:
        """Return the root mean square of what is wrong, each item weighing its impressions."""
        squares = sum(n * (ctr[item] - self.ctr[item]) ** 2 for item, n in self.weight.items())
        return sqrt(squares / sum(self.weight.values()))


@pytest.mark.parametrize("seed", [4])
def test_hardly_anything_of_bots_stays_and_the_items_rates_are_as_good_as_without_them(seed):
    world = World(seed, viewers=300, items=100, bots=0.05)
    end_ms = START + HOURS * HOUR
    stream = list(
        takewhile(
            lambda sent: sent.timestamp_ms <= end_ms,
            traffic(world, start_ms=START, rate=6.0, seed=seed),
        )
    )

    def kind(viewer_id: str) -> str:
        return world.viewer(int(viewer_id[1:])).bot or HUMAN

    of_people = [sent for sent in stream if kind(sent.key) == HUMAN]
    town, alone = Town(world).play(stream), Town(world).play(of_people)

    # What is an hour old, so that there was time to find out.
    judged = [click for click in town.clicks if kind(click.viewer_id) != HUMAN]
    judged = [click for click in judged if click.time_ms <= end_ms - HOUR]
    kept_out = [click for click in judged if town.lost(click, within_ms=HOUR)]
    print(f"bot clicks kept out or taken back within 1 h: {len(kept_out)} of {len(judged)}")
    for one in BOTS:
        mine = [town.lost(c, within_ms=HOUR) for c in judged if kind(c.viewer_id) == one]
        print(f"  {one}: {sum(mine)} of {len(mine)}")
        assert len(mine) > 100
    assert len(kept_out) >= 0.95 * len(judged)

    people = [click for click in town.clicks if kind(click.viewer_id) == HUMAN]
    lost = [click for click in people if town.lost(click, within_ms=24 * HOUR)]
    print(f"human clicks lost: {len(lost)} of {len(people)}")
    assert len(people) > 2_000
    assert len(town.taken_back_ms) > 100
    assert len(lost) <= 0.005 * len(people)

    truth = Truth(world, of_people, end_ms)
    error, without = truth.error(town.ctr), truth.error(alone.ctr)
    print(f"error of item ctr: {error:.5f} with bots, {without:.5f} without any")
    assert error <= 1.1 * without
