"""A worker of `ingest` whose processor raises where the test wants it to; its argument says when.

poisoned  on an action on one item, as a defect would
ordered   on an event that is older than the one before it
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from streamapp import cli
from streamapp.engine.roles import ROLES, Views
from streamapp.processors.base import Processor
from streamapp.settings import Settings

POISON = "poison"

Process = Callable[[str, Any], None]


def poisoned(process: Process) -> Process:
    """Return what processes as before, but for one item."""

    def raising(topic: str, event: Any) -> None:
        if getattr(event, "item_id", None) == POISON:
            raise ZeroDivisionError("a defect on this item")
        process(topic, event)

    return raising


def ordered(process: Process) -> Process:
    """Return what processes as before, as long as events come in order."""
    newest_ms = 0

    def watching(topic: str, event: Any) -> None:
        nonlocal newest_ms
        if event.occurred_at_ms < newest_ms:
            raise ValueError(f"{newest_ms - event.occurred_at_ms} ms out of order")
        newest_ms = event.occurred_at_ms
        process(topic, event)

    return watching


ALTERED = {"poisoned": poisoned, "ordered": ordered}


class Altered:
    """A processor that processes in another way, and does all else as before."""

    def __init__(self, processor: Any, process: Process) -> None:
        self._processor = processor
        self.process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


def run(altered: Callable[[Process], Process]) -> int:
    """Run a worker; each task's first processor processes in the altered way."""
    ingest = ROLES["ingest"]

    def build(views: Views, settings: Settings) -> Sequence[Processor]:
        first, *others = ingest.build(views, settings)
        changed: Any = Altered(first, altered(first.process))
        return [changed, *others]

    ROLES["ingest"] = replace(ingest, build=build)
    return cli.main(["worker", "ingest"])


if __name__ == "__main__":
    sys.exit(run(ALTERED[sys.argv[1]]))
