from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.digest import DIGEST_BYTES, digest, fraction


@given(text=st.text())
def test_a_digest_has_its_length_and_a_fraction_lies_below_one(text: str) -> None:
    assert len(digest(text)) == DIGEST_BYTES
    assert 0.0 <= fraction(text) < 1.0


def test_fractions_are_spread_evenly() -> None:
    kept = sum(fraction(f"r{n}:1") < 0.2 for n in range(10_000))
    assert 1_800 < kept < 2_200
