"""A task: one partition of one role. Its inputs, its processors and their consistent cut.

Nothing here awaits and nothing knows Kafka: the engine and the replay drive the same task.
Between two calls, rows, pending output and input offsets always agree, so a cut may be taken
at any time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamapp.engine.admission import Admission, Refused, Routing, Rules, too_late
from streamapp.engine.merge import NO_BOUND, Entry, Input, Merge, Record
from streamapp.errors import ProcessorFailed, Rejection
from streamapp.processors.base import Cut, Event, Processor, Row

PROGRESS_KEY = b"@task"
"""Changelog key of the engine's own row; processors use no key that starts with @."""

Clock = Callable[[], float]
"""Monotonic seconds."""

Process = Callable[[str, Any], None]
"""Takes one event of a topic."""


class Progress(msgspec.Struct, frozen=True):
    """The engine's row in a changelog: what a restore must know besides the rows.

    Attributes:
        stream_time_ms: event time reached, advances of the idle clock included.
        offsets: next offset by input topic, as committed with the rows.
    """

    stream_time_ms: int
    offsets: dict[str, int]
    schema: int = 1


class Task:
    """The state of one partition of a role, and how records change it.

    Args:
        processors: in the order they see an event; their inputs are the task's inputs.
        clock: monotonic seconds; drives stream time when all is quiet.
        routing: None to accept a key on any partition.
    """

    def __init__(
        self,
        partition: int,
        processors: Sequence[Processor],
        clock: Clock,
        rules: Rules | None = None,
        routing: Routing | None = None,
        max_idle: float = 2.0,
    ) -> None:
        self.partition = partition
        self.processors = processors
        self.rules = rules or Rules()
        self._set_stream_time(0)
        topics = tuple(dict.fromkeys(t for p in processors for t in p.inputs))
        self.inputs = {topic: Input(topic) for topic in topics}
        self._rejected: dict[str, int] = {}
        self._samples: list[int] = []
        subscribers = {t: [p for p in processors if t in p.inputs] for t in topics}
        self._decoders = {topic: ps[0].decoder(topic) for topic, ps in subscribers.items()}
        self._process = {t: _all_of([p.process for p in ps]) for t, ps in subscribers.items()}
        self._merge = Merge(list(self.inputs.values()), max_idle)
        self._admission = Admission(partition, self.rules, routing)
        self._clock = clock
        self._quiet_since: tuple[float, int] | None = None
        self._refused: list[Refused] = []
        self._cut_offsets: dict[str, int] = {}

    def offer(self, topic: str, records: Sequence[Record]) -> None:
        """Decode and queue records of one input, in offset order.

        Raises:
            ProcessorFailed: decoding raised. The records may be queued in part then: what the
                task holds must not be committed.
        """
        if records:
            source = self.inputs[topic]
            self._admission.admit(topic, records, self._decoders[topic], source.queue)
            source.position = records[-1].offset + 1
            source.silent = 0.0

    def drive(self, limit: int, until_ms: int = NO_BOUND) -> int:
        """Process up to `limit` waiting records in stream-time order; return how many.

        Args:
            until_ms: records of a later event time are left waiting.

        Raises:
            ProcessorFailed: a processor raised. The task is no longer consistent then: what it
                holds must not be committed.
        """
        done = 0
        for topic, queue, bound in self._merge.runs(until_ms):
            done += self._run(topic, queue, bound, limit - done)
            if done >= limit:
                break
        if done:
            self._quiet_since = None
            self._samples.append(self.stream_time_ms)
        return done

    def _run(self, topic: str, queue: deque[Entry], bound: int, limit: int) -> int:
        """Process one run of one input (the hot path: nothing here is done per record twice)."""
        process = self._process[topic]
        before = len(queue)
        for _ in range(limit):
            time_ms, event, record = queue.popleft()
            try:
                if time_ms > self.stream_time_ms:
                    self.advance(time_ms)
                if time_ms >= self._oldest_ms or self._may_be_late(topic, event):
                    process(topic, event)
                else:
                    self._refuse(topic, record, event)
            except Exception as exc:
                raise ProcessorFailed(topic, self.partition, record.offset, exc) from exc
            if not queue or queue[0][0] > bound:
                break
        return before - len(queue)

    def _may_be_late(self, topic: str, event: Event | Rejection) -> bool:
        return topic in self.rules.never_late and not isinstance(event, Rejection)

    def _refuse(self, topic: str, record: Record, event: Event | Rejection) -> None:
        """Take a record out: it was rejected before, or it is too late."""
        if isinstance(event, Rejection):
            rejection = event
        else:
            rejection = too_late(event, self.stream_time_ms, self.rules)
        self._rejected[rejection.reason] = self._rejected.get(rejection.reason, 0) + 1
        self._refused.append(Refused(topic, self.partition, record, rejection))

    def advance(self, stream_time_ms: int) -> None:
        """Move stream time forward; what becomes due in the processors happens now."""
        if stream_time_ms > self.stream_time_ms:
            self._set_stream_time(stream_time_ms)
            for processor in self.processors:
                processor.advance(stream_time_ms)

    def _set_stream_time(self, stream_time_ms: int) -> None:
        self.stream_time_ms = stream_time_ms
        self._oldest_ms = stream_time_ms - self.rules.grace_ms

    def idle(self) -> None:
        """While all inputs are caught up and quiet, let stream time go on with the clock.

        Stream time moves by what the clock moved since the quiet began, never to the wall
        clock itself: a replay of last year's events must not become late at its end.
        """
        if not self._merge.quiet or self.stream_time_ms == 0:
            self._quiet_since = None
            return
        now = self._clock()
        if self._quiet_since is None:
            self._quiet_since = (now, self.stream_time_ms)
        began, stream_time_ms = self._quiet_since
        self.advance(stream_time_ms + int((now - began) * 1000))

    def follow(self, topic: str, key: str) -> None:
        """A broadcast view changed at `key`."""
        for processor in self.processors:
            processor.follow(topic, key)

    @property
    def offsets(self) -> dict[str, int]:
        """Next offset to process by input topic."""
        return {topic: source.next_offset for topic, source in self.inputs.items()}

    @property
    def waiting(self) -> int:
        """Records decoded and not yet processed."""
        return sum(len(source.queue) for source in self.inputs.values())

    def cut(self, computed_at_ms: int) -> Cut:
        """Take the consistent cut: all changes since the last one.

        The cut is empty when neither rows nor offsets moved. A cut that was taken must be
        committed or the task dropped: it is not given twice.
        """
        cut = Cut(self.stream_time_ms, computed_at_ms, partition=self.partition)
        for processor in self.processors:
            rows = list(processor.cut(cut))
            if rows:
                cut.rows[processor.name] = rows
        for refused in self._refused:
            refused.emit(cut)
        self._refused.clear()
        offsets = self.offsets
        if not cut.empty or offsets != self._cut_offsets:
            self._cut_offsets = offsets
            cut.rows.setdefault(self.processors[0].name, []).append(self._progress(offsets))
        return cut

    def _progress(self, offsets: dict[str, int]) -> Row:
        return PROGRESS_KEY, msgspec.json.encode(Progress(self.stream_time_ms, offsets))

    def restore(self, name: str, rows: Sequence[Row]) -> None:
        """Take rows of one processor's changelog, oldest first."""
        processor = next(p for p in self.processors if p.name == name)
        own = [value for key, value in rows if key == PROGRESS_KEY and value is not None]
        if own:
            progress = msgspec.json.decode(own[-1], type=Progress)
            self._set_stream_time(progress.stream_time_ms)
            self._cut_offsets = progress.offsets
            rows = [row for row in rows if row[0] != PROGRESS_KEY]
        processor.restore(rows)

    @property
    def restored_offsets(self) -> Mapping[str, int]:
        """Offsets as the restored changelog has them; empty for a new partition."""
        return self._cut_offsets

    def ready(self) -> None:
        """All rows are in: the processors may compare them with the broadcast views.

        They hear the stream time they had, which a late event is measured against before the
        next one moves it.
        """
        for processor in self.processors:
            processor.ready()
            if self.stream_time_ms:
                processor.advance(self.stream_time_ms)

    def seek(self, offsets: Mapping[str, int]) -> None:
        """Start reading the inputs at these offsets; the others wait for what each brings first."""
        for topic, source in self.inputs.items():
            source.queue.clear()
            source.position = offsets[topic]
            source.at_end = False
            source.silent = 0.0

    def observed(self) -> tuple[dict[str, int], list[int]]:
        """Rejections by reason and sampled event times since the last call, for the metrics."""
        seen = self._rejected, self._samples
        self._rejected, self._samples = {}, []
        return seen


def _all_of(processes: Sequence[Process]) -> Process:
    """Return one function that gives an event to each of these."""
    if len(processes) == 1:
        return processes[0]

    def process(topic: str, event: Event) -> None:
        for each in processes:
            each(topic, event)

    return process
