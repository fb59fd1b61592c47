"""Timelines are in seconds. Slates are written as request:item,item at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.events import decode_impression
from streamapp.features.digest import digest
from streamapp.features.slates import Aim, OpenSlates, Slate, attribute
from streamapp.features.steps import ShownStep
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer

MINUTE = 60


def slate(
    text: str,
    at: int = 0,
    **slot: Any,
) -> Slate:
    request_id, items = text.split(":")
    event = {
        "event_id": f"{text}@{at}",
        "occurred_at_ms": at * 1000,
        "viewer_id": "v",
        "request_id": request_id,
        "surface": "home",
        "items": [
            {"item_id": item, "position": position, **slot}
            for position, item in enumerate(items.split(","), 1)
        ],
    }
    impression = decode_impression(msgspec.json.encode(event))
    key = digest(impression.event_id)
    step = ShownStep(1, at * 1000, at * 1000, impression, at * 1000 + 120_000, None, 0, 0, 0, [])
    return Slate(key, step, items.split(","))


def click(item: str, at: int, request_id: str | None = None, position: int | None = None) -> Aim:
    return Aim(item, at * 1000, request_id, position)


def test_a_click_belongs_to_the_latest_slate_that_showed_the_item_before_it() -> None:
    slates = [slate("r1:a", 10), slate("r2:b,a", 20), slate("r3:b", 25), slate("r4:a", 40)]
    for order in (slates, slates[::-1]):
        assert attribute(order, click("a", 30)) == (slates[1], 1)
        assert attribute(order, click("a", 19)) == (slates[0], 0)
        assert attribute(order, click("a", 20)) == (slates[1], 1)
        assert attribute(order, click("a", 9)) is None
        assert attribute(order, click("c", 30)) is None


def test_without_a_request_a_click_looks_back_30_minutes() -> None:
    slates = [slate("r1:a", 0)]
    assert attribute(slates, click("a", 30 * MINUTE)) == (slates[0], 0)
    assert attribute(slates, click("a", 30 * MINUTE + 1)) is None
    assert attribute(slates, click("a", 31 * MINUTE, request_id="r1")) == (slates[0], 0)


@pytest.mark.parametrize(("position", "slot"), [(None, 0), (1, 0), (3, 2), (2, 0), (9, 0)])
def test_an_item_shown_twice_is_clicked_where_the_click_says_or_at_the_top(
    position: int | None, slot: int
) -> None:
    shown = slate("r:a,b,a")
    assert shown.slot_of(click("a", 1, position=position)) == slot


def test_of_two_slates_of_one_time_the_choice_does_not_depend_on_their_order() -> None:
    slates = [slate("r1:a", 10), slate("r2:a", 10)]
    assert attribute(slates, click("a", 11)) == attribute(slates[::-1], click("a", 11))


def test_a_slate_comes_back_from_its_row() -> None:
    shown = slate("r:a,b", 10, propensity=0.5, score=1.0)
    shown.clicked, shown.labelled, shown.actions = (1, 0), True, ((1, 2),)
    shown.begun, shown.as_of_ms = ((0, b"12345678"),), 7
    viewer = Viewer("v")
    viewer.slates = OpenSlates()
    viewer.slates.add(shown)
    restored = decode_viewer(encode_viewer(viewer)).slates
    assert restored is not None
    (back,) = restored.all()
    assert (back.key, back.shown, back.item_ids) == (shown.key, shown.shown, ["a", "b"])
    assert (back.clicked, back.labelled, back.actions) == ((1, 0), True, ((1, 2),))
    assert (back.begun, back.as_of_ms) == (shown.begun, 7)


@st.composite
def shown_slates(draw: st.DrawFn) -> list[Slate]:
    """Draw slates of few requests, items and times, in any order of arrival."""
    times = draw(st.lists(st.integers(0, 45), max_size=14))
    drawn = []
    for number, minutes in enumerate(times):
        request = draw(st.sampled_from(["r1", "r2", "r3"]))
        items = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
        drawn.append(slate(f"{request}:{','.join(items)}", minutes * MINUTE))
        drawn[-1].key = digest(str(number))
    return drawn


@given(shown_slates(), st.data())
def test_open_slates_find_what_a_look_through_all_of_them_finds(
    slates: list[Slate], data: st.DataObject
) -> None:
    held, plain = OpenSlates(), list[Slate]()
    for each in slates:
        held.add(each)
        plain.append(each)
        if data.draw(st.booleans()):
            gone = plain.pop(data.draw(st.integers(0, len(plain) - 1)))
            held.drop(gone)
        request = data.draw(st.sampled_from([None, "r1", "r3"]))
        position = data.draw(st.sampled_from([None, 1, 3]))
        at = data.draw(st.integers(0, 80)) * MINUTE
        event = click(
            data.draw(st.sampled_from("abcde")), at, request_id=request, position=position
        )
        of_request = [s for s in plain if request in (None, s.request_id)]
        expected, found = attribute(of_request, event), held.attribute(event)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert found[0] is expected[0]
            assert found[1] == expected[1]
        assert len(held) == len(plain) == len(held.all())
