"""Each slice against the metric of its examples alone."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.evaluation import Prequential
from streamapp.learning.sliced import OTHER, RESOLUTION, SlicedPrequential
from streamapp.learning.states import PrequentialState

DIMENSIONS = ("surface", "device")
HALF_LIFE = 7.5

values = st.fixed_dictionaries(
    {},
    optional={
        "surface": st.sampled_from(["a", "b", "c", OTHER, "", None, "x" * 65]),
        "device": st.sampled_from(["a", "b", 3.0]),
        "ignored": st.just("z"),
    },
)
streams = st.lists(
    st.tuples(values, st.floats(0.01, 0.99), st.sampled_from([1.0, 4.0]), st.booleans()),
    max_size=30,
)


def run(stream, sliced: SlicedPrequential) -> None:
    for given_values, probability, weight, happened in stream:
        sliced.update(given_values, probability, weight=weight, happened=happened)


def expected(stream, capacity: int):
    """Return the metrics by dimension and slice, each from the examples that belong there."""
    found: dict[str, dict[str, Prequential]] = {name: {} for name in DIMENSIONS}
    for dimension in DIMENSIONS:
        own: list[str] = []
        for given_values, probability, weight, happened in stream:
            value = str(given_values.get(dimension) or "")
            if not value:
                continue
            if value not in own and len(value) <= 64 and value != OTHER and len(own) < capacity:
                own.append(value)
            name = value if value in own else OTHER
            metric = found[dimension].setdefault(name, Prequential(HALF_LIFE, RESOLUTION))
            metric.update(probability, weight=weight, happened=happened)
    return {
        dimension: {name: metric.quality for name, metric in slices.items()}
        for dimension, slices in found.items()
    }


@given(streams, st.integers(1, 3))
def test_a_slice_has_the_metrics_of_its_examples_alone(stream, capacity):
    sliced = SlicedPrequential(DIMENSIONS, HALF_LIFE, capacity)
    run(stream, sliced)
    assert sliced.qualities == expected(stream, capacity)


@given(streams, streams)
def test_slices_restored_from_json_go_on_exactly(before, after):
    sliced = SlicedPrequential(DIMENSIONS, HALF_LIFE, 2)
    rows: dict[str, bytes] = {}
    for number, one in enumerate(before):
        run([one], sliced)
        if number % 3 == 0:
            rows |= encoded(sliced)
    rows |= encoded(sliced)
    again = SlicedPrequential(DIMENSIONS, HALF_LIFE, 2)
    for key, row in sorted(rows.items(), reverse=True):  # rows come in any order
        again.restore(key, msgspec.json.decode(row, type=PrequentialState))
    assert len(again) == len(sliced)
    run(after, sliced)
    run(after, again)
    assert encoded(again) == encoded(sliced)
    assert again.qualities == sliced.qualities


def encoded(sliced: SlicedPrequential) -> dict[str, bytes]:
    return {key: msgspec.json.encode(state) for key, state in sliced.changed()}


def test_a_flood_of_values_shares_one_slice():
    sliced = SlicedPrequential(["country"], 100.0, capacity=3)
    for number in range(1_000):
        sliced.update({"country": f"c{number}"}, 0.5, happened=True)
    assert list(sliced.qualities["country"]) == ["c0", "c1", "c2", "other"]
    assert len(sliced) == 4


def test_a_row_of_a_dimension_no_longer_asked_for_is_left_out():
    sliced = SlicedPrequential(["surface"], 100.0)
    sliced.restore("device/a", Prequential().snapshot())
    assert len(sliced) == 0
