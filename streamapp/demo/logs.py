"""What the processes of the demo log: kept, and shown when something goes wrong."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Collection, Iterator

KEPT = 500


class Logs(logging.Handler):
    """Keeps the last lines of each process; takes this process's own log records too."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KEPT))

    def __call__(self, name: str, line: str) -> None:
        """Keep a line of a process."""
        self._lines[name].append(line)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record of this process."""
        self("demo", self.format(record))

    def last(self, count: int, names: Collection[str] = ()) -> Iterator[str]:
        """Yield the last lines of these processes, or of all, each under its name."""
        for name in sorted(names or self._lines):
            for line in list(self._lines[name])[-count:]:
                yield f"{name:<10} | {line}"
