"""What a model has to beat: predictions that know only rates.

The *constant* is the rate over all examples, the *item rate* that of the item shown. Both count
clicks and impressions, decayed by event time with half-life h, and are shrunk as all rates are:

    constant = (C + s·m₀)/(N + s)        item rate = (Cᵢ + s·constant)/(Nᵢ + s)

m₀ is a prior, s = 20. Both predict an example before they count it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamapp.features.rates import shrunk


class RateState(msgspec.Struct, array_like=True):
    """Decayed clicks and impressions as at `at_ms`; `order` is when it was last counted."""

    clicks: float = 0.0
    impressions: float = 0.0
    at_ms: int = 0
    order: int = 0

    def decay_to(self, at_ms: int, half_life_ms: float) -> float:
        """Bring the counts to a time; return what something of that time adds now.

        A time before `at_ms` leaves the counts alone, and what it adds has decayed already.
        """
        factor: float = 2.0 ** (-abs(at_ms - self.at_ms) / half_life_ms)
        if at_ms < self.at_ms:
            return factor
        self.at_ms = at_ms
        self.clicks *= factor
        self.impressions *= factor
        return 1.0

    def add(self, weight: float, *, clicked: bool) -> None:
        """Count `weight` impressions, all clicked or none."""
        self.impressions += weight
        if clicked:
            self.clicks += weight


class RateBaselines:
    """The rate over everything and that of each item, of the `capacity` items shown last.

    Args:
        half_life_ms: of the counts.
        prior: the rate before anything is known.
        capacity: items held; the one shown longest ago is forgotten first.
    """

    def __init__(self, half_life_ms: float, prior: float, capacity: int) -> None:
        self._half_life_ms = half_life_ms
        self._prior = prior
        self._capacity = capacity
        self._items: dict[str, RateState] = {}  # in the order they were last counted
        self._touched: dict[str, None] = {}
        self._overall = RateState()

    def update(self, item: str, at_ms: int, weight: float, *, clicked: bool) -> tuple[float, float]:
        """Predict one impression, then count it; return the constant and the item rate."""
        overall = self._overall
        added = overall.decay_to(at_ms, self._half_life_ms)
        constant = shrunk(overall.clicks, overall.impressions, self._prior)
        overall.add(weight * added, clicked=clicked)
        overall.order += 1
        rate = self._items.pop(item, None)
        if rate is None:
            rate = RateState(at_ms=at_ms)
            self._forget()
        added = rate.decay_to(at_ms, self._half_life_ms)
        item_rate = shrunk(rate.clicks, rate.impressions, constant)
        rate.add(weight * added, clicked=clicked)
        rate.order = overall.order
        self._items[item] = rate
        self._touched[item] = None
        return constant, item_rate

    def _forget(self) -> None:
        while len(self._items) >= self._capacity:
            oldest = next(iter(self._items))
            del self._items[oldest]
            self._touched[oldest] = None

    def __len__(self) -> int:
        """Items held."""
        return len(self._items)

    @property
    def overall(self) -> RateState:
        """The counts over everything."""
        return self._overall

    def changed(self) -> Iterator[tuple[str, RateState | None]]:
        """Yield the items counted or forgotten (None) since this was last called."""
        touched, self._touched = self._touched, {}
        for item in touched:
            yield item, self._items.get(item)

    def restore(self, overall: RateState, items: dict[str, RateState]) -> None:
        """Go on exactly from what `overall` and `changed` gave."""
        self._overall = overall
        self._items = dict(sorted(items.items(), key=lambda entry: entry[1].order))
