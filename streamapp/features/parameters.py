"""Numbers a processor needs from outside its partition: control.parameters.

The history of each is kept: the record in force at an event's time counts for the event, so a
replay computes what was computed live. Where none is in force the shipped defaults are.

====================  ==========================================  ==========================
name                  value                                       shipped
====================  ==========================================  ==========================
position_ctr/SURFACE  mean click rate by position, the last       0.05 · position^−0.7
                      entry for all beyond
prior/RATE/CATEGORY   what RATE is shrunk towards in a category   prior/RATE
prior/RATE            what RATE is shrunk towards                 ctr 0.03, completion_rate
                                                                  0.3, watch_ratio 0.5
theta/SURFACE         examination probability by position         none
anomaly/session       half-space trees and a threshold, see       none
                      `streamapp.features.half_space`
====================  ==========================================  ==========================
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from typing import Final, TypeVar

from streamapp.errors import Rejection
from streamapp.events import Parameter, decode_parameter
from streamapp.features import half_space
from streamapp.features.session_vector import FEATURES

SHIPPED_PRIORS = {"ctr": 0.03, "completion_rate": 0.3, "watch_ratio": 0.5}
BY_POSITION = ("position_ctr/", "theta/")
"""Parameters that are lists by position."""

Value = float | tuple[float, ...]
_T = TypeVar("_T")


@lru_cache(maxsize=4096)
def shipped_position_ctr(position: int) -> float:
    """Return the mean click rate at a position (1 is the top) where nothing better is known.

    >>> shipped_position_ctr(1), round(shipped_position_ctr(10), 6)
    (0.05, 0.009976)
    """
    return 0.05 * math.pow(position, -0.7)


_TABLED: Final = 1_000
_SHIPPED: Final = [0.0, *map(shipped_position_ctr, range(1, _TABLED))]


class Parameters:
    """A view of control.parameters, shared by all tasks of a worker."""

    def __init__(self) -> None:
        self._history: dict[str, list[tuple[int, Value]]] = {}

    def update(self, key: str, value: bytes | None) -> bool:
        """Take one record; None takes all of the parameter's history back. Return if it changed.

        Of two records valid from the same time the later one counts.

        Raises:
            Rejection: the record cannot be used; what was known before stays.
        """
        if value is None:
            return self._history.pop(key, None) is not None
        parameter = decode_parameter(value)
        if parameter.name != key:
            raise Rejection("key_mismatch", f"record key {key!r}, name {parameter.name!r}")
        _check(parameter)
        return self._insert(parameter)

    def _insert(self, parameter: Parameter) -> bool:
        history = self._history.setdefault(parameter.name, [])
        entry = (parameter.valid_from_ms, parameter.value)
        at = bisect_right(history, entry[0], key=lambda known: known[0])
        if at and history[at - 1][0] == entry[0]:
            changed = history[at - 1] != entry
            history[at - 1] = entry
            return changed
        history.insert(at, entry)
        return True

    def get(self, name: str, at_ms: int, default: _T) -> Value | _T:
        """Return the value in force at an event time, or else `default`."""
        history = self._history.get(name)
        if history is None:
            return default
        valid_from_ms, value = history[-1]
        if valid_from_ms <= at_ms:  # mostly the newest one
            return value
        at = bisect_right(history, at_ms, key=lambda known: known[0])
        return history[at - 1][1] if at else default

    def click_rates(self, surface: str, at_ms: int, positions: list[int]) -> list[float]:
        """Return the mean click rate of a surface at each of these positions."""
        value = self.get(f"position_ctr/{surface}", at_ms, None)
        if value is None:
            return [
                _SHIPPED[position] if position < _TABLED else shipped_position_ctr(position)
                for position in positions
            ]
        rates = value if isinstance(value, tuple) else (value,)
        return [rates[min(position, len(rates)) - 1] for position in positions]

    def prior(self, rate: str, category: str | None, at_ms: int) -> float:
        """Return what a rate is shrunk towards: the category's, or else the general prior."""
        shipped = SHIPPED_PRIORS[rate]
        if not self._history:
            return shipped
        general = self.get(f"prior/{rate}", at_ms, shipped)
        special = (
            general if category is None else self.get(f"prior/{rate}/{category}", at_ms, general)
        )
        return special if isinstance(special, float) else special[0]


def _check(parameter: Parameter) -> None:
    """Refuse what could not be computed with."""
    name, value = parameter.name, parameter.value
    numbers = value if isinstance(value, tuple) else (value,)
    if name.startswith("prior/") and isinstance(value, tuple):
        raise Rejection("invalid_field", "value: a prior is one number")
    if name == half_space.PARAMETER:
        flaw = half_space.flaw(numbers, len(FEATURES))
        if flaw is not None:
            raise Rejection("invalid_field", f"value: {flaw}")
    if name.startswith(("prior/", *BY_POSITION)) and min(numbers) < 0:
        raise Rejection("invalid_field", f"value: {min(numbers)} is below 0")
