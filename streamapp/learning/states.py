"""What the parts of a contest hold, as their rows have it; see `streamapp.learning.model_rows`."""

from __future__ import annotations

import msgspec


class PrequentialState(msgspec.Struct, array_like=True):
    """Of `streamapp.learning.evaluation`; the histogram holds (bin, negatives, positives)."""

    scale: float
    weight: float
    loss: float
    expected: float
    positives: float
    histogram: list[tuple[int, float, float]]


class RateState(msgspec.Struct, array_like=True):
    """Decayed clicks and impressions as at `at_ms`; `order` is when it was last counted."""

    clicks: float = 0.0
    impressions: float = 0.0
    at_ms: int = 0
    order: int = 0


class OpenRequest(msgspec.Struct, array_like=True):
    """A request whose slots are coming in; `number` counts requests as they begin.

    Attributes:
        slots: score and gain; empty for good once the request cannot be judged.
    """

    began_ms: int
    number: int
    judged: bool = True
    slots: list[tuple[float, float]] = []


class RankingState(msgspec.Struct, array_like=True):
    """All but the open requests: stream time, requests begun and judged, the two decayed sums.

    Attributes:
        renewed: requests begun before the weights changed last.
    """

    at_ms: int = 0
    begun: int = 0
    judged: int = 0
    gained: float = 0.0
    best: float = 0.0
    renewed: int = 0


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One example: the coordinates that either model has on, the outcome, and the offset."""

    coordinates: tuple[list[int], list[int]]
    y: float
    offset: float


class Milestone(msgspec.Struct, array_like=True):
    """Where the guard measures from; see `streamapp.learning.guard`.

    Attributes:
        examples: accepted by then; 0 before the first one.
        hour: of stream time.
        limit: how far turns may move the logarithm of the mean probability from there.
        moved: how far they have.
    """

    examples: int = 0
    hour: int = 0
    limit: float = 1e9
    moved: float = 0.0


class StalemateState(msgspec.Struct, array_like=True):
    """What was undone and accepted of late; see `streamapp.learning.stalemate`.

    Attributes:
        since_ms: stream time of the first turn that was undone; None without one.
        without, having: examples undone since, without the outcome and having it.
        accepted: examples.
    """

    since_ms: int | None = None
    without: int = 0
    having: int = 0
    accepted: int = 0


class Slot(msgspec.Struct, array_like=True):
    """The row of a slot: what is held there, and what will be if the turn is accepted."""

    version: int
    held: Held | None
    pending: Held | None


class ReservoirState(msgspec.Struct, array_like=True):
    """Examples without and with the outcome: of accepted turns, decayed, and of the present one."""

    accepted: tuple[float, float] = (0.0, 0.0)
    turn: tuple[int, int] = (0, 0)
