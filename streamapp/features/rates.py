"""What is counted about an item, and the rates derived from the counters.

All rates are taken from the 6 h counters, as of the item's newest event.
"""

from __future__ import annotations

from math import exp2, log
from typing import Final

from streamapp.features.decay import HALF_LIVES, HOUR_MS, MINUTE_MS

COUNTERS = (
    "impressions",
    "expected_clicks",
    "clicks",
    "likes",
    "shares",
    "carts",
    "purchases",
    "hides",
    "reports",
    "watches",
    "closed",
    "completes",
    "watched_ms",
    "ratio_sum",
    "ratio_n",
)
"""Counters of an item.

impressions: slate entries that showed it. expected_clicks: Σ mean click rate of the surface and
position it was shown at. clicks … reports: actions. watches: playbacks begun; closed, completes:
of these, ended and watched to the end. watched_ms: time watched. ratio_sum, ratio_n: Σ of
watched/duration (at most 3 each) over closed playbacks of known duration, and their number.
"""

COUNTED_ACTIONS = {
    "click": "clicks",
    "like": "likes",
    "share": "shares",
    "add_to_cart": "carts",
    "purchase": "purchases",
    "hide": "hides",
    "report": "reports",
}
"""Counter of an action; `follow` is about a creator and counts for no item."""

PRIOR_STRENGTH: Final = 20.0
"""Events that a prior weighs as much as."""

_WINDOW_MS = 6 * HOUR_MS


def shrunk(numerator: float, denominator: float, prior: float) -> float:
    """Return a rate drawn towards `prior`: (numerator + s·prior)/(denominator + s), s = 20.

    >>> shrunk(10.0, 30.0, prior=0.25)
    0.3
    """
    return (numerator + PRIOR_STRENGTH * prior) / (denominator + PRIOR_STRENGTH)


def coec(clicks: float, expected_clicks: float) -> float:
    """Return clicks over expected clicks: 1 is average for the places it was shown at.

    >>> coec(3.0, 1.0)
    2.0
    """
    return (clicks + 1.0) / (expected_clicks + 1.0)


def velocity(watches_30m: float, watches_6h: float, age_ms: int) -> float:
    """Return (a + 20)/(b + 20), a and b the watches per 6 h as the two counters see them.

    Under constant traffic since the first event a counter of half-life h comes to rate ·
    h/ln 2 · (1 − 2^(−age/h)); divided by that it gives the rate, so both agree at any age.

    >>> round(velocity(500.0, 500.0, 60_000), 2)  # a minute old: the same events in both
    1.01
    >>> round(velocity(0.0, 500.0, 86_400_000), 2)  # a day old, silent of late
    0.05
    """
    age = max(age_ms, MINUTE_MS)
    a = watches_30m * _WINDOW_MS / _mass_ms(HALF_LIVES[0], age)
    b = watches_6h * _WINDOW_MS / _mass_ms(HALF_LIVES[1], age)
    return (a + 20.0) / (b + 20.0)


def _mass_ms(half_life: int, age_ms: int) -> float:
    """Return ∫ 2^(−t/h) dt over the age: how many ms of traffic the counter holds."""
    return half_life / log(2.0) * (1.0 - exp2(-age_ms / half_life))
