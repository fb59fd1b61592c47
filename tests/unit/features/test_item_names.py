from __future__ import annotations

from streamapp.features.item_names import ItemNames

DAY = 86_400_000


def test_a_name_keeps_its_number_and_is_written_once() -> None:
    names = ItemNames(DAY)
    first = names.numbers(["a", "b", "a"])
    assert first == [names.number("a"), names.number("b"), names.number("a")]
    assert [names.name(number) for number in first] == ["a", "b", "a"]
    assert len(list(names.take())) == 2
    names.numbers(["b", "a"])
    assert list(names.take()) == []


def test_a_name_is_kept_as_long_as_it_may_be_asked_for_and_then_goes() -> None:
    names = ItemNames(DAY)
    names.expire(0)
    a, b = names.numbers(["a", "b"])
    names.expire(DAY)
    assert names.number("b") == b
    names.expire(2 * DAY - 1)
    assert names.name(a) == "a"
    names.expire(2 * DAY)
    assert names.name(a) == ""
    assert names.name(b) == "b"
    assert dict(names.take())[b"n" + a.to_bytes(4, "big")] is None
    assert len(names) == 1


def test_a_name_that_is_back_gets_a_new_number_over_a_restore_too() -> None:
    names, rows = ItemNames(DAY), list[tuple[bytes, bytes | None]]()
    names.expire(0)
    a = names.number("a")
    rows += list(names.take())
    names.expire(DAY)
    names.expire(2 * DAY)
    again = names.number("a")
    rows += list(names.take())
    assert again != a
    restored = ItemNames(DAY)
    for key, value in rows:
        restored.restore(key, value)
    assert restored.number("a") == again
    assert restored.number("b") > again
    assert len(restored) == 2


def test_one_text_serves_all_who_keep_a_name() -> None:
    names = ItemNames(DAY)
    first, other = (f"item-{n:d}" for n in (1, 1))
    assert first is not other
    names.number(first)
    (same, unknown) = names.shared([other, "item-2"])
    assert same is first
    assert unknown == "item-2"
    assert len(names) == 1


def test_what_is_said_of_an_item_is_forgotten_with_the_generation() -> None:
    names = ItemNames(DAY)
    names.expire(0)
    assert names.known("a") is None
    a = names.named("a")
    a.said = names.named("{}")
    assert names.known("a") is a
    names.expire(DAY)
    assert names.known("a") is None
    assert names.named("a") is a
    assert a.said is None
