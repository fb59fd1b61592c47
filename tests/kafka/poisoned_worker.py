"""A worker of `ingest` whose processor raises on actions on one item, as a defect would."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from streamapp import cli
from streamapp.engine.roles import ROLES, Views
from streamapp.processors.base import Processor
from streamapp.settings import Settings

POISON = "poison"


def build(views: Views, settings: Settings) -> Sequence[Processor]:
    """Return the processors of `ingest`; the first one has the defect."""
    processors = ingest.build(views, settings)
    first: Any = processors[0]
    process = first.process

    def raising(topic: str, event: Any) -> None:
        if getattr(event, "item_id", None) == POISON:
            raise ZeroDivisionError("a defect on this item")
        process(topic, event)

    first.process = raising
    return processors


if __name__ == "__main__":
    ingest = ROLES["ingest"]
    ROLES["ingest"] = replace(ingest, build=build)
    sys.exit(cli.main(["worker", "ingest"]))
