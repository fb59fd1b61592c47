from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.digest import digest
from streamapp.features.neighbours import LIMIT, Neighbours, holds_any_of, pack, unpack

ids = st.sampled_from(("a", "aa", 'q"\\', "\x01", "ü", "a\x01b", "b", "c", "d", "e"))
meetings = st.lists(
    st.tuples(ids, st.sampled_from((0.0, 1.0, 1.0, 2.5)), st.sampled_from((1.0, 3.0, 2.0))),
    max_size=60,
)
Meetings = list[tuple[str, float, float]]


def met(meetings: Meetings, limit: int = LIMIT) -> Neighbours:
    kept = Neighbours()
    for other, together, engaged in meetings:
        kept.meet(other, together, engaged, limit)
    return kept


def exact(meetings: Meetings) -> dict[str, tuple[float, float]]:
    """Return what must be kept of each: a neighbour is held from when it counted first."""
    expected: dict[str, tuple[float, float]] = {}
    for other, together, engaged in meetings:
        if other in expected or together:
            before, _ = expected.get(other, (0.0, 0.0))
            expected[other] = before + together, engaged
    return expected


@given(meetings=meetings)
def test_up_to_the_limit_nothing_is_lost(meetings: Meetings) -> None:
    kept = {other: (together, engaged) for other, together, engaged in met(meetings).items()}
    assert kept == exact(meetings)


@given(meetings=meetings, limit=st.integers(1, 5))
def test_beyond_the_limit_little_is_lost(meetings: Meetings, limit: int) -> None:
    kept = met(meetings, limit)
    expected = exact(meetings)
    assert len(kept) == min(len(expected), limit) == len(kept.ids())
    whole = sum(together for together, _ in expected.values())
    for other, together, _ in kept.items():
        assert expected[other][0] - whole / limit <= together <= expected[other][0]


@given(meetings=meetings, limit=st.integers(1, 5), more=meetings, data=st.data())
def test_rows_give_the_same_back_in_any_order_and_it_goes_on_alike(
    meetings: Meetings, limit: int, more: Meetings, data: st.DataObject
) -> None:
    kept, rows = Neighbours(), dict[bytes, tuple[str, float, float]]()
    for other, together, engaged in meetings:
        change = kept.meet(other, together, engaged, limit)
        if change is not None:
            rows[change.tag] = other, change.together, change.engaged
            assert change.tag == digest(other)
            if change.dropped is not None:
                del rows[change.dropped]
    restored = Neighbours()
    for row in data.draw(st.permutations(list(rows.values()))):
        restored.put(*row)
    assert restored == kept
    for one in more:
        assert restored.meet(*one, limit) == kept.meet(*one, limit)
    assert restored == kept


def test_the_one_met_least_goes_but_not_the_one_just_met() -> None:
    kept = met([("a", 5.0, 1.0), ("b", 3.0, 1.0), ("c", 1.0, 1.0), ("b", 4.0, 1.0)], limit=2)
    assert sorted(kept.items()) == [("a", 5.0, 1.0), ("b", 4.0, 1.0)]


def test_sessions_are_taken_back_even_before_they_are_counted_if_there_is_room() -> None:
    kept = met([("a", 5.0, 8.0), ("a", -2.0, 6.0), ("b", -1.0, 3.0)], limit=2)
    assert sorted(kept.items()) == [("a", 3.0, 6.0), ("b", -1.0, 3.0)]
    assert kept.meet("c", -1.0, 1.0, limit=2) is None
    kept.meet("b", 1.0, 4.0, limit=2)
    assert sorted(kept.items()) == [("a", 3.0, 6.0), ("b", 0.0, 4.0)]


def test_a_neighbour_is_removed_and_all_are_scaled() -> None:
    kept = met([("a", 5.0, 8.0), ("b", 3.0, 4.0)])
    kept.remove(digest("a"))
    kept.remove(digest("nobody"))
    kept.scale(0.5)
    assert kept.items() == [("b", 1.5, 2.0)]
    assert kept.below(1.6) == [digest("b")]
    assert kept.below(1.5) == []
    assert kept.sums() == (1.5, 2.0)


@given(packed=st.lists(ids, unique=True), asked=st.sets(ids))
def test_ids_are_packed_and_found(packed: list[str], asked: set[str]) -> None:
    assert unpack(pack(packed)) == packed
    assert holds_any_of(asked)(pack(packed)) == bool(asked & set(packed))


def test_a_full_table_takes_little_memory() -> None:
    kept = met([(f"item-{n:07d}", float(n + 1), 1.0) for n in range(500)])
    assert len(kept) == LIMIT
    assert len(kept.names) <= 14 * LIMIT
    assert all(
        column.itemsize * len(column) == 8 * LIMIT for column in (kept.places, kept.together)
    )
