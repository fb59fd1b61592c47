"""Which objectives are declared, and what examples say of them."""

import msgspec
import pytest

from streamapp.errors import ConfigurationError
from streamapp.learning.encoding import PairEncoder
from streamapp.learning.features import DEFAULT_SPEC, Encoder
from streamapp.learning.objectives import OBJECTIVES, parse
from streamapp.signals import FeatureSpec, Labels
from tests.unit.learning.examples import example


@pytest.mark.parametrize(
    "declared",
    ["", ",", "click", "click=", "click=much", "likes=1", "click=1,click=2", "click=nan"],
)
def test_a_declaration_that_cannot_work_says_what_can(declared):
    with pytest.raises(ConfigurationError, match="objectives"):
        parse(declared)


def test_each_objective_reads_its_label_of_its_kind_of_example():
    played = Labels(clicked=True, actions=["hide"], completed=False, watched_share=0.25)
    click = msgspec.structs.replace(example(), labels=played)
    completion = msgspec.structs.replace(click, kind="completion")
    told = {name: (one.outcome(click), one.outcome(completion)) for name, one in OBJECTIVES.items()}
    assert told == {
        "click": (1.0, None),
        "hide": (1.0, None),
        "completion": (None, 0.0),
        "watched_share": (None, 0.25),
    }


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"crosses": (("viewer", "item"), ("viewer", "category"))},
        {"crosses": ()},
        {"seed": 3},
        {"names": ("item", "category", "position"), "crosses": ()},
    ],
)
def test_two_models_are_encoded_together_as_each_would_be_alone(change):
    other = msgspec.structs.replace(DEFAULT_SPEC, **change)
    shown = example(features={"category": "a", "ctr": 0.03, "device": "tv", "duration_ms": -1e300})
    pair = PairEncoder(DEFAULT_SPEC, other).encode(shown)
    for indices, spec in zip(pair, (DEFAULT_SPEC, other), strict=True):
        alone = Encoder(spec).indices(
            shown.features,
            viewer=shown.viewer_id,
            item=shown.item_id,
            surface=shown.surface,
            position=shown.position,
        )
        assert sorted(indices) == sorted(alone)


def test_coordinates_that_collide_are_on_once():
    tiny = FeatureSpec(names=("viewer", "item", "surface"), crosses=(("viewer", "item"),), bits=1)
    for indices in PairEncoder(tiny, tiny).encode(example()):
        assert len(set(indices)) == len(indices)
