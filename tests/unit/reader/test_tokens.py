"""What is looked up is what the encoder gives."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.reader.tokens import Tokens
from streamapp.signals import FeatureSpec

PLACE: Any = {"viewer": "", "item": "", "surface": "", "position": 1}

few_bits = msgspec.structs.replace(DEFAULT_SPEC, bits=5, max_magnitude=100.0)


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
