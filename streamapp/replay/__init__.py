"""`streamapp replay`: files of events through the processors that run live, without Kafka.

The same files give the same bytes, however they are read: nothing but event time decides
what is merged when and where a cut is taken, and `computed_at_ms` is the stream time of the cut.

::

    events.*.jsonl ──▶ ingest ──▶ activity.* ────────▶ signals ──▶ signals.items, .queries.jsonl,
    catalog.items.jsonl  │   │                             candidates.trending, .similar.jsonl
                         │   └──▶ training.examples ─▶ learn ────▶ models.*.jsonl
                         ├──▶ signals.viewers.jsonl, training.examples.jsonl, events.rejected.jsonl
                         ├──▶ examples.parquet, if asked for: training.examples as columns
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
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streamapp.collecting import COLLECT_AFTER
from streamapp.errors import ConfigurationError
from streamapp.replay.cascade import Cascade, Write
from streamapp.replay.files import Directory
from streamapp.replay.outputs import Outputs
from streamapp.replay.report import Report
from streamapp.settings import Settings

READ_LINES = 1_000
"""Lines of a file read ahead."""


def run(
    source: Path,
    target: Path | None,
    sort: bool,  # noqa: FBT001  # as the command line has it
    settings: Settings,
    read_lines: int = READ_LINES,
    examples: Path | None = None,
) -> int:
    """Replay the files in `source` into files in `target`; returns the exit code.

    Args:
        target: gets the records of every topic; None to write none of them.
        sort: sort the events by time first; they are then held in memory.
        examples: gets the examples as Parquet.

    Raises:
        ConfigurationError: a directory or file is not as it must be.
        ProcessorFailed: a processor raised on a line; nothing is written then.
    """
    try:
        directory = Directory(source, sort=sort)
        with ExitStack() as stack:
            stack.enter_context(_rare_collections())
            outputs = stack.enter_context(Outputs(target))
            cascade = Cascade(directory, settings, _writer(outputs, examples, stack), read_lines)
            report = Report(directory, cascade, time.monotonic, sys.stderr.write)
            for _ in cascade.run():
                report.tick()
    except OSError as error:
        raise ConfigurationError(str(error)) from error
    sys.stdout.writelines(line + "\n" for line in report.summary(outputs))
    return 0


def _writer(outputs: Outputs, examples: Path | None, stack: ExitStack) -> Write:
    """Return what takes each record; pyarrow is imported only where it is used."""
    if examples is None:
        return outputs.write
    from streamapp.replay.parquet import ExamplesFile  # noqa: PLC0415

    file = stack.enter_context(ExamplesFile(examples))

    def write(topic: str, key: bytes | None, value: bytes | None) -> None:
        outputs.write(topic, key, value)
        file.write(topic, value)

    return write


@contextmanager
def _rare_collections() -> Iterator[None]:
    former = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*former)
