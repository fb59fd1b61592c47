"""What a replay tells a person: how far it is, and in the end what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from streamapp.replay.cascade import Cascade
from streamapp.replay.files import Directory
from streamapp.replay.outputs import Outputs

EVERY_SECONDS = 5.0


class Report:
    """Tells progress now and then.

    Args:
        clock: monotonic seconds.
        write: takes text to show while running.
    """

    def __init__(
        self,
        directory: Directory,
        cascade: Cascade,
        clock: Callable[[], float],
        write: Callable[[str], object],
    ) -> None:
        self._directory = directory
        self._cascade = cascade
        self._clock = clock
        self._write = write
        self._began = self._told = clock()
        self._told_lines = 0

    def tick(self) -> None:
        """Tell how far it is, unless that was told a moment ago."""
        now = self._clock()
        if now - self._told < EVERY_SECONDS:
            return
        lines = self._directory.lines.total()
        rate = (lines - self._told_lines) / (now - self._told)
        rows = ", ".join(f"{count:,} {name}" for name, count in self._cascade.rows.items())
        reached = _iso(self._cascade.stream_time_ms)
        self._write(f"{lines:,} lines, {rate:,.0f} a second; at {reached}; held: {rows}\n")
        self._told, self._told_lines = now, lines

    def summary(self, outputs: Outputs) -> Iterator[str]:
        """Yield the lines that say what was done."""
        seconds = self._clock() - self._began
        lines, rejected = self._directory.lines, self._cascade.rejected
        rate = lines.total() / max(seconds, 1e-9)
        yield f"replayed {lines.total():,} lines in {seconds:.1f} s, {rate:,.0f} a second"
        for topic, count in lines.items():
            yield f"  read     {count:>12,}  {topic}"
        if self._directory.erased:
            yield f"  erased   {self._directory.erased:>12,}"
        for topic, count in outputs.records.items():
            yield f"  written  {count:>12,}  {topic}"
        for reason, count in sorted(rejected.items()):
            yield f"  rejected {count:>12,}  {reason}"
        for name, count in self._cascade.passed_over.items():
            if count:
                yield f"  noted    {count:>12,}  {name}"


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
