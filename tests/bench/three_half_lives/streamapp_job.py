"""The job on streamapp's engine: exactly once, counters published at each commit.

One commit in 0.2 s, and in 2 s while it is far behind, as it is for most of a measurement.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import msgspec

from streamapp.engine import roles, worker
from streamapp.engine.ledger import Ledger, Progress
from streamapp.events import decoder
from streamapp.processors.base import Cut, Row
from streamapp.settings import Settings
from tests.bench.three_half_lives.job import State, Wiring, fold, published, report, report_once

ROLE = "bench"
encode = msgspec.json.Encoder().encode


class Watch(msgspec.Struct, frozen=True, gc=False):
    """What the job needs of an event; the rest is checked for being JSON and left out."""

    occurred_at_ms: int
    key: str = msgspec.field(name="item_id")


class Counters(msgspec.Struct, frozen=True, gc=False):
    """A row of the state: what is published of an item."""

    item_id: str
    as_of_ms: int
    a: float = msgspec.field(name="30m")
    b: float = msgspec.field(name="6h")
    c: float = msgspec.field(name="7d")


decode_row = msgspec.json.Decoder(Counters).decode
decode_watch = decoder(Watch, "events")


def nothing_due(stream_time_ms: int) -> None:
    """Stream time goes on, and nothing is ever due."""


class HalfLives:
    """In: events. Kept: one state an item. Out: the counters of each item a commit touched."""

    name: ClassVar[str] = "half_lives"
    inputs: ClassVar[tuple[str, ...]] = ()  # set to the input topic before it is built
    output: ClassVar[str] = ""
    _to_restore: ClassVar[int] = 0  # set to the number of partitions

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._changed: set[str] = set()
        self.advance: Callable[[int], None] = self._begin

    def decoder(self, _topic: str) -> Callable[[bytes], Watch]:
        return decode_watch

    def _begin(self, _stream_time_ms: int) -> None:
        """Tell that the first event is here; from the second on, telling costs nothing."""
        report_once("first")
        self.advance = nothing_due

    def process(self, _topic: str, event: Watch) -> None:
        item, states = event.key, self._states
        states[item] = fold(states.get(item), event.occurred_at_ms)
        self._changed.add(item)

    def follow(self, topic: str, key: str) -> None:
        """There are no broadcast topics."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        rows: list[Row] = []
        for item in self._changed:
            key, value = item.encode(), encode(published(item, self._states[item]))
            rows.append((key, value))
            cut.emit(self.output, key, value)
        self._changed.clear()
        return rows

    def restore(self, rows: Iterable[Row]) -> None:
        states = self._states
        for _, value in rows:
            if value is not None:
                row = decode_row(value)
                states[row.item_id] = [row.as_of_ms, row.a, row.b, row.c]

    def ready(self) -> None:
        HalfLives._to_restore -= 1
        if HalfLives._to_restore == 0:
            report("restored")

    @property
    def rows(self) -> int:
        return len(self._states)


def mark_recovery() -> None:
    """Report when the first partition begins to be restored."""
    restore = Ledger.restore

    async def marked(
        self: Ledger, take: Callable[[str, Sequence[Row]], None], progress: Progress
    ) -> None:
        report_once("restoring")
        await restore(self, take, progress)

    Ledger.restore = marked  # type: ignore[method-assign]


def main() -> int:
    """Run until the harness ends the process."""
    wiring = Wiring.from_argv()
    HalfLives.inputs = (wiring.input_topic,)
    HalfLives.output = wiring.output_topic
    HalfLives._to_restore = wiring.partitions
    mark_recovery()
    roles.ROLES[ROLE] = roles.Role(
        name=ROLE,
        processors=(HalfLives.name,),
        inputs=HalfLives.inputs,
        outputs=(HalfLives.output,),
        broadcasts=(),
        build=lambda _views, _settings: [HalfLives()],
    )
    settings = Settings(
        bootstrap_servers=wiring.bootstrap_servers,
        app_id=wiring.app_id,
        partitions=wiring.partitions,
        log_level="WARNING",
    )
    return worker.run(ROLE, settings, 0)


if __name__ == "__main__":
    sys.exit(main())
