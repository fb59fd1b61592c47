"""A job as a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamapp.supervisor import DIE_WITH_PARENT

ROOT = Path(__file__).resolve().parents[2]
CORE = max(os.sched_getaffinity(0))
"""The core every job runs on, so that one process of each engine has the same: with two, threads
of one interpreter mostly hand its lock back and forth, and the scheduler decides the result."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class JobFailedError(Exception):
    """A job ended or did not get where it should; the message has the end of its log."""


@dataclass(frozen=True)
class Mark:
    """Where a job said it is.

    Attributes:
        at: wall clock, seconds.
        cpu_s: processor time of the process until then, user and system.
        rows: rows held, where it tells.
    """

    name: str
    at: float
    cpu_s: float
    rows: int = 0


class Job:
    """A running job; killed when the context ends, whatever happens.

    Args:
        python: the interpreter, with what the job imports.
        arguments: what follows it.
        log: gets everything it writes but its marks.
        environment: instead of this process's own.
        pinned: to one core.
    """

    def __init__(
        self,
        python: Path,
        arguments: list[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        pinned: bool = True,
    ) -> None:
        self.log = log
        self._pinned = pinned
        self._environment = os.environ if environment is None else environment
        self.marks: list[Mark] = []
        self._command = [str(python), "-c", DIE_WITH_PARENT, str(os.getpid()), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**self._environment, "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.open("ab"),
            start_new_session=True,
        )
        if self._pinned:
            os.sched_setaffinity(self._process.pid, {CORE})
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("ab") as log:
            for line in self.process.stdout:
                start = line.find(b'{"mark"')
                if start >= 0:
                    told: dict[str, Any] = json.loads(line[start:])
                    self.marks.append(Mark(told.pop("mark"), **told))
                else:
                    log.write(line)

    def cpu_s(self) -> float:
        """Processor time until now, user and system, all threads."""
        return cpu_s(self.process.pid)

    def peak_bytes(self) -> int:
        """Return the most memory it held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def find(self, name: str) -> list[Mark]:
        """Return the marks of this name so far."""
        return [mark for mark in self.marks if mark.name == name]

    def wait_for(self, name: str, timeout: float, count: int = 1) -> Mark:
        """Wait until it has said `name` so many times; return the last."""
        deadline = time.monotonic() + timeout
        while len(self.find(name)) < count:
            self.check(deadline, f"{name!r}")
            time.sleep(0.02)
        return self.find(name)[count - 1]

    def check(self, deadline: float, what: str) -> None:
        """Raise when it has ended, or the deadline (monotonic) has passed."""
        if self.process.poll() is not None or time.monotonic() > deadline:
            ended = self.process.poll() is not None
            end = f"ended with {self.process.returncode}" if ended else "took too long"
            log = self.log.read_text(errors="replace")[-3000:]
            raise JobFailedError(f"the job {end}, waiting for {what}; its log ends:\n{log}")

    def stop(self, timeout: float = 20.0) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process until now, user and system, all threads."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICKS_PER_SECOND
