"""A reader's copy of a model: one whole version at a time.

models.weights is read record by record; what has changed since the version in use waits until the
closing record of a later one comes. If number and checksum of all weights are then as it says, the
changes are applied in one step. If not, they go on waiting: the copy stays what it was::

    weight 7   weight 9   @epoch 12          weight 7   @epoch 13
    ─────────waiting─────▶ right: in use      ─waiting─▶ wrong: 12 stays in use

So a reader may begin anywhere, also on a compacted topic that lacks what later versions replaced:
it has a version when it has all of one.
"""

from __future__ import annotations

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.learning.features import Encoder
from streamapp.learning.snapshots import checksum_of
from streamapp.reader.weights import Weights
from streamapp.signals import EpochClose

MAX_DIGITS = 10
"""Of a coordinate: it has 32 bits at most."""


class _Weight(msgspec.Struct, frozen=True, gc=False):
    """What is needed of a `ModelWeight`."""

    weight: float


_decode_weight = decoder(_Weight, "models.weights")
_decode_close = decoder(EpochClose, "models.weights")


class WeightCopy:
    """The weights of one model, by coordinate.

    Attributes:
        weights: of the version in use.
        close: of that version; None before the first whole one.
        encoder: as its spec says.
        applied: versions taken so far.
        torn: closing records in a row that did not fit what was read.
    """

    def __init__(self) -> None:
        self.weights = Weights()
        self.close: EpochClose | None = None
        self.encoder: Encoder | None = None
        self.applied = 0
        self.torn = 0
        self._waiting: dict[int, float] = {}
        self._count = 0
        self._checksum = 0

    def update(self, feature: str, value: bytes | None) -> None:
        """Take one weight, by what follows the model in its key; None deletes.

        Raises:
            Rejection: the record cannot be used.
        """
        if not (feature.isascii() and feature.isdigit() and len(feature) <= MAX_DIGITS):
            raise Rejection("invalid_field", f"{feature!r} is no coordinate")
        self._set(int(feature), 0.0 if value is None else _decode_weight(value).weight)

    def finish(self, value: bytes | None) -> None:
        """Take a closing record, and begin to use its version if all of it is there.

        None takes the model back: there is no version then.

        Raises:
            Rejection: the record cannot be used.
            ConfigurationError: its features cannot be computed here.
        """
        if value is None:
            self._forget()
            return
        close = _decode_close(value)
        if (self._count, self._checksum) != (close.count, close.checksum):
            self.torn += 1
            return
        if self.close is None or close.spec != self.close.spec:
            self.encoder = Encoder(close.spec)
        self._apply()
        self.close = close
        self.applied += 1
        self.torn = 0

    @property
    def epoch(self) -> int:
        """Of the version in use; 0 before the first."""
        return 0 if self.close is None else self.close.epoch

    def _set(self, index: int, weight: float) -> None:
        former = self._waiting.get(index)
        if former is None:
            former = self.weights.get(index)
        if former:
            self._count -= 1
            self._checksum -= checksum_of(index, former)
        if weight:
            self._count += 1
            self._checksum += checksum_of(index, weight)
        self._checksum %= 1 << 32
        self._waiting[index] = weight

    def _apply(self) -> None:
        for index, weight in self._waiting.items():
            self.weights.update(index, weight)
        self._waiting.clear()

    def _forget(self) -> None:
        """Use nothing; the weights still published are those of the versions to come."""
        self._apply()
        self.close = self.encoder = None
        self.torn = 0
