"""What an event costs each process that has a part in it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.process import cpu_s


class Meter:
    """Processor time of some processes from one number of events to another.

    It is all they do in that time, commits and waking up for nothing included: the fewer events a
    second, the more each costs.

    Args:
        pids: by name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._began: dict[str, float] | None = None
        self._events = 0

    @property
    def running(self) -> bool:
        """True once it was started."""
        return self._began is not None

    def start(self, events: int) -> None:
        """Count from here, when so many events have been sent."""
        self._began, self._events = self._read(), events

    def stop(self, events: int) -> dict[str, float]:
        """Return microseconds an event by name; nothing when it was never started."""
        began, count = self._began, events - self._events
        if began is None or not count:
            return {}
        return {name: 1e6 * (now - began[name]) / count for name, now in self._read().items()}

    def _read(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self._pids.items()}
