"""The vector of a session: what anomalies are looked for in, nine numbers in [0, 1].

Taken with a deliberate action (`streamapp.features.trust_rules`) of the viewer, over their newest
session up to then (`streamapp.features.sessions`) and D, the deliberate actions of the last hour.
xᵢ are the intervals between the newest 21 of D, m their mean, sd their standard deviation.

===  =========================================================================
 0   clicks:      log2(1 + clicks) / 12
 1   impressions: log2(1 + slate entries shown) / 16
 2   watches:     log2(1 + playbacks begun) / 12
 3   watched:     log2(1 + s watched) / 20
 4   click rate:  clicks / impressions
 5   watch rate:  playbacks begun / clicks
 6   length:      log2(1 + s from first to last event) / 20
 7   spread:      sd / (sd + m), 0 if all intervals are 0 or there are none
 8   pace:        log2(1 + median of the xᵢ in ms) / 28, 0 if there are none
===  =========================================================================

Each is cut to [0, 1] and rounded to 4 digits; of a rate over 0 the denominator is 1. The median of
an even number of intervals is the larger one of the two in the middle.

Worked example: 120 entries shown, 16 clicks, 15 playbacks, 900 s watched, 1,500 s long, the
intervals 1,000 and 3,000 ms: m = 2,000, sd = 1,000, so

>>> session = Session(0, 1_500_000, impressions=120, clicks=16, watches=15, watched_ms=900_000)
>>> vector(session, [4_000, 3_000, 0])
(0.3406, 0.4324, 0.3333, 0.4908, 0.1333, 0.9375, 0.5276, 0.3333, 0.4125)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, sqrt

from streamapp.features.sessions import Session

FEATURES = (
    "clicks",
    "impressions",
    "watches",
    "watched",
    "click_rate",
    "watch_rate",
    "length",
    "spread",
    "pace",
)
INTERVALS = 20

Vector = tuple[float, ...]


def vector(session: Session, times: Sequence[int]) -> Vector:
    """Return the vector of a session.

    Args:
        times: of the deliberate actions, ms, newest first.
    """
    clicks, watches = session.clicks, session.watches
    shown, watched_s = session.impressions, session.watched_ms / 1000
    length_s = (session.last_ms - session.started_at_ms) / 1000
    spread, pace_ms = _intervals(times[: INTERVALS + 1])
    return tuple(
        [
            round(min(value, 1.0), 4)
            for value in (
                log2(1 + clicks) / 12,
                log2(1 + shown) / 16,
                log2(1 + watches) / 12,
                log2(1 + watched_s) / 20,
                clicks / max(shown, 1),
                watches / max(clicks, 1),
                log2(1 + length_s) / 20,
                spread,
                log2(1 + pace_ms) / 28,
            )
        ]
    )


def _intervals(times: Sequence[int]) -> tuple[float, int]:
    """Return spread and median of the intervals between these times, newest first."""
    count, total = len(times) - 1, times[0] - times[-1] if times else 0
    if count < 1 or total == 0:
        return 0.0, 0
    intervals = sorted([times[i] - times[i + 1] for i in range(count)])
    deviation = sqrt(max(count * sum([x * x for x in intervals]) - total * total, 0))
    return deviation / (deviation + total), intervals[count // 2]
