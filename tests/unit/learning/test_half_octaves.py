"""Half octaves by doubling and halving are those by the binary exponent, and by the logarithm."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning import staging
from streamapp.learning.half_octaves import half_octave


def by_exponent(value: float) -> int:
    mantissa, exponent = math.frexp(value)  # value = mantissa · 2^exponent, mantissa in [½, 1)
    return 2 * exponent - (1 if mantissa >= math.sqrt(0.5) else 2)


@given(st.floats(1e-300, 1e300))
def test_a_half_octave_is_the_floor_of_twice_the_binary_logarithm(value):
    exact = 2 * math.log2(value)
    if abs(exact - round(exact)) > 1e-9:  # between two buckets the logarithm may round either way
        assert half_octave(value) == math.floor(exact)


@given(st.integers(-900, 900))
def test_a_power_of_two_begins_its_half_octave(exponent):
    assert half_octave(2.0**exponent) == 2 * exponent
    assert half_octave(math.nextafter(2.0**exponent, 0)) == 2 * exponent - 1


@given(st.floats(min_value=0.0, exclude_min=True, allow_infinity=False))
def test_every_magnitude_has_the_half_octave_of_its_exponent(value: float):
    assert half_octave(value) == by_exponent(value)


@pytest.mark.parametrize("power", [-1074, -1022, -17, -16, -1, 0, 1, 15, 16, 17, 1023])
def test_so_have_the_bounds_between_half_octaves(power: int):
    for value in (2.0**power, 2.0**power * 0.5**0.5, sys.float_info.max, 5e-324):
        if value:
            assert half_octave(value) == by_exponent(value)


@given(st.integers(0, (1 << 32) - 1))
def test_a_draw_is_mixed_in_halves_as_it_would_be_whole(bits: int):
    assert staging._mixed(bits) == bits * 0x9E3779B1 % (1 << 32)
