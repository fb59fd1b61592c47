"""Admission of input records: what is checked before a processor sees an event.

Decoding finds what is wrong with the bytes; here are the checks that need the record's key,
place and time. Nothing raises for bad input: a record becomes an event or a Rejection. A decoder
that raises anything else is at fault itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from streamapp.engine.merge import AT_ONCE, Entry, Record
from streamapp.engine.partitioner import Partitioner
from streamapp.errors import ProcessorFailed, Rejection
from streamapp.processors.base import Cut, Event
from streamapp.signals import RejectedRecord

REJECTED = "events.rejected"
KEPT_BYTES = 64 * 1024
"""How much of a rejected record is kept; a larger one could not be written at all."""

REMEMBERED_KEYS = 1 << 16
"""Of a task, whose partition is known to be right: popular keys come again."""

UNLIMITED_MS = 1 << 61
"""A bound that no time exceeds."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Rules:
    """Bounds on input records.

    Attributes:
        grace_ms: how far behind stream time an event may be.
        in_future_ms: how far ahead of its Kafka timestamp an event may be.
        max_event_bytes: largest record value.
        skip: (topic, partition, offset) of records an operator has named to be left out.
        never_late: topics whose records are taken however far behind they are.
    """

    grace_ms: int = 86_400_000
    in_future_ms: int = 300_000
    max_event_bytes: int = 262_144
    skip: frozenset[tuple[str, int, int]] = frozenset()
    never_late: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Routing:
    """Where keys belong, to find records that a join would miss."""

    partitioner: Partitioner
    name: str
    partitions: int


class Admission:
    """Turns the records of one task's partition into events or Rejections.

    Args:
        routing: None where partitions say nothing (a replay reads files).
    """

    def __init__(self, partition: int, rules: Rules, routing: Routing | None) -> None:
        self.partition = partition
        self.rules = rules
        self.routing = routing
        self._routed: dict[bytes | None, str] = {}

    def admit(
        self,
        topic: str,
        records: Sequence[Record],
        decode: Callable[[bytes], Event],
        queue: deque[Entry],
    ) -> None:
        """Decode and check records, and queue what became of each.

        Raises:
            ProcessorFailed: the decoder raised something else than a Rejection.
        """
        put, routed = queue.append, self._routed
        # Where records are to be left out, each is looked at more closely.
        limit = -1 if self.rules.skip else self.rules.max_event_bytes
        ahead_ms = self.rules.in_future_ms
        for record in records:
            value = record.value
            try:
                if value is None or len(value) > limit:
                    value = self._whole(topic, record)
                event = decode(value)
                time_ms = event.occurred_at_ms
                # What a check of this key found out is not found out again for each event.
                if routed.get(record.key) != event.key:
                    self._check_key(record.key, event)
                if time_ms > record.timestamp + ahead_ms:
                    self._check_time(record, time_ms)
            except Rejection as rejection:
                put((AT_ONCE, rejection, record))
            except Exception as exc:
                raise ProcessorFailed(topic, self.partition, record.offset, exc) from exc
            else:
                put((time_ms, event, record))

    def _whole(self, topic: str, record: Record) -> bytes:
        rules, value = self.rules, record.value
        if (topic, self.partition, record.offset) in rules.skip:
            raise Rejection("skipped", "left out by STREAMAPP_SKIP")
        if value is None:
            raise Rejection("invalid_json", "the record has no value")
        if len(value) > rules.max_event_bytes:
            raise Rejection(
                "oversized", f"{len(value)} bytes; at most {rules.max_event_bytes} are taken"
            )
        return value

    def _check_key(self, key: bytes | None, event: Event) -> None:
        if key is None or key != event.key.encode():
            shown = None if key is None else key[:100]
            raise Rejection("key_mismatch", f"record key {shown!r}, key field {event.key!r}")
        routing = self.routing
        if routing is not None:
            belongs = routing.partitioner(key, routing.partitions)
            if belongs != self.partition:
                raise Rejection(
                    "misrouted",
                    f"{routing.name} puts this key on partition {belongs} of "
                    f"{routing.partitions}, it came on {self.partition}: joins need one "
                    "partitioner on all event topics (STREAMAPP_PARTITIONER)",
                )
        if len(self._routed) >= REMEMBERED_KEYS:
            self._routed.clear()
        self._routed[key] = event.key

    def _check_time(self, record: Record, time_ms: int) -> None:
        if record.timestamp >= 0:
            raise Rejection("in_future", f"occurred_at_ms {time_ms}, written at {record.timestamp}")


def too_late(event: Event, stream_time_ms: int, rules: Rules) -> Rejection:
    """Return the rejection of an event that is older than the grace allows."""
    return Rejection(
        "too_late",
        f"occurred_at_ms {event.occurred_at_ms} is more than {rules.grace_ms} ms "
        f"behind stream time {stream_time_ms}",
    )


@dataclass(frozen=True, slots=True)
class Refused:
    """A rejected record, waiting for the next cut."""

    topic: str
    partition: int
    record: Record
    rejection: Rejection

    def emit(self, cut: Cut) -> None:
        """Write it to events.rejected, keyed as the source was; at most 64 KiB of each are kept."""
        value, key = self.record.value or b"", self.record.key
        whole = len(value) <= KEPT_BYTES
        row = RejectedRecord(
            topic=self.topic,
            partition=self.partition,
            offset=self.record.offset,
            reason=self.rejection.reason,
            detail=self.rejection.detail,
            record=None if self.record.value is None else _base64(value[:KEPT_BYTES]),
            key=None if key is None else _base64(key[:KEPT_BYTES]),
            truncated=not whole,
            size=len(value),
            sha256=None if whole else hashlib.sha256(value).hexdigest(),
            as_of_ms=cut.stream_time_ms,
            computed_at_ms=cut.computed_at_ms,
        )
        cut.emit(REJECTED, None if key is None else key[:KEPT_BYTES], _encode(row))


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
