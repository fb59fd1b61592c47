"""Decayed counters: sums in which an event of age a weighs 2^(−a/h).

A counter with half-life h at time t is C(t) = Σ wᵢ·2^(−(t−tᵢ)/h). It is kept as a *forward*
decayed sum, S = Σ wᵢ·2^((tᵢ−L)/h) with a landmark time L, so that C(t) = S·2^((L−t)/h):

* an event adds one product to the counter it touches and nothing else is computed;
* a late event needs nothing special, its weight is just smaller;
* the order of events does not matter, beyond rounding.

S grows with tᵢ−L; when it would leave what a float holds, the landmark moves up to the event.
Source: G. Cormode et al., "Forward Decay", ICDE 2009.
"""

from __future__ import annotations

from math import exp2

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

HALF_LIVES = (30 * MINUTE_MS, 6 * HOUR_MS, 7 * DAY_MS)
"""Half-lives of every counter, shortest first, ms."""

SPAN_MS = 512 * HALF_LIVES[0]
"""How far an event may lie after the landmark: weights up to 2^512, far from overflow."""

_PER_MS = tuple(1.0 / half_life for half_life in HALF_LIVES)


def growth(ms: int) -> tuple[float, float, float]:
    """Return 2^(ms/h) for each half-life; below what a float holds it is 0.

    >>> growth(6 * 3_600_000)[:2]
    (4096.0, 2.0)
    """
    a, b, c = _PER_MS
    return exp2(ms * a), exp2(ms * b), exp2(ms * c)
