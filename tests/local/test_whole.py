"""The whole of it on this machine, from the command line, on the embedded broker."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from streamapp.engine.embedded import PARTITIONS, EmbeddedBroker
from streamapp.settings import Settings
from streamapp.supervisor import environment

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
MARK = "STREAMAPP_TEST_RUN"


class Command:
    """A `streamapp` command, and every process that comes of it, told by a mark they inherit."""

    def __init__(self, *arguments: str, env: dict[str, str], temporary: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamapp", *arguments],
            env={**env, MARK: self.mark, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.output: IO[str] = self.process.stdout
        self.lines: list[str] = []

    def until(self, pattern: str, times: int = 1) -> None:
        """Read lines until so many have matched."""
        for line in self.output:
            self.lines.append(line.rstrip("\n"))
            times -= bool(re.search(pattern, line))
            if not times:
                return
        raise AssertionError("\n".join(["it ended before it said so:", *self.lines]))

    def finish(self) -> int:
        """Read to the end; returns the exit code."""
        self.lines += self.output.read().splitlines()
        return self.process.wait(30)

    @property
    def processes(self) -> list[int]:
        """Processes of this run that are alive."""
        marked = f"{MARK}={self.mark}".encode()
        return [
            int(p.parent.name) for p in Path("/proc").glob("[0-9]*/environ") if marked in read(p)
        ]

    def end(self) -> None:
        for pid in self.processes:
            os.kill(pid, signal.SIGKILL)
        self.output.close()
        self.process.wait(30)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is not ours
        return b""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    commands: list[Command] = []

    def started(*arguments: str, env: dict[str, str]) -> Command:
        commands.append(Command(*arguments, env=env, temporary=tmp_path))
        return commands[-1]

    yield started
    for command in commands:
        command.end()


PLAIN = environment(Settings())


def number(command: Command, name: str) -> int:
    line = next(line for line in command.lines if line.startswith(name))
    return int(line.removeprefix(name).split()[0].replace(",", ""))


@linux
def test_the_demo_turns_events_into_signals_and_weights_and_leaves_nothing(start):
    demo = start("demo", "--seconds", "10", "--rate", "200", env=PLAIN)
    assert demo.finish() == 0, "\n".join(demo.lines)
    assert "embedded broker" in demo.lines[0]
    for name in ("events sent", "signals.items", "signals.viewers", "training.examples"):
        assert number(demo, name) > 100
    for name in ("models.versions", "models.weights"):
        assert number(demo, name) > 0
    assert demo.processes == []
    assert list(demo.temporary.iterdir()) == []


@linux
def test_ctrl_c_ends_the_demo_early_with_its_summary(start):
    demo = start("demo", "--seconds", "600", env=PLAIN)
    demo.until(r"running, \d+ of 600 s")
    demo.process.send_signal(signal.SIGINT)
    demo.finish()
    assert number(demo, "events sent") > 0
    assert demo.processes == []


@linux
def test_a_killed_demo_leaves_no_process_and_no_file(start):
    demo = start("demo", "--seconds", "600", env=PLAIN)
    demo.until(r"running, \d+ of 600 s")
    assert len(demo.processes) == 4
    demo.process.kill()
    deadline = time.monotonic() + 20
    while demo.processes and time.monotonic() < deadline:
        time.sleep(0.05)
    assert demo.processes == []
    assert list(demo.temporary.iterdir()) == []


@linux
def test_up_keeps_one_worker_of_each_role_running_until_told_to_end(start):
    with EmbeddedBroker() as broker:
        settings = Settings(
            bootstrap_servers=broker.bootstrap_servers, partitions=PARTITIONS, check_crcs=False
        )
        up = start("up", env=environment(settings))
        up.until(r"serves /metrics and /health on port \d+", times=3)
        workers = up.processes
        assert len(workers) == 4
        victim = next(pid for pid in workers if b"learn" in read(Path(f"/proc/{pid}/cmdline")))
        os.kill(victim, signal.SIGKILL)
        up.until(r"learn +\| ended \(by SIGKILL\), starting again")
        up.until(r"learn +\| serves /metrics")
        up.process.send_signal(signal.SIGTERM)
        assert up.finish() == 0, "\n".join(up.lines)
    assert up.processes == []
    assert sum("ended (exit code 0)" in line for line in up.lines) == 3
