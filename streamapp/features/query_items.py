"""The items of a query: impressions, expected clicks and clicks of each, decayed with 6 h."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

import msgspec

from streamapp.features.decay import SPAN_MS, growth
from streamapp.features.queries import corrected_rate
from streamapp.signals import QueryItem

MAX_KEPT = 200
"""Items a query keeps when it has more than `TRIM_ABOVE`."""

TRIM_ABOVE = 250
MAX_LISTED = 50

MIN_LISTED = 0.01
"""Decayed impressions an item must have to be listed: one shown once is for 40 h."""

_FORGOTTEN = 1e-9
_COLUMNS = 3


class QueryItems(msgspec.Struct, gc=False):
    """Items by id, as forward decayed sums (see `streamapp.features.decay`).

    Of more than 250 items the 200 with the most decayed impressions stay, of equal ones those
    whose id sorts first; one that comes again begins anew. Up to 250 items nothing is lost, and
    the numbers do not depend on the order of events.

    Attributes:
        landmark_ms: L of the formula.
        index: place of an item in `sums`.
        sums: impressions, expected clicks and clicks, item after item.
    """

    landmark_ms: int
    index: dict[str, int]
    sums: array[float]

    @classmethod
    def restored(cls, landmark_ms: int, item_ids: Sequence[str], sums: bytes) -> QueryItems:
        """Return the items of a changelog row."""
        return cls(
            landmark_ms, {item_id: n for n, item_id in enumerate(item_ids)}, array("d", sums)
        )

    def __len__(self) -> int:
        return len(self.index)

    def merge(self, items: Mapping[str, Sequence[float]], as_of_ms: int) -> None:
        """Add sums by item as at `as_of_ms`."""
        if as_of_ms - self.landmark_ms > SPAN_MS:
            self._move(as_of_ms)
        _, factor, _ = growth(as_of_ms - self.landmark_ms)
        index, sums = self.index, self.sums
        for item_id, (impressions, expected, clicks) in items.items():
            at = index.get(item_id)
            if at is None:
                at = index[item_id] = len(index)
                sums.extend((0.0, 0.0, 0.0))
            at *= _COLUMNS
            sums[at] += impressions * factor
            sums[at + 1] += expected * factor
            sums[at + 2] += clicks * factor
        if len(index) > TRIM_ABOVE:
            self._trim()

    def best(self, at_ms: int, prior: float) -> list[QueryItem]:
        """Return the 50 of the highest corrected rate; of equal ones, the most shown first."""
        _, factor, _ = growth(self.landmark_ms - at_ms)
        sums, least = self.sums, MIN_LISTED / factor if factor else float("inf")
        listed = []
        for item_id, n in self.index.items():
            at = _COLUMNS * n
            shown = sums[at]
            if shown >= least:
                clicks = max(0.0, sums[at + 2] * factor)
                rate = corrected_rate(clicks, sums[at + 1] * factor, prior)
                listed.append((-rate, -shown * factor, item_id, clicks))
        listed.sort()
        return [
            QueryItem(item_id, -shown, clicks, -rate)
            for rate, shown, item_id, clicks in listed[:MAX_LISTED]
        ]

    def _trim(self) -> None:
        by_impressions = sorted((-self.sums[_COLUMNS * n], i) for i, n in self.index.items())
        kept = set(map(itemgetter(1), by_impressions[:MAX_KEPT]))
        self._keep(lambda item_id, _: item_id in kept)

    def _move(self, landmark_ms: int) -> None:
        """Move the landmark up; what is decayed to nothing goes."""
        _, factor, _ = growth(self.landmark_ms - landmark_ms)
        self.sums = array("d", [value * factor for value in self.sums])
        self.landmark_ms = landmark_ms
        self._keep(lambda _, shown: shown >= _FORGOTTEN)

    def _keep(self, wanted: Callable[[str, float], bool]) -> None:
        sums, kept = self.sums, array("d")
        index: dict[str, int] = {}
        for item_id, n in self.index.items():
            at = _COLUMNS * n
            if wanted(item_id, sums[at]):
                index[item_id] = len(index)
                kept.extend(sums[at : at + _COLUMNS])
        self.index, self.sums = index, kept
