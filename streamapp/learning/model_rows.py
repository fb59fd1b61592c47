"""The changelog rows of a contest and its two models: all there is to restore them exactly.

=========================  ======================================================
key                        value (a JSON array; its first entry is a version)
=========================  ======================================================
`<model>`                  `ModelHead`: counts, intercept, publication, metrics
`<model>/w/<index>`        `WeightRow`: one coordinate; null deletes
`<model>/q/<request>`      `RequestRow`: a request whose order is to be judged; null deletes
`<contest>/c`              `ContestHead`: all of a contest but what follows
`<contest>/i/<item_id>`    `RateRow`: the rate of one item; null deletes
`<contest>/v/<viewer_id>`  `RateRow`: the rate of one viewer; null deletes
`<contest>/s/<slice>`      `SliceRow`: metrics of one slice
`<contest>/r/<slot>`       `Slot` of `streamapp.learning.reservoir`
`<contest>/d/<viewer_id>`  `BlockRow`: a block of champion against challenger
`<contest>/b/<viewer_id>`  `BlockRow`: a block of champion against an hour ago
=========================  ======================================================

A contest has the id of its first model. An id contains no "/".
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from streamapp.errors import ConfigurationError
from streamapp.learning.drift import DriftState
from streamapp.learning.duel import BlockState, DuelState
from streamapp.learning.staged_coordinate import State
from streamapp.learning.states import (
    Milestone,
    OpenRequest,
    PrequentialState,
    RankingState,
    RateState,
    ReservoirState,
    Slot,
    StalemateState,
)

VERSION = 2

Row = tuple[bytes, bytes | None]
"""A changelog row: key, value; None deletes."""

T = TypeVar("T")


class ModelHead(msgspec.Struct, array_like=True):
    """The row of a model: all of it but its weights.

    Attributes:
        hash, seed, bits, buckets: of the feature spec; they say what a coordinate means.
        bias: of the intercept.
        turn, hour, day: of `StagedFtrl`.
        learned: examples learned from, this turn's among them.
        examples, as_of_ms: of the last accepted turn.
        hour_examples: of the copy of an hour ago.
        owed: weights were accepted that are not published.
        metrics: of the model, the hour's copy and the day's.
        ranking: of the order it gives.
        milestone: of the guard.
    """

    version: int
    hash: str
    seed: int
    bits: int
    buckets: str
    bias: State
    turn: int
    hour: int
    day: int
    learned: int
    examples: int
    as_of_ms: int
    hour_examples: int
    epoch: int
    published_at_ms: int | None
    owed: bool
    news: bool
    metrics: list[PrequentialState]
    ranking: RankingState = msgspec.field(default_factory=RankingState)
    milestone: Milestone = msgspec.field(default_factory=Milestone)


class WeightRow(msgspec.Struct, array_like=True):
    """The row of one coordinate; `published` is the weight readers hold."""

    version: int
    published: float
    state: State | None


class RequestRow(msgspec.Struct, array_like=True):
    """The row of a request whose order is to be judged."""

    version: int
    request: OpenRequest


class RateRow(msgspec.Struct, array_like=True):
    """The row of an item's rate, or a viewer's."""

    version: int
    rate: RateState


class SliceRow(msgspec.Struct, array_like=True):
    """The row of the metrics of one slice."""

    version: int
    metrics: PrequentialState


class BlockRow(msgspec.Struct, array_like=True):
    """The row of an open block of a duel."""

    version: int
    block: BlockState


class Counts(msgspec.Struct):
    """What happened in a contest since it began.

    Attributes:
        alarms: turns that were undone, of both models, and `challenger_alarms` of the challenger.
        undone: examples in them.
        refused: feature values out of range.
        promotions, rollbacks, drifts, stalemates: how often.
    """

    alarms: int = 0
    challenger_alarms: int = 0
    undone: int = 0
    refused: int = 0
    promotions: int = 0
    rollbacks: int = 0
    drifts: int = 0
    stalemates: int = 0


class Standing(msgspec.Struct):
    """Who is champion, and why things are as they are.

    Attributes:
        champion: 0 or 1, the place of the model.
        rolled_back: the champion went back to older weights, and has no copy newer than that.
        said: why, of each model.
        alarms: why the last turn of each was not accepted.
        refused: feature values refused in the last turn.
    """

    champion: int = 0
    rolled_back: bool = False
    said: list[str | None] = msgspec.field(default_factory=lambda: [None, None])
    alarms: list[str | None] = msgspec.field(default_factory=lambda: [None, None])
    refused: int = 0


class TurnState(msgspec.Struct, array_like=True):
    """The present turn of a contest, which is accepted or undone as a whole.

    Attributes:
        began_ms: event time of its first example.
        examples: learned from.
        refused: feature values.
        drifted: the loss drifted in it.
        drift: the detector before it.
        compared: by viewer: examples, Σ loss of the champion less the challenger's, and less that
            of the champion an hour ago.
    """

    drift: DriftState
    began_ms: int = 0
    examples: int = 0
    refused: int = 0
    drifted: bool = False
    compared: dict[str, list[float]] = msgspec.field(default_factory=dict)


class ContestHead(msgspec.Struct, array_like=True):
    """The row of a contest.

    Attributes:
        as_of_ms: event time of its newest example.
        duel, duel_number: the present duel of champion and challenger, and which one it is.
        stalemate: what was undone of late.
    """

    version: int
    as_of_ms: int
    keep_rate: float
    standing: Standing
    counts: Counts
    overall: RateState
    metrics: list[PrequentialState]
    reservoir: ReservoirState
    duel: DuelState
    setback: DuelState
    drift: DriftState
    turn: TurnState
    duel_number: int = 1
    stalemate: StalemateState = msgspec.field(default_factory=StalemateState)


encode = msgspec.json.Encoder().encode


def _decoder(row: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(row)


_model = _decoder(ModelHead)
_contest = _decoder(ContestHead)
_weight = _decoder(WeightRow)
_request = _decoder(RequestRow)
_rate = _decoder(RateRow)
_block = _decoder(BlockRow)
_slice = _decoder(SliceRow)
_slot = _decoder(Slot)


def _decode(decoder: msgspec.json.Decoder[T], value: bytes) -> T:
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"the learner's state is of another version ({error}): give the models another name"
        ) from error


def decode_model(value: bytes) -> ModelHead:
    """Decode the row of a model."""
    return _decode(_model, value)


def decode_contest(value: bytes) -> ContestHead:
    """Decode the row of a contest."""
    return _decode(_contest, value)


def decode_weight(value: bytes) -> WeightRow:
    """Decode the row of a coordinate."""
    return _decode(_weight, value)


def decode_request(value: bytes) -> OpenRequest:
    """Decode the row of a request."""
    return _decode(_request, value).request


def decode_rate(value: bytes) -> RateState:
    """Decode the row of a rate."""
    return _decode(_rate, value).rate


def decode_block(value: bytes) -> BlockState:
    """Decode the row of an open block."""
    return _decode(_block, value).block


def decode_slice(value: bytes) -> PrequentialState:
    """Decode the row of a slice."""
    return _decode(_slice, value).metrics


def decode_slot(value: bytes) -> Slot:
    """Decode the row of an example held."""
    return _decode(_slot, value)
