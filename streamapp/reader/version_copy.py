"""A reader's copy of a model: one whole version at a time.

A topic of models is read record by record; what has changed since the version in use waits until
the closing record of a later one comes. If number and checksum of all entries are then as it says,
the changes are applied in one step. If not, they go on waiting: the copy stays what it was::

    weight 7   weight 9   @epoch 12          weight 7   @epoch 13
    ─────────waiting─────▶ right: in use      ─waiting─▶ wrong: 12 stays in use

So a reader may begin anywhere, also on a compacted topic that lacks what later versions replaced:
it has a version when it has all of one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from streamapp.signals import EpochClose, FactorsClose

T = TypeVar("T", EpochClose, FactorsClose)


class VersionCopy(ABC, Generic[T]):
    """What copies of weights and of factors have in common: when a version is whole.

    Attributes:
        close: closing record of the version in use; None before the first whole one.
        applied: versions taken so far.
        torn: closing records in a row that did not fit what was read.
    """

    def __init__(self) -> None:
        self.close: T | None = None
        self.applied = 0
        self.torn = 0
        self._count = 0
        self._checksum = 0

    @property
    def epoch(self) -> int:
        """Of the version in use; 0 before the first."""
        return 0 if self.close is None else self.close.epoch

    def finish(self, value: bytes | None) -> None:
        """Take a closing record, and begin to use its version if all of it is there.

        None takes the model back: there is no version then.

        Raises:
            Rejection: the record cannot be used.
            ConfigurationError: its features cannot be computed here.
        """
        if value is None:
            self._forget()
            self.close, self.torn = None, 0
            return
        close = self._decode_close(value)
        if (self._count, self._checksum) != (close.count, close.checksum):
            self.torn += 1
            return
        self._apply(close)
        self.close = close
        self.applied += 1
        self.torn = 0

    def _count_in(self, former: int | None, now: int | None) -> None:
        """Note that an entry has changed: its checksums, None where there was or is no entry."""
        if former is not None:
            self._count -= 1
            self._checksum -= former
        if now is not None:
            self._count += 1
            self._checksum += now
        self._checksum %= 1 << 32

    @abstractmethod
    def _decode_close(self, value: bytes) -> T:
        """Return a closing record."""

    @abstractmethod
    def _apply(self, close: T) -> None:
        """Use what has waited, as one version; if it raises, the version before stays in use."""

    @abstractmethod
    def _forget(self) -> None:
        """The model is taken back."""
