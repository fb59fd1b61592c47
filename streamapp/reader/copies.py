"""Copies of all models that a topic holds, as records of `<model>/…` and `<model>/@epoch`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

CLOSE = "@epoch"
"""What follows the model in the key of a closing record."""


class Copy(Protocol):
    """A copy of one model."""

    @property
    def epoch(self) -> int:
        """Of the version in use; 0 if there is none."""

    @property
    def torn(self) -> int:
        """Closing records in a row that did not fit."""

    @property
    def applied(self) -> int:
        """Versions taken so far."""

    def update(self, name: str, value: bytes | None) -> None:
        """Take a record, by what follows the model in its key."""

    def finish(self, value: bytes | None) -> None:
        """Take a closing record."""


C = TypeVar("C", bound=Copy)


class Copies(Generic[C]):
    """Copies by model.

    A copy of which something was missed, as a deletion while the reader was away for longer than
    the topic keeps deletions, never fits again. Then the topic is *read again*, from its
    beginning, into new copies; those in use stay so until the end has been reached.

    Args:
        new: makes a copy of a model of which nothing is known.
    """

    def __init__(self, new: Callable[[], C]) -> None:
        self._new = new
        self._copies: dict[str, C] = {}
        self._again: dict[str, C] | None = None

    def update(self, key: str, value: bytes | None) -> bool:
        """Take one record; return whether a version may have come or gone.

        Raises:
            Rejection, ConfigurationError: the record cannot be used.
        """
        model, _, name = key.partition("/")
        copies = self._copies if self._again is None else self._again
        copy = copies.get(model)
        if copy is None:
            copy = copies[model] = self._new()
        if name != CLOSE:
            copy.update(name, value)
            return False
        copy.finish(value)
        return self._again is None

    def get(self, model: str) -> C | None:
        """Return the copy of a model, None if nothing is known of it."""
        return self._copies.get(model)

    def models(self) -> Iterable[tuple[str, C]]:
        """Return all copies, by model."""
        return self._copies.items()

    @property
    def torn(self) -> bool:
        """True when the last version of a model did not fit."""
        return any(copy.torn for copy in self._copies.values())

    def read_again(self) -> None:
        """All records come once more, from the first one on."""
        self._again = {}

    def read_through(self) -> None:
        """All records have come once more; what is whole of it is used from now on."""
        again, self._again = self._again, None
        for model, copy in (again or {}).items():
            if copy.epoch or model not in self._copies:
                self._copies[model] = copy
