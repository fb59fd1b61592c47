"""What readers hold of a factor model, and what they have to be told next."""

from __future__ import annotations

import numpy as np

from streamapp.learning.factor_rows import FactorRows
from streamapp.learning.factor_table import FactorTable, Kind, Row

THRESHOLD = 1e-3
"""A row of which no number has moved by this much is withheld until one has."""

Name = tuple[Kind, str]


class FactorPublication:
    """The published rows beside those that learn (staging).

    Attributes:
        epoch: of the last version published; 0 before the first.
        at_ms: stream time at which a version was last due; None before the first.
        table: the rows of that version.
        erased: viewers whose row readers are to lose, whatever else is published.
    """

    def __init__(self, threshold: float, *staging: FactorRows) -> None:
        self.epoch = 0
        self.at_ms: int | None = None
        self.table = FactorTable()
        self.erased: set[Name] = set()
        self._threshold = threshold
        self._staging = {rows.kind: rows for rows in staging}
        self._touched: set[Name] = set()
        self._withheld: set[Name] = set()

    def touch(self, kind: Kind, names: set[str]) -> None:
        """These rows may have changed since the last version."""
        self._touched.update((kind, name) for name in names)

    def erase(self, viewer: str) -> None:
        """The row readers hold of a viewer is to go."""
        if self.table.get("viewer", viewer) is not None:
            self.erased.add(("viewer", viewer))

    def publish(self) -> list[tuple[Kind, str, Row | None]]:
        """Begin the next version; return its changed rows (None deletes)."""
        due = []
        for kind, name in sorted(self._touched | self.erased):
            row = self._staging[kind].get(name)
            if self._is_due(kind, name, row):
                self.table.update(kind, name, row)
                self._withheld.discard((kind, name))
                due.append((kind, name, row))
            elif self._differs(kind, name):
                self._withheld.add((kind, name))
        self._touched.clear()
        self.erased.clear()
        self.epoch += 1
        return due

    def undo(self) -> None:
        """Bring staging back to what is published; who was erased is not brought back."""
        for kind, name in sorted(self._touched | self._withheld):
            if self._differs(kind, name):
                held = None if (kind, name) in self.erased else self.table.get(kind, name)
                self._staging[kind].put_back(name, held)
        self._touched.clear()
        self._withheld.clear()

    def _is_due(self, kind: Kind, name: str, row: Row | None) -> bool:
        held = self.table.get(kind, name)
        if row is None or held is None or (kind, name) in self.erased:
            return row is not held
        return row is not held and float(np.abs(row - held).max()) >= self._threshold

    def restore(self, kind: Kind, name: str, row: Row) -> None:
        """Take what readers hold of a row."""
        self.table.update(kind, name, row)

    def ready(self) -> None:
        """All rows are in, staging's as well: find out where the two differ."""
        for kind, rows in self._staging.items():
            held = {name for name, _ in self.table.items(kind)}
            for name in sorted(held.union(rows.names())):
                self._compare(kind, name)

    def _compare(self, kind: Kind, name: str) -> None:
        row = self._staging[kind].get(name)
        if not self._differs(kind, name):
            self.table.update(kind, name, row)  # one row in memory where there were two
        elif self._is_due(kind, name, row):
            self._touched.add((kind, name))
        else:
            self._withheld.add((kind, name))

    def _differs(self, kind: Kind, name: str) -> bool:
        row, held = self._staging[kind].get(name), self.table.get(kind, name)
        if row is None or held is None:
            return row is not held
        return not np.array_equal(row, held)
