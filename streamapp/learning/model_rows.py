"""The changelog rows of a click model: all there is to restore it exactly.

=======================  ==================================================
key                      value (a JSON array; its first entry is a version)
=======================  ==================================================
`<model>`                `Head`: counts, intercept, publication, metrics
`<model>/w/<index>`      `WeightRow`: one coordinate
`<model>/i/<item_id>`    `RateRow`: the rate of one item; null deletes
`<model>/v/<viewer_id>`  `RateRow`: the rate of one viewer; null deletes
=======================  ==================================================

A model id contains no "/".
"""

from __future__ import annotations

import msgspec

from streamapp.learning.baselines import RateState
from streamapp.learning.evaluation import PrequentialState

VERSION = 1


class Head(msgspec.Struct, array_like=True):
    """The row of a model: all of it but its weights and rates.

    Attributes:
        hash, seed, bits, buckets: of the feature spec; they say what a coordinate means.
        bias: z and n of the intercept.
        published_examples: learned from when the version was published.
        overall: the counts of the constant baseline.
        metrics: of the model and the baselines, in their order.
    """

    version: int
    hash: str
    seed: int
    bits: int
    buckets: str
    examples: int
    as_of_ms: int
    keep_rate: float
    bias: tuple[float, float]
    epoch: int
    published_at_ms: int | None
    published_examples: int
    overall: RateState
    metrics: list[PrequentialState]


class WeightRow(msgspec.Struct, array_like=True):
    """The row of one coordinate; `published` is the weight readers hold."""

    version: int
    z: float
    n: float
    published: float


class RateRow(msgspec.Struct, array_like=True):
    """The row of an item's rate, or a viewer's."""

    version: int
    rate: RateState


encode = msgspec.json.Encoder().encode
decode_head = msgspec.json.Decoder(Head).decode
decode_weight = msgspec.json.Decoder(WeightRow).decode
decode_rate = msgspec.json.Decoder(RateRow).decode
