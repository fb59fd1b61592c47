from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.queries import MAX_QUERY, corrected_rate, normalised


@pytest.mark.parametrize(
    ("query", "form"),
    [
        (None, ""),
        ("", ""),
        (" \t\u3000\n", ""),
        ("Kim CHI", "kim chi"),
        ("  kim\u2009\n chi\u00a0", "kim chi"),
        ("ｋｉｍ", "kim"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("ﬁlm ①", "film 1"),
        ("Å", "å"),
        ("김치", "김치"),
    ],
)
def test_queries_that_mean_the_same_are_one(query: str | None, form: str) -> None:
    assert normalised(query) == form


@given(query=st.text(max_size=50))
def test_the_short_way_for_ascii_is_the_way_for_all(query: str) -> None:
    folded = unicodedata.normalize("NFKC", query).casefold()
    assert normalised(query) == re.sub(r"\s+", " ", folded).strip()


def test_a_long_query_counts_as_its_beginning() -> None:
    words = "kim " * 1000
    assert normalised(words) == words[: MAX_QUERY - 1]  # a cut never leaves a space at the end
    assert len(normalised("\ufdfa" * 4096)) <= MAX_QUERY  # one character that becomes 18


@given(expected=st.floats(0, 1e6), prior=st.floats(1e-6, 1))
def test_an_item_clicked_as_its_places_let_expect_gets_the_prior(
    expected: float, prior: float
) -> None:
    assert corrected_rate(expected, expected, prior) == pytest.approx(prior)


@pytest.mark.parametrize(
    ("clicks", "expected", "prior", "rate"),
    [
        (0, 0, 0.03, 0.03),
        (1000, 0, 0.03, 1.0),
        (0, 0, 0.0, 0.0),
        (5, 1, 0.0, 0.0),
        (-1e-9, 9, 0, 0),
    ],
)
def test_a_rate_is_a_number_from_0_to_1(
    clicks: float, expected: float, prior: float, rate: float
) -> None:
    assert corrected_rate(clicks, expected, prior) == pytest.approx(rate)


def test_the_same_clicks_further_down_are_worth_more() -> None:
    assert (
        corrected_rate(2, 0.2, 0.03) > corrected_rate(2, 1.0, 0.03) > corrected_rate(1, 1.0, 0.03)
    )
