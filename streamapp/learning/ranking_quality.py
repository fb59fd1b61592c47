"""How well a model orders the items of a request: NDCG, corrected for where they were shown.

Labels come late and slot by slot; a request is judged once, when `wait_ms` of stream time have
passed since its first example (all labels of a request become known together; the wait covers
records of other requests between them).

A request says something about the order only if

* all its slots are there: each weighs 1, so no negative was sampled away, and one at least was not
  clicked (of a sampled request perhaps only the clicked slots are left, and these weigh 1 too);
* all came before the weights changed that they are scored with (`renew`);
* one at least was clicked;
* its places were drawn: each slot has a propensity p, 0 < p < 1, the probability that the item was
  shown where it was.

An item in the first place is clicked for its place. If places are drawn, an item of appeal a is
clicked at place k with probability a·θₖ and gets there with pₖ; a click that counts as 1/p counts

    Σₖ pₖ·a·θₖ/pₖ = a·Σₖ θₖ

on average, whatever place the item mostly had. So the gain of a slot is g = min(1/p, 20) if
clicked, else 0, and with r the slot's rank by the model's score, and r* its rank by g,

    NDCG = Σ g/log2(1 + r)  /  Σ g/log2(1 + r*)        over the slots of all requests, decayed

(sums before the division, as a self-normalised estimator: Swaminathan and Joachims, NIPS 2015;
where each request has one click it is the mean, weighted by 1/p, of 1/log2(1 + r)). Slots of equal
score share the mean of their ranks' discounts (McSherry and Najork, ECIR 2008): a model that cannot
tell them apart gains nothing by their order.

*Example*: three slots with scores 0.3, 0.2, 0.1; the second was clicked, p = 0.5: g = 2 and
NDCG = (2/log2 3)/(2/log2 2) = 0.631.

>>> quality = RankingQuality(wait_ms=0)
>>> for score, clicked in ((0.3, False), (0.2, True), (0.1, False)):
...     quality.update("r1", score, at_ms=5, clicked=clicked, propensity=0.5)
>>> quality.advance(6)
>>> round(quality.ndcg, 3)
0.631
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import fsum, inf, isnan, log2
from sys import float_info

import msgspec

from streamapp.learning.states import OpenRequest, RankingState

MAX_GAIN = 20.0
"""A click counts as at most so many."""

LAST = -float_info.max
"""The score of what has none; JSON has no infinity."""

MAX_SLOTS = 500
"""A request with more slots is left out."""


_DISCOUNTS = tuple(1.0 / log2(2 + before) for before in range(MAX_SLOTS))


def discounted(slots: Sequence[tuple[float, float]]) -> float:
    """Return Σ gain/log2(1 + rank), best score first, of (score, gain); ties share their ranks.

    Of `MAX_SLOTS` at most.
    """
    total, rank = 0.0, 0
    for _, group in groupby(sorted(slots, key=_by_score), key=_by_score):
        gains = [gain for _, gain in group]
        last = rank + len(gains)
        total += fsum(gains) * fsum(_DISCOUNTS[rank:last]) / len(gains)
        rank = last
    return total


def _by_score(slot: tuple[float, float]) -> float:
    return -slot[0]


def is_drawn(propensity: float | None) -> bool:
    """Return whether a place was drawn, and not given."""
    return propensity is not None and 0.0 < propensity < 1.0


class RankingQuality:
    """NDCG of one sequence of scores.

    Args:
        half_life: requests.
        wait_ms: how long a request's slots are waited for.
        capacity: requests open at a time; the oldest is judged early to make room.
    """

    def __init__(
        self, half_life: float = inf, wait_ms: int = 10_000, capacity: int = 2_000
    ) -> None:
        self._fading = 2.0 ** (-1.0 / half_life)
        self._wait_ms = wait_ms
        self._capacity = capacity
        self._state = RankingState()
        self._at_ms = 0
        self._idle_until_ms = -1  # up to this stream time no wait is over
        self._open: OrderedDict[str, OpenRequest] = OrderedDict()
        self._touched: dict[str, None] = {}

    def update(
        self,
        request: str,
        score: float,
        *,
        at_ms: int,
        clicked: bool,
        propensity: float | None,
        weight: float = 1.0,
    ) -> None:
        """Take one labelled slot.

        Args:
            request: whose slot it is; unique over viewers.
            score: what the model would rank by, so as if shown in the first place, from before it
                learned anything of this request.
            at_ms: stream time.
            propensity: of the item at its place.
            weight: above 1 if negatives are sampled.
        """
        self.advance(at_ms)
        opened = self._open.get(request)
        if opened is None:
            opened = self._begin(request)
        elif not opened.judged:
            return
        self._touched[request] = None
        usable = weight == 1.0 and is_drawn(propensity) and len(opened.slots) < MAX_SLOTS
        if not usable or opened.number < self._state.renewed:
            opened.judged = False
            opened.slots = []
        else:
            gain = min(1.0 / (propensity or 1.0), MAX_GAIN) if clicked else 0.0
            opened.slots.append((LAST if isnan(score) else score, gain))

    def _begin(self, request: str) -> OpenRequest:
        if len(self._open) >= self._capacity:
            self._judge(next(iter(self._open)))
        state = self._state
        opened = self._open[request] = OpenRequest(self._at_ms, state.begun)
        state.begun += 1
        return opened

    def renew(self) -> None:
        """What comes from now on is scored with other weights: requests of both are left out."""
        self._state.renewed = self._state.begun

    def restart(self) -> None:
        """Forget how well the order was; what is open is left out."""
        for request, opened in self._open.items():
            opened.judged, opened.slots = False, []
            self._touched[request] = None
        state = self._state
        state.judged, state.gained, state.best = 0, 0.0, 0.0

    def forget(self, start: str) -> bool:
        """Drop the open requests whose names begin so; return whether there were any."""
        gone = [request for request in self._open if request.startswith(start)]
        for request in gone:
            del self._open[request]
            self._touched[request] = None
        return bool(gone)

    def advance(self, at_ms: int) -> None:
        """Stream time is `at_ms` now: judge the requests whose wait is over."""
        self._at_ms = max(self._at_ms, at_ms)
        if self._at_ms > self._idle_until_ms:
            self._judge_due()

    def _judge_due(self) -> None:
        while self._open:
            oldest = next(iter(self._open))
            self._idle_until_ms = self._open[oldest].began_ms + self._wait_ms
            if self._at_ms <= self._idle_until_ms:
                return
            self._judge(oldest)
        self._idle_until_ms = self._at_ms + self._wait_ms

    def _judge(self, request: str) -> None:
        slots = self._open.pop(request).slots
        self._touched[request] = None
        gains = [gain for _, gain in slots]
        if not any(gains) or all(gains):
            return
        state = self._state
        state.judged += 1
        state.gained = state.gained * self._fading + discounted(slots)
        state.best = state.best * self._fading + discounted([(gain, gain) for gain in gains])

    @property
    def ndcg(self) -> float | None:
        """1 for the best order there was; None before a request could be judged."""
        return self._state.gained / self._state.best if self._state.best else None

    @property
    def requests(self) -> int:
        """Requests judged."""
        return self._state.judged

    def __len__(self) -> int:
        """Requests open."""
        return len(self._open)

    def snapshot(self) -> RankingState:
        """Return all but the open requests, for JSON."""
        return msgspec.structs.replace(self._state, at_ms=self._at_ms)

    def changed(self) -> Iterator[tuple[str, OpenRequest | None]]:
        """Yield the requests that changed or were judged (None) since the last call."""
        touched, self._touched = self._touched, {}
        for request in touched:
            yield request, self._open.get(request)

    def restore(self, state: RankingState, opened: Mapping[str, OpenRequest]) -> None:
        """Go on exactly from what `snapshot` and `changed` gave."""
        self._state, self._at_ms = msgspec.structs.replace(state), state.at_ms
        self._idle_until_ms = -1
        self._open = OrderedDict(sorted(opened.items(), key=lambda entry: entry[1].number))
