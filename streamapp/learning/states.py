"""What the parts of a contest hold, as their rows have it; see `streamapp.learning.model_rows`."""

from __future__ import annotations

from typing import Literal

import msgspec

Winner = Literal["challenger", "champion"]


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
