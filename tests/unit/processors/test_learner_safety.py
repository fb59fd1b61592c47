"""What must never reach a published champion does not, and can be seen; whenever one is killed."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import Rejection
from streamapp.learning import stalemate
from streamapp.learning.coordinate import sigmoid
from streamapp.learning.duel import DuelSettings
from streamapp.learning.guard import LEAST_HELD
from streamapp.learning.model_settings import ModelSettings
from streamapp.processors.base import Cut
from streamapp.processors.learner import Learner
from streamapp.processors.learner_settings import LearnerSettings
from streamapp.signals import Example, Labels
from tests.unit.learning.examples import World, example
from tests.unit.processors.learnt import seen

TOPIC = "training.examples"
MODEL = "click-all"

Weights = dict[str, float]
Rows = dict[bytes, bytes]


class Published:
    """A learner, and what was published of its champion."""

    def __init__(self, settings: LearnerSettings | None = None) -> None:
        self.learner = Learner(settings or LearnerSettings())
        self.learner.ready()
        self.weights: Weights = {}
        self.intercept = 0.0
        self.versions: list[dict[str, Any]] = []

    def teach(self, examples: list[Example]) -> None:
        for shown in examples:
            self.learner.advance(shown.labelled_at_ms)
            self.learner.process(TOPIC, shown)

    def cut(self, stream_time_ms: int) -> None:
        self.learner.advance(stream_time_ms)
        taken = Cut(stream_time_ms, 0)
        list(self.learner.cut(taken))
        for raw, value, _ in taken.outputs.get("models.weights", []):
            model, _, feature = (raw or b"").decode().partition("/")
            if model == MODEL and feature == "@epoch":
                self.intercept = json.loads(value or b"")["intercept"]
            elif model == MODEL:
                self.weights[feature] = 0.0 if value is None else json.loads(value)["weight"]
        said = [json.loads(v or b"") for _, v, _ in taken.outputs.get("models.versions", [])]
        self.versions += [version for version in said if version["model"] == MODEL]

    def probability(self, shown: Example) -> float:
        """The published probability of an example."""
        [indices, _] = self.learner._encoder.encode(shown)
        return sigmoid(self.intercept + sum(self.weights.get(str(i), 0.0) for i in indices))

    def gauge(self, name: str) -> float:
        [value] = [v for n, _, v in self.learner.labelled_gauges() if n == name]
        return value


def honest(count: int, start_ms: int = 0, interval_ms: int = 5) -> list[Example]:
    return [
        msgspec.structs.replace(
            one, example_id=f"{start_ms}:{number}", labelled_at_ms=start_ms + one.labelled_at_ms
        )
        for number, (one, _) in enumerate(World(seed=3, base=-3.0).shown(count, interval_ms))
    ]


@pytest.fixture(scope="module")
def history() -> list[Example]:
    return honest(8_000)


@pytest.mark.parametrize("clicked", [True, False], ids=["all-one", "all-zero"])
@pytest.mark.parametrize("viewers", ["bot", "v"], ids=["strangers", "those we know"])
def test_a_burst_of_one_label_leaves_the_champion_unharmed_and_is_told(history, clicked, viewers):
    one = Published()
    one.teach(history)
    one.cut(41_000)
    weights, intercept, told = dict(one.weights), one.intercept, len(one.versions)
    one.teach(
        [
            example(
                41_000 + number // 8,
                clicked=clicked,
                example_id=f"p{number}:1",
                viewer_id=f"{viewers}{number % 50}",
                item_id=f"i{number % 40}",
                features={"category": f"c{number % 4}"},
            )
            for number in range(4_000)
        ]
    )
    champion = one.learner._contests[MODEL].champion
    assert abs(champion.ftrl.intercept - intercept) > 0.3  # staging did learn
    one.cut(42_000)
    assert (one.weights, one.intercept) == (weights, intercept)
    [version] = one.versions[told:]
    assert version["status"] == "champion"
    assert version["version"] == one.versions[told - 1]["version"]
    assert version["reason"].startswith("4000 examples undone at 42000: log loss 0.")
    assert one.gauge("model_alarms") == 1.0
    assert one.gauge("model_undone_examples") == 4_000.0
    one.teach(honest(500, 42_000))
    one.cut(45_000)
    assert one.versions[-1]["reason"] is None
    assert one.versions[-1]["version"] > version["version"]


@pytest.mark.parametrize(
    ("clicked", "a_second", "count"),
    [(True, 2, 600), (True, 32, 4_000), (False, 32, 6_000), (False, 200, 6_000)],
)
def test_one_label_drop_by_drop_moves_the_champion_no_further_than_the_limit(
    history, clicked, a_second, count
):
    one = Published()
    one.teach(history)
    one.cut(41_000)
    champion = one.learner._contests[MODEL].champion
    told, limit = len(one.versions), champion._guard.milestone.limit
    assert 0.7 < limit < 0.9
    known = [shown for shown in history if shown.labels.clicked][:100] + history[:100]

    def probability() -> float:
        return sum(map(one.probability, known)) / len(known)

    before = probability()
    for number in range(count):
        now_ms = 42_000 + number * 1_000 // a_second
        drop = example(
            now_ms, clicked=clicked, example_id=f"p{number}:1", viewer_id=f"b{number % 50}"
        )
        if number % a_second == 0:
            one.cut(now_ms)
        one.teach([drop])
    one.cut(now_ms + 10_000)
    assert abs(math.log(probability() / before)) < limit + 0.1
    reasons = [version["reason"] for version in one.versions[told:]]
    assert sum(reason is not None and "undone" in reason for reason in reasons) > len(reasons) / 3
    assert all(version["status"] == "champion" for version in one.versions[told:])
    assert one.gauge("model_undone_examples") > 300


def test_a_world_that_stays_as_it_is_raises_no_alarm():
    for seed, base in itertools.product((1, 2), (-4.0, -3.0, 0.5)):
        one = Published()
        for number, (shown, _) in enumerate(World(seed=seed, base=base).shown(6_000, 60)):
            if number % 20 == 0:
                one.cut(shown.labelled_at_ms)
            one.teach([shown])
        assert one.gauge("model_alarms") == 0.0, (seed, base)


@pytest.mark.parametrize("clicked", [True, False], ids=["all-one", "all-zero"])
def test_a_model_that_saw_one_label_only_is_no_champion(clicked):
    one = Published()
    one.teach([example(5 * n, clicked=clicked, example_id=f"p{n}:1") for n in range(3_000)])
    one.cut(16_000)
    assert one.versions[-1]["examples"] == 3_000
    assert {version["status"] for version in one.versions} == {"warming"}
    one.teach(
        [example(20_000, clicked=not clicked, example_id=f"o{n}:1") for n in range(LEAST_HELD - 1)]
    )
    one.cut(30_000)
    assert one.versions[-1]["status"] == "warming"
    one.teach(honest(2_000, 30_000))
    one.cut(50_000)
    assert one.versions[-1]["status"] == "champion"


def test_where_the_truth_was_undone_for_an_hour_it_is_learned_again():
    one = Published(LearnerSettings(turn_ms=60_000))
    for number in range(3_000):
        viewer, item = f"b{number % 50}", f"i{number % 40}"
        fake = example(0, clicked=True, example_id=f"p{number}:1", viewer_id=viewer, item_id=item)
        one.teach([fake])
    one.cut(10_000)
    known, told, fooled = honest(200), 0, 0.0
    for number, shown in enumerate(honest(6_000, 20_000, 1_000)):
        one.teach([shown])
        if number % 100 == 0:
            one.cut(shown.labelled_at_ms)
            if one.gauge("model_stalemates") == 0.0:
                told = len(one.versions)
                fooled = sum(map(one.probability, known)) / len(known)
    one.cut(7_000_000)
    assert fooled > 0.3
    version = one.versions[told]
    assert version["status"] == "warming"
    assert version["reason"].startswith("warming anew at 37")
    assert one.gauge("model_stalemates") == 1.0
    assert one.versions[-1]["status"] == "champion"
    assert sum(map(one.probability, known)) / len(known) < 0.07


@pytest.mark.parametrize("clicked", [True, False], ids=["all-one", "all-zero"])
def test_a_flood_of_one_label_makes_no_stalemate_however_long_it_lasts(history, clicked):
    one = Published()
    one.teach(history)
    one.cut(41_000)
    weights = dict(one.weights)
    for second in range(0, 30 * 3_600, 120):
        flood = [
            example(41_000 + second * 1_000, clicked=clicked, example_id=f"p{second}/{n}:1")
            for n in range(100)
        ]
        one.teach(flood)
        one.cut(42_000 + second * 1_000)
    assert one.gauge("model_stalemates") == 0.0
    assert one.versions[-1]["status"] == "champion"
    if clicked:
        assert one.weights == weights


def test_what_was_undone_is_nothing_that_later_turns_are_judged_by(history):
    one = Published()
    one.teach(history)
    one.cut(41_000)
    reservoir = one.learner._contests[MODEL].reservoir
    before, share = dict(reservoir.held()), reservoir.share
    one.teach([example(41_000, clicked=True, example_id=f"p{n}:1") for n in range(2_000)])
    one.cut(42_000)
    assert dict(reservoir.held()) == before
    assert reservoir.share == share


@pytest.mark.parametrize("extreme", [math.nan, math.inf, -math.inf, 1e300, -1e300, "x" * 5_000])
def test_extreme_feature_values_are_refused_and_told(history, extreme):
    clean, other = Published(), Published()
    later = honest(300, 41_000)
    names = ("duration_ms", "ctr", "velocity", "kind")
    poisoned = [
        msgspec.structs.replace(one, features={**one.features, **dict.fromkeys(names, extreme)})
        for one in later
    ]
    for one, taught in ((clean, later), (other, poisoned)):
        one.teach(history[:3_000])
        one.teach(taught)
        one.cut(50_000)
    assert (other.weights, other.intercept) == (clean.weights, clean.intercept)
    assert other.gauge("model_refused_values") == 1_200.0
    assert other.versions[-1]["reason"] == "400 feature values refused"  # in the last turn


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e999", b'"much"'])
@pytest.mark.parametrize("field", ["weight", "watched_share", "labelled_at_ms", "duration_ms"])
def test_a_record_with_what_is_no_number_is_never_learned_from(field, value):
    shown = msgspec.structs.replace(
        example(features={"duration_ms": 7.0}), labels=Labels(clicked=True, watched_share=0.5)
    )
    record = msgspec.json.encode(shown)
    before = {"watched_share": b"0.5", "duration_ms": b"7.0", "weight": b"1.0"}.get(field, b"0")
    broken = record.replace(
        b'"%b":%b' % (field.encode(), before), b'"%b":%b' % (field.encode(), value)
    )
    assert broken != record
    if (field, value) == ("duration_ms", b'"much"'):
        return  # a text is a feature
    with pytest.raises(Rejection):
        Learner(LearnerSettings()).decoder(TOPIC)(broken)


def test_a_challenger_that_breaks_is_undone_alone(history):
    wild = ModelSettings(alpha=200.0, l2=0.0)
    one = Published(LearnerSettings(challenger=wild))
    one.teach(history)
    one.cut(41_000)
    contest = one.learner._contests[MODEL]
    assert contest.counts.challenger_alarms > 0
    assert contest.counts.alarms == 0
    assert contest.champion.examples == 8_000
    assert contest.champion.id == MODEL


GUARDED = LearnerSettings(
    objectives="click=1,hide=-1",
    challenger=ModelSettings(alpha=20.0, l2=0.0, admission=3.0),
    champion=ModelSettings(alpha=0.05, expiry_days=1, admission=2.0),
    warm_up_examples=20,
    turn_examples=4,
    reservoir_capacity=60,
    reservoir_one_in=2,
    item_capacity=5,
    drift_block=2,
    duel=DuelSettings(alpha=0.5, block_ms=500, capacity=4),
    setback=DuelSettings(alpha=0.5, block_ms=500, capacity=4),
)
UNGUARDED = replace(
    GUARDED,
    reservoir_capacity=20,
    champion=ModelSettings(alpha=0.5, admission=2.0, expiry_days=1),
    challenger=ModelSettings(alpha=1e-4),
    setback=DuelSettings(alpha=0.8, block_ms=500, capacity=4),
)
"""So that everything that can happen happens within some hundred examples."""


def eventful(seed: int) -> list[Example]:
    """Return some hundred examples over days, with bursts."""
    world = World(seed=seed, base=-1.0, viewers=6, items=8)
    now, examples = 0, []
    for number, (one, _) in enumerate(world.shown(630)):
        now += 40 if number % 210 else 19 * 3_600_000
        labels = one.labels
        if number % 140 > 105 or 20 < number % 70 < 35:
            labels = Labels(clicked=bool(number % 280 > 140), actions=["hide"])
        examples.append(
            msgspec.structs.replace(
                one,
                example_id=f"{number}:1",
                request_id=f"r{number // 8}",
                propensity=(0.5, 0.2, 0.9)[number % 3],
                labelled_at_ms=now,
                labels=labels,
            )
        )
    return examples


@contextmanager
def impatient() -> Iterator[None]:
    """Let a stalemate be lasting soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stalemate, "HOUR_MS", 200)
        patch.setattr(stalemate, "LEAST_HELD", 2)
        yield


def play(
    settings: LearnerSettings, examples: list[Example], cuts: list[bool], kills: list[bool]
) -> tuple[Learner, Rows]:
    """Feed examples, cut after some; after some cuts go on from the changelog."""
    rows: Rows = {}
    one = Learner(settings)
    one.ready()
    last = len(examples) - 1
    for number, shown in enumerate(examples):
        one.advance(shown.labelled_at_ms)
        one.process(TOPIC, shown)
        if cuts[number % len(cuts)] or number == last:
            if number == last:
                one.advance(shown.labelled_at_ms + 60_000)
            for key, value in one.cut(Cut(shown.labelled_at_ms, 0)):
                rows.pop(key, None)
                if value is not None:
                    rows[key] = value
            if kills[number % len(kills)]:
                one = Learner(settings)
                one.restore(rows.items())
                one.ready()
    return one, rows


@settings(max_examples=12)
@given(
    st.sampled_from([GUARDED, UNGUARDED]),
    st.integers(0, 3),
    st.lists(st.booleans(), min_size=7, max_size=7),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_a_learner_killed_at_random_ends_as_one_that_never_was(case, seed, cuts, kills):
    examples = eventful(seed)
    with impatient():
        undisturbed, _ = play(case, examples, [False], [False])
        restarted, rows = play(case, examples, cuts, kills)
    assert seen(restarted) == seen(undisturbed)
    assert restarted.rows == len(rows)


def test_the_eventful_history_has_events():
    totals = dict.fromkeys(
        ("alarms", "challenger_alarms", "promotions", "rollbacks", "drifts", "stalemates"), 0
    )
    judged = 0
    for case, seed in itertools.product((GUARDED, UNGUARDED), range(4)):
        with impatient():
            one, _ = play(case, eventful(seed), [True], [False])
        for contest in one._contests.values():
            for name in totals:
                totals[name] += getattr(contest.counts, name)
        judged += sum(model.ranking.requests for model in one._contests[MODEL].models)
    assert all(totals.values()), totals
    assert judged
