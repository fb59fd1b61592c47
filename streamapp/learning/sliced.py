"""Prequential metrics by slice: how well the model does on a surface, for a kind, on a device.

An overall figure hides a model that is good at home and bad in search. A *dimension* is something
each example has one value of; a *slice* is one value, and has metrics of its own, decayed by its
own examples. Of each dimension the first `capacity` values that come have slices; all later ones
share the slice "other", as do values of more than 64 characters. Absent values are in no slice.

Histograms are coarser than those of the overall metrics (`RESOLUTION`): a slice's state is small,
its AUC counts scores within half a unit of log-odds as ties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log, log1p

from streamapp.learning.evaluation import LARGEST, SMALLEST, Prequential, PrequentialState
from streamapp.signals import Quality

RESOLUTION = 2
MAX_LENGTH = 64
OTHER = "other"


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
        self._slices: dict[str, dict[str, Prequential]] = {name: {} for name in dimensions}
        self._touched: dict[tuple[str, str], None] = {}

    def update(
        self,
        values: Mapping[str, str | float | None],
        probability: float,
        weight: float = 1.0,
        *,
        happened: float,
    ) -> None:
        """Take one prediction with the values of its example, by dimension; others are ignored."""
        probability = min(max(probability, SMALLEST), LARGEST)
        yes, no = log(probability), log1p(-probability)
        self.count(values, (probability, yes, no), weight, happened)

    def count(
        self,
        values: Mapping[str, str | float | None],
        predicted: tuple[float, float, float],
        weight: float,
        happened: float,
    ) -> None:
        """Take one prediction as `logarithms` gives it."""
        probability, yes, no = predicted
        for dimension, slices in self._slices.items():
            value = values.get(dimension)
            if value is None or value == "":
                continue
            name = str(value)
            metric = slices.get(name)
            if metric is None:
                name, metric = self._admit(slices, name)
            metric.count(probability, yes, no, weight, happened)
            self._touched[dimension, name] = None

    def _admit(self, slices: dict[str, Prequential], name: str) -> tuple[str, Prequential]:
        if len(name) > MAX_LENGTH or len(slices) - (OTHER in slices) >= self._capacity:
            name = OTHER
        if name not in slices:
            slices[name] = self._metric()
        return name, slices[name]

    def _metric(self) -> Prequential:
        return Prequential(self._half_life, RESOLUTION)

    def __len__(self) -> int:
        """Slices held."""
        return sum(map(len, self._slices.values()))

    @property
    def qualities(self) -> dict[str, dict[str, Quality]]:
        """Metrics by dimension and slice, each sorted by name."""
        return {
            dimension: {name: metric.quality for name, metric in sorted(slices.items())}
            for dimension, slices in self._slices.items()
        }

    def changed(self) -> Iterator[tuple[str, PrequentialState]]:
        """Yield the slices that changed since the last call, as DIMENSION/VALUE."""
        touched, self._touched = self._touched, {}
        for dimension, name in touched:
            yield f"{dimension}/{name}", self._slices[dimension][name].snapshot()

    def restore(self, key: str, state: PrequentialState) -> None:
        """Take what `changed` gave; a dimension that is no longer asked for is left out."""
        dimension, _, name = key.partition("/")
        slices = self._slices.get(dimension)
        if slices is not None:
            slices[name] = self._metric()
            slices[name].restore(state)
