"""The local view of signals.items."""

from __future__ import annotations

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.features.item_signals import AHEAD_MS, ItemSignals, as_json
from tests.unit.features.test_serving import NOW, item_signal


def record(item_id: str, **changes: float) -> bytes:
    return msgspec.json.encode(item_signal(item_id=item_id, **changes))


def known(*records: bytes) -> ItemSignals:
    view = ItemSignals()
    for value in records:
        view.update(msgspec.json.decode(value)["item_id"], value)
    return view


def test_a_slate_gets_the_texts_of_its_items_and_nothing_of_unknown_ones() -> None:
    view = known(record("a"), record("b", velocity=2.0))
    texts = view.texts(["a", "x", "b"], NOW)
    assert texts == "A0.0312B1C0.3D0.556E1.23e+04;;A0.0312B1C0.3D0.556E2"
    rates = b'"ctr":0.0312,"coec":1,"completion_rate":0.3,"watch_ratio":0.556,"velocity":'
    assert as_json(texts) == [b"," + rates + b"1.23e+04", b"", b"," + rates + b"2"]


def test_a_slate_of_which_nothing_is_known_has_no_text() -> None:
    assert ItemSignals().texts(["a"], NOW) == ""
    assert known(record("b")).texts(["a", "x"], NOW) == ""


def test_a_deleted_item_is_unknown() -> None:
    view = known(record("a"))
    view.update("a", None)
    assert (view.texts(["a"], NOW), len(view)) == ("", 0)


def test_what_is_as_of_long_after_a_slate_is_not_used_for_it() -> None:
    view = known(record("a"), record("b", as_of_ms=NOW + AHEAD_MS + 1))
    assert view.texts(["a", "b"], NOW).split(";")[1] == ""
    assert view.texts(["a", "b"], NOW + 1).split(";")[1] != ""


def test_a_record_that_cannot_be_used_is_refused_and_leaves_what_was_known() -> None:
    view = known(record("a"))
    for key, value in (("a", record("b")), ("a", b"{}"), ("a", b"?")):
        with pytest.raises(Rejection):
            view.update(key, value)
    assert view.texts(["a"], NOW)
