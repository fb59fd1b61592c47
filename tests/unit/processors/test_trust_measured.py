"""How many bots are found, and how many humans taken for one, in a simulated audience."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import median
from typing import NamedTuple

import pytest

from streamapp.features.catalog import Catalog
from streamapp.features.parameters import Parameters
from streamapp.features.trust import is_bot
from streamapp.processors.anomalies import Anomalies, AnomaliesSettings
from streamapp.processors.base import Cut
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from streamapp.simulate import BOTS, World, catalog, traffic

START = 1_700_000_000_000
HOURS = 3
HUMAN = "human"


class Found(NamedTuple):
    """What came of the clicks of each kind of viewer.

    Attributes:
        clicks, kept_out: by kind.
        seconds: by kind, from a viewer's first event to the verdict.
        anomalies: versions of the trees that were published.
    """

    clicks: Counter[str]
    kept_out: Counter[str]
    seconds: dict[str, list[float]]
    anomalies: int


def measured(seed: int) -> Found:
    """Run a world with 5 % bots through viewers and anomalies, cutting each second."""
    world = World(seed, viewers=300, items=200, bots=0.05)
    view, parameters = Catalog(), Parameters()
    for sent in catalog(world, START):
        view.update(sent.key, sent.value)
    viewers = Viewers(view, parameters, ViewersSettings())
    anomalies = Anomalies(AnomaliesSettings(window=50, least_scored=100))
    found = Found(Counter(), Counter(), defaultdict(list), 0)
    first: dict[str, int] = {}
    now_ms = cut_ms = START
    for sent in traffic(world, start_ms=START, rate=6.0, seed=seed):
        if sent.timestamp_ms > START + HOURS * 3_600_000:
            return found
        event = viewers.decoder(sent.topic)(sent.value)
        if event.occurred_at_ms > now_ms:
            now_ms = event.occurred_at_ms
            viewers.advance(now_ms)
        was_bot = is_bot(getattr(viewers._viewers.get(sent.key), "trust", b""))
        viewers.process(sent.topic, event)
        viewer = viewers._viewers.get(sent.key)
        assert viewer is not None
        kind = world.viewer(int(sent.key[1:])).bot or HUMAN
        began_ms = first.setdefault(sent.key, event.occurred_at_ms)
        if sent.topic == "events.clicks":
            found.clicks[kind] += 1
            found.kept_out[kind] += is_bot(viewer.trust)
            if is_bot(viewer.trust) and not was_bot:
                found.seconds[kind].append((event.occurred_at_ms - began_ms) / 1_000)
        if now_ms >= cut_ms:
            cut_ms = now_ms + 1_000
            found = found._replace(
                anomalies=found.anomalies + learn(viewers, anomalies, parameters)
            )
    raise AssertionError("traffic never ends")


def learn(viewers: Viewers, anomalies: Anomalies, parameters: Parameters) -> int:
    """Hand sessions on, and what is learnt back; return how often something was published."""
    cut, learnt = Cut(0, 0), Cut(0, 0)
    list(viewers.cut(cut))
    for _, session, _ in cut.outputs.get("activity.sessions", ()):
        assert session is not None
        anomalies.process("activity.sessions", anomalies.decoder("activity.sessions")(session))
    list(anomalies.cut(learnt))
    published = learnt.outputs.get("control.parameters", ())
    for key, value, _ in published:
        assert key is not None
        parameters.update(key.decode(), value)
    return len(published)


@pytest.mark.parametrize("seed", [4])
def test_most_clicks_of_bots_are_kept_out_and_hardly_any_of_a_human_is_lost(seed):
    found = measured(seed)
    bots = sum(found.clicks[kind] for kind in BOTS)
    kept_out = sum(found.kept_out[kind] for kind in BOTS)
    print(f"bot clicks kept out by detection alone: {kept_out} of {bots} ({kept_out / bots:.1%})")
    print(f"human clicks lost: {found.kept_out[HUMAN]} of {found.clicks[HUMAN]}")
    for kind in BOTS:
        share = found.kept_out[kind] / found.clicks[kind]
        print(f"{kind}: {share:.1%} kept out, verdict after {median(found.seconds[kind]):.0f} s")
    assert found.anomalies > 0
    assert found.clicks[HUMAN] > 3_000
    assert found.kept_out[HUMAN] <= 0.005 * found.clicks[HUMAN]
    assert kept_out >= 0.85 * bots
    for kind in BOTS:
        assert found.kept_out[kind] >= 0.7 * found.clicks[kind], kind
