"""What is looked up is what the encoder gives."""

from __future__ import annotations

from math import frexp, ldexp, nextafter
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.features.serving import ITEM_SIGNALS, item_features
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.reader.tokens import Tokens
from streamapp.signals import FeatureSpec, ItemSignal
from tests.unit.reader.worlds import item_signal

PLACE: Any = {"viewer": "", "item": "", "surface": "", "position": 1}
SIGNAL = msgspec.json.decode(item_signal("i1").value or b"", type=ItemSignal)

near_a_half_octave = st.builds(
    lambda mantissa, exponent, off: ldexp(mantissa, exponent) * (1.0 + off),
    st.sampled_from([0.5, 0.5**0.5]),
    st.integers(-60, 60),
    st.floats(-0.02, 0.02),
)
rates = near_a_half_octave | st.floats(allow_nan=False, allow_infinity=False)
few_bits = msgspec.structs.replace(DEFAULT_SPEC, bits=5, max_magnitude=100.0)


def tokens_of(tokens: Tokens, rate: float) -> list[str]:
    signal = msgspec.structs.replace(SIGNAL, **dict.fromkeys(ITEM_SIGNALS, rate))
    told = tokens.of_rates(signal)
    encoder = Encoder(DEFAULT_SPEC)
    assert all(on == (encoder.coordinate(token) if token else -1) for token, on in told)
    return [token for token, _ in told]


def expected_of(encoder: Encoder, rate: float) -> list[str]:
    signal = msgspec.structs.replace(SIGNAL, **dict.fromkeys(ITEM_SIGNALS, rate))
    named = encoder.named(item_features(None, signal), **PLACE)
    return [named.get(name, "") for name in ITEM_SIGNALS]


@given(st.lists(rates, min_size=1, max_size=5))
def test_a_rate_has_the_token_of_the_rate_rounded_to_three_digits(values):
    encoder = Encoder(DEFAULT_SPEC)
    tokens = Tokens(encoder)
    for rate in values * 2:
        assert tokens_of(tokens, rate) == expected_of(encoder, rate)


def test_a_rate_changes_its_token_where_rounding_puts_it_into_another_half_octave():
    tokens, encoder = Tokens(Encoder(DEFAULT_SPEC)), Encoder(DEFAULT_SPEC)
    for bound in (0.0625, 0.125, 0.1767766952966369, 0.7071067811865476, 1.4142135623730951):
        digit = 10.0 ** (-2 if bound >= 1 else -3 if bound >= 0.1 else -4)
        for rate in (bound, bound - digit / 2, bound + digit / 2, bound - digit, bound + digit):
            for value in (nextafter(rate, 0.0), rate, nextafter(rate, 9.0)):
                assert tokens_of(tokens, value) == expected_of(encoder, value), frexp(value)


@given(
    st.sampled_from([DEFAULT_SPEC, few_bits, FeatureSpec(names=("ctr", "category", "position"))]),
    st.dictionaries(
        st.sampled_from([*DEFAULT_SPEC.names, "unknown"]).filter(lambda name: name not in PLACE),
        st.floats() | st.integers(-(10**20), 10**20) | st.text(max_size=3) | st.just("x" * 300),
    ),
    st.integers(1, 99),
)
def test_features_told_one_by_one_have_the_tokens_of_all_at_once(spec, known, position):
    encoder, tokens = Encoder(spec), Tokens(Encoder(spec))
    place = {**PLACE, "position": position}
    expected = encoder.named(known, **place)
    for _ in range(2):
        named, on = tokens.tell({**known, "position": str(position)})
        assert named == expected
        assert sorted(on) == sorted(map(encoder.coordinate, expected.values()))
    for name, value in known.items():
        assert Encoder(spec).token(name, value) == expected.get(name)
