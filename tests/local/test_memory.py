"""The measurement of memory, on very little: that it still fits what it measures."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from streamapp.features.catalog import Catalog
from streamapp.features.parameters import Parameters
from streamapp.features.viewer_signal import viewer_signal
from streamapp.processors.viewers import Viewers
from streamapp.processors.viewers_settings import ViewersSettings
from tests.bench.memory import histories, measure
from tests.bench.memory.sizes import copied, parts


class Holder(msgspec.Struct):
    text: str
    packed: bytes
    growing: bytearray
    numbers: list[float]
    by_name: dict[str, tuple[int, ...]]
    sums: array[float]
    nothing: None = None


def holder() -> Holder:
    return Holder(
        "a text", b"x" * 600, bytearray(b"y" * 9), [1.5], {"a": (1_000,)}, array("d", [1])
    )


def test_a_copy_is_equal_and_shares_nothing():
    first = holder()
    second = copied(first)
    assert second == first
    for name in ("text", "packed", "growing", "numbers", "by_name", "sums"):
        assert getattr(second, name) is not getattr(first, name), name
    assert second.by_name["a"][0] is not first.by_name["a"][0]


def test_what_cannot_be_copied_is_told():
    with pytest.raises(TypeError, match="set"):
        copied([{1, 2}])


def test_every_object_is_counted_once_with_the_field_that_holds_it():
    packed = b"shared " * 4
    found = {part.field: part for part in parts([[packed, packed], [packed]])}
    assert found["itself"].objects == 2.0  # the list, and the bytes however often it holds them
    (names,) = parts([["a name that others hold too"]])
    assert names.objects == 1.0  # the list alone
    of_holder = {part.field: part for part in parts([holder()])}
    assert of_holder["packed"].size == pytest.approx(600, abs=80)
    assert of_holder["by_name"].objects == 4.0
    assert "nothing" not in of_holder


@pytest.fixture
def little(monkeypatch):
    few = {"FEW": 20, "WARM": 10, "TOGETHER": 10, "PROBE_EVENTS": 30, "PROBE_ROUNDS": 1}
    for name, value in {**few, "SAMPLE": 5}.items():
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(histories, "CATALOG_ITEMS", 200)


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("what", [measure.viewers, measure.items, measure.counters])
def test_each_kind_can_be_measured(what):
    shares: list[float] = []
    held = what(60, shares.append)
    assert held.number == 60
    assert held.few_us > 0.0
    assert held.many_us > 0.0
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert bool(held.parts) == (what is not measure.counters)


@pytest.mark.usefixtures("little")
def test_a_viewer_of_a_full_history_has_all_that_is_kept():
    catalog, parameters = Catalog(), Parameters()
    for number in range(histories.CATALOG_ITEMS):
        catalog.update(histories.item_id(number), histories.catalog_record(number))
    processor = Viewers(catalog, parameters, ViewersSettings())
    driven = measure.Driven(processor)
    measure._play(driven, 0, 1)
    (viewer,) = measure._sample_up(processor)
    signal = msgspec.json.decode(viewer_signal(viewer, parameters, 0))
    assert len(signal["recent"]) == 50
    assert len(signal["hidden"]) == 5
    assert len(signal["seen"]) == 50
    assert len(signal["affinity"]["creator"]) == 20
