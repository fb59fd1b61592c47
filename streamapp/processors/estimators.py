"""estimators: labelled examples in; what processors assume of positions and categories out.

In: training.examples, beside the learner. Each is counted: for its surface by item and position,
and for its category.

Kept: decayed impressions and clicks of a bounded number of surfaces, items and categories, and
the value last published of each parameter.

Out: control.parameters, where an entry has moved by more than 2 % since it was last published:

=====================  =========================================================================
theta/SURFACE          probability by position that it is looked at, of the top's
                       (`streamapp.learning.position_bias`)
position_ctr/SURFACE   mean click rate by position
prior/ctr[/CATEGORY]   what click rates are shrunk towards (`streamapp.learning.priors`)
=====================  =========================================================================

**Who publishes.** Parameters are by surface, examples by segment. Only the examples of one
segment are counted, "all", in which every example is; other segments repeat some of them. One
segment is one partition, so each parameter has one writer. What an operator writes holds until
the next value from here is in force.

**When.** The first example that comes 10 min of stream time or more after the last estimate (at
first: after the first example) has the priors estimated from everything *before* it, and the first
surface; each example after it the next surface, so that none takes long. A surface is left out
until it has brought 100 impressions since its last estimate and 1 % of what it holds. So values
depend on the order of examples alone, neither on cuts nor on the idle clock.

**From when.** `valid_from_ms` is stream time at the estimate + 1 min. The minute is for the way
to whoever reads the parameters: their stream time is ahead of the examples' by what labelling and
two commits take. What has been processed by then was processed with what is in force for it, and
a replay that is given the history computes the same. Learning that lags by more than the minute,
as while a backlog is worked off, publishes values that come too late for that: they count for all
events of later times not yet processed, and a replay uses them a little earlier than they were
live.

**Amounts** are forward decayed (`streamapp.features.decay`): an example of time t counts
w·2^((t − L)/h), h = 7 days, L a landmark all counts have in common; at time T they are worth
2^((L − T)/h) of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import exp2
from typing import ClassVar
from urllib.parse import quote, unquote

import msgspec

from streamapp.events import Parameter
from streamapp.features.decay import DAY_MS, MINUTE_MS
from streamapp.features.parameters import SHIPPED_PRIORS, Value
from streamapp.features.segments import ALL
from streamapp.learning.click_table import smallest
from streamapp.learning.position_bias import PositionBias, SurfaceRow
from streamapp.learning.priors import ClickRates, RateRow
from streamapp.processors.base import Cut, Row
from streamapp.processors.learner import decode_example
from streamapp.signals import Example

PARAMETERS = "control.parameters"
LEAD_MS = MINUTE_MS
"""How long after an estimate its values are in force."""

MOVED = 0.02
"""An entry that moved by no more than this share of itself is not published again."""

FRESH_SHARE = 0.01
MAX_WEIGHT = 1e6
MAX_TIME_MS = 253_402_300_799_999
MAX_NAME = 256
SPAN_HALF_LIVES = 64
"""How far examples may lie after the landmark before it is moved up."""

_HEAD = b"head"
_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct, array_like=True):
    """The processor's own row; times are epoch ms.

    Attributes:
        waiting: surfaces that are due to be estimated, the next one last.
    """

    version: int
    landmark_ms: int
    newest_ms: int
    due_ms: int
    waiting: list[str]


class _Published(msgspec.Struct, array_like=True):
    """The row of a parameter: its value as it was last published."""

    version: int
    value: Value


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_surface = msgspec.json.Decoder(SurfaceRow).decode
_decode_counts = msgspec.json.Decoder(tuple[int, bytes]).decode
_decode_rate = msgspec.json.Decoder(RateRow).decode
_decode_published = msgspec.json.Decoder(_Published).decode


@dataclass(frozen=True, slots=True)
class EstimatorsSettings:
    """What can be configured.

    Attributes:
        interval_ms: stream time between two estimates, at least; 0: none are made.
        lead_ms: how long after an estimate its values are in force.
        fresh: impressions a surface has brought since its last estimate, at least.
        half_life_ms: of all counts.
        segment: whose examples are counted.
        surfaces, items, categories: held at most, give or take an eighth; items by surface,
            with and without a propensity.
        admission: impressions after which an item is held, on average.
    """

    interval_ms: int = 10 * MINUTE_MS
    lead_ms: int = LEAD_MS
    fresh: int = 100
    half_life_ms: float = 7.0 * DAY_MS
    segment: str = ALL
    surfaces: int = 50
    items: int = 1_000
    categories: int = 1_000
    admission: float = 20.0


class Estimators:
    """Estimates of one partition; it has any if it holds the segment that is counted."""

    name: ClassVar[str] = "estimators"
    inputs: ClassVar[tuple[str, ...]] = ("training.examples",)

    def __init__(self, settings: EstimatorsSettings) -> None:
        self._settings = settings
        self._head: _Head | None = None
        self._surfaces: dict[str, PositionBias] = {}
        self._forgotten: dict[bytes, None] = {}
        self._rates = ClickRates(SHIPPED_PRIORS["ctr"], settings.categories)
        self._published: dict[str, Value] = {}
        self._restored: dict[bytes, bytes] = {}
        # What the next cut takes out, besides the rows of the above.
        self._changed = False
        self._moved: dict[str, None] = {}
        self._due: list[Parameter] = []

    def decoder(self, topic: str) -> Callable[[bytes], Example]:  # noqa: ARG002  # one input
        """Return what decodes one example."""
        return decode_example

    def process(self, topic: str, event: Example) -> None:  # noqa: ARG002  # one input
        """Count an example of a click or none; before that, estimate if it is time to."""
        if event.kind != "click":
            return
        settings, time_ms = self._settings, event.labelled_at_ms
        if event.segment != settings.segment or not settings.interval_ms or not _usable(event):
            return
        head = self._head
        if head is None:
            head = self._head = _Head(1, time_ms, time_ms, time_ms + settings.interval_ms, [])
        if time_ms >= head.due_ms or head.waiting:
            self._estimate(head, time_ms)
        if time_ms > head.newest_ms:
            head.newest_ms = time_ms
            if time_ms - head.landmark_ms > SPAN_HALF_LIVES * settings.half_life_ms:
                self._move(head)
        self._changed = True
        self._count(event, exp2((time_ms - head.landmark_ms) / settings.half_life_ms))

    def _count(self, event: Example, decay: float) -> None:
        clicked, weight = event.labels.clicked, min(event.weight, MAX_WEIGHT)
        category = event.features.get("category")
        named = isinstance(category, str) and len(category) <= MAX_NAME - len("prior/ctr/")
        named_or_none = str(category) if named else None
        for name in self._rates.add(named_or_none, decay * weight, clicked=clicked):
            self._withdraw(f"prior/ctr/{name}")
        if not 0 < len(event.surface) <= MAX_NAME - len("position_ctr/"):
            return
        self._surface(event.surface).add(
            event.item_id,
            event.position,
            decay,
            weight,
            event.propensity,
            event.example_id,
            clicked=clicked,
        )

    def _surface(self, name: str) -> PositionBias:
        surface = self._surfaces.get(name)
        if surface is None:
            most = self._settings.surfaces
            surplus = len(self._surfaces) - most
            if surplus > most // 8:
                masses = ((surface.mass, name) for name, surface in self._surfaces.items())
                for fewest in smallest(masses, surplus):
                    self._forget(fewest)
            surface = self._surfaces[name] = self._new_surface()
        return surface

    def _new_surface(self) -> PositionBias:
        return PositionBias(self._settings.items, self._settings.admission)

    def _forget(self, name: str) -> None:
        """Drop a surface with all its rows."""
        surface = self._surfaces.pop(name)
        self._forgotten.update((_surface_key(name, part), None) for part in surface.names())
        self._withdraw(f"position_ctr/{name}")
        self._withdraw(f"theta/{name}")

    def _withdraw(self, name: str) -> None:
        """Forget what was published of a parameter; it stays in force."""
        if self._published.pop(name, None) is not None:
            self._moved[name] = None

    def _estimate(self, head: _Head, time_ms: int) -> None:
        """Find what has moved, as of the newest example so far: all priors, then one surface."""
        scale = exp2((head.landmark_ms - head.newest_ms) / self._settings.half_life_ms)
        if time_ms >= head.due_ms:
            head.due_ms = time_ms + self._settings.interval_ms
            head.waiting = self._fresh(scale)
            for category, prior in self._rates.priors(scale):
                name = f"prior/ctr/{category}" if category else "prior/ctr"
                self._publish(name, _rounded([prior])[0], time_ms)
        surface = self._surfaces.get(head.waiting[-1]) if head.waiting else None
        if surface is not None:
            name = head.waiting[-1]
            self._publish(f"position_ctr/{name}", _rounded(surface.position_ctr(scale)), time_ms)
            self._publish(f"theta/{name}", _rounded(surface.theta(scale)), time_ms)
        del head.waiting[-1:]

    def _fresh(self, scale: float) -> list[str]:
        """Return the surfaces that have brought enough to be estimated again."""
        return [
            name
            for name, surface in sorted(self._surfaces.items(), reverse=True)
            if surface.fresh >= max(self._settings.fresh, FRESH_SHARE * surface.mass * scale)
        ]

    def _publish(self, name: str, value: Value, time_ms: int) -> None:
        """Publish a value with the next cut if it has moved."""
        if _moved(self._published.get(name), value):
            valid_from_ms = time_ms + self._settings.lead_ms
            self._published[name] = value
            self._moved[name] = None
            self._due.append(Parameter(name=name, valid_from_ms=valid_from_ms, value=value))

    def _move(self, head: _Head) -> None:
        """Move the landmark up to the newest example."""
        factor = exp2((head.landmark_ms - head.newest_ms) / self._settings.half_life_ms)
        head.landmark_ms = head.newest_ms
        self._rates.rescale(factor)
        for surface in self._surfaces.values():
            surface.rescale(factor)

    def advance(self, stream_time_ms: int) -> None:
        """Nothing is due when time passes: estimates are made when an example comes."""

    def follow(self, topic: str, key: str) -> None:
        """No broadcast topic is read."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Emit what has moved; return what changed."""
        if not self._changed:
            return []
        self._changed = False
        for parameter in self._due:
            cut.emit(PARAMETERS, parameter.name, _encode(parameter))
        self._due.clear()
        # What was forgotten may have come again.
        rows: dict[bytes, bytes | None] = {**self._forgotten, **dict(self._rows())}
        self._forgotten = {}
        return rows.items()

    def _rows(self) -> Iterator[Row]:
        yield _HEAD, _encode(self._head)
        for name, surface in sorted(self._surfaces.items()):
            for part, row in surface.changed():
                # An item's row is its version and its counts.
                versioned = (1, row) if isinstance(row, bytes) else row
                yield _surface_key(name, part), None if row is None else _encode(versioned)
        for name, rate in self._rates.changed():
            yield f"c/{name}".encode(), None if rate is None else _encode(rate)
        moved, self._moved = self._moved, {}
        for name in moved:
            value = self._published.get(name)
            yield f"p/{name}".encode(), None if value is None else _encode(_Published(1, value))

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        for key, value in rows:
            if value is None:
                self._restored.pop(key, None)
            else:
                self._restored[key] = value

    def ready(self) -> None:
        """All rows are in."""
        rows, self._restored = self._restored, {}
        for key, value in rows.items():
            kind, _, rest = key.decode().partition("/")
            if kind == "s":
                self._restore_surface(rest, value)
            elif kind == "c":
                self._rates.restore(rest, _decode_rate(value))
            elif kind == "p":
                self._published[rest] = _decode_published(value).value
            else:
                self._head = _decode_head(value)

    def _restore_surface(self, key: str, value: bytes) -> None:
        quoted, _, part = key.partition("/")
        surface = self._surfaces.setdefault(unquote(quoted), self._new_surface())
        if part:
            kind, _, item = part.partition("/")
            surface.restore_item(kind, item, _decode_counts(value)[1])
        else:
            surface.restore(_decode_surface(value))

    @property
    def rows(self) -> int:
        """Rows held."""
        surfaces = sum(surface.rows for surface in list(self._surfaces.values()))
        return surfaces + len(self._rates) + len(self._published) + (self._head is not None)


def _surface_key(name: str, part: str) -> bytes:
    return f"s/{quote(name, safe='')}/{part}".encode()


def _usable(event: Example) -> bool:
    """Whether an example says what can be counted; ours do, whoever else writes some may err."""
    propensity = event.propensity
    return (
        event.position >= 1
        and 0 <= event.labelled_at_ms <= MAX_TIME_MS
        and (propensity is None or 0.0 < propensity <= 1.0)
    )


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    """Return values as they are published: six digits, which every machine agrees on."""
    return tuple(float(f"{value:.6g}") for value in values)


def _moved(before: Value | None, now: Value) -> bool:
    """Whether a value is worth publishing, after `before`."""
    if before is None:
        return True
    then, since = (v if isinstance(v, tuple) else (v,) for v in (before, now))
    return len(then) != len(since) or any(
        abs(a - b) > MOVED * a for a, b in zip(then, since, strict=True)
    )
