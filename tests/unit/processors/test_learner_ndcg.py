"""NDCG of published models, against what a reader would have ranked before each request."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from streamapp.features.erasure_requests import ErasureRequests
from streamapp.processors.learner import Learner
from streamapp.processors.learner_settings import LearnerSettings
from streamapp.signals import Example
from tests.unit.learning.examples import World, example
from tests.unit.processors.test_learner import (
    EXACT,
    MODEL,
    Reader,
    Rows,
    cut,
    feed,
    learner,
    log_of,
)

WAIT_MS = 10_000
CHALLENGER = f"{MODEL}.b"


def requests(count: int, seed: int = 2) -> list[list[Example]]:
    """Return requests of five slots, one each 700 ms; of some, places were given or unknown."""
    world, draw, made = World(seed=seed, base=-1.0), random.Random(seed), []
    for number in range(count):
        viewer = draw.randrange(0, world.viewers, 2) + number % 2
        items = draw.sample(range(world.items), 5)
        propensities: list[float | None] = [draw.choice([0.9, 0.5, 0.03]) for _ in items]
        if number % 7 == 3:
            propensities[draw.randrange(5)] = draw.choice([None, 1.0])
        made.append(
            [
                example(
                    number * 700,
                    clicked=draw.random() < world.probability(viewer, item, position),
                    request_id=f"r{number // 2}",  # of two viewers
                    viewer_id=f"v{viewer}",
                    example_id=f"{number}:{position}",
                    item_id=f"i{item}",
                    position=position,
                    propensity=propensity,
                    features={"category": f"c{item % world.categories}"},
                )
                for position, (item, propensity) in enumerate(
                    zip(items, propensities, strict=True), 1
                )
            ]
        )
    return made


def gain(shown: Example) -> float:
    return min(1 / (shown.propensity or 1), 20.0) if shown.labels.clicked else 0.0


def dcg(scores: list[float], gains: list[float]) -> float:
    """Return Σ gain/log2(1 + rank); equal scores share the mean discount of their ranks."""
    ranks = [
        range(1 + sum(s > own for s in scores), 1 + sum(s >= own for s in scores)) for own in scores
    ]
    return sum(
        g * sum(1 / math.log2(1 + rank) for rank in own) / len(own)
        for g, own in zip(gains, ranks, strict=True)
    )


class Judge:
    """NDCG by its definition, of what a reader scores in the first place before each request."""

    def __init__(self, model: str) -> None:
        self.reader = Reader(model)
        self.gained: list[tuple[float, float]] = []

    def judge(self, request: list[Example]) -> None:
        gains = [gain(shown) for shown in request]
        drawn = all(shown.propensity not in {None, 1.0} for shown in request)
        if drawn and any(gains) and not all(gains):
            first = [msgspec.structs.replace(shown, position=1) for shown in request]
            known = self.reader.encoder is not None
            scores = [self.reader.probability(one) if known else 0.0 for one in first]
            self.gained.append((dcg(scores, gains), dcg(gains, gains)))

    def ndcg(self, half_life: float) -> float:
        ages = range(len(self.gained) - 1, -1, -1)
        weights = [2 ** (-age / half_life) for age in ages]
        own, best = (
            sum(w * of[part] for w, of in zip(weights, self.gained, strict=True)) for part in (0, 1)
        )
        return own / best


def versions(taken: Any) -> dict[str, Any]:
    return {key: value["metrics"] for key, value in log_of(taken, "models.versions") if value}


@pytest.mark.parametrize("restarts", [False, True])
def test_ndcg_is_that_of_the_order_readers_would_have_given_before_the_request(restarts):
    settings = replace(EXACT, half_life_requests=40.0, prior=0.2)
    one, rows, judges = learner(settings), Rows(), [Judge(MODEL), Judge(CHALLENGER)]
    shown = requests(150)
    for number, request in enumerate(shown):
        now = request[0].labelled_at_ms
        for record in log_of(cut(one, now, rows)):
            for judge in judges:
                judge.reader.read(*record)
        for judge in judges:
            judge.judge(request)
        feed(one, request[:2])
        if restarts and number % 5 == 0:
            cut(one, now, rows)
            one = learner(settings, rows)
        feed(one, request[2:])
    last = shown[-1][0].labelled_at_ms + WAIT_MS + 1
    feed(one, [example(last, request_id="last")])
    metrics = versions(cut(one, last + 1_000, rows))
    assert metrics[MODEL]["ndcg"] == pytest.approx(judges[0].ndcg(40.0), rel=1e-9)
    assert metrics[CHALLENGER]["ndcg"] == pytest.approx(judges[1].ndcg(40.0), rel=1e-9)
    assert metrics[MODEL]["ndcg"] != metrics[CHALLENGER]["ndcg"]
    assert 60 < len(judges[0].gained) < 140
    told = {labels["model"]: v for name, labels, v in one.labelled_gauges() if name == "model_ndcg"}
    assert told == {name: metrics[name]["ndcg"] for name in (MODEL, CHALLENGER)}
    assert one.rows == len(rows)


def open_rows(rows: Rows) -> list[bytes]:
    return [key for key in rows if b"/q/" in key]


def test_a_request_of_which_a_part_came_after_the_weights_changed_is_left_out():
    one = learner()
    request = next(r for r in requests(40) if any(map(gain, r)) and not all(map(gain, r)))
    early, late = request[:2], request[2:]
    later = [
        msgspec.structs.replace(shown, labelled_at_ms=shown.labelled_at_ms + 2_000)
        for shown in late
    ]
    feed(one, [*early, *later, example(60_000, request_id="last")])
    assert [model.ranking.requests for model in one._contests[MODEL].models] == [0, 0]
    whole = learner()
    feed(whole, [*early, *late, example(60_000, request_id="last")])
    assert [model.ranking.requests for model in whole._contests[MODEL].models] == [1, 1]


@pytest.mark.parametrize("told", [1.0, 0.25], ids=["negatives tell it", "a setting tells it"])
def test_of_sampled_negatives_no_request_is_judged_and_none_is_held(told):
    settings = replace(EXACT, negative_keep_rate=told)
    one, rows = Learner(settings), Rows()
    one.ready()
    first = example(clicked=False, weight=4.0, propensity=0.5, request_id="first")
    feed(one, [first])
    for request in requests(30):
        kept = [
            shown if shown.labels.clicked else msgspec.structs.replace(shown, weight=4.0)
            for shown in request
        ]
        feed(one, kept)
    cut(one, 30_000, rows)
    assert [name for name in open_rows(rows) if not name.endswith(b"/first")] == []
    contest = one._contests[MODEL]
    assert [contest.metrics(model).ndcg for model in contest.models] == [None, None]
    assert "model_ndcg" not in {name for name, _, _ in one.labelled_gauges()}


def test_a_request_with_which_sampling_begins_or_ends_is_left_out():
    one = learner()
    drawn: dict[str, Any] = {"propensity": 0.5}
    feed(
        one,
        [
            example(0, clicked=True, request_id="a", **drawn),
            example(0, request_id="a", item_id="b", weight=4.0, **drawn),
            example(1, clicked=True, request_id="b", **drawn),
            example(1, request_id="b", item_id="b", **drawn),
            example(1, clicked=True, request_id="b", item_id="c", **drawn),
            example(2, clicked=True, request_id="c", **drawn),
            example(2, request_id="c", item_id="b", **drawn),
            example(60_000, request_id="last"),
        ],
    )
    assert one._contests[MODEL].champion.ranking.requests == 1


def test_models_of_other_outcomes_have_none():
    one = learner(LearnerSettings(objectives="click=1,hide=-1"))
    for request in requests(30):
        feed(one, request)
    ranked = {name: contest.champion.ranking for name, contest in one._contests.items()}
    assert ranked["click-all"].requests > 0
    assert (ranked["hide-all"].requests, len(ranked["hide-all"])) == (0, 0)


def test_who_is_erased_leaves_no_open_request():
    erasures, rows = ErasureRequests(), Rows()
    one = learner(rows=rows, erasures=erasures)
    for viewer in ("v1", "v12"):
        feed(one, [example(0, viewer_id=viewer, request_id="r", propensity=0.5)])
    cut(one, 0, rows)
    assert len(open_rows(rows)) == 4
    erasures.update("v1", b'{"viewer_id":"v1","requested_at_ms":10}')
    one.follow("privacy.erasures", "v1")
    cut(one, 0, rows)
    assert open_rows(rows) == [b"click-all/q/3:v12/r", b"click-all.b/q/3:v12/r"]
    assert one.rows == len([key for key in rows if not key.startswith(b"!back/")])


def test_after_the_challenger_begins_again_its_order_is_measured_anew():
    one = learner()
    for request in requests(60):
        feed(one, request)
    champion, challenger = one._contests[MODEL].models
    assert challenger.ranking.ndcg is not None
    challenger.follow(champion)
    assert one._contests[MODEL].metrics(challenger).ndcg is None
    last = example(59 * 700 + WAIT_MS + 1, request_id="last")
    feed(one, [last])
    assert challenger.ranking.requests == 0
    assert champion.ranking.requests > 0


def test_who_judges_here_knows_the_example_of_the_definition():
    assert dcg([0.3, 0.2, 0.1], [0.0, 2.0, 0.0]) / dcg([0.0, 2.0, 0.0], [0.0, 2.0, 0.0]) == (
        pytest.approx(0.631, abs=5e-4)
    )
