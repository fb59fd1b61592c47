"""Coordinates of an item as if shown in the first place, against those the encoder gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.learning.first_place import FirstPlace
from streamapp.signals import FeatureSpec

SHOWN: dict[str, Any] = {"viewer": "v", "item": "i", "surface": "home"}


@pytest.mark.parametrize("position", [1, 2, 7, 50, 51, 10_000, 0, -3])
@pytest.mark.parametrize("names", [DEFAULT_SPEC.names, ("item", "category")])
def test_it_is_what_the_encoder_gives_for_position_1_in_the_same_order(names, position):
    encoder = Encoder(FeatureSpec(names=names))
    features: dict[str, float | str] = {"category": "a", "kind": "vod", "ctr": 0.1}
    shown = encoder.indices(features, position=position, **SHOWN)
    first = encoder.indices(features, position=1, **SHOWN)
    assert list(FirstPlace(encoder.spec).move(shown, position)) == first


def test_a_token_that_lies_where_the_first_place_does_is_on_once():
    spec = msgspec.structs.replace(DEFAULT_SPEC, bits=5)
    encoder = Encoder(spec)
    first = encoder.coordinate("position=1")
    item = next(f"i{n}" for n in range(1_000) if encoder.coordinate(f"item=i{n}") == first)
    shown = encoder.indices({}, viewer="v", item=item, surface="home", position=2)
    moved = FirstPlace(spec).move(shown, 2)
    assert set(moved) == set(encoder.indices({}, viewer="v", item=item, surface="home", position=1))
    assert len(set(moved)) == len(moved)
