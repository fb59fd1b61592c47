"""The switch: the newest champion, as soon as it is here, and the one before until then."""

from __future__ import annotations

import pytest

from streamapp.reader.state import VERSIONS, State
from tests.unit.reader.worlds import NOW_MS, Author, Sent, feed, version


def served(state: State, segment: str = "all") -> dict[str, tuple[str, int]]:
    champions = state.champions(segment)
    return {name: (one.version.model, one.epoch) for name, one in champions.items()}


def test_a_champion_serves_from_the_epoch_that_its_record_names():
    author, state = Author("a"), State()
    feed(state, [*author.publish({1: 0.5}), version("a", 2)])
    assert served(state) == {}
    feed(state, author.publish({1: 0.25}))
    assert served(state) == {"click": ("a", 2)}
    feed(state, author.publish({1: 0.125}))
    assert served(state) == {"click": ("a", 3)}


def test_the_old_champion_serves_until_the_new_ones_weights_are_here():
    old, new, state = Author("a"), Author("b"), State()
    feed(state, [*old.publish({1: 0.5}), old.version()])
    feed(state, [version("b", 1, as_of_ms=NOW_MS + 1), version("a", 1, "challenger")])
    assert served(state) == {"click": ("a", 1)}
    *weights, close = new.publish({1: 0.25, 2: 0.5})
    feed(state, weights)
    assert served(state) == {"click": ("a", 1)}
    feed(state, [close])
    assert served(state) == {"click": ("b", 1)}
    assert dict(state.champions("all")["click"].weights.items()) == {1: 0.25, 2: 0.5}


@pytest.mark.parametrize("status", ["warming", "challenger"])
def test_models_of_another_status_do_not_serve(status):
    author, state = Author("a"), State()
    feed(state, [*author.publish({1: 0.5}), author.version(status)])
    assert served(state) == {}


def test_a_champion_that_warms_anew_serves_no_more_until_it_is_champion_again():
    author, state = Author("a"), State()
    feed(state, [*author.publish({1: 0.5}), author.version()])
    assert served(state) == {"click": ("a", 1)}
    feed(state, [*author.publish({1: 0.25}), author.version("warming")])
    assert served(state) == {}
    feed(state, [*author.publish({1: 0.125}), author.version()])
    assert served(state) == {"click": ("a", 3)}


def test_a_champion_that_was_rolled_back_serves_its_new_epoch():
    author, state = Author("a"), State()
    feed(state, [*author.publish({1: 0.5}), author.version()])
    feed(state, [*author.publish({1: 9.0}), *author.publish({1: 0.5})])
    feed(state, [version("a", 3, "rolled_back", as_of_ms=NOW_MS + 1, reason="drift")])
    assert served(state) == {"click": ("a", 3)}


@pytest.mark.parametrize("backwards", [False, True])
def test_of_two_champions_the_newest_serves_whichever_record_comes_first(backwards):
    one, other, state = Author("a"), Author("b"), State()
    feed(state, [*one.publish({1: 0.5}), *other.publish({1: 0.5})])
    records = [version("a", 1), version("b", 1, as_of_ms=NOW_MS + 1)]
    feed(state, reversed(records) if backwards else records)
    assert served(state) == {"click": ("b", 1)}


def test_each_segment_and_objective_has_its_own_and_a_segment_falls_back_to_all():
    state = State()
    for model, segment, objective in [
        ("click-all", "all", "click"),
        ("hide-all", "all", "hide"),
        ("click-live", "live", "click"),
    ]:
        author = Author(model)
        feed(state, author.publish({1: 0.5}))
        feed(state, [author.version(segment=segment, objective=objective, objective_weight=2.0)])
    assert served(state, "live") == {"click": ("click-live", 1), "hide": ("hide-all", 1)}
    assert served(state, "search") == {"click": ("click-all", 1), "hide": ("hide-all", 1)}
    assert state.champions("live")["hide"].version.objective_weight == 2.0


def test_a_model_whose_record_is_deleted_serves_no_more():
    author, state = Author("a"), State()
    feed(state, [*author.publish({1: 0.5}), author.version()])
    feed(state, [Sent(VERSIONS, "a", None)])
    assert served(state) == {}


def test_a_record_under_another_models_key_is_refused():
    author, state = Author("a"), State()
    feed(state, author.publish({1: 0.5}))
    feed(state, [Sent(VERSIONS, "b", author.version().value)])
    assert state.rejected[VERSIONS] == 1
    assert served(state) == {}
