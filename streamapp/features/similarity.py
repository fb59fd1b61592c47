"""How similar two items are: how often viewers engage both in one session, for how often at all.

**Engagement.** What a viewer does with an item: a click, like, share, follow, add_to_cart or
purchase, or a playback begun; not a hide or report. Looked at are the last 5 distinct items among
the viewer's last 50 actions before it that are of its session, hides and reports aside. Is the
item one of them, nothing counts. Else the session counts for the item: n(a) is the decayed number
of these.

**Co-engagement.** And a, so engaged, is paired with each of those items b: n(a,b) = n(b,a) is the
decayed number of such pairs, whichever of the two came first.

Session and last actions are those that are known when the engagement is processed; one that comes
late is paired with what had come before it. So the numbers are functions of the merged order,
which a replay fixes. (`streamapp.features.co_engagement` finds the pairs.)

**Decay.** Both have a half-life of 48 h, and everything counts at the full minute it happens in,
a pair at that of its later engagement: n(t) = Σ 2^(−(t−m)/48 h), with m the minutes.

**Score**, the cosine of the two items over sessions, with s = 10 sessions of doubt about each::

    score(a,b) = n(a,b) / √((n(a) + s)·(n(b) + s))

Without s a pair seen once of two items seen once would have the highest score there is; with it,
it has 1/11. Worked example: a was engaged in 30 sessions, b in 90, both in 12 of them, all just
now. Two days later it is half of each:

>>> round(score(12, 30, 90), 4), round(score(6, 15, 45), 4)
(0.1897, 0.1618)

An item that everybody engages is not similar to all: met in 12 sessions out of 10,000 of its own,

>>> round(score(12, 30, 10_000), 4)
0.019
"""

from __future__ import annotations

from math import exp2, sqrt

from streamapp.features.decay import HOUR_MS

HALF_LIFE_MS = 48 * HOUR_MS

DOUBT = 10.0
"""Sessions that are added to those of either item: s of the formula."""


def growth(ms: int) -> float:
    """Return 2^(ms/48 h).

    >>> growth(-48 * 3_600_000)
    0.5
    """
    return exp2(ms / HALF_LIFE_MS)


def score(together: float, one: float, other: float) -> float:
    """Return the score of two items from the decayed sessions of both, and of each."""
    return together / sqrt((one + DOUBT) * (other + DOUBT))
