"""The coordinates of many rates are what the encoder gives for each."""

from __future__ import annotations

from math import ldexp, nextafter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.serving import ITEM_SIGNALS, item_features
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.reader.held_signal import held
from streamapp.reader.rates import Rates
from streamapp.reader.tokens import Tokens
from streamapp.signals import FeatureSpec, ItemSignal
from tests.unit.reader.worlds import item_signal

PLACE: Any = {"viewer": "", "item": "", "surface": "", "position": 1}
SIGNAL = msgspec.json.decode(item_signal("i1").value or b"", type=ItemSignal)
SPECS = [
    DEFAULT_SPEC,
    msgspec.structs.replace(DEFAULT_SPEC, max_magnitude=100.0),
    FeatureSpec(names=("velocity", "category", "ctr")),
]

near_a_half_octave = st.builds(
    lambda mantissa, exponent, off: ldexp(mantissa, exponent) * (1.0 + off),
    st.sampled_from([0.5, 0.5**0.5]),
    st.integers(-60, 60),
    st.floats(-0.02, 0.02),
)
rates = (
    near_a_half_octave
    | st.sampled_from([0.0, -0.0, 5e-324])
    | st.floats(allow_nan=False, allow_infinity=False)
)


def signal_of(rate: float) -> ItemSignal:
    return msgspec.structs.replace(SIGNAL, **dict.fromkeys(ITEM_SIGNALS, rate))


def expected_of(encoder: Encoder, signal: ItemSignal | None) -> list[int]:
    named = encoder.named(item_features(None, signal), **PLACE)
    return [encoder.coordinate(named[name]) for name in ITEM_SIGNALS if name in named]


@given(st.sampled_from(SPECS), st.lists(st.none() | rates, max_size=5))
def test_a_rate_has_the_coordinate_of_the_rate_rounded_to_three_digits(spec, values):
    encoder = Encoder(spec)
    signals = [None if value is None else signal_of(value) for value in values]
    rated = Rates(Tokens(encoder)).of(
        [None if signal is None else held(signal) for signal in signals]
    )
    for item, signal in enumerate(signals):
        assert rated.on[rated.items == item].tolist() == expected_of(encoder, signal)


def test_a_rate_changes_its_coordinate_where_rounding_puts_it_into_another_half_octave():
    encoder = Encoder(DEFAULT_SPEC)
    values = []
    for bound in (0.0625, 0.125, 0.1767766952966369, 0.7071067811865476, 1.4142135623730951):
        digit = 10.0 ** (-2 if bound >= 1 else -3 if bound >= 0.1 else -4)
        for rate in (bound, bound - digit / 2, bound + digit / 2, bound - digit, bound + digit):
            values += [nextafter(rate, 0.0), rate, nextafter(rate, 9.0)]
    signals = [signal_of(value) for value in values]
    rated = Rates(Tokens(encoder)).of([held(signal) for signal in signals])
    for item, signal in enumerate(signals):
        assert rated.on[rated.items == item].tolist() == expected_of(encoder, signal), values[item]
