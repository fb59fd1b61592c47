"""A small processor for tests of the engine: everything it keeps depends on the order of events.

Each event of a key goes into the key's digest, which tells orders apart, and opens a window; a
window of W ms from t closes when stream time > t + W, at once if an event opens it so late, and
is then sent out with the digest as it is at that moment. So a record that is processed twice, not
at all, or in another order shows in the state and in the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import ClassVar, NamedTuple

import msgspec

from streamapp.errors import Rejection
from streamapp.processors.base import Cut, Row

INPUTS = ("a", "b", "c")
OUTPUT = "digests"
WINDOW_MS = 20


class Event(msgspec.Struct, frozen=True):
    """`at` is the event time; `n` tells events apart; `fail` makes the processor raise."""

    key: str
    at: int
    n: int
    fail: bool = False

    @property
    def occurred_at_ms(self) -> int:
        return self.at


class Kept(msgspec.Struct):
    """What a key's row holds: count, digest, and the times of its open windows."""

    count: int = 0
    digest: int = 0
    windows: list[int] = []


class Fake(NamedTuple):
    """A Kafka record."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = -1


def record(offset: int, event: Event, timestamp: int = -1) -> Fake:
    return Fake(offset, event.key.encode(), msgspec.json.encode(event), timestamp)


def decode_event(value: bytes) -> Event:
    try:
        return msgspec.json.decode(value, type=Event)
    except msgspec.ValidationError as error:
        raise Rejection("invalid_field", str(error)) from None
    except msgspec.DecodeError as error:
        raise Rejection("invalid_json", str(error)) from None


def event_of(value: bytes | None) -> Event:
    """What a good producer meant; the tests' own decoding."""
    assert value is not None
    return msgspec.json.decode(value, type=Event)


class Tally:
    """See the module's docstring.

    Attributes:
        seen: every event processed, as (topic, event), in order.
    """

    name: ClassVar[str] = "tally"
    inputs: ClassVar[tuple[str, ...]] = INPUTS

    def __init__(self) -> None:
        self.seen: list[tuple[str, Event]] = []
        self.times: list[int] = []
        self.followed: list[tuple[str, str]] = []
        self.is_ready = False
        self.kept: dict[str, Kept] = {}
        self._touched: dict[str, None] = {}
        self._timers: list[tuple[int, str]] = []
        self._closed: list[tuple[str, bytes]] = []

    def decoder(self, topic: str) -> Callable[[bytes], Event]:  # noqa: ARG002
        return decode_event

    def process(self, topic: str, event: Event) -> None:
        if event.fail:
            raise ValueError("told to fail")
        self.seen.append((topic, event))
        kept = self.kept.setdefault(event.key, Kept())
        kept.count += 1
        kept.digest = (kept.digest * 1_000_003 + event.n + 1) % (1 << 61)
        kept.windows.append(event.at)
        heappush(self._timers, (event.at + WINDOW_MS, event.key))
        self._touched[event.key] = None
        self._close_due()

    def advance(self, stream_time_ms: int) -> None:
        self.times.append(stream_time_ms)
        self._close_due()

    def _close_due(self) -> None:
        stream_time_ms = self.times[-1] if self.times else 0
        while self._timers and self._timers[0][0] < stream_time_ms:
            due_ms, key = heappop(self._timers)
            kept = self.kept[key]
            kept.windows.remove(due_ms - WINDOW_MS)
            told = {"at": due_ms, "count": kept.count, "digest": kept.digest}
            self._closed.append((key, msgspec.json.encode(told)))
            self._touched[key] = None

    def follow(self, topic: str, key: str) -> None:
        self.followed.append((topic, key))

    def cut(self, cut: Cut) -> Iterable[Row]:
        for key, told in self._closed:
            cut.emit(OUTPUT, key, told)
        self._closed.clear()
        touched, self._touched = self._touched, {}
        return [(key.encode(), msgspec.json.encode(self.kept[key])) for key in touched]

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, value in rows:
            assert value is not None
            self.kept[key.decode()] = msgspec.json.decode(value, type=Kept)

    def ready(self) -> None:
        self.is_ready = True
        self._timers = [(at + WINDOW_MS, k) for k, kept in self.kept.items() for at in kept.windows]
        self._timers.sort()

    @property
    def rows(self) -> int:
        return len(self.kept)


class Handled(NamedTuple):
    """What an oracle says comes of a list of events in order."""

    kept: Mapping[str, Kept]
    closed: list[tuple[str, bytes]]


def handled(events: Iterable[Event]) -> Handled:
    """By the definition, without timers: every window is looked at before and after each event."""
    kept: dict[str, Kept] = {}
    closed: list[tuple[str, bytes]] = []
    stream_time_ms = 0

    def close_due() -> None:
        due = sorted(
            (at + WINDOW_MS, key)
            for key, one in kept.items()
            for at in one.windows
            if stream_time_ms > at + WINDOW_MS
        )
        for due_ms, key in due:
            one = kept[key]
            one.windows.remove(due_ms - WINDOW_MS)
            told = {"at": due_ms, "count": one.count, "digest": one.digest}
            closed.append((key, msgspec.json.encode(told)))

    for event in events:
        stream_time_ms = max(stream_time_ms, event.at)
        close_due()
        one = kept.setdefault(event.key, Kept())
        one.count += 1
        one.digest = (one.digest * 1_000_003 + event.n + 1) % (1 << 61)
        one.windows.append(event.at)
        close_due()
    return Handled(kept, closed)
