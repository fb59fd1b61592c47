"""Workers as they run in production: processes of their own, to signal, stop and kill."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from streamapp.settings import Settings
from streamapp.supervisor import DIE_WITH_PARENT, PORT_FILE, environment

ANSWER_SECONDS = 5.0
"""How long /health and /metrics may take; they are served by a thread of their own."""

_SAMPLE = re.compile(r"(?P<name>[^ #{]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")


class WorkerProcess:
    """One worker process; its output goes to a file.

    It dies with the process that started it, so that no test leaves one behind. Start it from
    a thread that lives as long as the worker is to live (on Linux the kernel asks for that).

    Args:
        role: ingest, signals or learn.
        settings: given to the worker as environment variables.
        directory: where the log and the port are written; a worker each.
        env: further environment variables.
        command: what follows the Python executable instead of the worker's command line, for
            a script of the test's own.
    """

    def __init__(
        self,
        role: str,
        settings: Settings,
        directory: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.role = role
        self.directory = directory
        self._env = {**environment(settings), "PYTHONUNBUFFERED": "1", **(env or {})}
        self._command = list(command or ("-m", "streamapp", "worker", role))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> Self:
        """Start the process, again if it ran before; the log is continued."""
        assert not self.alive, "it is running"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._port_file.unlink(missing_ok=True)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", DIE_WITH_PARENT, str(os.getpid()), *self._command],
                env={**self._env, PORT_FILE: str(self._port_file)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        """Id of the process last started."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """It was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing if the process has ended."""
        assert self._process is not None, "it was never started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, stopped or not, and wait for that; nothing if it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and wait for the graceful end; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end and return the exit code; negative is a signal's number."""
        assert self._process is not None, "it was never started"
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.role} worker did not end in {timeout} s:\n{self.log[-4000:]}"
            ) from None

    @property
    def log(self) -> str:
        """Everything it wrote so far, over all its starts."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    @property
    def port(self) -> int | None:
        """Port of /health and /metrics; None before the worker has told it."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._port_file.read_text())
        return None

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and answer of /health; (0, {}) while nothing answers."""
        status, body = self._get("/health")
        return status, json.loads(body) if body else {}

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics as `name{labels}`, and each name's sum over its labels as `name`.

        Empty while nothing answers.
        """
        samples: dict[str, float] = {}
        for line in self._get("/metrics")[1].splitlines():
            if found := _SAMPLE.fullmatch(line):
                name, value = found["name"], float(found["value"])
                samples[name] = samples.get(name, 0.0) + value
                if found["labels"]:
                    samples[f"{name}{{{found['labels']}}}"] = value
        return samples

    def _get(self, path: str) -> tuple[int, str]:
        if self.port is None:
            return 0, ""
        try:
            with contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
            ) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def until(
        self, done: Callable[[WorkerProcess], object], what: str, timeout: float = 30.0
    ) -> None:
        """Wait until `done(self)`; fail with the log's end when it takes too long or it ends."""
        deadline = time.monotonic() + timeout
        while not done(self):
            if not self.alive or time.monotonic() > deadline:
                state = "has ended" if not self.alive else f"took longer than {timeout} s"
                raise AssertionError(
                    f"{self.role} worker {state}, waiting for: {what}; "
                    f"health {self.health()}; log:\n{self.log[-6000:]}"
                )
            time.sleep(0.1)

    def until_running(self, partitions: int, timeout: float = 30.0) -> None:
        """Wait until it runs this many partitions and restores none."""

        def runs(worker: WorkerProcess) -> bool:
            status, told = worker.health()
            return status == 200 and len(told["running"]) == partitions and not told["restoring"]

        self.until(runs, f"{partitions} running partitions", timeout)

    @property
    def _log_file(self) -> Path:
        return self.directory / "log"

    @property
    def _port_file(self) -> Path:
        return self.directory / "port"
