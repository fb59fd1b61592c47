"""The request whose labels are coming in, and what its clicks are compared with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.open_request import (
    DRAWN,
    MAX_SLOTS,
    RECENT,
    OpenRequest,
    RecentSlots,
    compared,
    opened,
)
from streamapp.learning.pairs import Slot
from streamapp.signals import Example
from tests.unit.learning.examples import example


def shown(item: str, position: int = 1, *, clicked: bool = False, **fields: str) -> Example:
    return example(500, clicked=clicked, item_id=item, position=position, **fields)


def request(*examples: Example) -> OpenRequest:
    one = opened(examples[0])
    for of_it in examples:
        one.update(of_it, 500)
    return one


def test_a_request_is_that_of_one_viewer_and_one_id():
    one = request(shown("a"))
    assert one.holds(shown("b"))
    assert not one.holds(shown("b", request_id="r9"))
    assert not one.holds(shown("b", viewer_id="v9"))


def test_what_was_clicked_is_compared_with_the_rest_of_the_request():
    one = request(shown("a", 1), shown("b", 2, clicked=True), shown("c", 3))
    said = compared(one, [])
    assert said is not None
    assert said.preferred == [Slot("b", "home/2", (None, None))]
    assert said.passed == [Slot("a", "home/1", (None, None)), Slot("c", "home/3", (None, None))]


def test_category_and_creator_go_with_the_item():
    featured = example(0, item_id="a", features={"category": "drama", "creator_id": "c1", "x": 1.0})
    assert request(featured).slots["a"].traits == ("drama", "c1")


def test_nothing_clicked_says_nothing_and_nothing_to_compare_with_neither():
    recent = [Slot("z", "home/1")]
    assert compared(request(shown("a"), shown("b")), recent) is None
    assert compared(request(shown("a", clicked=True)), []) is None
    assert compared(request(shown("z", clicked=True)), recent) is None


def test_an_item_shown_twice_is_one_slot_clicked_if_it_was_in_either_place():
    one = request(shown("a", 1), shown("b", 2), shown("a", 3, clicked=True))
    said = compared(one, [])
    assert said is not None
    assert [slot.item for slot in said.preferred] == ["a"]
    assert [slot.item for slot in said.passed] == ["b"]


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1), st.integers(0, 20))
def test_items_shown_of_late_are_drawn_by_the_request_alone(names, number):
    recent = [Slot(name, "live/3") for name in names]
    one = request(shown("a", clicked=True, request_id=f"r{number}"))
    said, again = compared(one, recent), compared(one, list(recent))
    assert said == again
    if said is not None:
        drawn = [slot.item for slot in said.passed]
        assert 1 <= len(drawn) == len(set(drawn)) <= DRAWN
        assert set(drawn) <= set(names) - {"a"}


def test_every_item_shown_of_late_is_drawn_about_as_often():
    recent, counts = [Slot(f"i{n}") for n in range(10)], dict[str, int]()
    for number in range(2_000):
        said = compared(request(shown("a", clicked=True, request_id=f"r{number}")), recent)
        assert said is not None
        for slot in said.passed:
            counts[slot.item] = counts.get(slot.item, 0) + 1
    assert len(counts) == 10
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_a_request_of_many_slots_is_cut_off():
    one = request(*(shown(f"i{n}", n + 1, clicked=n > MAX_SLOTS) for n in range(3 * MAX_SLOTS)))
    assert len(one.slots) == MAX_SLOTS
    assert one.clicked == []


def test_the_newest_slots_replace_the_oldest():
    recent = RecentSlots()
    for number in range(RECENT + 5):
        recent.update([Slot(f"i{number}")])
    assert {slot.item for slot in recent.ring} == {f"i{n}" for n in range(5, RECENT + 5)}
