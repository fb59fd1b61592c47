"""The anomalies: what is published when, and that restarts and cuts do not show."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.errors import Rejection
from streamapp.events import Parameter, decode_parameter
from streamapp.features import half_space
from streamapp.features.parameters import Parameters
from streamapp.features.session_vector import FEATURES
from streamapp.processors.anomalies import Anomalies, AnomaliesSettings
from streamapp.processors.base import Cut
from streamapp.signals import SessionVector

TOPIC = "activity.sessions"
DAY = 86_400_000
SMALL = AnomaliesSettings(trees=3, height=3, window=10, least_scored=20, share=0.05, lead_ms=100)

Rows = dict[bytes, bytes]


def sessions(count: int, seed: int = 1, gap_ms: int = 1_000) -> list[SessionVector]:
    draw = random.Random(seed)
    return [
        SessionVector(
            as_of_ms=1_000_000 + n * gap_ms,
            vector=tuple(round(draw.betavariate(2, 4), 4) for _ in FEATURES),
        )
        for n in range(count)
    ]


def cut(one: Anomalies, rows: Rows | None = None) -> list[Parameter]:
    taken = Cut(0, 0)
    for key, value in one.cut(taken):
        assert value is not None
        if rows is not None:
            rows[key] = value
    assert taken.outputs.keys() <= {"control.parameters"}
    records = taken.outputs.get("control.parameters", [])
    assert {name for name, _, _ in records} <= {b"anomaly/session"}
    return [decode_parameter(record) for _, record, _ in records if record is not None]


def feed(one: Anomalies, given: Iterable[SessionVector]) -> list[Parameter]:
    published = []
    for session in given:
        one.process(TOPIC, one.decoder(TOPIC)(msgspec.json.encode(session)))
        published += cut(one)
    return published


flags = st.lists(st.booleans(), min_size=90, max_size=90)


@settings(max_examples=40)
@given(cuts=flags, restarts=flags, seed=st.integers(0, 5))
def test_neither_cuts_nor_restarts_show_in_what_is_published_and_kept(
    cuts: Sequence[bool], restarts: Sequence[bool], seed: int
) -> None:
    whole = Anomalies(SMALL)
    kept: Rows = {}
    expected = []
    for session in sessions(90, seed):
        whole.process(TOPIC, session)
    expected = cut(whole, kept)
    rows: Rows = {}
    one, published = Anomalies(SMALL), []
    for session, cuts_here, restarts_here in zip(sessions(90, seed), cuts, restarts, strict=True):
        one.process(TOPIC, session)
        if cuts_here:
            published += cut(one, rows)
            assert one.rows == len(rows)
            if restarts_here:
                one = Anomalies(SMALL)
                one.restore(rows.items())
                one.ready()
    assert published + cut(one, rows) == expected
    assert rows == kept
    assert len(expected) > 0


def test_it_is_published_when_twice_as_many_are_learnt():
    published = feed(Anomalies(SMALL), sessions(500))
    # 20 are scored with the 30th.
    first = 1_000_000
    assert [(p.valid_from_ms - 100 - first) // 1_000 + 1 for p in published] == [
        30,
        60,
        120,
        240,
        480,
    ]


def test_it_is_published_a_day_later_in_any_case():
    settled = replace(SMALL, drifted_share=1.0)
    published = feed(Anomalies(settled), sessions(130, gap_ms=DAY // 20))
    days = [(p.valid_from_ms - 100 - 1_000_000) / DAY for p in published]
    assert [round(day, 2) for day in days] == [1.45, 2.45, 3.45, 4.45, 5.45, 6.45]


def test_when_viewers_do_something_else_it_is_published_within_the_hour():
    given = AnomaliesSettings(window=50, least_scored=100)
    usual, other = sessions(1_000, gap_ms=10_000), sessions(400, gap_ms=10_000)
    moved = [
        msgspec.structs.replace(
            one,
            as_of_ms=one.as_of_ms + 10_000_000,
            vector=tuple(1.0 - x / 4 for x in one.vector),
        )
        for one in other
    ]
    one = Anomalies(given)
    *_, before = feed(one, usual)
    after = feed(one, moved)
    assert before.valid_from_ms == usual[599].as_of_ms + 60_000
    assert [p.valid_from_ms for p in after] == [moved[49].as_of_ms + 60_000]
    assert isinstance(before.value, tuple)
    assert isinstance(after[0].value, tuple)
    assert all(half_space.is_anomaly(before.value, one.vector) for one in moved)
    unlike = sum(half_space.is_anomaly(after[0].value, one.vector) for one in moved)
    assert unlike < 20


def test_nothing_is_said_before_there_are_scores_enough():
    one = Anomalies(SMALL)
    assert feed(one, sessions(29)) == []
    assert cut(Anomalies(SMALL)) == []
    assert Anomalies(SMALL).rows == 0


def test_what_is_published_is_taken_and_few_of_the_sessions_are_anomalies_by_it():
    given = AnomaliesSettings(window=50, share=0.02)
    *_, last = feed(Anomalies(given), sessions(3_000))
    view = Parameters()
    record = msgspec.json.encode(last)
    assert len(record) < 64 * 1024
    assert view.update("anomaly/session", record)
    assert isinstance(last.value, tuple)
    unlike = sum(half_space.is_anomaly(last.value, one.vector) for one in sessions(1_000, seed=8))
    assert 0 < unlike < 60
    assert half_space.is_anomaly(last.value, (1.0,) * len(FEATURES))


def test_the_threshold_leaves_no_more_than_its_share_of_the_scores():
    one = Anomalies(SMALL)
    *_, last = feed(one, sessions(60))
    assert isinstance(last.value, tuple)
    again = Anomalies(SMALL)
    scores = []
    for session in sessions(60):
        score = again._trees.score_one(session.vector)
        if score is not None:
            scores.append(score)
        again.process(TOPIC, session)
    threshold = last.value[5]
    above = sum(score >= threshold for score in scores)
    assert above <= 0.05 * len(scores)
    # One bin less would leave more.
    assert sum(score >= threshold - 1 / 1_024 for score in scores) > 0.05 * len(scores)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "invalid_json"),
        (b'{"as_of_ms":1}', "invalid_field"),
        (b'{"as_of_ms":1,"vector":[1,2]}', "invalid_field"),
    ],
)
def test_a_record_that_cannot_be_used_is_rejected(value, reason):
    with pytest.raises(Rejection) as raised:
        Anomalies(SMALL).decoder(TOPIC)(value)
    assert raised.value.reason == reason
