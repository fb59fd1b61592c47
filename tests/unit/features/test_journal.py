from __future__ import annotations

from streamapp.features.decay import DAY_MS, MINUTE_MS
from streamapp.features.item_names import packed
from streamapp.features.journal import (
    MAX_KEPT,
    REFORMULATION_MS,
    REQUEST_MS,
    Clicked,
    Journal,
    Shown,
    Slots,
    request_tag,
)
from streamapp.features.recent import ACTIONS, CLICK
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer

START = 1_700_000_000_000
A, B = packed([1]), packed([2])
R1, R2, NONE = request_tag("r1"), request_tag("r2"), request_tag(None)


def shown(at_ms: int, request: bytes = R1, query: str | None = None) -> Shown:
    return Shown(START + at_ms, at_ms.to_bytes(8, "big"), request, query)


def add_shown(journal: Journal, shown: Shown, items: list[bytes]) -> None:
    journal.show(*shown, Slots(0, b"".join(items), list(range(1, len(items) + 1))))


def add_click(journal: Journal, click: Clicked) -> None:
    journal.act(click.time_ms, click.item, click.request, CLICK, click.query)


def clicked(at_ms: int, request: bytes = NONE, item: bytes = A) -> Clicked:
    return Clicked(START + at_ms, item, request, None)


def test_a_click_can_be_on_what_showed_its_item_before_it_and_within_reach() -> None:
    journal = Journal()
    first, second, other = shown(0), shown(10, R2, "kim"), shown(20)
    add_shown(journal, first, [B, A])
    add_shown(journal, second, [A])
    add_shown(journal, other, [B])
    for click, expected in (
        (clicked(20), [first, second]),
        (clicked(9), [first]),
        (clicked(20, R2), [second]),
        (clicked(20, request_tag("r3")), []),
        (clicked(30 * MINUTE_MS), [first, second]),
        (clicked(30 * MINUTE_MS + 1), [second]),
        (clicked(REQUEST_MS, R1), [first]),
        (clicked(REQUEST_MS + 1, R1), []),
        (clicked(20, R1, B), [first, other]),
    ):
        assert journal.showing(click) == expected
        everything = ((first, {A, B}), (second, {A}), (other, {B}))
        reached = [one for one, items in everything if click.item in items and click.reaches(one)]
        assert reached == expected


def test_an_item_is_found_only_as_a_whole() -> None:
    journal = Journal()
    add_shown(journal, shown(0), [b"\0abc", b"d\0\0\0"])
    assert journal.showing(clicked(1, item=b"abcd")) == []
    assert journal.showing(clicked(1, item=b"d\0\0\0")) == [shown(0)]


def test_its_row_brings_everything_back() -> None:
    viewer = Viewer("v")
    journal = viewer.journal
    for n in range(10):
        slots = Slots(n, A + B, [n + 1, 7] if n % 4 else [1, 2])
        journal.show(*shown(n, query=f"q{n}" if n % 2 else None), slots)
        add_click(journal, Clicked(START + n, A, R1, f"c{n}" if n % 3 else None))
    other = decode_viewer(encode_viewer(viewer))
    restored = other.journal
    assert encode_viewer(other) == encode_viewer(viewer)
    assert restored.clicked(START, START + 1) == journal.clicked(START, START + 1)
    assert [query for _, query in restored.searches(START, START + 4)] == ["q1", "q3"]


def test_what_came_first_goes_when_there_is_too_much() -> None:
    journal = Journal()
    for n in range(MAX_KEPT + 3):
        journal.show(*shown(n, query=f"q{n}"), Slots(0, A + B, [2, 1]))
        add_click(journal, clicked(n)._replace(query=f"c{n}"))
    found = journal.searches(0, START + DAY_MS)
    assert [one.time_ms for one, _ in found] == [START + n for n in range(3, MAX_KEPT + 3)]
    assert [query for _, query in found] == [f"q{n}" for n in range(3, MAX_KEPT + 3)]
    clicks = journal.clicked(0, START + DAY_MS)
    assert [one.query for one in clicks] == [f"c{n}" for n in range(3, MAX_KEPT + 3)]
    assert len(journal.items) == len(journal.positions) == 8 * MAX_KEPT
    assert len(journal.queries or {}) == 2 * MAX_KEPT


def test_actions_that_are_no_clicks_belong_to_no_impression() -> None:
    journal = Journal()
    journal.act(START, A, R1, ACTIONS.index("like"), None)
    assert journal.clicked(0, START + DAY_MS) == []
    assert len(journal.acted) == 17


def test_what_no_event_may_concern_any_more_is_forgotten() -> None:
    journal = Journal()
    add_shown(journal, shown(0, query="q"), [A])
    add_shown(journal, shown(1), [A, B])
    add_click(journal, clicked(0)._replace(query="q"))
    add_click(journal, clicked(1))
    journal.forget(START + REFORMULATION_MS)
    assert len(journal.clicked(0, START + DAY_MS)) == 2
    journal.forget(START + REFORMULATION_MS + 1)
    assert len(journal.clicked(0, START + DAY_MS)) == 1
    assert len(journal.searches(0, START + DAY_MS)) == 1
    journal.forget(START + REQUEST_MS + 1)
    assert journal.searches(0, START + DAY_MS) == []
    assert journal.queries == {}
    assert journal.showing(clicked(5, item=B)) == [shown(1)]
