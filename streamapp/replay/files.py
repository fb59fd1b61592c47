"""The files of a replay: `<topic>.jsonl`, one event a line, its key the event's key field.

Besides its event a line may hold `timestamp_ms`, the time the record reached Kafka: `in_future`
is judged by it, and it is when a catalog line became known. A line `{"key": …, "value": null}`
is a deletion. Empty lines say nothing.

privacy.erasures come before anything else: what a viewer did up to `requested_at_ms` is as if it
had never been written, be it usable or not. Files of topics that nothing reads yet are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamapp.engine.merge import AT_ONCE
from streamapp.engine.roles import ROLES
from streamapp.errors import ConfigurationError, Rejection
from streamapp.events import decode_erasure

SUFFIX = ".jsonl"
CATALOG, PARAMETERS, ERASURES = "catalog.items", "control.parameters", "privacy.erasures"
EVENTS = tuple(topic for topic in ROLES["ingest"].inputs if topic != ERASURES)
TOPICS = (*EVENTS, CATALOG, PARAMETERS, ERASURES)
_LEFT_ALONE = {"catalog.creators", "quality.verdicts"}


class Line(NamedTuple):
    """A line, as the engine reads a Kafka record.

    Attributes:
        offset: number of the line, the first is 1.
        timestamp: epoch ms it reached Kafka at; -1 when it does not say.
        time_ms: event time; None when it has none that can be read.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    time_ms: int | None = None


class _EventHead(msgspec.Struct, gc=False):
    """What has to be known of a line before a processor decodes it; any of it may be ill-typed."""

    key: Any = None
    value: Any = msgspec.UNSET
    timestamp_ms: Any = None
    named: Any = msgspec.field(default=None, name="viewer_id")
    time_ms: Any = msgspec.field(default=None, name="occurred_at_ms")


class _CatalogHead(_EventHead, gc=False):
    named: Any = msgspec.field(default=None, name="item_id")
    time_ms: Any = msgspec.field(default=None, name="published_at_ms")


class _ParameterHead(_EventHead, gc=False):
    named: Any = msgspec.field(default=None, name="name")
    time_ms: Any = msgspec.field(default=None, name="valid_from_ms")


_HEADS = {CATALOG: _CatalogHead, PARAMETERS: _ParameterHead}


class Directory:
    """A directory of files to replay.

    Args:
        sort: give the events by time instead of in the order of their lines.

    Attributes:
        lines: read so far, by topic.
        erased: of these, how many were left out because of privacy.erasures.
        refused: lines of privacy.erasures that cannot be used.

    Raises:
        ConfigurationError: naming what is missing, unknown or unusable.
    """

    def __init__(self, path: Path, *, sort: bool) -> None:
        self.lines: Counter[str] = Counter()
        self.erased = 0
        self._sort = sort
        self._files = _files(path)
        self.refused: list[tuple[Line, Rejection]] = []
        self._erasures = dict(self._read_erasures())

    def events(self, topic: str) -> Iterator[Line]:
        """Yield what the file of a topic holds, nothing if there is none.

        Nothing of privacy.erasures either: that has been done.
        """
        if topic == ERASURES:
            return iter(())
        lines = self._read(topic)
        return iter(_sorted(lines)) if self._sort else lines

    def holds(self, topic: str) -> bool:
        """Return whether there is a file of this topic."""
        return topic in self._files

    def parameters(self) -> Iterator[Line]:
        """Yield the lines of control.parameters as they come."""
        return self._read(PARAMETERS)

    def catalog(self) -> list[tuple[int, Line]]:
        """Return the lines of catalog.items by the time they became known at.

        That is `timestamp_ms`, else `published_at_ms`, else before everything; of one item no
        line comes before an earlier one.
        """
        known_ms: dict[bytes | None, int] = {}
        timed = []
        for line in self._read(CATALOG):
            own_ms = AT_ONCE if line.time_ms is None else line.time_ms
            own_ms = own_ms if line.timestamp < 0 else line.timestamp
            known_ms[line.key] = max(own_ms, known_ms.get(line.key, AT_ONCE))
            timed.append((known_ms[line.key], line))
        return sorted(timed, key=lambda entry: entry[0])

    def _read(self, topic: str) -> Iterator[Line]:
        path = self._files.get(topic)
        if path is None:
            return
        decode = msgspec.json.Decoder(_HEADS.get(topic, _EventHead)).decode
        erasures = self._erasures if topic in EVENTS else {}
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                value = raw.rstrip(b"\r\n")
                if not value.strip():
                    continue
                self.lines[topic] += 1
                try:
                    head = decode(value)
                except (ValueError, RecursionError):  # no JSON object: the processor says why
                    yield Line(number, -1, None, value)
                    continue
                line = _line(number, value, head)
                if erasures and _is_erased(line, erasures):
                    self.erased += 1
                else:
                    yield line

    def _read_erasures(self) -> Iterator[tuple[str, int]]:
        """Yield viewers and the time of their latest request."""
        path, latest = self._files.get(ERASURES), dict[str, int]()
        if path is None:
            return
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                value = raw.rstrip(b"\r\n")
                if not value.strip() or _is_deletion(value):
                    continue  # a deletion tidies the topic up; it brings no events back
                self.lines[ERASURES] += 1
                try:
                    erasure = decode_erasure(value)
                except Rejection as rejection:
                    self.refused.append((Line(number, -1, None, value), rejection))
                    continue
                requested_ms = max(erasure.requested_at_ms, latest.get(erasure.viewer_id, 0))
                latest[erasure.viewer_id] = requested_ms
        yield from latest.items()


def _files(path: Path) -> dict[str, Path]:
    """Return the files to replay by topic."""
    if not path.is_dir():
        raise ConfigurationError(f"{path} is no directory")
    left_alone = {topic + SUFFIX for topic in _LEFT_ALONE}
    entries = (entry for entry in sorted(path.iterdir()) if entry.name not in left_alone)
    found = [entry for entry in entries if not entry.name.startswith(".")]
    files = {entry.name.removesuffix(SUFFIX): entry for entry in found if entry.is_file()}
    files = {topic: file for topic, file in files.items() if file.name == f"{topic}{SUFFIX}"}
    readable = {topic: file for topic, file in files.items() if topic in TOPICS}
    unknown = [entry.name for entry in found if entry not in readable.values()]
    expected = ", ".join(topic + SUFFIX for topic in TOPICS)
    if unknown:
        raise ConfigurationError(
            f"{path} holds what is not replayed: {', '.join(unknown)}; it may hold {expected}"
        )
    if not readable.keys() & EVENTS:
        raise ConfigurationError(f"{path} holds no events; it may hold {expected}")
    return readable


def _line(number: int, value: bytes, head: _EventHead) -> Line:
    timestamp = head.timestamp_ms if isinstance(head.timestamp_ms, int) else -1
    time_ms = head.time_ms if isinstance(head.time_ms, int) else None
    if head.value is None and head.named is None:
        return Line(number, timestamp, _key(head.key), None, time_ms)
    return Line(number, timestamp, _key(head.named), value, time_ms)


def _key(named: Any) -> bytes | None:
    return named.encode() if isinstance(named, str) else None


def _is_deletion(raw: bytes) -> bool:
    try:
        head = msgspec.json.decode(raw, type=_EventHead)
    except (ValueError, RecursionError):
        return False
    return head.value is None and isinstance(head.key, str)


def _is_erased(line: Line, erasures: dict[str, int]) -> bool:
    if line.key is None:
        return False
    requested_ms = erasures.get(line.key.decode())
    if requested_ms is None:
        return False
    time_ms = line.timestamp if line.time_ms is None else line.time_ms
    return time_ms <= requested_ms


def _sorted(lines: Iterable[Line]) -> list[Line]:
    """Sort by event time; a line without one stays behind the line before it."""
    timed: list[tuple[int, Line]] = []
    time_ms = AT_ONCE
    for line in lines:
        time_ms = time_ms if line.time_ms is None else line.time_ms
        timed.append((time_ms, line))
    return [line for _, line in sorted(timed, key=lambda entry: entry[0])]
