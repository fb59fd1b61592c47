"""`streamapp replay`: files of events through the processors that run live, without Kafka.

The same files give the same bytes, however they are read: nothing but event time decides
what is merged when and where a cut is taken, and `computed_at_ms` is the stream time of the cut.

::

    events.*.jsonl ──▶ ingest ──▶ activity.* ────────▶ signals ──▶ signals.items, .queries.jsonl,
    catalog.items.jsonl  │   │                             candidates.trending, .similar.jsonl
                         │   └──▶ training.examples ─▶ learn ────▶ models.*.jsonl
                         ├──▶ signals.viewers.jsonl, training.examples.jsonl, events.rejected.jsonl
                         └─◀─ control.parameters.jsonl, from learn unless they are given

Files are read as they are needed, whatever their size; what stays in memory is what a worker holds,
and catalog.items whole. With `--sort` the events are held too.

Bad lines go to events.rejected, with the line number as offset. When the files have ended, the
windows still open are closed. See `files` for what a line may hold, `cascade` for the cuts.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamapp.errors import ConfigurationError
from streamapp.replay.cascade import Cascade
from streamapp.replay.files import Directory
from streamapp.replay.outputs import Outputs
from streamapp.replay.report import Report
from streamapp.settings import Settings

READ_LINES = 1_000
"""Lines of a file read ahead."""

COLLECT_AFTER = (100_000, 20, 100)
"""Allocations between two runs of the garbage collector: what is kept holds no cycles."""


def run(
    source: Path,
    target: Path,
    sort: bool,  # noqa: FBT001  # as the command line has it
    settings: Settings,
    read_lines: int = READ_LINES,
) -> int:
    """Replay the files in `source` into files in `target`; returns the exit code.

    Args:
        sort: sort the events by time first; they are then held in memory.

    Raises:
        ConfigurationError: a directory or file is not as it must be.
        ProcessorFailed: a processor raised on a line; nothing is written then.
    """
    try:
        directory = Directory(source, sort=sort)
        with _rare_collections(), Outputs(target) as outputs:
            cascade = Cascade(directory, settings, outputs.write, read_lines)
            report = Report(directory, cascade, time.monotonic, sys.stderr.write)
            for _ in cascade.run():
                report.tick()
    except OSError as error:
        raise ConfigurationError(str(error)) from error
    sys.stdout.writelines(line + "\n" for line in report.summary(outputs))
    return 0


@contextmanager
def _rare_collections() -> Iterator[None]:
    former = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*former)
