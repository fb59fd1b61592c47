"""The job every engine does: three decayed counters an item, one event at a time.

A counter with half-life h is C(t) = sum of 2^(-(t - t_i) / h) over the item's events. State is
four numbers an item: the newest event time and the counters as at it. A late event adds its
already decayed weight, so the order of arrival does not show.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import exp2
from typing import Any

MINUTE_MS = 60_000
HALF_LIVES_MS = {"30m": 30 * MINUTE_MS, "6h": 360 * MINUTE_MS, "7d": 7 * 24 * 60 * MINUTE_MS}
_A, _B, _C = (-1.0 / half_life for half_life in HALF_LIVES_MS.values())

State = list[Any]
"""[as_of_ms, counter 30m, counter 6h, counter 7d]"""


def fold(state: State | None, at_ms: int) -> State:
    """Return the state after one more event at `at_ms`."""
    if state is None:
        return [at_ms, 1.0, 1.0, 1.0]
    as_of_ms, a, b, c = state
    gap = at_ms - as_of_ms
    if gap >= 0:
        return [
            at_ms,
            a * exp2(gap * _A) + 1.0,
            b * exp2(gap * _B) + 1.0,
            c * exp2(gap * _C) + 1.0,
        ]
    return [as_of_ms, a + exp2(-gap * _A), b + exp2(-gap * _B), c + exp2(-gap * _C)]


def published(item_id: str, state: State) -> dict[str, Any]:
    """Return what goes out for an item."""
    return {
        "item_id": item_id,
        "as_of_ms": state[0],
        "30m": state[1],
        "6h": state[2],
        "7d": state[3],
    }


@dataclass(frozen=True)
class Wiring:
    """Where a job reads, writes and keeps its state; handed over as JSON in argv.

    Attributes:
        app_id: consumer group, and what changelog topics are named by.
        directory: an empty or former directory for local state.
        drain: end by itself at the end of the input, where the engine saves its state only so.
    """

    bootstrap_servers: str
    input_topic: str
    output_topic: str
    app_id: str
    directory: str
    partitions: int
    drain: bool = False

    @classmethod
    def from_argv(cls) -> Wiring:
        """Read the wiring and take it off the command line."""
        return cls(**json.loads(sys.argv.pop(1)))


_told: set[str] = set()


def report_once(mark: str) -> None:
    """Report a mark that only its first time counts."""
    if mark not in _told:
        _told.add(mark)
        report(mark)


def report_rows(count: Callable[[], int]) -> None:
    """Report from now on, in the background, how many rows have been restored."""

    def watch() -> None:
        while True:
            report("rows", rows=count())
            time.sleep(0.25)

    threading.Thread(target=watch, daemon=True).start()


def report(mark: str, **more: float) -> None:
    """Tell the harness that this process is at `mark`, with its processor time so far."""
    line = {"mark": mark, "at": time.time(), "cpu_s": time.process_time(), **more}
    # Faust turns sys.stdout into a logger.
    os.write(1, json.dumps(line).encode() + b"\n")
