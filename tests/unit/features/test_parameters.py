from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamapp.errors import Rejection
from streamapp.features.parameters import Parameters


def known(*records: tuple[str, int, Any]) -> Parameters:
    parameters = Parameters()
    for name, valid_from_ms, value in records:
        parameters.update(name, record(name, valid_from_ms, value))
    return parameters


def record(name: str, valid_from_ms: int, value: Any) -> bytes:
    return msgspec.json.encode({"name": name, "valid_from_ms": valid_from_ms, "value": value})


@pytest.mark.parametrize("order", [(10, 20, 30), (30, 20, 10), (20, 30, 10)], ids=str)
def test_the_record_in_force_at_the_time_counts_whenever_it_came(order: tuple[int, ...]) -> None:
    parameters = known(*[("prior/ctr", at, at / 100) for at in order])
    in_force = [parameters.get("prior/ctr", at, None) for at in (9, 10, 19, 20, 30, 99)]
    assert in_force == [None, 0.1, 0.1, 0.2, 0.3, 0.3]


def test_of_two_records_of_one_time_the_later_counts() -> None:
    parameters = known(("prior/ctr", 10, 0.1), ("prior/ctr", 10, 0.2))
    assert parameters.get("prior/ctr", 10, None) == 0.2


def test_an_update_says_whether_it_changed_anything() -> None:
    parameters = Parameters()
    assert parameters.update("prior/ctr", record("prior/ctr", 10, 0.1))
    assert not parameters.update("prior/ctr", record("prior/ctr", 10, 0.1))
    assert parameters.update("prior/ctr", record("prior/ctr", 10, 0.2))
    assert parameters.update("prior/ctr", None)
    assert not parameters.update("prior/ctr", None)
    assert parameters.get("prior/ctr", 10, "gone") == "gone"


def test_shipped_values_count_until_a_record_is_in_force() -> None:
    parameters = known(("prior/ctr", 10, 0.5), ("position_ctr/home", 10, [0.4, 0.2]))
    assert parameters.prior("ctr", None, 9) == 0.03
    assert parameters.prior("ctr", None, 10) == 0.5
    assert parameters.prior("completion_rate", "drama", 10) == 0.3
    assert parameters.click_rates("home", 9, [1]) == [0.05]
    assert parameters.click_rates("home", 10, [1]) == [0.4]
    assert parameters.click_rates("search", 10, [1]) == [0.05]


def test_beyond_the_list_the_last_entry_counts() -> None:
    listed = known(("position_ctr/home", 0, [0.4, 0.2]))
    assert listed.click_rates("home", 0, [1, 2, 3, 500]) == [0.4, 0.2, 0.2, 0.2]
    assert known(("position_ctr/home", 0, 0.1)).click_rates("home", 0, [7]) == [0.1]


def test_shipped_rates_go_on_beyond_the_table() -> None:
    assert known().click_rates("home", 0, [1, 999, 1_000, 10**6]) == pytest.approx(
        [0.05 * position**-0.7 for position in (1, 999, 1_000, 10**6)]
    )


def test_a_category_has_its_own_prior_where_one_is_in_force() -> None:
    parameters = known(("prior/ctr", 0, 0.1), ("prior/ctr/drama", 10, 0.2))
    assert parameters.prior("ctr", "drama", 10) == 0.2
    assert parameters.prior("ctr", "drama", 9) == 0.1
    assert parameters.prior("ctr", "news", 10) == 0.1
    assert parameters.prior("ctr", None, 10) == 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prior/ctr", [0.1]),
        ("prior/ctr", -0.1),
        ("position_ctr/home", [0.1, -0.1]),
        ("theta/home", -1),
        ("prior/ctr", "much"),
        ("position_ctr/home", []),
    ],
)
def test_what_could_not_be_computed_with_is_rejected(name: str, value: Any) -> None:
    parameters = Parameters()
    with pytest.raises(Rejection) as caught:
        parameters.update(name, record(name, 0, value))
    assert caught.value.reason == "invalid_field"
    assert caught.value.detail.startswith("value: ")
    assert parameters.get(name, 0, None) is None


def test_a_key_that_is_not_the_name_is_rejected() -> None:
    with pytest.raises(Rejection) as caught:
        Parameters().update("prior/ctr", record("prior/cvr", 0, 0.1))
    assert caught.value.reason == "key_mismatch"
