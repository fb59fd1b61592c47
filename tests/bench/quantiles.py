"""What to say of many measurements."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the sample which so large a share of all stays below; nan when there is none."""
    if not samples:
        return float("nan")
    return sorted(samples)[min(int(len(samples) * share), len(samples) - 1)]
