"""What a processor is, and what one cut of it writes.

A processor is pure: events go in, one at a time and in stream-time order; a cut takes out
what changed since the last cut. It knows nothing of Kafka, keeps no wall clock and draws no
unseeded random number, so the same events give the same rows and records, live or replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

Row = tuple[bytes, bytes | None]
"""A changelog row: key, value; a value of None deletes the row."""

Output = tuple[bytes | None, bytes | None, bytes | None]
"""An output record: key, value (None deletes), and the key that picks its partition."""


class Event(Protocol):
    """What the engine needs to know of a decoded record."""

    @property
    def occurred_at_ms(self) -> int:
        """Event time, epoch milliseconds UTC."""

    @property
    def key(self) -> str:
        """The value of the topic's key field; the record's key must equal it."""


@dataclass(slots=True)
class Cut:
    """What one consistent cut of a task writes, all of it in one transaction.

    Attributes:
        stream_time_ms: event time the task has reached.
        computed_at_ms: wall clock of the cut, for `computed_at_ms` fields and nothing else.
        partition: of the task; what a task says of its own part is told apart by it.
        rows: changelog rows by processor name, each key once.
        outputs: records by topic, in the order they are to be read.
    """

    stream_time_ms: int
    computed_at_ms: int
    rows: dict[str, list[Row]] = field(default_factory=dict)
    outputs: dict[str, list[Output]] = field(default_factory=dict)
    partition: int = 0

    def emit(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        partition_by: str | None = None,
    ) -> None:
        """Add an output record; its partition is that of `partition_by`, or else of its key."""
        raw = key.encode() if isinstance(key, str) else key
        by = raw if partition_by is None else partition_by.encode()
        self.outputs.setdefault(topic, []).append((raw, value, by))

    def emit_each(self, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
        """Add output records, key and value."""
        made = [(raw := key.encode(), value, raw) for key, value in records]
        self.outputs.setdefault(topic, []).extend(made)

    def emit_all(self, topic: str, key: bytes, values: Iterable[bytes]) -> None:
        """Add output records that have their key in common."""
        self.outputs.setdefault(topic, []).extend([(key, value, key) for value in values])

    def emit_together(
        self, topic: str, records: Iterable[tuple[bytes, bytes | None]], partition_by: str
    ) -> None:
        """Add output records, key and value, that have their partition in common."""
        by = partition_by.encode()
        self.outputs.setdefault(topic, []).extend([(key, value, by) for key, value in records])

    @property
    def empty(self) -> bool:
        """True when there is nothing to write."""
        return not any(self.rows.values()) and not any(self.outputs.values())


class Processor(Protocol):
    """One step of the data flow. A task holds one instance for its partition.

    The engine calls, in this order: `restore` with all rows of the partition (any number of
    times, nothing for a new partition), `ready` once, `advance` with the stream time of the rows
    if there were any, then `process`, `advance`, `follow` and `cut` as things happen. None of
    them awaits; a cut sees all that came before it.
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    """Partitioned input topics; all have the same number of partitions."""

    def decoder(self, topic: str) -> Callable[[bytes], Event]:
        """Return the function that decodes and validates the records of one input.

        It raises Rejection for a record that cannot be used: `invalid_json`, `missing_field`,
        `invalid_field` or `oversized`.
        """

    def process(self, topic: str, event: Any) -> None:
        """Take one event. Stream time was advanced to it before (see `advance`)."""

    def advance(self, stream_time_ms: int) -> None:
        """Stream time is now this (never less than before): do what has become due.

        Called before the event that moved stream time is processed, and when the inputs are
        quiet. Must be cheap when nothing is due. What an event brings that is due already must
        be done with that event: a restore tells the same stream time again.
        """

    def follow(self, topic: str, key: str) -> None:
        """A broadcast record for `key` has changed the shared view of `topic`."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Return the changelog rows that changed since the last cut, and emit the outputs.

        The rows returned and the records given to `cut.emit` together must be enough for
        `restore` to come back to exactly this state. Nothing changed: no rows, no records.
        """

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog, oldest first; a later row replaces an earlier one."""

    def ready(self) -> None:
        """All rows are in and the broadcast views are complete."""

    @property
    def rows(self) -> int:
        """How many keys (viewers, items, …) are held, for the metrics."""
