"""Examples followed from their label to a reader.

label at │ 100  200  300 ── turn ends ── 400
version  │                 as of 300, cut at 1,100, seen at 1,200
"""

from __future__ import annotations

from math import isnan

from tests.bench.quantiles import quantile
from tests.bench.weights.followed import Followed


def followed(*labelled_at_ms: int) -> Followed:
    made = Followed()
    for at_ms in labelled_at_ms:
        made.follow(at_ms)
    return made


def test_a_version_ends_the_waits_of_all_that_it_is_of():
    examples = followed(100, 200, 300, 400)
    examples.apply(300, computed_at_ms=1_100, now_ms=1_200)
    assert examples.seen_ms == [1_100, 1_000, 900]
    assert examples.cut_ms == [1_000, 900, 800]
    assert len(examples) == 1


def test_a_version_that_is_seen_twice_counts_once():
    examples = followed(100)
    for now_ms in (500, 600):
        examples.apply(300, computed_at_ms=400, now_ms=now_ms)
    assert examples.seen_ms == [400]


def test_examples_of_a_turn_that_was_undone_are_counted_apart():
    examples = followed(100, 200, 300)
    examples.apply(100, computed_at_ms=150, now_ms=160)
    examples.undo(ends_ms=300)
    examples.undo(ends_ms=300)
    assert examples.undone == 1
    assert len(examples) == 1
    assert examples.seen_ms == [60]


def test_a_quantile_is_one_of_the_samples():
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([1.0], 1.0) == 1.0
    assert isnan(quantile([], 0.5))
