from __future__ import annotations

import msgspec

from streamapp.features.co_engagement import shard_of
from streamapp.features.pair_letters import MAX_ENTRIES, PairLetters
from streamapp.signals import PairDelta, Told

MINUTE = 60_000
START = 1_700_000_040_000


def take(letters: PairLetters, held: str = "ab") -> list[PairDelta]:
    def engaged(item_id: str, at_ms: int) -> float | None:
        return float(at_ms - START + held.index(item_id)) if item_id in held else None

    taken = [(shard, msgspec.json.decode(v, type=PairDelta)) for shard, v in letters.take(engaged)]
    assert all(shard == delta.shard for shard, delta in taken)
    return [delta for _, delta in taken]


def test_who_is_told_is_told_in_its_shard_how_many_sessions_the_other_had_then() -> None:
    letters = PairLetters()
    of = letters.of(START, START + 7)
    of.asked["b"] = {"x": 2, "y": 1}
    of.told["a"] = {"x": 0}
    assert letters.of(START, START + 5) is of
    letters.of(START + MINUTE, START + MINUTE).told["a"] = {"x": 3}
    deltas = {(delta.shard, delta.as_of_ms): delta for delta in take(letters)}
    x, y = str(shard_of("x")), str(shard_of("y"))
    assert deltas == {
        (x, START + 7): PairDelta(
            shard=x,
            as_of_ms=START + 7,
            asked=[Told("x", "b", 1.0, 2)],
            told=[Told("x", "a", 0.0, 0)],
        ),
        (y, START + 7): PairDelta(shard=y, as_of_ms=START + 7, asked=[Told("y", "b", 1.0, 1)]),
        (x, START + MINUTE): PairDelta(
            shard=x, as_of_ms=START + MINUTE, told=[Told("x", "a", 60_000.0, 3)]
        ),
    }
    assert take(letters) == []


def test_nothing_is_told_of_what_is_no_longer_held() -> None:
    letters = PairLetters()
    letters.of(START, START).asked["gone"] = {"x": 1}
    assert take(letters) == []


def test_no_record_grows_without_bounds() -> None:
    letters = PairLetters()
    of = letters.of(START, START)
    of.told["a"] = {f"i{n}": 1 for n in range(200 * MAX_ENTRIES)}
    of.asked["b"] = {"i1": 1}
    deltas = take(letters)
    assert max(len(delta.told) for delta in deltas) == MAX_ENTRIES
    assert sum(len(delta.told) for delta in deltas) == 200 * MAX_ENTRIES
    assert [delta.asked for delta in deltas if delta.asked] == [[Told("i1", "b", 1.0, 1)]]
