"""The roles as child processes of this machine: `streamapp up`.

A child that ends by itself is started again, a little later each time; one that keeps ending
soon after its start is given up, and with it the whole, so that nothing half alive looks well.
Children die with the supervisor, however it ends: on Linux the kernel sees to that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamapp.engine.roles import ROLES
from streamapp.settings import IGNORED, PREFIX, Settings

PORT_FILE = "STREAMAPP_PORT_FILE"
"""A worker writes its web port into the file its environment names so; here, a pipe."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# PR_SET_PDEATHSIG outlives exec, so a child asks for it and then becomes the worker. Were the
# parent gone already the kernel would never tell, hence the comparison.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""

Write = Callable[[str, str], None]
"""Takes a child's name and a line it wrote, or that is about it."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running.

    Attributes:
        arguments: what follows the Python executable.
    """

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Patience:
    """How children are started again and ended; seconds.

    Attributes:
        first_wait: before the first restart; doubled for each further, up to `longest_wait`.
        settled: a child that lived this long has its earlier crashes forgotten.
        crashes: in a row without settling, after which a child is given up.
        ending: how long children may take to end before they are killed.
    """

    first_wait: float = 0.5
    longest_wait: float = 10.0
    settled: float = 30.0
    crashes: int = 5
    ending: float = 30.0

    def waits(self) -> Iterator[float]:
        """Yield the wait before each restart in a row; when they are used up, give up."""
        for crash in range(self.crashes - 1):
            yield min(self.first_wait * 2**crash, self.longest_wait)


def workers(processes: int) -> list[Child]:
    """Return `processes` workers of each role."""
    return [
        Child(
            role if processes == 1 else f"{role}-{number}",
            ("-m", "streamapp", "worker", role),
        )
        for role in ROLES
        for number in range(1, processes + 1)
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with these settings in the place of its own."""
    others = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(PREFIX) or name.startswith(IGNORED)
    }
    return others | settings.to_env()


def run(settings: Settings, processes: int) -> int:
    """Keep `processes` workers of each role running until told to end; returns the exit code."""

    def write(name: str, line: str) -> None:
        print(f"{name:<10} | {line}", file=sys.stderr, flush=True)  # noqa: T201  # as it is for

    supervisor = Supervisor(workers(processes), environment(settings), write)
    return asyncio.run(supervisor.run())


class Supervisor:
    """Starts children, watches them and ends them.

    Args:
        env: the environment of every child.
        write: given each line the children write, and what becomes of them.

    Attributes:
        ports: the web port of each child that has told it.
        given_up: names of the children that crashed too often.
        restarts: how often children were started again, in all.
    """

    def __init__(
        self,
        children: Sequence[Child],
        env: Mapping[str, str],
        write: Write,
        patience: Patience | None = None,
    ) -> None:
        self.ports: dict[str, int] = {}
        self.given_up: list[str] = []
        self.restarts = 0
        self._children = children
        self._env = {**env, "PYTHONUNBUFFERED": "1"}
        self._write = write
        self._patience = patience or Patience()
        self._running: dict[str, Process] = {}
        self._end = asyncio.Event()
        self._kill = asyncio.Event()

    def stop(self) -> None:
        """Ask for the end; asked again, children are killed instead of waited for."""
        (self._kill if self._end.is_set() else self._end).set()

    async def run(self, *, handle_signals: bool = True) -> int:
        """Run until `stop` or a signal, or until a child is given up (1)."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS if handle_signals else ():
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                loop.add_signal_handler(number, self.stop)
        keeping = [asyncio.create_task(self._keep(child)) for child in self._children]
        ending = asyncio.create_task(self._end_all())
        try:
            await asyncio.gather(*keeping)
        finally:
            for task in (ending, *keeping):
                task.cancel()
            await asyncio.gather(ending, *keeping, return_exceptions=True)
            await self._kill_all()
        return 1 if self.given_up else 0

    async def _keep(self, child: Child) -> None:
        """Run a child again and again until the end."""
        waits = self._patience.waits()
        while True:
            started = time.monotonic()
            code = await self._run_once(child)
            if self._end.is_set():
                self._write(child.name, f"ended ({_told(code)})")
                return
            if time.monotonic() - started >= self._patience.settled:
                waits = self._patience.waits()
            wait = next(waits, None)
            if wait is None:
                self._give_up(child, code)
                return
            self._write(child.name, f"ended ({_told(code)}), starting again in {wait:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), wait)
            if self._end.is_set():
                return
            self.restarts += 1

    def _give_up(self, child: Child, code: int) -> None:
        crashes = self._patience.crashes
        self._write(
            child.name, f"given up: ended {crashes} times in a row ({_told(code)}); ending all"
        )
        self.given_up.append(child.name)
        self._end.set()

    async def _run_once(self, child: Child) -> int:
        process, port_pipe = await self._start(child)
        self._running[child.name] = process
        if self._end.is_set():  # while it was being started
            _send(process, signal.SIGTERM)
        beside = [
            asyncio.create_task(self._forward(child, process)),
            asyncio.create_task(self._tell_port(child, port_pipe)),
        ]
        try:
            code = await process.wait()
            del self._running[child.name]
            # What it still wrote; a grandchild may hold the other end of the pipe for ever.
            await asyncio.wait(beside[:1], timeout=1.0)
            return code
        finally:
            self.ports.pop(child.name, None)
            for task in beside:
                task.cancel()

    async def _start(self, child: Child) -> tuple[Process, int]:
        """Start a child; returns it with the pipe its port comes through."""
        port_pipe, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-c", DIE_WITH_PARENT, str(os.getpid()), *child.arguments),
                env={**self._env, PORT_FILE: f"/dev/fd/{write_end}"},
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                pass_fds=(write_end,),
                # A terminal sends its Ctrl-C to the whole group: children get it from here only.
                start_new_session=True,
            )
        except BaseException:
            os.close(port_pipe)
            raise
        finally:
            os.close(write_end)
        return process, port_pipe

    async def _forward(self, child: Child, process: Process) -> None:
        """Hand on what the child writes, line by line, until it closes its output."""
        assert process.stdout is not None  # noqa: S101  # it was asked for
        rest = b""
        while chunk := await process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._write(child.name, line.decode(errors="replace"))
        if rest:
            self._write(child.name, rest.decode(errors="replace"))

    async def _tell_port(self, child: Child, port_pipe: int) -> None:
        reader = asyncio.StreamReader()
        with os.fdopen(port_pipe, "rb") as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
            try:
                told = await reader.readline()
            finally:
                transport.close()
        if told.strip().isdigit():
            port = self.ports[child.name] = int(told)
            self._write(child.name, f"serves /metrics and /health on port {port}")

    async def _end_all(self) -> None:
        """Once the end is asked for: a signal to each child, and no mercy after a while."""
        await self._end.wait()
        for process in self._running.values():
            _send(process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._kill.wait(), self._patience.ending)
        for name, process in self._running.items():
            self._write(name, "has not ended, killed")
            _send(process, signal.SIGKILL)

    async def _kill_all(self) -> None:
        for process in list(self._running.values()):
            _send(process, signal.SIGKILL)
            await process.wait()


def _send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
