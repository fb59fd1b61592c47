"""What is on of an item as it would be if it were shown in the first place."""

from __future__ import annotations

from collections.abc import Sequence

from streamapp.learning.features import Encoder
from streamapp.signals import FeatureSpec


class FirstPlace:
    """Moves the coordinates of an item from the place where it was shown to the first.

    Of the tokens of `streamapp.learning.features` only that of the position is another one then; no
    cross has it. (Where another token of the item falls on the coordinate of its place, it is lost;
    that is one item in 2^bits for each token.)
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._encoder = Encoder(spec)
        self._last = spec.last_position
        self._knows = "position" in spec.names
        self._places = [self._encoded(place) for place in range(spec.last_position + 1)]
        self._first = self._encoded(min(1, spec.last_position))

    def _encoded(self, place: int) -> int:
        return self._encoder.coordinate(f"position={place}")

    def move(self, indices: Sequence[int], position: int) -> Sequence[int]:
        """Return the coordinates that are on in the first place, in the same order.

        Args:
            indices: those that are on at `position`.
        """
        place = min(position, self._last)
        if place == 1 or not self._knows:
            return indices
        here, first = self._places[place] if place >= 0 else self._encoded(place), self._first
        if first in indices:
            return [index for index in indices if index != here or index == first]
        return [first if index == here else index for index in indices]
