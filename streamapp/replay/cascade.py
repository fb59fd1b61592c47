"""The cascade: one task of each role, the cuts of one the input of the next.

::

    stream time   0 s            1 s            2 s                 9 s
    ingest        │ ─ e ── e ─── │ ── e ─────── │     (nothing)     │ ── e ──
                  └──────────────┴ cut          ┴ cut               ┴ cut …
                                    └─▶ signals, learn: take it in, cut

An event is processed in the order of event time across the files, as `streamapp.engine.merge`
does it live; a catalog line before the events of its time. Whenever the next line lies in
another step of stream time a cut is taken. After the last event catalog lines go on in their order
while stream time, which is that of events, does not; then it passes until all windows have closed.

**Parameters** are in force from their own time on. With a control.parameters file they are what
it says, as they were live: what the replay itself estimates is written and not used. Without one
its estimates are used. They are made a minute before they are in force, and those of one cut are
known in the next step; in a gap of a minute or more between events, where stream time would go on
by the clock if this were live, it goes to the gap's end and a cut is taken there. So no event is
processed before what is in force for it is known.

**signals.items** of one cut are what examples of slates shown from the next step on say of their
items, unless STREAMAPP_ITEM_FEATURES is false.

**privacy.erasures** is no part of it: what it asks for has been left out of the files before they
are taken in, so no role ever holds anything to forget. The learn role leaves out live what is here
never made: examples of slates shown up to the request.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import islice

from streamapp.engine.admission import Refused
from streamapp.engine.merge import AT_ONCE, NO_BOUND
from streamapp.engine.roles import ITEM_SIGNALS, ROLES, Role, Views
from streamapp.engine.task import Task
from streamapp.errors import Rejection
from streamapp.features.playbacks import IDLE_MS
from streamapp.processors.base import Cut
from streamapp.processors.candidates import SETTLE_MS
from streamapp.processors.estimators import LEAD_MS
from streamapp.processors.similar import MAKE_EVERY_MS, REFRESH_MS
from streamapp.processors.viewers import Viewers
from streamapp.replay.files import CATALOG, ERASURES, PARAMETERS, Directory, Line
from streamapp.settings import Settings

STEP_MS = 1_000
"""Stream time between two cuts."""

RECORDS = 10_000
"""Processed in one go."""

Write = Callable[[str, bytes | None, bytes | None], None]
"""Takes an output record: topic, key, value."""


class Stages:
    """Everything that a deployment computes, step by step.

    Give events to `front` and let it process them, then `cut`: what they brought about goes to
    `write` and down to the other roles, and what comes out of these goes to `write` too.

    Args:
        uses_estimates: what is estimated of control.parameters is in force here.

    Attributes:
        front: the task that takes the events.
        rejected: records refused so far, by reason.
    """

    def __init__(self, settings: Settings, write: Write, *, uses_estimates: bool) -> None:
        self.rejected: Counter[str] = Counter()
        self._write = write
        self._views = Views.empty()
        self._stages = [(role, self._task(role, settings)) for role in ROLES.values()]
        self.front = self._stages[0][1]
        self._read_on = {topic for _, task in self._stages[1:] for topic in task.inputs}
        self._handed_on: Counter[str] = Counter()
        self._uses_estimates = uses_estimates
        self._uses_item_signals = settings.item_features
        self._pending: defaultdict[str, list[Line]] = defaultdict(list)
        self._closing_ms = 1 + max(
            IDLE_MS, settings.click_window_ms, *settings.click_window_ms_by_surface.values()
        )

    def _task(self, role: Role, settings: Settings) -> Task:
        processors = role.build(self._views, settings)
        # The clock stands still: no file that is behind is ever left behind.
        task = Task(0, processors, lambda: 0.0, role.rules(settings))
        for source in task.inputs.values():
            source.at_end = role is not ROLES["ingest"]  # what is handed on comes all at once
        task.ready()
        return task

    @property
    def stream_time_ms(self) -> int:
        """Event time reached."""
        return self.front.stream_time_ms

    @property
    def rows(self) -> dict[str, int]:
        """Rows held, by processor."""
        return {p.name: p.rows for _, task in self._stages for p in task.processors}

    @property
    def passed_over(self) -> dict[str, int]:
        """Events that were dropped, and impressions that gave no example, by their metric."""
        return {name: int(count) for each in self._viewers for name, count in each.gauges().items()}

    @property
    def _viewers(self) -> list[Viewers]:
        return [p for p in self.front.processors if isinstance(p, Viewers)]

    def pass_gap(self, next_ms: int) -> None:
        """Do what becomes due before the next line, if that is far away."""
        if self.stream_time_ms and next_ms - self.stream_time_ms >= LEAD_MS:
            self.front.advance(next_ms - 1)
            self.cut()

    def learn_of(self, topic: str, line: Line) -> None:
        """Take a broadcast line."""
        key = (line.key or b"").decode()
        try:
            changed = self._views.update(topic, key, line.value)
        except Rejection as rejection:
            self.refuse(topic, line, rejection)
            return
        for role, task in self._stages if changed else ():
            if topic in role.broadcasts:
                task.follow(topic, key)

    def refuse(self, topic: str, line: Line, rejection: Rejection) -> None:
        """Send a line that cannot be used to events.rejected."""
        self.rejected[rejection.reason] += 1
        cut = Cut(self.stream_time_ms, self.stream_time_ms)
        Refused(topic, 0, line, rejection).emit(cut)
        self._emit(cut)

    def cut(self) -> None:
        """Cut the first task, and hand what comes out down to the last."""
        self._take(self.front)
        for _, task in self._stages[1:]:
            for topic in task.inputs:
                task.offer(topic, self._pending.pop(topic, ()))
                task.inputs[topic].at_end = True  # there is no more to come before this cut
            while task.drive(RECORDS):
                pass
            task.advance(self.stream_time_ms)
            self._take(task)

    def _take(self, task: Task) -> None:
        self._emit(task.cut(task.stream_time_ms))
        rejected, _ = task.observed()
        self.rejected.update(rejected)

    def _emit(self, cut: Cut) -> None:
        for topic, outputs in cut.outputs.items():
            for key, value, _ in outputs:
                self._write(topic, key, value)
                if topic == PARAMETERS and self._uses_estimates:
                    self.learn_of(PARAMETERS, Line(0, -1, key, value))
                if topic == ITEM_SIGNALS and self._uses_item_signals:
                    self.learn_of(ITEM_SIGNALS, Line(0, -1, key, value))
                if topic in self._read_on:
                    self._handed_on[topic] += 1
                    line = Line(self._handed_on[topic], -1, key, value)
                    self._pending[topic].append(line)

    def close(self) -> None:
        """Let stream time go on until all windows have closed and nothing is owed."""
        if self.stream_time_ms:
            self._pass(self._closing_ms)
            complete_ms = max(viewers.complete_ms for viewers in self._viewers)
            if complete_ms:
                self._pass(complete_ms + 1 - self.stream_time_ms)
            refreshed_ms = REFRESH_MS + MAKE_EVERY_MS  # items tell each other, then make lists
            for ms in (SETTLE_MS, MAKE_EVERY_MS, refreshed_ms, refreshed_ms, 1):
                self._pass(ms)

    def _pass(self, ms: int) -> None:
        """Let stream time go on, and cut."""
        self.front.advance(self.stream_time_ms + ms)
        self.cut()


class Cascade(Stages):
    """The stages over files.

    Args:
        read_lines: lines of a file read ahead; makes no difference to what comes out.
    """

    def __init__(
        self, directory: Directory, settings: Settings, write: Write, read_lines: int
    ) -> None:
        super().__init__(settings, write, uses_estimates=not directory.holds(PARAMETERS))
        self._directory = directory
        self._read_lines = read_lines
        self._files = {topic: directory.events(topic) for topic in self.front.inputs}

    def run(self) -> Iterator[None]:
        """Run to the end; yields again and again, for whoever shows how far it is."""
        for line, rejection in self._directory.refused:
            self.refuse(ERASURES, line, rejection)
        for line in self._directory.parameters():
            self.learn_of(PARAMETERS, line)
        catalog = iter([*self._directory.catalog(), (NO_BOUND, Line(0, -1, None, None))])
        known_ms, known = next(catalog)
        until_ms = AT_ONCE
        while True:
            self._read()
            head_ms = self._head_ms()
            next_ms = min(head_ms, known_ms)
            if next_ms > until_ms:
                self.cut()
                if next_ms == NO_BOUND:
                    break
                if head_ms != NO_BOUND:  # stream time is that of events
                    self.pass_gap(next_ms)
                until_ms = (next_ms // STEP_MS + 1) * STEP_MS - 1
            if known_ms <= head_ms:
                if known.value is None:  # what came before concerns an item that is still there
                    self.cut()
                self.learn_of(CATALOG, known)
                known_ms, known = next(catalog)
            else:
                self.front.drive(RECORDS, min(until_ms, known_ms - 1))
            yield
        self.close()

    def _read(self) -> None:
        """See to it that each file either has its next event waiting or has ended."""
        for topic, source in self.front.inputs.items():
            if not source.queue and not source.at_end:
                lines = list(islice(self._files[topic], self._read_lines))
                self.front.offer(topic, lines)
                source.at_end = not lines

    def _head_ms(self) -> int:
        queues = (source.queue for source in self.front.inputs.values())
        return min((queue[0][0] for queue in queues if queue), default=NO_BOUND)
