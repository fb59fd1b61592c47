"""All tests, in less time than one after another: those without a Kafka run beside those with one.

Either leaves a core idle for much of its time. The chaos tests come last and alone, for they say
how long workers take. What runs beside is shown when it has ended.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from typing import IO

BESIDE, ON_KAFKA, ALONE = "not kafka", "kafka and not chaos", "chaos"
"""Marks of the tests of each run; benchmarks are in none."""


class Runs:
    """The runs of pytest, and how they end when this is told to: they clean up first."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self.interrupted = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)

    def start(self, marks: str, shown: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start the tests with these marks; what they say goes to `shown`."""
        command = [sys.executable, "-m", "pytest", "-m", f"({marks}) and not bench"]
        self._running.append(subprocess.Popen(command, stdout=shown, stderr=shown))
        return self._running[-1]

    def _end(self, number: int, _frame: object) -> None:
        self.interrupted = True
        for one in self._running:
            if number == signal.SIGTERM:  # of SIGINT a terminal tells them itself
                one.terminate()


def main() -> int:
    """Run all tests; return 0 when all have passed."""
    runs = Runs()
    with tempfile.TemporaryFile() as shown:
        both = [runs.start(ON_KAFKA), runs.start(BESIDE, shown)]
        codes = [one.wait() for one in both]
        shown.seek(0)
        print(shown.read().decode(errors="replace"), flush=True)
    if not runs.interrupted:
        codes.append(runs.start(ALONE).wait())
    return int(any(codes) or runs.interrupted)


if __name__ == "__main__":
    sys.exit(main())
