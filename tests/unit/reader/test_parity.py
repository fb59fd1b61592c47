"""From raw signals to a probability: the same as the published model gives, to 1e-9.

The learner learns examples whose features come from signals and catalog; what it publishes, and
the same signals as raw records, go to a reader.
"""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest

from streamapp.events import CatalogItem
from streamapp.features.serving import features, item_features, last_clicked, viewer_features
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.processors.base import Cut
from streamapp.processors.learner import Learner
from streamapp.processors.learner_settings import LearnerSettings
from streamapp.reader.ranker import Ranker
from streamapp.reader.request import Context, Options
from streamapp.reader.state import State
from streamapp.signals import Habits, ItemSignal, ViewerSession, ViewerSignal
from tests.unit.learning.examples import example
from tests.unit.reader.worlds import (
    NOW_MS,
    Sent,
    catalog_item,
    feed,
    item_signal,
    sent,
    viewer_signal,
)

ITEMS, VIEWERS = 60, 12
CATEGORIES = ["drama", "news", "sport", "music"]
LATER_MS = NOW_MS + 86_400_000


def world(rng: random.Random) -> list[Sent]:
    """Some items are in the catalog, some have signals; a viewer of each kind."""
    records: list[Sent] = []
    for i in range(ITEMS):
        category, creator = rng.choice(CATEGORIES), f"c{rng.randrange(8)}"
        if i % 5:
            title = f"{category} of {creator}"
            records.append(
                catalog_item(
                    f"i{i}",
                    category=category,
                    creator_id=creator,
                    title=title,
                    duration_ms=rng.randrange(10**6),
                )
            )
        if i % 7:
            rates = {name: rng.random() for name in ("ctr", "coec", "completion_rate", "velocity")}
            own: Any = {"category": category, "creator_id": creator}
            records.append(item_signal(f"i{i}", **own, **rates))
    return [*records, *(viewer(v, rng) for v in range(VIEWERS))]


def viewer(number: int, rng: random.Random) -> Sent:
    return viewer_signal(
        f"v{number}",
        recent=[
            (f"i{rng.randrange(ITEMS)}", rng.choice(["click", "watch", "complete"]))
            for _ in range(rng.randrange(20))
        ],
        categories={name: rng.uniform(-3, 5) for name in CATEGORIES[: number % 4]},
        creators={f"c{rng.randrange(8)}": rng.uniform(-3, 5) for _ in range(number % 3)},
        session=ViewerSession(f"v{number}:1", 1, 9, number, 0, 0),
        habits=Habits({}, rng.random()),
        as_of_ms=NOW_MS + rng.randrange(86_400_000),
    )


class Whole:
    """The features of an item for a viewer, from raw records, without any sharing of parts."""

    def __init__(self, records: list[Sent]) -> None:
        self.known: dict[tuple[str, str], Any] = {}
        kinds = {
            "catalog.items": CatalogItem,
            "signals.items": ItemSignal,
            "signals.viewers": ViewerSignal,
        }
        for topic, key, value in records:
            self.known[topic, key] = msgspec.json.decode(value or b"", type=kinds[topic])

    def features(self, viewer: str, item: str, context: Context) -> dict[str, float | str]:
        signal = self.known.get(("signals.viewers", viewer))
        clicked = None if signal is None else last_clicked(signal)
        last = self.known.get(("catalog.items", clicked)) if clicked else None
        of_viewer = viewer_features(
            signal,
            context.at_ms,
            last_category=last and last.category,
            device=context.device,
            country=context.country,
            query=context.query,
        )
        known = self.known.get(("catalog.items", item))
        of_item = item_features(known, self.known.get(("signals.items", item)))
        return features(of_viewer, of_item, known and known.title)


def context(number: int, rng: random.Random, **fields: Any) -> Context:
    own: Any = {
        "at_ms": rng.randrange(NOW_MS, LATER_MS),
        "surface": rng.choice(["home", "search"]),
        "device": rng.choice([None, "tv"]),
        "country": rng.choice([None, "de"]),
        "query": rng.choice([None, "drama of c1"]),
    }
    return Context(request_id=f"r{number}", limit=ITEMS, **{**own, **fields})


def learned(whole: Whole, rng: random.Random, rate: float) -> Learner:
    """Learn clicks of slates that were shown at all sorts of positions."""
    one = Learner(LearnerSettings(threshold=0.0, warm_up_examples=5))
    one.restore([])
    one.ready()
    for number in range(3_000):
        who, item = f"v{rng.randrange(VIEWERS + 2)}", f"i{rng.randrange(ITEMS + 5)}"
        asked = context(number, rng)
        clicked = rng.random() < 0.2
        if not clicked and rng.random() > rate:
            continue
        one.process(
            "training.examples",
            example(
                LATER_MS + number,
                clicked=clicked,
                example_id=f"r{number}:1",
                viewer_id=who,
                item_id=item,
                surface=asked.surface,
                position=rng.randrange(1, 9),
                weight=1.0 if clicked else 1 / rate,
                features=whole.features(who, item, asked),
            ),
        )
    return one


@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_the_reader_gives_the_probability_of_the_published_model_from_raw_signals(rate):
    rng = random.Random(7)
    records = world(rng)
    whole = Whole(records)
    one = learned(whole, rng, rate)
    one.advance(LATER_MS + 10_000)
    cut = Cut(LATER_MS + 10_000, computed_at_ms=LATER_MS)
    list(one.cut(cut))
    published = sent(cut)
    state = feed(State(), [*records, *published])
    ranker = Ranker(state, Options(show_seen=True))
    told = {
        record.key: msgspec.json.decode(record.value)
        for record in published
        if record.topic == "models.weights" and record.value is not None
    }
    encoder = Encoder(DEFAULT_SPEC)
    compared = 0
    for number in range(40):
        asked = context(number, rng)
        who = f"v{rng.randrange(VIEWERS + 2)}"
        candidates = [f"i{i}" for i in range(ITEMS + 5)]
        for shown in ranker.rank(who, candidates, asked).items:
            known = whole.features(who, shown.item_id, asked)
            place = {"viewer": who, "item": shown.item_id, "surface": asked.surface}
            on = encoder.indices(known, **place, position=1)
            for objective, probability in shown.probabilities.items():
                model = state.champions("all")[objective].version.model
                keys = [f"{model}/{index}" for index in on]
                logit = told[f"{model}/@epoch"]["intercept"]
                logit += math.fsum(told[key]["weight"] for key in keys if key in told)
                expected = 1 / (1 + math.exp(-logit))
                assert probability == pytest.approx(expected, rel=0, abs=1e-9)
            compared += "click" in shown.probabilities
    assert compared == 40 * ITEMS


def test_logged_features_are_those_the_models_were_given():
    rng = random.Random(8)
    records = world(rng)
    whole = Whole(records)
    state = feed(State(), records)
    asked = context(1, rng)
    ranking = Ranker(state, Options(log_features=True)).rank("v5", ["i1", "i7", "i9"], asked)
    for one, slot in zip(ranking.items, ranking.impression_items(), strict=True):
        assert one.features == slot["features"] == whole.features("v5", one.item_id, asked)
