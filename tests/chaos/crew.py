"""The crew: workers of each role, and what is done to them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

from streamapp.settings import Settings
from tests.kafka.workers import WorkerProcess

STOP_SECONDS = 9.0
"""A stopped worker's session (6 s) is over before it goes on."""

EDGE_SECONDS = 8.0
"""Without faults at the start and at the end of the load."""

Kind = Literal["kill", "stop", "guest"]


class Fault(NamedTuple):
    """Something done to a worker at a time.

    Attributes:
        seconds: after the start of the load.
        lasts: until the worker is started again, goes on, or (a guest) is told to leave.
    """

    seconds: float
    kind: Kind
    worker: str
    lasts: float


@dataclass(frozen=True, slots=True)
class Storm:
    """How many faults there are.

    Attributes:
        kills: of each worker.
        stops: of any worker.
        guests: workers of each role that join and leave again.
    """

    kills: int = 2
    stops: int = 1
    guests: int = 1

    def faults(
        self, workers: list[str], roles: list[str], seconds: float, seed: int
    ) -> list[Fault]:
        """Draw the faults: each at any time, none to a worker another is still being done to."""
        draw = Random(seed)
        drawn: list[tuple[Kind, str, float, float]] = [
            *(("kill", worker, 0.0, 2.0) for worker in workers for _ in range(self.kills)),
            *(("stop", draw.choice(workers), STOP_SECONDS, 0.0) for _ in range(self.stops)),
            *(("guest", f"{r}-guest{n}", 6.0, 9.0) for r in roles for n in range(self.guests)),
        ]
        faults: list[Fault] = []
        for kind, worker, least, spread in drawn:
            lasts = least + spread * draw.random()
            while True:
                at = draw.uniform(EDGE_SECONDS, seconds - EDGE_SECONDS - lasts)
                fault = Fault(at, kind, worker, lasts)
                if not any(_clash(fault, other) for other in faults):
                    break
            faults.append(fault)
        return sorted(faults)


def _clash(one: Fault, other: Fault) -> bool:
    apart = 4.0  # a worker just started is given the time to come up
    return (
        one.worker == other.worker
        and one.seconds < other.seconds + other.lasts + apart
        and other.seconds < one.seconds + one.lasts + apart
    )


class Crew:
    """Runs workers and does faults to them.

    Attributes:
        hits: monotonic seconds and what was done then to readers' freshness.
        unwanted: ends of workers that nobody had asked for.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        roles: Mapping[str, int],
        other_settings: Mapping[str, Settings],
    ) -> None:
        self._settings = settings
        self._other_settings = other_settings
        self._roles = roles
        self._directory = directory
        self.workers: dict[str, WorkerProcess] = {}
        self.hits: list[tuple[float, str]] = []
        self.done: list[str] = []
        self.unwanted: list[str] = []
        self._down: set[str] = set()
        self._began = time.monotonic()
        for role, count in roles.items():
            for number in range(count):
                self._worker(f"{role}-{number}")

    def _worker(self, name: str) -> WorkerProcess:
        if name not in self.workers:
            role = name.partition("-")[0]
            env = {"STREAMAPP_LOG_LEVEL": "INFO"}
            settings = self._other_settings.get(name, self._settings)
            worker = WorkerProcess(role, settings, self._directory / name, env)
            self.workers[name] = worker
        return self.workers[name]

    def start(self) -> None:
        """Start all workers that are not running."""
        for name, worker in self.workers.items():
            if not worker.alive and "guest" not in name:
                worker.start()

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self.workers.values():
            worker.kill()

    def until_running(self, partitions: int) -> None:
        """Wait until all partitions of each role run, shared by its workers."""
        for role, count in self._roles.items():
            for number in range(count):
                self.workers[f"{role}-{number}"].until_running(partitions // count, 60.0)

    async def stop(self) -> None:
        """End all workers gracefully."""
        running = {name: worker for name, worker in self.workers.items() if worker.alive}
        for worker in running.values():
            worker.signal(signal.SIGTERM)
        for name, worker in running.items():
            if code := await asyncio.to_thread(worker.wait):
                self.unwanted.append(f"{name} ended with {code} when told to end")

    async def suffer(self, faults: list[Fault]) -> None:
        """Do all faults, each at its time, counted from now."""
        self._began = time.monotonic()
        await asyncio.gather(*map(self._do, faults))

    @property
    def elapsed(self) -> float:
        """Seconds since the faults began."""
        return time.monotonic() - self._began

    async def _do(self, fault: Fault) -> None:
        await asyncio.sleep(fault.seconds - self.elapsed)
        worker = self._worker(fault.worker)
        self.hit(f"{fault.kind} {fault.worker}")
        self._down.add(fault.worker)
        if fault.kind == "kill":
            worker.kill()
            await asyncio.sleep(fault.lasts)
            worker.start()
        elif fault.kind == "stop":
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(fault.lasts)
            worker.signal(signal.SIGCONT)
        else:
            worker.start()
            await asyncio.sleep(fault.lasts)
            self.hit(f"{fault.worker} leaves")
            worker.signal(signal.SIGTERM)
            code = await asyncio.to_thread(worker.wait)
            if code:
                self.unwanted.append(f"{fault.worker} left with {code}")
            return
        self._down.discard(fault.worker)

    def hit(self, what: str) -> None:
        """Note that something was done from which readers have to recover."""
        self.hits.append((time.monotonic(), what))
        self.done.append(f"{self.elapsed:5.1f} s {what}")

    async def watch(self) -> None:
        """Start again, as an orchestrator would, what ends by itself; and note it."""
        while True:
            for name, worker in self.workers.items():
                if not worker.alive and name not in self._down:
                    self.unwanted.append(f"{self.elapsed:5.1f} s {name} ended: {worker.wait()}")
                    worker.start()
            await asyncio.sleep(0.2)
