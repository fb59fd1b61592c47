"""Prequential metrics by slice: how well the model does on a surface, for a kind, on a device.

An overall figure hides a model that is good at home and bad in search. A *dimension* is something
each example has one value of; a *slice* is one value, and has metrics of its own, decayed by its
own examples. Of each dimension the first `capacity` values that come have slices; all later ones
share the slice "other", as do values of more than 64 characters. Absent values are in no slice.

Histograms are coarser than those of the overall metrics (`RESOLUTION`): a slice's state is small,
its AUC counts scores within half a unit of log-odds as ties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log, log1p

from streamapp.learning.evaluation import LARGEST, SMALLEST, Prequential
from streamapp.learning.states import PrequentialState
from streamapp.signals import Quality

RESOLUTION = 2
MAX_LENGTH = 64
OTHER = "other"


class Slice:
    """The metrics of one slice; `key` is DIMENSION/VALUE."""

    __slots__ = ("key", "metric", "touched")

    def __init__(self, key: str, half_life: float) -> None:
        self.key = key
        self.metric = Prequential(half_life, RESOLUTION)
        self.touched = False


class SlicedPrequential:
    """Metrics of one sequence of predictions, by dimension and slice.

    Args:
        dimensions: their names.
        half_life: examples of the slice.
        capacity: slices of a dimension, besides "other".
    """

    def __init__(self, dimensions: Sequence[str], half_life: float, capacity: int = 20) -> None:
        self._half_life = half_life
        self._capacity = capacity
        self._slices: dict[str, dict[str, Slice]] = {name: {} for name in dimensions}
        self._touched: list[Slice] = []

    def update(
        self,
        values: dict[str, str | float | None],
        probability: float,
        *,
        happened: float,
        weight: float = 1.0,
    ) -> None:
        """Take one prediction with the values of its example, by dimension; others are ignored."""
        probability = min(max(probability, SMALLEST), LARGEST)
        yes, no = log(probability), log1p(-probability)
        for dimension in self._slices:
            self.count(dimension, values.get(dimension), (probability, yes, no), weight, happened)

    def count(
        self,
        dimension: str,
        value: str | float | None,
        predicted: tuple[float, float, float],
        weight: float,
        happened: float,
    ) -> None:
        """Take one prediction as `logarithms` gives it, with the value of one dimension."""
        if value is None or value == "":
            return
        slices = self._slices[dimension]
        name = value if isinstance(value, str) else str(value)
        one = slices.get(name)
        if one is None:
            one = self._admit(slices, dimension, name)
        probability, yes, no = predicted
        one.metric.count(probability, yes, no, weight, happened)
        if not one.touched:
            one.touched = True
            self._touched.append(one)

    def _admit(self, slices: dict[str, Slice], dimension: str, name: str) -> Slice:
        if len(name) > MAX_LENGTH or len(slices) - (OTHER in slices) >= self._capacity:
            name = OTHER
        one = slices.get(name)
        if one is None:
            one = slices[name] = Slice(f"{dimension}/{name}", self._half_life)
        return one

    def __len__(self) -> int:
        """Slices held."""
        return sum([len(slices) for slices in self._slices.values()])

    @property
    def qualities(self) -> dict[str, dict[str, Quality]]:
        """Metrics by dimension and slice, each sorted by name."""
        return {
            dimension: {name: slices[name].metric.quality for name in sorted(slices)}
            for dimension, slices in self._slices.items()
        }

    def changed(self) -> Iterator[tuple[str, PrequentialState]]:
        """Yield the slices that changed since the last call, as DIMENSION/VALUE."""
        touched, self._touched = self._touched, []
        for one in touched:
            one.touched = False
            yield one.key, one.metric.snapshot()

    def restore(self, key: str, state: PrequentialState) -> None:
        """Take what `changed` gave; a dimension that is no longer asked for is left out."""
        dimension, _, name = key.partition("/")
        slices = self._slices.get(dimension)
        if slices is not None:
            one = slices[name] = Slice(key, self._half_life)
            one.metric.restore(state)
