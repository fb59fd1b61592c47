"""The estimators: what is published when, from when on, and that restarts and cuts do not show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.events import Parameter, decode_parameter
from streamapp.features.parameters import Parameters
from streamapp.processors.base import Cut
from streamapp.processors.estimators import Estimators, EstimatorsSettings
from streamapp.signals import Example
from tests.unit.learning.examples import example

TOPIC = "training.examples"
MINUTE = 60_000
SMALL = EstimatorsSettings(
    interval_ms=1_000,
    lead_ms=100,
    fresh=1,
    half_life_ms=700.0,
    surfaces=2,
    items=4,
    categories=2,
    admission=2.0,
)
"""So small that in a few examples all bounds are met."""
NOW = EstimatorsSettings(interval_ms=1_000, lead_ms=0, fresh=1, admission=1.0)

Rows = dict[bytes, bytes]


def estimators(given: EstimatorsSettings = SMALL, rows: Rows | None = None) -> Estimators:
    one = Estimators(given)
    one.restore((rows or {}).items())
    one.ready()
    return one


def cut(one: Estimators, rows: Rows | None = None) -> list[Parameter]:
    """Take a cut, and keep its rows as a changelog does; returns what is published."""
    taken = Cut(0, 0)
    for key, value in one.cut(taken):
        if rows is not None:
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
    assert taken.outputs.keys() <= {"control.parameters"}
    published = []
    for name, record, by in taken.outputs.get("control.parameters", []):
        assert record is not None
        parameter = decode_parameter(record)
        assert name == by == parameter.name.encode()
        published.append(parameter)
    return published


def feed(one: Estimators, examples: Iterable[Example]) -> list[Parameter]:
    """Process examples as they come in JSON; returns what one cut after them publishes."""
    decode = one.decoder(TOPIC)
    for shown in examples:
        one.process(TOPIC, decode(msgspec.json.encode(shown)))
    return cut(one)


shown = st.builds(
    example,
    clicked=st.booleans(),
    item_id=st.sampled_from(["a", "b/c", "d", "e", "f", "g", "h"]),
    surface=st.sampled_from(["home", "a/b", "größe", "s4", "s5"]),
    position=st.sampled_from([1, 2, 3, 60]),
    propensity=st.sampled_from([None, 0.1, 0.5, 1.0]),
    weight=st.sampled_from([1.0, 4.0]),
    features=st.fixed_dictionaries(
        {}, optional={"category": st.sampled_from(["x", "y/z", "u", "v", "w"])}
    ),
)
# 80 s are more than 64 half-lives: the landmark moves.
gaps = st.sampled_from([-400, 0, 50, 300, 1_000, 80_000])
logs = st.lists(st.tuples(shown, gaps), max_size=40)


def timed(log: Sequence[tuple[Example, int]]) -> list[Example]:
    """Put each example its gap behind the newest before it."""
    now, made = 1_000_000, []
    for one, gap in log:
        made.append(msgspec.structs.replace(one, labelled_at_ms=now + gap))
        now = max(now, now + gap)
    return made


def play(
    examples: Sequence[Example], cuts: Sequence[bool], restarts: Sequence[bool]
) -> tuple[list[Parameter], Rows]:
    """Feed examples, cut after some, and restart from the changelog after some cuts."""
    rows: Rows = {}
    one, published = estimators(), []
    for shown, cuts_here, restarts_here in zip(examples, cuts, restarts, strict=False):
        one.process(TOPIC, shown)
        if cuts_here:
            published += cut(one, rows)
            assert one.rows == len(rows)
            if restarts_here:
                one = estimators(rows=rows)
    return published + cut(one, rows), rows


flags = st.lists(st.booleans(), min_size=40, max_size=40)


@settings(max_examples=150)
@given(logs, flags, flags)
def test_neither_cuts_nor_restarts_show_in_what_is_published_and_kept(log, cuts, restarts):
    examples = timed(log)
    at_the_end = play(examples, [False] * 40, [False] * 40)
    assert play(examples, cuts, restarts) == at_the_end


@settings(max_examples=150)
@given(logs)
def test_whatever_was_clicked_every_value_is_a_probability_a_reader_takes(log):
    one, parameters = estimators(), Parameters()
    for shown in timed(log):
        for parameter in feed(one, [shown]):
            value = parameter.value if isinstance(parameter.value, tuple) else (parameter.value,)
            assert all(0.0 < number <= 1.0 for number in value), parameter
            assert parameters.update(parameter.name, msgspec.json.encode(parameter))


def expected_rates(log: Sequence[Example], half_life_ms: float) -> dict[str, Any]:
    """Compute position_ctr and priors from their definitions, as of the newest example."""
    newest = max(one.labelled_at_ms for one in log)

    def rate(those: Iterable[Example], prior: float) -> float:
        sums = [0.0, 0.0]
        for one in those:
            weight = one.weight * math.exp2((one.labelled_at_ms - newest) / half_life_ms)
            sums[one.labels.clicked] += weight
        return (sums[True] + 20 * prior) / (sums[True] + sums[False] + 20)

    general = rate(log, 0.03)
    expected: dict[str, Any] = {"prior/ctr": general}
    for surface in {one.surface for one in log}:
        there = [one for one in log if one.surface == surface]
        expected[f"position_ctr/{surface}"] = tuple(
            rate([one for one in there if one.position == k], 0.05 * k**-0.7)
            for k in range(1, max(one.position for one in there) + 1)
        )
    for category in {one.features["category"] for one in log}:
        those = [one for one in log if one.features["category"] == category]
        decayed = [
            one.weight * math.exp2((one.labelled_at_ms - newest) / half_life_ms) for one in those
        ]
        if sum(decayed) >= 100:
            expected[f"prior/ctr/{category}"] = rate(those, general)
    return expected


@given(
    st.lists(
        st.builds(
            example,
            st.integers(0, 50_000),
            clicked=st.booleans(),
            position=st.integers(1, 4),
            weight=st.sampled_from([1.0, 40.0]),
            features=st.fixed_dictionaries({"category": st.sampled_from(["x", "y"])}),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_rates_are_those_of_the_decayed_log(log):
    half_life_ms = 20_000.0
    one = estimators(EstimatorsSettings(interval_ms=100_000, fresh=1, half_life_ms=half_life_ms))
    found = {p.name: p.value for p in feed(one, [*log, example(200_000)])}
    thetas = {name for name in found if name.startswith("theta/")}
    assert thetas == {f"theta/{shown.surface}" for shown in log}
    assert {n: v for n, v in found.items() if n not in thetas} == {
        name: pytest.approx(value, rel=1e-5)
        for name, value in expected_rates(log, half_life_ms).items()
    }


def test_an_estimate_comes_each_ten_minutes_from_what_was_there_before():
    #  minutes    0        9:59    10               19:59        20
    #  examples   ×× ××    ×       ×  (not counted) ×            ×
    #  estimate                    ●                             ●
    one = estimators(EstimatorsSettings(fresh=1))
    first = [example(n, clicked=n == 0) for n in range(4)]
    assert feed(one, [*first, example(10 * MINUTE - 1)]) == []
    published = feed(one, [example(10 * MINUTE, clicked=True)])
    assert {p.name: p.value for p in published} == {
        "position_ctr/home": (pytest.approx((1 + 20 * 0.05) / 25, rel=1e-3),),
        "theta/home": (1.0,),
        "prior/ctr": pytest.approx((1 + 20 * 0.03) / 25, rel=1e-3),
    }
    assert {p.valid_from_ms for p in published} == {11 * MINUTE}
    assert feed(one, [example(20 * MINUTE - 1)]) == []
    later = feed(one, [example(20 * MINUTE)])
    assert {p.name: p.valid_from_ms for p in later} == {
        "position_ctr/home": 21 * MINUTE,
        "prior/ctr": 21 * MINUTE,
    }


@pytest.mark.parametrize(("clicks", "said"), [(7, set()), (8, {"prior/ctr"})])
def test_what_moves_by_two_percent_or_less_is_not_said_again(clicks, said):
    # First 300.6/1,020; with 1 + 7 clicks more 308.6/1,028, 1.9 % up, with 1 + 8 2.1 %.
    one = estimators(NOW)
    log = [example(0, clicked=number % 10 < 3) for number in range(1_000)]
    first = feed(one, [*log, example(1_000, clicked=True)])
    assert {p.name for p in first} == {"position_ctr/home", "theta/home", "prior/ctr"}
    more = [example(1_001, clicked=True) for _ in range(clicks)]
    assert {p.name for p in feed(one, [*more, example(2_000)])} == said


def test_a_surface_is_estimated_again_after_a_hundredth_of_what_it_holds():
    one = estimators(NOW)
    feed(one, [*(example(0) for _ in range(1_000)), example(1_000)])
    clicked = [example(2_000, clicked=True) for _ in range(8)]
    assert {p.name for p in feed(one, [*clicked, example(3_000)])} == {"prior/ctr"}
    assert "position_ctr/home" in {p.name for p in feed(one, [example(4_000), example(5_000)])}


def test_negatives_that_were_left_out_are_made_up_for_once():
    # 20 clicks of 100 impressions; of the other 80 a quarter was kept.
    kept = [example(0, clicked=True)] * 20 + [example(0, weight=4.0)] * 20
    published = feed(estimators(NOW), [*kept, example(1_000)])
    values: dict[str, Any] = {p.name: p.value for p in published}
    assert values["position_ctr/home"] == (pytest.approx(21 / 120, rel=1e-5),)
    assert values["prior/ctr"] == pytest.approx(20.6 / 120, rel=1e-5)


def test_what_was_in_force_for_earlier_events_stays():
    one, parameters = estimators(EstimatorsSettings(fresh=1)), Parameters()
    names = ("position_ctr/home", "theta/home", "prior/ctr")
    before: dict[tuple[str, int], Any] = {}
    for number in range(200):
        at_ms = number * MINUTE
        for parameter in feed(one, [example(at_ms, clicked=number % 3 == 0)]):
            assert parameter.valid_from_ms > at_ms
            parameters.update(parameter.name, msgspec.json.encode(parameter))
        for known, value in before.items():
            assert parameters.get(*known, None) == value
        before |= {(name, at_ms): parameters.get(name, at_ms, None) for name in names}
    assert len(set(before.values())) > 10


def test_only_the_segment_that_holds_every_example_is_counted():
    one = estimators(NOW)
    others = [example(n * 1_000, clicked=True, segment="market/de") for n in range(9)]
    assert feed(one, others) == []
    assert one.rows == 1  # nothing but the empty rate over everything
    assert list(one.cut(Cut(0, 0))) == []


def test_without_an_interval_nothing_is_estimated():
    one = estimators(EstimatorsSettings(interval_ms=0, fresh=1))
    assert feed(one, [example(n * MINUTE, clicked=True) for n in range(100)]) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"position": 0},
        {"position": -3},
        {"propensity": 0.0},
        {"propensity": 1.5},
        {"propensity": -0.1},
        {"at_ms": -1},
        {"at_ms": 10**15},
    ],
    ids=str,
)
def test_an_example_that_says_what_cannot_be_is_not_counted(fields):
    one = estimators(NOW)
    expected = feed(estimators(NOW), [example(0), example(1_000)])
    assert feed(one, [example(0), example(clicked=True, **fields), example(1_000)]) == expected


@pytest.mark.parametrize("weight", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("propensity", [None, 5e-324])
def test_all_clicked_at_any_position_and_any_weight_stays_in_bounds(weight, propensity):
    one = estimators(NOW)
    poison = [
        example(
            0,
            clicked=number % 4 > 0,
            position=10 ** (number % 5),
            weight=weight,
            propensity=propensity,
            item_id=f"i{number % 7}",
        )
        for number in range(400)
    ]
    for parameter in feed(one, [*poison, example(1_000)]):
        values = parameter.value if isinstance(parameter.value, tuple) else (parameter.value,)
        assert all(0.0 < value <= 1.0 for value in values), parameter


def test_names_too_long_for_a_parameter_have_none():
    one = estimators(NOW)
    fits, too_long = "x" * 243, "x" * 244
    log = [
        example(0, surface=name, features={"category": category}, weight=200.0)
        for name in (fits, too_long)
        for category in ("c" * 246, "c" * 247)
    ]
    names = {p.name for p in feed(one, [*log, example(1_000), example(1_000)])}
    assert names == {
        "prior/ctr",
        f"prior/ctr/{'c' * 246}",
        f"position_ctr/{fits}",
        f"theta/{fits}",
    }


def test_floods_of_names_keep_the_rows_bounded_and_what_was_there_before():
    bounded = EstimatorsSettings(
        interval_ms=1_000, fresh=1, surfaces=4, items=5, categories=6, admission=1.0
    )
    one, rows = estimators(bounded), Rows()
    known: dict[str, Any] = {"surface": "home", "item_id": "a", "features": {"category": "drama"}}
    for number in range(300):
        one.process(TOPIC, example(number, **known))
    for number in range(3_000):
        category = {"category": f"c{number}"}
        one.process(TOPIC, example(300 + number, surface=f"s{number}", features=category))
        one.process(TOPIC, example(300 + number, item_id=f"j{number}"))
        cut(one, rows)
    assert one.rows == len(rows) < 60
    assert rows.keys() >= {b"s/home/", b"s/home/logged/a", b"c/drama"}
