"""What a reader holds of an item's signal: what ranking needs, in few objects."""

from __future__ import annotations

from operator import attrgetter
from struct import Struct

import msgspec

from streamapp.features.catalog import interned
from streamapp.features.serving import ITEM_SIGNALS
from streamapp.signals import ItemSignal

_RATES = Struct(f"{len(ITEM_SIGNALS)}d")

_rates_of = attrgetter(*ITEM_SIGNALS)


class _Total(msgspec.Struct, frozen=True, gc=False):
    total: float


class _Counters(msgspec.Struct, frozen=True, gc=False):
    impressions: _Total = _Total(0.0)


class Published(msgspec.Struct, frozen=True, gc=False):
    """What is needed of an `ItemSignal`."""

    item_id: str
    as_of_ms: int
    status: str | None
    category: str | None
    creator_id: str | None
    counters: _Counters
    ctr: float
    coec: float
    completion_rate: float
    watch_ratio: float
    velocity: float


class HeldSignal(msgspec.Struct, frozen=True, gc=False):
    """An `ItemSignal` without its counters.

    Attributes:
        packed: the rates `ITEM_SIGNALS`, as the bytes of an array of them: of hundreds of items
            they are read at once.
    """

    as_of_ms: int
    status: str | None
    category: str | None
    creator_id: str | None
    packed: bytes

    @property
    def rates(self) -> dict[str, float]:
        """The rates by name."""
        return dict(zip(ITEM_SIGNALS, _RATES.unpack(self.packed), strict=True))


def held(signal: Published | ItemSignal) -> HeldSignal:
    """Return what is held of a signal."""
    return HeldSignal(
        signal.as_of_ms,
        interned(signal.status),
        interned(signal.category),
        interned(signal.creator_id),
        _RATES.pack(*_rates_of(signal)),
    )
