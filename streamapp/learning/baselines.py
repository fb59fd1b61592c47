"""What a model has to beat: predictions that know only rates.

The *constant* is the rate over all examples, the *item rate* that of the item shown, the *viewer
rate* that of the viewer. All count clicks and impressions, decayed by event time with half-life
h, and are shrunk as all rates are:

    constant = (C + s·m₀)/(N + s)        item rate = (Cᵢ + s·constant)/(Nᵢ + s), viewer rate alike

m₀ is a prior, s = 20. *Both* adds up what item and viewer say beyond the constant, in log-odds:

    logit(both) = logit(item rate) + logit(viewer rate) − logit(constant)

*Example*: an item clicked twice as often as all, and a viewer who clicks twice as often, both
against odds of 1 : 9, give odds of 2/9 · 2/9 · 9 = 4 : 9, a rate of 0.31:

>>> round(combined(2 / 11, 2 / 11, 0.1), 4)
0.3077

All four predict an example before they count it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mypy_extensions import mypyc_attr

from streamapp.features.rates import shrunk
from streamapp.learning.states import RateState


class Rates(NamedTuple):
    """What the four predict of one impression."""

    constant: float
    item_rate: float
    viewer_rate: float
    both: float


RATES = ("constant", "item_rate", "viewer_rate", "both")
"""Their names."""


def combined(item_rate: float, viewer_rate: float, constant: float) -> float:
    """Return the rate whose log-odds are item's + viewer's − constant's.

    Computed from odds, without a logarithm; it is the constant where the two rule each other out
    (one is 0, the other 1).
    """
    yes = item_rate * viewer_rate * (1.0 - constant)
    no = (1.0 - item_rate) * (1.0 - viewer_rate) * constant
    return yes / (yes + no) if yes + no > 0.0 else constant


@mypyc_attr(acyclic=True)
class Rate:
    """Decayed clicks and impressions as at `at_ms`; `order` is when it was last counted."""

    __slots__ = ("at_ms", "clicks", "impressions", "order")

    def __init__(self, clicks: float, impressions: float, at_ms: int, order: int) -> None:
        self.clicks = clicks
        self.impressions = impressions
        self.at_ms = at_ms
        self.order = order

    @property
    def state(self) -> RateState:
        """All there is to restore."""
        return RateState(self.clicks, self.impressions, self.at_ms, self.order)

    def decay_to(self, at_ms: int, half_life_ms: float) -> float:
        """Bring the counts to a time; return what something of that time adds now.

        A time before `at_ms` leaves the counts alone, and what it adds has decayed already.
        """
        if at_ms == self.at_ms:
            return 1.0
        factor: float = 2.0 ** (-abs(at_ms - self.at_ms) / half_life_ms)
        if at_ms < self.at_ms:
            return factor
        self.at_ms = at_ms
        self.clicks *= factor
        self.impressions *= factor
        return 1.0

    def add(self, weight: float, clicked: float) -> None:
        """Count `weight` impressions, of which a share was clicked."""
        self.impressions += weight
        self.clicks += weight * clicked


def _restored(state: RateState) -> Rate:
    return Rate(state.clicks, state.impressions, state.at_ms, state.order)


class RateTable:
    """The rates of one kind of thing, of the `capacity` counted last."""

    def __init__(self, half_life_ms: float, capacity: int) -> None:
        self._half_life_ms = half_life_ms
        self._capacity = capacity
        # In the order they were last counted; a plain dict finds its first slowly after deletions.
        self._rates: OrderedDict[str, Rate] = OrderedDict()
        self._touched: dict[str, None] = {}
        self._counted = 0

    def __len__(self) -> int:
        """Rates held."""
        return len(self._rates)

    def update(self, key: str, at_ms: int, weight: float, prior: float, clicked: float) -> float:
        """Return the rate, drawn towards a prior; then count an impression."""
        rate = self._rates.get(key)
        if rate is None:
            self._forget()
            rate = self._rates[key] = Rate(0.0, 0.0, at_ms, 0)
        else:
            self._rates.move_to_end(key)
        added = rate.decay_to(at_ms, self._half_life_ms)
        before = shrunk(rate.clicks, rate.impressions, prior)
        rate.add(weight * added, clicked)
        self._counted += 1
        rate.order = self._counted
        self._touched[key] = None
        return before

    def _forget(self) -> None:
        while len(self._rates) >= self._capacity:
            oldest, _ = self._rates.popitem(last=False)
            self._touched[oldest] = None

    def forget(self, key: str) -> bool:
        """Forget a rate; return whether there was one."""
        if self._rates.pop(key, None) is None:
            return False
        self._touched[key] = None
        return True

    def changed(self) -> Iterator[tuple[str, RateState | None]]:
        """Yield the rates counted or forgotten (None) since this was last called."""
        touched, self._touched = self._touched, {}
        for key in touched:
            rate = self._rates.get(key)
            yield key, None if rate is None else rate.state

    def restore(self, rates: Mapping[str, RateState]) -> None:
        """Go on exactly from what `changed` gave."""
        self._rates.clear()
        for key, state in sorted(rates.items(), key=lambda entry: entry[1].order):
            self._rates[key] = _restored(state)
        self._counted = max((rate.order for rate in rates.values()), default=0)


class RateBaselines:
    """The rate over everything, that of each item, that of each viewer, and the two together.

    Args:
        half_life_ms: of the counts.
        prior: the rate before anything is known, within (0, 1).
        capacity: items held, and viewers; what was counted longest ago is forgotten first.
    """

    def __init__(self, half_life_ms: float, prior: float, capacity: int) -> None:
        self._half_life_ms = half_life_ms
        self._prior = prior
        self._overall = Rate(0.0, 0.0, 0, 0)
        self._items = RateTable(half_life_ms, capacity)
        self._viewers = RateTable(half_life_ms, capacity)

    def update(self, item: str, viewer: str, at_ms: int, weight: float, *, clicked: float) -> Rates:
        """Predict one impression, then count it."""
        return Rates(*self.count(item, viewer, at_ms, weight, clicked))

    def count(
        self, item: str, viewer: str, at_ms: int, weight: float, clicked: float
    ) -> tuple[float, float, float, float]:
        """As `update`, in a plain tuple."""
        overall = self._overall
        added = overall.decay_to(at_ms, self._half_life_ms)
        constant = shrunk(overall.clicks, overall.impressions, self._prior)
        overall.add(weight * added, clicked)
        overall.order += 1
        of_item = self._items.update(item, at_ms, weight, constant, clicked)
        of_viewer = self._viewers.update(viewer, at_ms, weight, constant, clicked)
        return constant, of_item, of_viewer, combined(of_item, of_viewer, constant)

    def forget(self, viewer: str) -> bool:
        """Forget the rate of a viewer; return whether there was one."""
        return self._viewers.forget(viewer)

    def __len__(self) -> int:
        """Items and viewers held."""
        return len(self._items) + len(self._viewers)

    @property
    def overall(self) -> RateState:
        """The counts over everything."""
        return self._overall.state

    def changed(self) -> Iterator[tuple[str, RateState | None]]:
        """Yield what was counted or forgotten (None) since the last call: i/ITEM or v/VIEWER."""
        for key, rate in self._items.changed():
            yield f"i/{key}", rate
        for key, rate in self._viewers.changed():
            yield f"v/{key}", rate

    def restore(self, overall: RateState, rates: Mapping[str, RateState]) -> None:
        """Go on exactly from what `overall` and `changed` gave."""
        self._overall = _restored(overall)
        for prefix, table in (("i/", self._items), ("v/", self._viewers)):
            named = [(name, rate) for name, rate in rates.items() if name.startswith(prefix)]
            table.restore({name.removeprefix(prefix): rate for name, rate in named})
