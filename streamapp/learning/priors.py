"""Priors of the click rate: over everything, and by category.

    prior/ctr = (C + s·m)/(N + s)        prior/ctr/CATEGORY = (C_c + s·prior/ctr)/(N_c + s)

C and N are clicks and impressions, decayed by event time; an impression without a click weighs
1 over the rate such are kept at. m = 0.03 is the shipped prior, s = 20. *Example*: 30 clicks of
980 impressions give (30 + 0.6)/1,000 = 0.0306; a category with 8 of 100 of them gets
(8 + 20 · 0.0306)/120 = 0.0718.

The category is the feature "category" of an example. One seen less than 100 times has no prior of
its own. Of too many categories those with the fewest decayed impressions are forgotten; the last
prior published for one stays in force.

The examples say nothing of playbacks. `prior/completion_rate` and `prior/watch_ratio` would need,
by category, closed playbacks and those completed, Σ min(watched/duration, 3) and their number: as
labels of the examples (completed, watched_ms, beside the item's duration, labelled when the
duration + 30 min are over) or as sums of all items' counters in one place. Until then the shipped
ones, or an operator's, are in force.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamapp.features.rates import shrunk
from streamapp.learning.click_table import smallest

LEAST_IMPRESSIONS = 100.0
"""Decayed impressions from which on a category has a prior of its own."""


class RateRow(msgspec.Struct, array_like=True):
    """Decayed impressions and clicks, in the caller's units."""

    version: int = 1
    shown: float = 0.0
    clicked: float = 0.0


class ClickRates:
    """Impressions and clicks over everything and by category.

    Amounts are forward decayed, as the caller gives them; `scale` brings them to a time.

    Args:
        shipped: the prior before anything is known.
        capacity: categories held, give or take an eighth.
    """

    def __init__(self, shipped: float, capacity: int) -> None:
        self._shipped = shipped
        self._capacity = capacity
        self._rates: dict[str, RateRow] = {"": RateRow()}  # "" is everything
        self._touched: set[str] = set()

    def __len__(self) -> int:
        """Rates held."""
        return len(self._rates)

    def add(self, category: str | None, amount: float, *, clicked: bool) -> list[str]:
        """Count an impression; return the categories forgotten for it."""
        self._count("", amount, clicked=clicked)
        if not category:
            return []
        self._count(category, amount, clicked=clicked)
        surplus = len(self._rates) - 1 - self._capacity
        return self._forget(surplus) if surplus > self._capacity // 8 else []

    def _forget(self, count: int) -> list[str]:
        masses = ((rate.shown, name) for name, rate in self._rates.items() if name)
        forgotten = smallest(masses, count)
        for name in forgotten:
            del self._rates[name]
        self._touched.update(forgotten)
        return forgotten

    def _count(self, name: str, amount: float, *, clicked: bool) -> None:
        rate = self._rates.get(name)
        if rate is None:
            rate = self._rates[name] = RateRow()
        rate.shown += amount
        if clicked:
            rate.clicked += amount
        self._touched.add(name)

    def priors(self, scale: float) -> Iterator[tuple[str, float]]:
        """Yield the prior over everything, named "", and those of categories by name."""
        everything = self._rates[""]
        general = shrunk(everything.clicked * scale, everything.shown * scale, self._shipped)
        yield "", general
        for name, rate in sorted(self._rates.items()):
            if name and rate.shown * scale >= LEAST_IMPRESSIONS:
                yield name, shrunk(rate.clicked * scale, rate.shown * scale, general)

    def rescale(self, factor: float) -> None:
        """Multiply all amounts: the caller's units have changed."""
        for rate in self._rates.values():
            rate.shown *= factor
            rate.clicked *= factor
        self._touched.update(self._rates)

    def changed(self) -> Iterator[tuple[str, RateRow | None]]:
        """Yield the rates that changed since the last call, None for one that was forgotten."""
        touched, self._touched = self._touched, set()
        for name in sorted(touched):
            yield name, self._rates.get(name)

    def restore(self, name: str, rate: RateRow) -> None:
        """Take what `changed` gave."""
        self._rates[name] = rate
