"""Features of a viewer, by brute force from what the events say of them; they are not rounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.oracles.items import DAY, HOUR, MINUTE, Expected

HALF_LIVES = {"": ("7d", 7 * DAY), "_6h": ("6h", 6 * HOUR)}


def expected_eagerness(profile: Expected | None, at_ms: int) -> dict[str, float]:
    """Return how eager a viewer is.

    Args:
        profile: from `expected_profiles`; None of one without events.
    """
    if profile is None:
        return {}
    session, ratio = profile["session"], profile["habits"]["watch_ratio"]
    eager = {"viewer_watch_ratio": _odds(ratio)}
    if at_ms < profile["as_of_ms"] + 30 * MINUTE:
        eager["session_ctr"] = _odds((session["clicks"] + 0.6) / (session["impressions"] + 20))
    return eager


def expected_affinities(
    profile: Expected | None, at_ms: int, item: Mapping[str, Any]
) -> dict[str, float]:
    """Return how a viewer feels about the category and creator of a record of catalog.items."""
    if profile is None:
        return {}
    felt = {}
    for kind, field in (("category", "category"), ("creator", "creator_id")):
        interest = profile["affinity"][kind].get(item.get(field))
        for suffix, (label, half_life) in HALF_LIVES.items() if interest else ():
            age = (at_ms - profile["as_of_ms"]) / half_life
            felt[f"affinity_{kind}{suffix}"] = interest[label] / 2**age
    return felt


def rounding(name: str, value: float) -> float:
    """Return how far a feature may be from its value: half a 16th, or half of the third digit."""
    return 1e-6 + (1 / 32 if name.endswith("_6h") else 0.005 * abs(value))


def _odds(p: float) -> float:
    return p / (1 - p) if p <= 0.99 else 99.0
