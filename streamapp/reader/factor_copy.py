"""A reader's copy of viewer and item factors: one whole version at a time.

Rows wait until the closing record of their version comes; see `streamapp.reader.version_copy`.

Items lie in one matrix, a row each, bias first: the items that suit a viewer best are found by one
product. The row of an item that is gone is used again for the next new one.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.learning.factor_table import KINDS, Kind, Row, checksum_of, row_of, score
from streamapp.reader.version_copy import VersionCopy
from streamapp.signals import FactorsClose


class _Factor(msgspec.Struct, frozen=True, gc=False):
    """What is needed of a `ModelFactor`."""

    bias: float
    vector: list[float]


_decode_factor = decoder(_Factor, "models.factors")
_decode_close = decoder(FactorsClose, "models.factors")


class FactorCopy(VersionCopy[FactorsClose]):
    """The factors of one model."""

    def __init__(self) -> None:
        super().__init__()
        self._viewers: dict[str, Row] = {}
        self._items = ItemMatrix()
        self._waiting: dict[tuple[Kind, str], Row | None] = {}

    def update(self, name: str, value: bytes | None) -> None:
        """Take one row, by what follows the model in its key: `<kind>/<id>`; None deletes.

        Raises:
            Rejection: the record cannot be used.
        """
        kind, _, entity = name.partition("/")
        if kind not in KINDS:
            raise Rejection("invalid_field", f"{name!r} is no viewer and no item")
        key = (kind, entity)
        row = None
        if value is not None:
            factor = _decode_factor(value)
            row = row_of(factor.bias, factor.vector)
        self._note(key, row)

    def score(self, viewer_id: str, item_id: str) -> float:
        """Return how well an item suits a viewer: bias + product of the vectors, 0 if unknown."""
        return 0.0 if self.close is None else score(self._get, viewer_id, item_id)

    def _get(self, kind: Kind, name: str) -> Row | None:
        return self._viewers.get(name) if kind == "viewer" else self._items.get(name)

    def nearest(self, viewer_id: str, limit: int) -> list[str]:
        """Return the items that suit a viewer best, best first; none for an unknown viewer."""
        viewer = None if self.close is None else self._viewers.get(viewer_id)
        return [] if viewer is None else self._items.best(viewer, limit)

    def _has_all_rows_of(self, width: int) -> bool:
        if any(row is not None and len(row) != width for row in self._waiting.values()):
            return False
        if self._items.width == width or not (self._viewers or len(self._items)):
            return True
        held = {("viewer", name) for name in self._viewers}
        held |= {("item", name) for name in self._items.names()}
        return held <= self._waiting.keys()

    def _former(self, key: tuple[Kind, str]) -> Row | None:
        if key in self._waiting:
            return self._waiting[key]
        return self._get(*key)

    def _note(self, key: tuple[Kind, str], row: Row | None) -> None:
        former = self._former(key)
        self._count_in(
            None if former is None else checksum_of(*key, former),
            None if row is None else checksum_of(*key, row),
        )
        self._waiting[key] = row

    def _decode_close(self, value: bytes) -> FactorsClose:
        return _decode_close(value)

    def _apply(self, close: FactorsClose) -> None:
        if not self._has_all_rows_of(1 + close.dimensions):
            raise Rejection("invalid_field", f"dimensions: not all rows have {close.dimensions}")
        self._items.widen(1 + close.dimensions)
        for (kind, name), row in self._waiting.items():
            if kind == "item":
                self._items.put(name, row)
            elif row is None:
                self._viewers.pop(name, None)
            else:
                self._viewers[name] = row
        self._waiting.clear()

    def _forget(self) -> None:
        """Rows go on waiting for the versions to come."""


class ItemMatrix:
    """Rows of items, one below the other; bias first."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._names: list[str | None] = []
        self._free: list[int] = []
        self._matrix: npt.NDArray[np.float64] = np.zeros((0, 1))

    def __len__(self) -> int:
        return len(self._places)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return int(self._matrix.shape[1])

    def names(self) -> Iterable[str]:
        """Return the items."""
        return self._places

    def widen(self, columns: int) -> None:
        """Give all rows so many columns; rows of another width are about to be replaced."""
        if self.width != columns:
            self._matrix = np.zeros((self._matrix.shape[0], columns))

    def get(self, name: str) -> Row | None:
        """Return the row of an item; it may change with the next version."""
        place = self._places.get(name)
        return None if place is None else self._matrix[place]

    def put(self, name: str, row: Row | None) -> None:
        """Set the row of an item; None removes it."""
        if row is None:
            place = self._places.pop(name, None)
            if place is not None:
                self._names[place] = None
                self._matrix[place] = 0.0
                self._free.append(place)
            return
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self._place()
            self._names[place] = name
        self._matrix[place] = row

    def best(self, viewer: Row, limit: int) -> list[str]:
        """Return the items with the largest bias + product with a viewer's vector, best first."""
        used = len(self._names)
        if not used:
            return []
        scores = self._matrix[:used, 0] + self._matrix[:used, 1:] @ viewer[1:]
        scores[self._free] = -np.inf
        among = min(limit, len(self))
        chosen = np.argpartition(-scores, max(among - 1, 0))[:among]
        ordered = chosen[np.lexsort((chosen, -scores[chosen]))]
        return [name for place in ordered if (name := self._names[place]) is not None]

    def _place(self) -> int:
        if self._free:
            return self._free.pop()
        place = len(self._names)
        self._names.append(None)
        if place == len(self._matrix):
            more = np.zeros((max(64, len(self._matrix)), self._matrix.shape[1]))
            self._matrix = np.concatenate([self._matrix, more])
        return place
