"""viewers: what each viewer does, joined and labelled.

::

    events.impressions ─┐              ┌─▶ activity.items     what it adds to the items' counters
    events.clicks      ─┼─▶ the viewer ┼─▶ training.examples  slates with what came of them
    events.watches     ─┘              └─▶ signals.viewers    the viewer's recent actions

The story of an event: a duplicate is dropped; an impression counts for its items and opens a
slate; an action counts for its item, joins the recent actions, and a click labels the slate it
belongs to; a heartbeat moves its playback on. Slates become examples, and playbacks close, when
stream time has gone on long enough. A viewer idle for 30 days is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from streamapp.events import (
    Click,
    Impression,
    Watch,
    decode_click,
    decode_impression,
    decode_watch,
)
from streamapp.features.catalog import Catalog
from streamapp.features.decay import DAY_MS
from streamapp.features.dedupe import WITHIN_MS, block_name
from streamapp.features.deltas import ItemDeltas
from streamapp.features.digest import digest
from streamapp.features.examples import SEGMENT, examples
from streamapp.features.expiry import Expiry
from streamapp.features.parameters import Parameters
from streamapp.features.playbacks import IDLE_MS, MEMORY_MS, Playback
from streamapp.features.rates import COUNTED_ACTIONS
from streamapp.features.recent import ACTIONS, Action
from streamapp.features.slates import Slate, attribute, open_slate
from streamapp.features.timers import Timers
from streamapp.features.viewer import (
    Viewer,
    block_row,
    playback_row,
    recent_row,
    restore_row,
    split_key,
)
from streamapp.processors.base import Cut, Row
from streamapp.signals import ViewerSignal

IMPRESSIONS = "events.impressions"
CLICKS = "events.clicks"
WATCHES = "events.watches"
ITEMS = "activity.items"
EXAMPLES = "training.examples"
SIGNALS = "signals.viewers"

PUBLISH_EVERY_MS = 500
"""Stream time between two signals of one viewer."""

_ACTION_INDEX = {action: index for index, action in enumerate(ACTIONS)}
_DECODE: dict[str, Callable[[bytes], Any]] = {
    IMPRESSIONS: decode_impression,
    CLICKS: decode_click,
    WATCHES: decode_watch,
}
_SEGMENT_KEY = SEGMENT.encode()
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ViewersSettings:
    """What can be configured.

    Attributes:
        click_window_ms: how long after an impression a click labels its example.
        click_window_ms_by_surface: the same where it differs.
        negative_keep_rate: share of the examples without a click that is given.
        grace_ms: how late an event may be; what it may refer to is remembered as long.
        idle_ms: a viewer without events for so long (to the hour) is forgotten.
    """

    click_window_ms: int = 120_000
    click_window_ms_by_surface: Mapping[str, int] = field(default_factory=dict)
    negative_keep_rate: float = 1.0
    grace_ms: int = DAY_MS
    idle_ms: int = 30 * DAY_MS

    def click_window(self, surface: str) -> int:
        """Return the click window of a surface."""
        return self.click_window_ms_by_surface.get(surface, self.click_window_ms)

    @property
    def longest_window_ms(self) -> int:
        """The longest click window of any surface."""
        return max(self.click_window_ms, *self.click_window_ms_by_surface.values(), 0)


class Viewers:
    """The processor of one partition of the viewers.

    Attributes:
        duplicates: events dropped as duplicates, so far.
        late_impressions: impressions that gave no example, because a later event of their
            viewer had come before them.
    """

    name: ClassVar[str] = "viewers"
    inputs: ClassVar[tuple[str, ...]] = (IMPRESSIONS, CLICKS, WATCHES)

    def __init__(self, catalog: Catalog, parameters: Parameters, settings: ViewersSettings) -> None:
        self.duplicates = 0
        self.late_impressions = 0
        self._catalog = catalog
        self._parameters = parameters
        self._settings = settings
        self._longest_window_ms = settings.longest_window_ms
        self._ids_kept_ms = max(WITHIN_MS, settings.grace_ms)
        self._stream_time_ms = 0
        self._viewers: dict[str, Viewer] = {}
        self._expiry = Expiry(settings.idle_ms)
        self._timers = Timers()
        self._restored: dict[tuple[str, bytes], tuple[int, str]] = {}
        # What the next cut takes out.
        self._rows: dict[bytes, bytes | None] = {}
        self._touched: dict[str, None] = {}
        self._owed: dict[str, None] = {}
        self._deltas = ItemDeltas()
        self._labelled: list[tuple[str, Slate]] = []

    def decode(self, topic: str, value: bytes) -> Impression | Click | Watch:
        """Decode one event."""
        event: Impression | Click | Watch = _DECODE[topic](value)
        return event

    def process(self, topic: str, event: Any) -> None:
        """Take one event."""
        viewer = self._viewers.get(event.viewer_id) or self._add(event)
        if not self._is_new(viewer, event):
            self.duplicates += 1
            return
        if topic == WATCHES:
            self._watch(viewer, event)
        elif topic == CLICKS:
            self._click(viewer, event)
        else:
            self._impression(viewer, event)
        viewer.newest_ms = max(viewer.newest_ms, event.occurred_at_ms)
        self._touched[viewer.viewer_id] = None

    def _add(self, event: Impression | Click | Watch) -> Viewer:
        viewer = self._viewers[event.viewer_id] = Viewer(event.viewer_id)
        self._expiry.add(event.viewer_id, event.occurred_at_ms)
        return viewer

    def _is_new(self, viewer: Viewer, event: Impression | Click | Watch) -> bool:
        since_ms = self._stream_time_ms - self._ids_kept_ms
        if not viewer.ids.add(digest(event.event_id), event.occurred_at_ms, since_ms):
            return False
        block = viewer.ids.seal()
        if block is not None:
            self._rows[viewer.row_key(b"d", block_name(block))] = block_row(block)
            for dropped in viewer.ids.forget(since_ms):
                self._rows[viewer.row_key(b"d", dropped)] = None
        return True

    def _impression(self, viewer: Viewer, event: Impression) -> None:
        click_rate = self._parameters.position_ctr(event.surface, event.occurred_at_ms)
        self._deltas.add_slate(event, click_rate)
        if event.items:
            self._open_slate(viewer, event)

    def _open_slate(self, viewer: Viewer, event: Impression) -> None:
        """Keep a slate until its window closes; one that came late gives no example."""
        key = digest(event.event_id)
        window_ms = self._settings.click_window(event.surface)
        slate = open_slate(key, event, window_ms, viewer.recent, self._catalog)
        if event.occurred_at_ms < viewer.newest_ms:
            self.late_impressions += 1
            slate.labelled = True
            self._rows[viewer.row_key(b"c", key)] = slate.state()
        viewer.add_slate(slate)
        self._rows[viewer.row_key(b"s", key)] = slate.shown.row()
        self._watch_slate(viewer, slate)

    def _watch_slate(self, viewer: Viewer, slate: Slate) -> None:
        shown = slate.shown
        due_ms = shown.served_ms + self._longest_window_ms if slate.labelled else shown.due_ms
        self._timers.set((due_ms, viewer.viewer_id, slate.key, "slate", shown.request_id))

    def _click(self, viewer: Viewer, event: Click) -> None:
        counter = COUNTED_ACTIONS.get(event.action)
        if counter is not None:
            self._deltas.add(event.item_id, event.occurred_at_ms, ((counter, 1.0),))
        self._remember(viewer, event, event.action)
        if event.action == "click" and viewer.slates:
            self._label(viewer, event)

    def _label(self, viewer: Viewer, click: Click) -> None:
        request_id = click.request_id
        of_request = viewer.slates.get(request_id, ()) if request_id else viewer.all_slates()
        found = attribute(of_request, click)
        if found is None:
            return
        slate, slot = found
        in_time = click.occurred_at_ms <= slate.shown.due_ms
        if in_time and not slate.labelled and slot not in slate.clicked:
            slate.clicked += (slot,)
            self._rows[viewer.row_key(b"c", slate.key)] = slate.state()

    def _remember(self, viewer: Viewer, event: Click | Watch, action: str) -> None:
        entry = Action(event.occurred_at_ms, event.event_id, _ACTION_INDEX[action], event.item_id)
        slot = viewer.recent.add(entry)
        if slot is not None:
            self._rows[viewer.row_key(b"r", bytes([slot]))] = recent_row(entry)

    def _watch(self, viewer: Viewer, event: Watch) -> None:
        time_ms = event.occurred_at_ms
        key = digest(f"{len(event.playback_id)}:{event.playback_id}{event.item_id}")
        playback = viewer.playbacks.get(key)
        amounts: list[tuple[str, float]] = []
        if playback is None or time_ms - playback.last_ms > MEMORY_MS:
            playback = Playback(time_ms, time_ms)
            amounts = [("watches", 1.0)]
            self._forget_playbacks(viewer, key)
            self._remember(viewer, event, "watch")
        completed, idle = playback.completed, playback.closed or bool(amounts)
        closing, grown = playback.update(time_ms, event.state, event.watched_ms, event.duration_ms)
        amounts += closing
        if amounts:
            self._deltas.add(event.item_id, playback.start_ms, amounts)
        if grown:
            self._deltas.add(event.item_id, time_ms, (("watched_ms", float(grown)),))
        if playback.completed and not completed:
            self._remember(viewer, event, "complete")
        if idle and not playback.closed:
            self._watch_playback(viewer.viewer_id, key, playback.last_ms, event.item_id)
        self._keep_playback(viewer, key, event.item_id, playback)

    def _keep_playback(self, viewer: Viewer, key: bytes, item_id: str, playback: Playback) -> None:
        viewer.playbacks.put(key, playback)
        self._rows[viewer.row_key(b"p", key)] = playback_row(item_id, playback)

    def _forget_playbacks(self, viewer: Viewer, key: bytes) -> None:
        since_ms = self._stream_time_ms - MEMORY_MS - self._settings.grace_ms
        for forgotten in viewer.playbacks.forget(key, since_ms):
            self._rows[viewer.row_key(b"p", forgotten)] = None

    def _watch_playback(self, viewer_id: str, key: bytes, last_ms: int, item_id: str) -> None:
        self._timers.set((last_ms + IDLE_MS, viewer_id, key, "playback", item_id))

    def advance(self, stream_time_ms: int) -> None:
        """Close the windows and playbacks that are over; forget viewers long idle."""
        self._stream_time_ms = stream_time_ms
        for _, viewer_id, key, kind, ref in self._timers.take(stream_time_ms):
            viewer = self._viewers.get(viewer_id)
            if viewer is not None:
                due = self._slate_due if kind == "slate" else self._playback_due
                due(viewer, key, ref)
        if self._expiry.pending(stream_time_ms):
            for viewer_id in self._expiry.take(stream_time_ms):
                self._expire(viewer_id)

    def _slate_due(self, viewer: Viewer, key: bytes, request_id: str) -> None:
        """Give the slate's examples; drop it when no older slate can be open any more."""
        slate = viewer.slate(request_id, key)
        if slate is None:
            return
        if not slate.labelled:
            self._labelled.append((viewer.viewer_id, slate))
            slate.labelled = True
            if slate.shown.due_ms < slate.shown.served_ms + self._longest_window_ms:
                self._rows[viewer.row_key(b"c", key)] = slate.state()
                self._watch_slate(viewer, slate)
                return
        viewer.drop_slate(slate)
        for kind in (b"s", b"c"):
            self._rows[viewer.row_key(kind, key)] = None

    def _playback_due(self, viewer: Viewer, key: bytes, item_id: str) -> None:
        """Close a playback unless a heartbeat came since the timer was set."""
        playback = viewer.playbacks.get(key)
        if playback is None or playback.closed:
            return
        if playback.last_ms + IDLE_MS >= self._stream_time_ms:
            self._watch_playback(viewer.viewer_id, key, playback.last_ms, item_id)
            return
        self._deltas.add(item_id, playback.start_ms, playback.time_out())
        self._keep_playback(viewer, key, item_id, playback)

    def _expire(self, viewer_id: str) -> None:
        viewer = self._viewers.get(viewer_id)
        if viewer is None:
            return
        if self._expiry.due_ms(viewer.newest_ms) > self._stream_time_ms:
            self._expiry.add(viewer_id, viewer.newest_ms)
            return
        self._rows.update(dict.fromkeys(viewer.row_keys()))
        del self._viewers[viewer_id]
        self._touched[viewer_id] = None

    def follow(self, topic: str, key: str) -> None:
        """Nothing kept depends on what the views say now."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Emit what has come up since the last cut."""
        for delta in self._deltas.take():
            cut.emit(ITEMS, delta.item_id, _encode(delta))
        labelled, self._labelled = self._labelled, []
        keep_rate = self._settings.negative_keep_rate
        for viewer_id, slate in labelled:
            for example in examples(viewer_id, slate, keep_rate, cut.computed_at_ms):
                cut.emit(EXAMPLES, _SEGMENT_KEY, example)
        touched, self._touched = self._touched, {}
        for viewer_id in touched | self._owed:
            self._publish(viewer_id, cut, touched=viewer_id in touched)
        rows, self._rows = self._rows, {}
        return rows.items()

    def _publish(self, viewer_id: str, cut: Cut, *, touched: bool) -> None:
        """Send a viewer's signal, or owe it when the last one was a moment ago."""
        viewer = self._viewers.get(viewer_id)
        if viewer is None:
            self._owed.pop(viewer_id, None)
            cut.emit(SIGNALS, viewer_id, None)
            return
        if cut.stream_time_ms - viewer.published_ms >= PUBLISH_EVERY_MS:
            cut.emit(SIGNALS, viewer_id, _encode(_signal(viewer, cut)))
            viewer.published_ms, viewer.owed = cut.stream_time_ms, False
            self._owed.pop(viewer_id, None)
        elif touched:
            viewer.owed = True
            self._owed[viewer_id] = None
        else:
            return
        self._rows[viewer.row_key(b"h")] = viewer.head()

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        viewers = self._viewers
        for row_key, value in rows:
            kind, part, viewer_id = split_key(row_key)
            viewer = viewers.get(viewer_id)
            if value is None and (viewer is None or kind == b"h"):
                viewers.pop(viewer_id, None)
                continue
            if viewer is None:
                viewer = viewers[viewer_id] = Viewer(viewer_id)
            playback = restore_row(viewer, kind, part, value)
            if kind == b"p":
                self._restored.pop((viewer_id, part), None)
                if playback is not None and not playback.closed:
                    self._restored[viewer_id, part] = playback.last_ms, playback.item_id

    def ready(self) -> None:
        """Set the timers again, and owe again what was owed."""
        for (viewer_id, key), (last_ms, item_id) in self._restored.items():
            self._watch_playback(viewer_id, key, last_ms, item_id)
        self._restored.clear()
        for viewer in self._viewers.values():
            self._expiry.add(viewer.viewer_id, viewer.newest_ms)
            for slate in viewer.all_slates():
                self._watch_slate(viewer, slate)
            if viewer.owed:
                self._owed[viewer.viewer_id] = None

    @property
    def rows(self) -> int:
        """Viewers held."""
        return len(self._viewers)


def _signal(viewer: Viewer, cut: Cut) -> ViewerSignal:
    return ViewerSignal(
        viewer_id=viewer.viewer_id,
        as_of_ms=viewer.newest_ms,
        computed_at_ms=cut.computed_at_ms,
        recent=viewer.recent.json(),  # type: ignore[arg-type]  # the list, encoded already
    )
