"""Which model to score with: models.versions is the switch.

Of each segment and objective it is the one whose record is the newest with status champion or
rolled_back, once the reader's copy of it holds the epoch that record names, or a later one. Until
then, and while a new champion's weights are still on their way, it is the one before. One that is
warming is not used, nor any more if it was before it began to warm anew.
"""

from __future__ import annotations

from collections.abc import Callable

from streamapp.errors import Rejection
from streamapp.events import decoder
from streamapp.signals import ModelVersion

SERVED = ("champion", "rolled_back")
"""Status of a version to score with."""

CLICK = "click"

_decode = decoder(ModelVersion, "models.versions")

Role = tuple[str, str]
"""Segment and objective."""


class Switch:
    """The newest versions, and which of them are in use."""

    def __init__(self) -> None:
        self._versions: dict[str, tuple[ModelVersion, int]] = {}
        self._in_use: dict[Role, str] = {}
        self._arrived = 0

    def update(self, model: str, value: bytes | None) -> None:
        """Take one record; None: there is no such model any more.

        Raises:
            Rejection: the record cannot be used.
        """
        if value is None:
            self._versions.pop(model, None)
            return
        version = _decode(value)
        if version.model != model:
            raise Rejection("key_mismatch", f"record key {model!r}, model {version.model!r}")
        self._arrived += 1
        self._versions[model] = (version, self._arrived)

    def get(self, model: str) -> ModelVersion | None:
        """Return the newest version of a model."""
        known = self._versions.get(model)
        return None if known is None else known[0]

    def champions(self, epoch_of: Callable[[str], int]) -> dict[Role, ModelVersion]:
        """Return what to score with.

        Args:
            epoch_of: the epoch that the copy of a model holds, 0 for none.
        """
        named: dict[Role, tuple[tuple[int, int, int], ModelVersion]] = {}
        for version, arrived in self._versions.values():
            role = (version.segment, version.objective)
            rank = (version.as_of_ms, version.computed_at_ms, arrived)
            if version.status in SERVED and (role not in named or rank > named[role][0]):
                named[role] = (rank, version)
        for role, (_, version) in named.items():
            if epoch_of(version.model) >= version.version:
                self._in_use[role] = version.model
        return {
            role: self._versions[model][0]
            for role, model in list(self._in_use.items())
            if self._still_there(role, model, epoch_of)
        }

    def _still_there(self, role: Role, model: str, epoch_of: Callable[[str], int]) -> bool:
        version = self.get(model)
        if version is not None and version.status != "warming" and epoch_of(model) > 0:
            return True
        del self._in_use[role]
        return False
