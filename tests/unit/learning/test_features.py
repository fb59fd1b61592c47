"""Tokens, buckets and hashes against their definitions."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError
from streamapp.features.serving import GROUPS
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.signals import FeatureSpec

SHOWN: dict[str, Any] = {"viewer": "v1", "item": "i1", "surface": "home", "position": 3}


def murmur3_x86_32(data: bytes, seed: int) -> int:
    """MurmurHash3 as its author defines it."""
    mask = 0xFFFFFFFF

    def rotated(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (32 - bits))) & mask

    def mixed(k: int) -> int:
        return rotated(k * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask

    h, whole = seed, len(data) // 4 * 4
    for i in range(0, whole, 4):
        h = (rotated(h ^ mixed(int.from_bytes(data[i : i + 4], "little")), 13) * 5) & mask
        h = (h + 0xE6546B64) & mask
    h ^= mixed(int.from_bytes(data[whole:], "little")) ^ len(data)
    h = (h ^ (h >> 16)) * 0x85EBCA6B & mask
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & mask
    return h ^ (h >> 16)


@given(st.text(max_size=20), st.integers(0, 2**32 - 1), st.integers(1, 32))
def test_a_coordinate_is_the_low_bits_of_the_tokens_murmur3(text, seed, bits):
    spec = FeatureSpec(names=("item",), seed=seed, bits=bits)
    shown = SHOWN | {"item": text}
    expected = [murmur3_x86_32(f"item={text}".encode(), seed) % 2**bits] if text else []
    assert Encoder(spec).indices({}, **shown) == expected


def test_every_kind_of_feature_becomes_the_documented_token():
    spec = FeatureSpec(
        names=("surface", "position", "viewer", "item", "category", "ctr", "zero", "affinity"),
        crosses=(("viewer", "category"), ("viewer", "missing")),
    )
    spec = msgspec.structs.replace(spec, names=(*spec.names, "missing"))
    features: dict[str, float | str] = {
        "affinity": -3.0,
        "zero": 0.0,
        "ctr": 0.05,
        "category": "drama",
    }
    assert Encoder(spec).tokens(features, **SHOWN) == [
        "surface=home",
        "position=3",
        "viewer=v1",
        "item=i1",
        "category=drama",
        "ctr=^-9",
        "zero=0",
        "affinity=-^3",
        "viewer=v1×category=drama",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e15, -1.1e15, "x" * 257])
def test_a_value_out_of_range_gives_no_token_is_counted_and_spares_the_others(value):
    encoder = Encoder(FeatureSpec(names=("bad", "good")))
    assert encoder.tokens({"bad": value, "good": "yes"}, **SHOWN) == ["good=yes"]
    assert encoder.refused == 1


@pytest.mark.parametrize("value", [1e15, -1e15, 5e-324, "x" * 256])
def test_a_value_at_the_bound_is_taken(value):
    encoder = Encoder(FeatureSpec(names=("edge",)))
    assert len(encoder.tokens({"edge": value}, **SHOWN)) == 1
    assert encoder.refused == 0


def test_what_is_absent_empty_or_undeclared_gives_no_token_and_is_no_fault():
    encoder = Encoder(FeatureSpec(names=("a", "b")))
    assert encoder.tokens({"b": "", "c": "undeclared"}, **SHOWN) == []
    assert encoder.refused == 0


def test_positions_beyond_the_last_one_are_one_position():
    encoder = Encoder(FeatureSpec(names=("position",), last_position=20))
    tokens = [encoder.tokens({}, **SHOWN | {"position": p}) for p in (19, 20, 21, 1000)]
    assert tokens == [["position=19"], ["position=20"], ["position=20"], ["position=20"]]


def test_a_feature_cannot_take_the_place_of_what_was_shown():
    encoder = Encoder(FeatureSpec(names=("item", "position")))
    disguised = {"item": "i2", "position": "1"}
    assert encoder.tokens(disguised, **SHOWN) == ["item=i1", "position=3"]


def test_tokens_that_collide_are_one_coordinate():
    encoder = Encoder(FeatureSpec(names=("surface", "viewer", "item"), bits=1))
    indices = encoder.indices({}, **SHOWN)
    assert len(encoder.tokens({}, **SHOWN)) == 3
    assert sorted(set(indices)) == sorted(indices)
    assert set(indices) <= {0, 1}


@given(st.dictionaries(st.sampled_from(DEFAULT_SPEC.names), st.floats() | st.text(max_size=5)))
def test_coordinates_are_distinct_and_in_range_whatever_the_features(features):
    indices = Encoder(DEFAULT_SPEC).indices(features, **SHOWN)
    assert len(set(indices)) == len(indices)
    assert all(0 <= index < 2**DEFAULT_SPEC.bits for index in indices)


def test_a_spec_survives_the_journey_through_json():
    sent = msgspec.json.encode(DEFAULT_SPEC)
    received = msgspec.json.decode(sent, type=FeatureSpec)
    assert received == DEFAULT_SPEC
    assert json.loads(sent)["hash"] == "murmur3_x86_32"


def test_the_default_spec_names_every_declared_group_once():
    declared = [name for group in GROUPS.values() for name in group.features]
    assert sorted(DEFAULT_SPEC.names) == sorted(set(declared)) == sorted(declared)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (FeatureSpec(names=("a",), hash="crc32"), "unknown"),
        (FeatureSpec(names=("a",), buckets="decile"), "unknown"),
        (FeatureSpec(names=("a",), bits=33), "bits"),
        (FeatureSpec(names=("a",), bits=0), "bits"),
        (FeatureSpec(names=("a", "a")), "twice"),
        (FeatureSpec(names=("a", "position"), crosses=(("a", "position"),)), "crosses position"),
        (FeatureSpec(names=("a",), crosses=(("a", "b"),)), "does not name"),
    ],
)
def test_a_spec_that_cannot_be_kept_is_refused(spec, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        Encoder(spec)
