"""Rates against sums over the whole history."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.baselines import RateBaselines, combined
from streamapp.learning.states import RateState

HALF_LIFE = 1000.0
PRIOR = 0.05

shown = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from("vwab"),  # a viewer may have the name of an item
        st.integers(0, 5000),
        st.sampled_from([1.0, 4.0]),
        st.booleans(),
    ),
    max_size=40,
)
rates_within = st.floats(0.001, 0.999)

History = list[tuple[int, float, bool]]


def rate_of(history: History, now: int, prior: float) -> float:
    """(Σ clicks + 20·prior)/(Σ impressions + 20), each decayed to `now`."""
    now = max([now, *(at for at, *_ in history)])
    decayed = [(w * math.exp2((at - now) / HALF_LIFE), clicked) for at, w, clicked in history]
    clicks = sum(w for w, clicked in decayed if clicked)
    return (clicks + 20 * prior) / (sum(w for w, _ in decayed) + 20)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def baselines(capacity: int = 100) -> RateBaselines:
    return RateBaselines(HALF_LIFE, PRIOR, capacity)


def encoded(rates: RateBaselines) -> dict[str, bytes | None]:
    return {
        name: None if rate is None else msgspec.json.encode(rate) for name, rate in rates.changed()
    }


@given(shown)
def test_rates_are_those_of_the_decayed_history_before_each_example(stream):
    rates = baselines()
    everything: History = []
    of_item: dict[str, History] = {}
    of_viewer: dict[str, History] = {}
    for item, viewer, at_ms, weight, clicked in stream:
        found = rates.update(item, viewer, at_ms, weight, clicked=clicked)
        constant = rate_of(everything, at_ms, PRIOR)
        item_rate = rate_of(of_item.setdefault(item, []), at_ms, constant)
        viewer_rate = rate_of(of_viewer.setdefault(viewer, []), at_ms, constant)
        assert found.constant == pytest.approx(constant, rel=1e-9)
        assert found.item_rate == pytest.approx(item_rate, rel=1e-9)
        assert found.viewer_rate == pytest.approx(viewer_rate, rel=1e-9)
        score = logit(item_rate) + logit(viewer_rate) - logit(constant)
        assert logit(found.both) == pytest.approx(score, rel=1e-6, abs=1e-6)
        for history in (everything, of_item[item], of_viewer[viewer]):
            history.append((at_ms, weight, clicked))


@given(rates_within, rates_within)
def test_an_average_viewer_leaves_the_rate_of_the_item_and_the_reverse(rate, constant):
    assert combined(rate, constant, constant) == pytest.approx(rate, rel=1e-9)
    assert combined(constant, rate, constant) == pytest.approx(rate, rel=1e-9)


def test_rates_that_rule_each_other_out_leave_the_constant():
    assert combined(0.0, 1.0, 0.3) == 0.3
    assert combined(1.0, 0.5, 0.3) == 1.0


def test_what_was_shown_longest_ago_is_forgotten_first():
    rates = baselines(capacity=2)
    for at_ms, item in enumerate("abac"):
        rates.update(item, "v", at_ms, 1.0, clicked=True)
    assert len(rates) == 3
    changed = dict(rates.changed())
    assert changed["i/b"] is None
    assert changed["i/a"] is not None
    assert changed["i/c"] is not None
    assert changed["v/v"] is not None


def test_viewers_are_bounded_like_items():
    rates = baselines(capacity=5)
    for number in range(50):
        rates.update("a", f"v{number}", number, 1.0, clicked=False)
    assert len(rates) == 6
    held = [name for name, rate in rates.changed() if rate is not None]
    assert held == ["i/a", *(f"v/v{number}" for number in range(45, 50))]


@given(shown, shown, st.integers(1, 4))
def test_rates_restored_from_json_rows_go_on_exactly(before, after, capacity):
    original = baselines(capacity)
    rows: dict[str, bytes | None] = {}
    for number, (item, viewer, at_ms, weight, clicked) in enumerate(before):
        original.update(item, viewer, at_ms, weight, clicked=clicked)
        if number % 4 == 0:
            rows |= encoded(original)
    rows |= encoded(original)
    restored = baselines(capacity)
    restored.restore(
        msgspec.json.decode(msgspec.json.encode(original.overall), type=RateState),
        {key: msgspec.json.decode(row, type=RateState) for key, row in rows.items() if row},
    )
    assert len(restored) == len(original)
    for item, viewer, at_ms, weight, clicked in after:
        expected = original.update(item, viewer, at_ms, weight, clicked=clicked)
        assert restored.update(item, viewer, at_ms, weight, clicked=clicked) == expected
    assert dict(restored.changed()) == dict(original.changed())
