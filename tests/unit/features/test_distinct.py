from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamapp.features.distinct import STANDARD_ERROR, add, count, pack

ids = st.lists(st.text(max_size=5), max_size=20)


@given(batches=st.lists(ids, max_size=5))
@settings(max_examples=50)
def test_few_viewers_are_counted_exactly_however_they_come(batches: list[list[str]]) -> None:
    everyone = {viewer for batch in batches for viewer in batch}
    sketch = b""
    for batch in batches:
        sketch = add(sketch, pack(batch))
    if len(everyone) <= 24:
        assert count(sketch) == len(everyone)
    assert abs(count(sketch) - len(everyone)) <= 0.1 * len(everyone)


@given(batch=ids)
@settings(max_examples=30)
def test_viewers_who_come_again_change_nothing(batch: list[str]) -> None:
    sketch = add(b"", pack(batch))
    assert add(sketch, pack(reversed(batch))) == sketch


@pytest.mark.parametrize("viewers", [200, 2_000, 50_000])
def test_many_viewers_are_estimated_within_the_standard_error(viewers: int) -> None:
    errors = []
    for trial in range(12):
        people = pack(f"{trial}-{n}" for n in range(viewers))
        errors.append(count(add(b"", people)) / viewers - 1.0)
    root_mean_square = (sum(error**2 for error in errors) / len(errors)) ** 0.5
    assert root_mean_square < 1.6 * STANDARD_ERROR
    assert max(map(abs, errors)) < 3.5 * STANDARD_ERROR


def test_a_sketch_is_small_while_viewers_are_few_and_bounded_when_they_are_many() -> None:
    assert len(add(b"", pack(["v"]))) == 12
    draw = Random(3)
    assert len(add(b"", pack(str(draw.random()) for _ in range(100_000)))) <= 400


def test_of_one_order_it_makes_no_difference_how_many_come_at_once() -> None:
    people = [pack([f"v{n}"]) for n in range(500)]
    at_once, one_by_one = add(b"", b"".join(people)), b""
    for person in people:
        one_by_one = add(one_by_one, person)
    assert count(at_once) == count(one_by_one)


def test_bytes_that_are_no_hashes_are_refused() -> None:
    with pytest.raises(ValueError, match="7 bytes"):
        add(b"", b"1234567")


def test_nobody_is_no_bytes_and_none() -> None:
    assert count(b"") == 0
