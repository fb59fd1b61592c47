"""A reader's copy of the weights of a model; see `streamapp.reader.version_copy`."""

from __future__ import annotations

import msgspec

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.learning.features import Encoder
from streamapp.learning.snapshots import checksum_of
from streamapp.reader.version_copy import VersionCopy
from streamapp.reader.weights import Weights
from streamapp.signals import EpochClose

MAX_DIGITS = 10
"""Of a coordinate: it has 32 bits at most."""


class _Weight(msgspec.Struct, frozen=True, gc=False):
    """What is needed of a `ModelWeight`."""

    weight: float


_decode_weight = decoder(_Weight, "models.weights")
_decode_close = decoder(EpochClose, "models.weights")


class WeightCopy(VersionCopy[EpochClose]):
    """The weights of one model, by coordinate.

    Attributes:
        weights: of the version in use.
        encoder: as its spec says.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights = Weights()
        self.encoder: Encoder | None = None
        self._waiting: dict[int, float] = {}

    def update(self, feature: str, value: bytes | None) -> None:
        """Take one weight, by what follows the model in its key; None deletes.

        Raises:
            Rejection: the record cannot be used.
        """
        if not (feature.isascii() and feature.isdigit() and len(feature) <= MAX_DIGITS):
            raise Rejection("invalid_field", f"{feature!r} is no coordinate")
        self._set(int(feature), 0.0 if value is None else _decode_weight(value).weight)

    def _set(self, index: int, weight: float) -> None:
        former = self._waiting.get(index)
        if former is None:
            former = self.weights.get(index)
        self._count_in(
            checksum_of(index, former) if former else None,
            checksum_of(index, weight) if weight else None,
        )
        self._waiting[index] = weight

    def _decode_close(self, value: bytes) -> EpochClose:
        return _decode_close(value)

    def _apply(self, close: EpochClose) -> None:
        if self.close is None or close.spec != self.close.spec:
            self.encoder = Encoder(close.spec)
        self._take_over()

    def _forget(self) -> None:
        """Use nothing; the weights still published are those of the versions to come."""
        self._take_over()
        self.encoder = None

    def _take_over(self) -> None:
        for index, weight in self._waiting.items():
            self.weights.update(index, weight)
        self._waiting.clear()
