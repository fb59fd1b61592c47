from __future__ import annotations

from streamapp.features.decay import DAY_MS, MINUTE_MS
from streamapp.features.journal import (
    MAX_KEPT,
    REQUEST_MS,
    Clicked,
    Journal,
    Shown,
    item_tag,
    request_tag,
)

START = 1_700_000_000_000
A, B = item_tag("a"), item_tag("b")
R1, R2, NONE = request_tag("r1"), request_tag("r2"), request_tag(None)


def shown(at_ms: int, request: bytes = R1, query: str | None = None) -> Shown:
    return Shown(START + at_ms, at_ms.to_bytes(8, "big"), request, query)


def clicked(at_ms: int, request: bytes = NONE, item: bytes = A) -> Clicked:
    return Clicked(START + at_ms, item, request, None)


def test_a_click_can_be_on_what_showed_its_item_before_it_and_within_reach() -> None:
    journal = Journal()
    first, second, other = shown(0), shown(10, R2, "kim"), shown(20)
    journal.add_shown(first, [B, A])
    journal.add_shown(second, [A])
    journal.add_shown(other, [B])
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
        assert list(journal.showing(click)) == expected
        everything = ((first, {A, B}), (second, {A}), (other, {B}))
        reached = [one for one, items in everything if click.item in items and click.reaches(one)]
        assert reached == expected


def test_an_item_is_found_only_as_a_whole() -> None:
    journal = Journal()
    journal.add_shown(shown(0), [b"\0abc", b"d\0\0\0"])
    assert list(journal.showing(clicked(1, item=b"abcd"))) == []
    assert list(journal.showing(clicked(1, item=b"d\0\0\0"))) == [shown(0)]


def test_rows_bring_everything_back() -> None:
    journal, restored = Journal(), Journal()
    for n in range(10):
        restored.restore_shown(
            journal.add_shown(shown(n, query=f"q{n}" if n % 2 else None), [A])[1]
        )
        carried = Clicked(START + n, A, R1, f"c{n}" if n % 3 else None)
        restored.restore_click(journal.add_click(carried)[1])
    assert restored == journal
    assert restored.clicked(START, START + 1) == journal.clicked(START, START + 1)
    assert [query for _, query in restored.searches(START, START + 4)] == ["q1", "q3"]


def test_what_came_first_goes_when_there_is_too_much_and_its_row_is_taken() -> None:
    journal = Journal()
    parts = [journal.add_shown(shown(n, query="q"), [A, B])[0] for n in range(MAX_KEPT + 3)]
    assert parts[:3] == parts[MAX_KEPT:]
    assert len(set(parts)) == MAX_KEPT
    assert sorted(parts[:MAX_KEPT]) == journal.shown_parts()
    times = [one.time_ms for one, _ in journal.searches(0, START + DAY_MS)]
    assert times == [START + n for n in range(3, MAX_KEPT + 3)]
    assert len(journal.items) == 8 * MAX_KEPT
    assert len(journal.queries or {}) == MAX_KEPT


def test_a_journal_restored_from_more_rows_than_it_keeps_holds_the_last() -> None:
    journal, restored = Journal(), Journal()
    for n in range(MAX_KEPT + 5):
        restored.restore_click(journal.add_click(clicked(n))[1])
    assert restored == journal
    assert restored.add_click(clicked(9)) == journal.add_click(clicked(9))


def test_what_no_event_may_concern_any_more_is_forgotten() -> None:
    journal = Journal()
    journal.add_shown(shown(0, query="q"), [A])
    journal.add_shown(shown(1), [A, B])
    journal.add_click(clicked(0)._replace(query="q"))
    journal.add_click(clicked(1))
    journal.forget(START + 1)
    assert len(journal.clicked(0, START + DAY_MS)) == 1
    assert len(journal.searches(0, START + DAY_MS)) == 1
    journal.forget(START + REQUEST_MS + 1)
    assert journal.searches(0, START + DAY_MS) == []
    assert journal.queries == {}
    assert list(journal.showing(clicked(5, item=B))) == [shown(1)]
