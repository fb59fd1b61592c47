"""The rules that tell inhuman clicking, over what a viewer did within an hour.

A rule looks at the viewer's recent actions (`streamapp.features.recent`: the last 50, newest
first) as far as they are no more than 1 h older than the newest of them: R. Of these, D are the
**deliberate** ones: click, share, follow, add_to_cart, purchase and report. Likes and hides are
gestures people make in quick succession, as while a live stream runs; watch and complete come of
playing. d₁ ≥ d₂ ≥ … are the times of D, in ms.

=======================  ========================================================================
burst                    15 deliberate actions within 10 s: d₁ − d₁₅ < 10,000
short_intervals          of the 20 intervals dᵢ − dᵢ₊₁ of the newest 21 at least 10 are < 100
regular_intervals        of the same 20 the standard deviation is under a fifth of the mean m:
                         Σ(xᵢ − m)²/20 < (m/5)²
repeated_item            15 of the newest 20 are on one item, and d₁ − d₂₀ < 600,000 (of fewer
                         than 20: of all there are)
clicks_without_watches   R holds n ≥ 25 clicks on items that the catalog says can be watched
                         (short, vod, live), and at most n/10 playbacks begun (`watch`)
=======================  ========================================================================

Worked examples. A click each 650 ms: d₁ − d₁₅ = 14 · 650 = 9,100 < 10,000 is a burst from the 15th
on; each 750 ms is none. Clicks 5,000 ms apart, give or take 100: from the 21st on m = 5,000 and the
deviation is at most 100 < 1,000: regular. Waiting times that are exponential, as between
independent events, deviate by as much as their mean. 14 clicks on one item and then 6 on others
repeat nothing; 15 and then 5 do, if all came within 10 min. 25 clicks on videos and 2 playbacks
are clicks without watches; 25 and 3 are not.

Each rule looks at the newest, so that a finding repeated is new evidence. All of it is exact: whole
numbers are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from streamapp.features.catalog import Catalog
from streamapp.features.decay import HOUR_MS, MINUTE_MS
from streamapp.features.recent import ACTION_INDEX, CLICK, WATCH, item_of

REASONS = (
    "burst",
    "short_intervals",
    "regular_intervals",
    "repeated_item",
    "clicks_without_watches",
    "anomaly",
)
"""Why a viewer is not trusted; a set of reasons is a number with bit i for the i-th."""

BURST: Final = 1
SHORT: Final = 2
REGULAR: Final = 4
REPEATED: Final = 8
UNWATCHED: Final = 16
ANOMALY: Final = 32

REACH_MS = HOUR_MS
DELIBERATE = frozenset(
    ACTION_INDEX[action]
    for action in ("click", "share", "follow", "add_to_cart", "purchase", "report")
)
FEWEST = 15
"""With fewer deliberate actions than this nothing is found."""

BURST_ACTIONS, BURST_MS = 15, 10_000
INTERVALS, SHORT_INTERVALS, SHORT_MS = 20, 10, 100
REGULAR_SHARE = 5
REPEATS, REPEATS_OF, REPEATS_MS = 15, 20, 10 * MINUTE_MS
UNWATCHEDCLICKS, CLICKS_AWATCH = 25, 10
WATCHABLE = frozenset(("short", "vod", "live"))

Acts = Sequence[tuple[int, int, bytes]]
"""Actions, newest first: time, index in ACTIONS, item; see `RecentActions.since`."""


def deliberate(acts: Acts) -> list[tuple[int, bytes]]:
    """Return time and item of the deliberate ones among a viewer's actions."""
    return [(time_ms, item) for time_ms, action, item in acts if action in DELIBERATE]


def found(acts: Acts, chosen: Sequence[tuple[int, bytes]], catalog: Catalog) -> int:
    """Return what is found in R (`acts`) and D (`chosen`), as a set of reasons."""
    if len(chosen) < FEWEST:
        return 0
    reasons = BURST if chosen[0][0] - chosen[BURST_ACTIONS - 1][0] < BURST_MS else 0
    if len(chosen) > INTERVALS:
        reasons |= _paced([time_ms for time_ms, _ in chosen[: INTERVALS + 1]])
    if _repeats(chosen[:REPEATS_OF]):
        reasons |= REPEATED
    if len(chosen) >= UNWATCHEDCLICKS and _unwatched(acts, catalog):
        reasons |= UNWATCHED
    return reasons


def _paced(times: Sequence[int]) -> int:
    """Return what is inhuman in the intervals between these times."""
    intervals = [times[i] - times[i + 1] for i in range(INTERVALS)]
    total = times[0] - times[-1]
    # Σ(x − m)²/n < (m/5)², times 25·n².
    deviation = INTERVALS * sum([x * x for x in intervals]) - total * total
    reasons = REGULAR if REGULAR_SHARE**2 * deviation < total * total else 0
    if sum([x < SHORT_MS for x in intervals]) >= SHORT_INTERVALS:
        reasons |= SHORT
    return reasons


def _repeats(newest: Sequence[tuple[int, bytes]]) -> bool:
    if newest[0][0] - newest[-1][0] >= REPEATS_MS:
        return False
    items = Counter([item for _, item in newest])
    return max(items.values()) >= REPEATS


def _unwatched(acts: Acts, catalog: Catalog) -> bool:
    watches = sum([action == WATCH for _, action, _ in acts])
    if CLICKS_AWATCH * watches > len(acts) - watches:
        return False
    clicks = 0
    for _, action, item in acts:
        if action == CLICK:
            known = catalog.get(item_of(item))
            clicks += known is not None and known.kind in WATCHABLE
    return clicks >= UNWATCHEDCLICKS and CLICKS_AWATCH * watches <= clicks


def names(reasons: int) -> list[str]:
    """Return the names of a set of reasons.

    >>> names(BURST | ANOMALY)
    ['burst', 'anomaly']
    """
    return [name for bit, name in enumerate(REASONS) if reasons >> bit & 1]
