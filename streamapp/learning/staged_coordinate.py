"""One coordinate of a model that learns on trial, with its older states."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from streamapp.learning.coordinate import Coordinate

BIAS: Final = -1
"""The intercept, in place of a coordinate."""

NEVER: Final = -1

State = tuple[float, float, int, float, float, int, float, int, float]
"""z, n, turn, old z, old n, hour, hour's weight, day, day's weight."""


@mypyc_attr(acyclic=True)
class StagedCoordinate(Coordinate):
    """A coordinate with its older states, each with the time it is of.

    Attributes:
        index: the coordinate; `BIAS` is the intercept.
        mark: of the last cut or turn in which it was touched; not kept over a restart.
        turn, old_z, old_n, old_w: the turn it was last touched in, and what it was before.
        hour, hour_w: the hour it was last touched in, and its weight before.
        day, day_w: likewise.
        told: the weight that readers hold.
        beside: the same coordinate of another model, where it was found last.
        held: False once it is forgotten; it then weighs 0, and stays known while readers hold it.
    """

    __slots__ = (
        "beside",
        "day",
        "day_w",
        "held",
        "hour",
        "hour_w",
        "index",
        "mark",
        "old_n",
        "old_w",
        "old_z",
        "told",
        "turn",
    )

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self.mark = self.turn = self.hour = self.day = NEVER
        self.old_z = self.old_n = self.old_w = self.hour_w = self.day_w = self.told = 0.0
        self.held = True
        self.beside: StagedCoordinate | None = None

    def clear(self) -> None:
        """Know nothing; what readers hold of it stays."""
        self.z = self.n = self.w = self.root = 0.0
        self.mark = self.turn = self.hour = self.day = NEVER
        self.old_z = self.old_n = self.old_w = self.hour_w = self.day_w = 0.0

    def accepted(self, turn: int) -> float:
        """Return the weight as last accepted; `turn` is the present one."""
        return self.old_w if self.turn == turn else self.w

    @property
    def state(self) -> State:
        """All there is to restore."""
        return (
            self.z,
            self.n,
            self.turn,
            self.old_z,
            self.old_n,
            self.hour,
            self.hour_w,
            self.day,
            self.day_w,
        )
