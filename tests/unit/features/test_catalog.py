from __future__ import annotations

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.features.catalog import Catalog


def record(item_id: str, **fields: object) -> bytes:
    return msgspec.json.encode({"item_id": item_id, **fields})


def test_the_newest_record_of_an_item_is_what_is_known() -> None:
    catalog = Catalog()
    assert catalog.update("i", record("i", category="drama"))
    assert catalog.update("i", record("i", category="news", status="hidden"))
    known = catalog.get("i")
    assert known is not None
    assert (known.category, known.status) == ("news", "hidden")
    assert len(catalog) == 1


def test_a_record_that_says_nothing_new_changes_nothing() -> None:
    catalog = Catalog()
    catalog.update("i", record("i", category="drama"))
    assert not catalog.update("i", record("i", category="drama", colour="red"))


def test_a_null_deletes_what_was_known_and_nothing_else() -> None:
    catalog = Catalog()
    catalog.update("i", record("i", category="drama"))
    assert not catalog.update("j", None)
    assert catalog.update("i", None)
    assert catalog.get("i") is None
    assert catalog.features(["i"]) == ["{}"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"x", "invalid_json"),
        (b"{}", "missing_field"),
        (record("i", status="lost"), "invalid_field"),
        (record("j"), "key_mismatch"),
    ],
)
def test_a_bad_record_is_rejected_and_what_was_known_stays(value: bytes, reason: str) -> None:
    catalog = Catalog()
    catalog.update("i", record("i", category="drama"))
    with pytest.raises(Rejection) as caught:
        catalog.update("i", value)
    assert caught.value.reason == reason
    known = catalog.get("i")
    assert known is not None
    assert known.category == "drama"


def test_features_hold_what_is_known_and_leave_out_the_rest() -> None:
    catalog = Catalog()
    catalog.update("i", record("i", category="drama", kind="vod", title="x", duration_ms=0))
    known, unknown = catalog.features(["i", "j"])
    assert msgspec.json.decode(known) == {"category": "drama", "kind": "vod"}
    assert unknown == "{}"
