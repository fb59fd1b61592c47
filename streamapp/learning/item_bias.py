"""What factors have to beat: the same learning from the same pairs, with one number an item.

That of item i being preferred to item j is σ(x), x = bᵢ + t(place of i) − bⱼ − t(place of j), for
every viewer alike; gradients and rates are those of `streamapp.learning.bpr` without its vectors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import msgspec

from streamapp.learning.pairs import Places, Slot, pair_steps


class BiasState(msgspec.Struct, array_like=True):
    """A bias; `order` is when it was last learned, `events` how often."""

    bias: float = 0.0
    order: int = 0
    events: int = 0


class ItemBias:
    """Biases of the items learned last.

    Args:
        rate, l2, limit: η, λ, and the largest absolute value.
        early: how much faster a new item learns.
        capacity: items held; the one learned longest ago is forgotten first.
    """

    def __init__(self, rate: float, l2: float, early: float, limit: float, capacity: int) -> None:
        self.places = Places(rate, limit)
        self._rate = rate
        self._keep = 1.0 - rate * l2
        self._early = early
        self._limit = limit
        self._capacity = capacity
        # In the order they were last learned; a plain dict finds its first slowly after deletions.
        self._items: OrderedDict[str, BiasState] = OrderedDict()
        self._order = 0
        self._touched: dict[str, None] = {}

    def __len__(self) -> int:
        """Items held."""
        return len(self._items)

    def predict_one(self, item: str) -> float:
        """Return the bias of an item; 0 where nothing is known."""
        state = self._items.get(item)
        return 0.0 if state is None else state.bias

    def learn_one(self, preferred: Sequence[Slot], passed: Sequence[Slot]) -> list[float]:
        """Predict all pairs of a request, then learn from them; return x of each as predicted."""
        slots = (*preferred, *passed)
        scores = [self.predict_one(slot.item) + self.places.get(slot.place) for slot in slots]
        margins, steps = pair_steps(scores, len(preferred))
        for slot, step in zip(slots, steps, strict=True):
            self._move(slot.item, step)
        self.places.update(slots, steps)
        return margins

    def _move(self, item: str, step: float) -> None:
        state = self._items.pop(item, None)
        if state is None:
            state = BiasState()
            self._make_room()
        self._order += 1
        state.events += 1
        moved = state.bias * self._keep + self._rate * step * (1.0 + self._early / state.events)
        state.bias = min(max(moved, -self._limit), self._limit)
        state.order = self._order
        self._items[item] = state
        self._touched[item] = None

    def _make_room(self) -> None:
        while len(self._items) >= self._capacity:
            oldest, _ = self._items.popitem(last=False)
            self._touched[oldest] = None

    def changed(self) -> Iterator[tuple[str, BiasState | None]]:
        """Yield the items learned or forgotten (None) since this was last called."""
        touched, self._touched = self._touched, {}
        for item in touched:
            yield item, self._items.get(item)

    def restore(self, items: dict[str, BiasState]) -> None:
        """Go on exactly from what `changed` gave."""
        self._items = OrderedDict(sorted(items.items(), key=lambda entry: entry[1].order))
        self._order = max((state.order for state in items.values()), default=0)
