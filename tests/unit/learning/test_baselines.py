"""Rates against sums over the whole history."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.baselines import RateBaselines, RateState

HALF_LIFE = 1000.0
PRIOR = 0.05

shown = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.integers(0, 5000), st.sampled_from([1.0, 4.0]), st.booleans()
    ),
    max_size=40,
)


def rate_of(history: list[tuple[int, float, bool]], now: int, prior: float) -> float:
    """(Σ clicks + 20·prior)/(Σ impressions + 20), each decayed to `now`."""
    decayed = [(w * math.exp2((at - now) / HALF_LIFE), clicked) for at, w, clicked in history]
    clicks = sum(w for w, clicked in decayed if clicked)
    return (clicks + 20 * prior) / (sum(w for w, _ in decayed) + 20)


def baselines(capacity: int = 100) -> RateBaselines:
    return RateBaselines(HALF_LIFE, PRIOR, capacity)


def encoded(rates: RateBaselines) -> dict[str, bytes | None]:
    return {
        item: None if rate is None else msgspec.json.encode(rate) for item, rate in rates.changed()
    }


@given(shown)
def test_rates_are_those_of_the_decayed_history_before_each_example(stream):
    rates = baselines()
    everything: list[tuple[int, float, bool]] = []
    by_item: dict[str, list[tuple[int, float, bool]]] = {}
    for item, at_ms, weight, clicked in stream:
        constant, item_rate = rates.update(item, at_ms, weight, clicked=clicked)
        own = by_item.setdefault(item, [])
        now = max([at_ms, *(at for at, *_ in everything)])
        assert constant == pytest.approx(rate_of(everything, now, PRIOR), rel=1e-9)
        now = max([at_ms, *(at for at, *_ in own)])
        assert item_rate == pytest.approx(rate_of(own, now, constant), rel=1e-9)
        everything.append((at_ms, weight, clicked))
        own.append((at_ms, weight, clicked))


def test_the_item_shown_longest_ago_is_forgotten_first():
    rates = baselines(capacity=2)
    for at_ms, item in enumerate("abac"):
        rates.update(item, at_ms, 1.0, clicked=True)
    assert len(rates) == 2
    changed = dict(rates.changed())
    assert changed["b"] is None
    assert changed["a"] is not None
    assert changed["c"] is not None


@given(shown, shown, st.integers(1, 4))
def test_rates_restored_from_json_rows_go_on_exactly(before, after, capacity):
    original = baselines(capacity)
    rows: dict[str, bytes | None] = {}
    for number, (item, at_ms, weight, clicked) in enumerate(before):
        original.update(item, at_ms, weight, clicked=clicked)
        if number % 4 == 0:
            rows |= encoded(original)
    rows |= encoded(original)
    restored = baselines(capacity)
    restored.restore(
        msgspec.json.decode(msgspec.json.encode(original.overall), type=RateState),
        {key: msgspec.json.decode(row, type=RateState) for key, row in rows.items() if row},
    )
    assert len(restored) == len(original)
    for item, at_ms, weight, clicked in after:
        expected = original.update(item, at_ms, weight, clicked=clicked)
        assert restored.update(item, at_ms, weight, clicked=clicked) == expected
    assert dict(restored.changed()) == dict(original.changed())
