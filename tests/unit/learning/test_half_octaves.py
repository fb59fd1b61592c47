"""Half octaves by doubling and halving are those by the binary exponent."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning import features, staging
from streamapp.learning.half_octaves import half_octave


@given(st.floats(min_value=0.0, exclude_min=True, allow_infinity=False))
def test_every_magnitude_has_the_half_octave_of_the_spec(value: float):
    assert half_octave(value) == features.half_octave(value)


@pytest.mark.parametrize("power", [-1074, -1022, -17, -16, -1, 0, 1, 15, 16, 17, 1023])
def test_so_have_the_bounds_between_half_octaves(power: int):
    for value in (2.0**power, 2.0**power * 0.5**0.5, sys.float_info.max, 5e-324):
        if value:
            assert half_octave(value) == features.half_octave(value)


@given(st.integers(0, (1 << 32) - 1))
def test_a_draw_is_mixed_in_halves_as_it_would_be_whole(bits: int):
    assert staging._mixed(bits) == bits * 0x9E3779B1 % (1 << 32)
