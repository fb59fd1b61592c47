"""A worker of `ingest` whose processor raises when an event is older than the one before it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from streamapp import cli
from streamapp.engine.roles import ROLES, Views
from streamapp.processors.base import Processor
from streamapp.settings import Settings


def build(views: Views, settings: Settings) -> Sequence[Processor]:
    """Return the processors of `ingest`; the first one watches the order."""
    processors = ingest.build(views, settings)
    first: Any = processors[0]
    process, newest_ms = first.process, 0

    def watching(topic: str, event: Any) -> None:
        nonlocal newest_ms
        if event.occurred_at_ms < newest_ms:
            raise ValueError(f"{newest_ms - event.occurred_at_ms} ms out of order")
        newest_ms = event.occurred_at_ms
        process(topic, event)

    first.process = watching
    return processors


if __name__ == "__main__":
    ingest = ROLES["ingest"]
    ROLES["ingest"] = replace(ingest, build=build)
    sys.exit(cli.main(["worker", "ingest"]))
