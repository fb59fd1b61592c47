"""viewers: what each viewer does, joined and labelled.

::

    events.impressions ─┐              ┌─▶ activity.items     what it adds to the items' counters
                        │              ├─▶ activity.queries   what it adds to the queries searched
                        │              ├─▶ activity.sessions  how it looks, to learn anomalies from
    events.clicks      ─┼─▶ the viewer ┼─▶ training.examples  slates with what came of them
    events.watches     ─┤              └─▶ signals.viewers    what the viewer did, and cares for
    privacy.erasures   ─┘

The story of an event: a duplicate is dropped; an impression counts for its items, and for its
query if it answered one, and opens a slate; an action counts for its item, joins the recent
actions, and a click counts for the query it came from and labels the slate it belongs to; a
heartbeat moves its playback on. Slates become examples, and playbacks close, when stream time has
gone on long enough. A viewer idle for 30 days is forgotten. An erasure forgets a viewer at once:
open slates give no examples, the signal is deleted, and events from before the request that come
later are dropped. What a viewer does who is judged to be a bot is kept out of all but their signal
(`streamapp.features.trust`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from streamapp.events import (
    Click,
    Erasure,
    Impression,
    Watch,
    decode_click,
    decode_erasure,
    decode_impression,
    decode_watch,
)
from streamapp.features import searches, sessions
from streamapp.features.catalog import Catalog
from streamapp.features.dedupe import WITHIN_MS, block_name
from streamapp.features.deltas import ItemDeltas
from streamapp.features.digest import digest
from streamapp.features.examples import SEGMENT, examples
from streamapp.features.judge import Figure, Judge
from streamapp.features.parameters import Parameters
from streamapp.features.playbacks import IDLE_MS, MEMORY_MS, Amounts, Playback, playback_key
from streamapp.features.query_deltas import QueryDeltas
from streamapp.features.rates import COUNTED_ACTIONS
from streamapp.features.recent import ACTIONS, Action
from streamapp.features.slates import Slate, attribute, open_slate
from streamapp.features.timers import Timers
from streamapp.features.viewer import Viewer, block_row, playback_row, recent_row
from streamapp.features.viewer_signal import viewer_signal
from streamapp.features.viewer_store import ViewerStore
from streamapp.processors.base import Cut, Row
from streamapp.processors.viewers_settings import ViewersSettings

IMPRESSIONS = "events.impressions"
CLICKS = "events.clicks"
WATCHES = "events.watches"
ERASURES = "privacy.erasures"
ITEMS = "activity.items"
QUERIES = "activity.queries"
SESSIONS = "activity.sessions"
EXAMPLES = "training.examples"
SIGNALS = "signals.viewers"

PUBLISH_EVERY_MS = 500
"""Stream time between two signals of one viewer."""

_ACTION_INDEX = {action: index for index, action in enumerate(ACTIONS)}
_DECODE: dict[str, Callable[[bytes], Impression | Click | Watch | Erasure]] = {
    IMPRESSIONS: decode_impression,
    CLICKS: decode_click,
    WATCHES: decode_watch,
    ERASURES: decode_erasure,
}
_SEGMENT_KEY = SEGMENT.encode()
_SESSION_KEY = b"session"


class Viewers:
    """The processor of one partition of the viewers.

    Attributes:
        duplicates: events dropped as duplicates, so far.
        late_impressions: impressions that gave no example, because a later event of their
            viewer had come before them.
        erased: events dropped because their viewer had asked for it, so far.
    """

    name: ClassVar[str] = "viewers"
    inputs: ClassVar[tuple[str, ...]] = (IMPRESSIONS, CLICKS, WATCHES, ERASURES)

    def __init__(self, catalog: Catalog, parameters: Parameters, settings: ViewersSettings) -> None:
        self.duplicates = 0
        self.late_impressions = 0
        self.erased = 0
        self._catalog = catalog
        self._parameters = parameters
        self._settings = settings
        self._longest_window_ms = settings.longest_window_ms
        self._ids_kept_ms = max(WITHIN_MS, settings.grace_ms)
        self._playbacks_kept_ms = MEMORY_MS + settings.grace_ms
        self._stream_time_ms = 0
        self._viewers = ViewerStore(settings.idle_ms, settings.grace_ms)
        self._timers = Timers()
        self._judge = Judge(
            catalog,
            parameters,
            keeps_out=settings.keep_out_bots,
            session_keep_rate=settings.session_keep_rate,
        )
        # What the next cut takes out, besides the rows.
        self._deltas = ItemDeltas()
        self._queries = QueryDeltas()
        self._labelled: list[tuple[str, Slate]] = []
        self._touched: dict[str, None] = {}
        self._owed: dict[str, None] = {}
        self._erased: dict[str, None] = {}

    def decoder(self, topic: str) -> Callable[[bytes], Impression | Click | Watch | Erasure]:
        """Return what decodes one event."""
        return _DECODE[topic]

    def process(self, topic: str, event: Any) -> None:
        """Take one event."""
        viewer_id, time_ms = event.viewer_id, event.occurred_at_ms
        if topic == ERASURES:
            self._erase(viewer_id, time_ms)
            return
        erased_ms = self._viewers.erased_ms
        if erased_ms and time_ms <= erased_ms.get(viewer_id, -1):
            self.erased += 1
            return
        viewer = self._viewers.get(viewer_id) or self._viewers.add(viewer_id, time_ms)
        key = digest(event.event_id)
        if not self._is_new(viewer, key, time_ms):
            self.duplicates += 1
            return
        if len(viewer.trust) > 1:
            self._judge.rest(viewer, time_ms)
        if topic == WATCHES:
            self._watch(viewer, event)
        elif topic == CLICKS:
            self._act(viewer, event)
        else:
            self._show(viewer, key, event)
        viewer.newest_ms = max(viewer.newest_ms, time_ms)
        self._touched[viewer_id] = None

    def _erase(self, viewer_id: str, requested_ms: int) -> None:
        """Forget a viewer, and what is still to be said of them."""
        self._viewers.erase(viewer_id, requested_ms)
        self._touched.pop(viewer_id, None)
        self._owed.pop(viewer_id, None)
        self._judge.forget(viewer_id)
        self._erased[viewer_id] = None

    def _is_new(self, viewer: Viewer, key: bytes, time_ms: int) -> bool:
        """Remember an event id; False for a duplicate."""
        ids, since_ms = viewer.ids, self._stream_time_ms - self._ids_kept_ms
        if not ids.add(key, time_ms, since_ms):
            return False
        block = ids.seal(since_ms)
        if block is not None:
            self._viewers.write(viewer, b"d", block_name(block), block_row(block))
            for name in ids.forget(since_ms):
                self._viewers.write(viewer, b"d", name, None)
        return True

    def _show(self, viewer: Viewer, key: bytes, event: Impression) -> None:
        """Count an impression for its items, and keep the slate until its window closes."""
        time_ms = event.occurred_at_ms
        self._visit(viewer, time_ms, impressions=len(event.items))
        if event.items:
            shown = viewer.profile.show(time_ms, [slot.item_id for slot in event.items])
            self._viewers.write_profile(viewer, shown)
        if not self._judge.keeps_out(viewer):
            self._count_slate(viewer, key, event)

    def _count_slate(self, viewer: Viewer, key: bytes, event: Impression) -> None:
        time_ms = event.occurred_at_ms
        click_rate = self._parameters.position_ctr(event.surface, time_ms)
        self._deltas.add_slate(event, click_rate)
        viewer.journal.forget(self._stream_time_ms - self._settings.grace_ms)
        row = searches.show(viewer.journal, key, event, click_rate, self._queries)
        self._viewers.write(viewer, b"j", *row)
        if not event.items:
            return
        window_ms = self._settings.click_window(event.surface)
        slate = open_slate(key, event, window_ms, viewer.recent, self._catalog)
        viewer.add_slate(slate)
        self._viewers.write(viewer, b"s", key, slate.shown.row())
        if time_ms < viewer.newest_ms:
            self.late_impressions += 1
            slate.labelled = True
            self._viewers.write(viewer, b"c", key, slate.state())  # after the row it is about
        self._set_slate_timer(viewer, slate)

    def _visit(self, viewer: Viewer, time_ms: int, **counts: int) -> None:
        """Count an event for the session it is in."""
        since_ms, profile = self._stream_time_ms - self._settings.grace_ms, viewer.profile
        profile.sessions = sessions.add(profile.sessions, time_ms, since_ms, **counts)

    def _set_slate_timer(self, viewer: Viewer, slate: Slate) -> None:
        shown = slate.shown
        due_ms = shown.served_ms + self._longest_window_ms if slate.labelled else shown.due_ms
        if due_ms < self._stream_time_ms:  # it came late
            self._slate_due(viewer, slate.key, shown.request_id)
        else:
            self._timers.set((due_ms, viewer.viewer_id, slate.key, "slate", shown.request_id))

    def _act(self, viewer: Viewer, event: Click) -> None:
        """Count an action for its item and remember it; a click may label an example."""
        self._remember(viewer, event, event.action)
        self._like(viewer, event.action, event.item_id, event.occurred_at_ms)
        self._visit(viewer, event.occurred_at_ms, clicks=int(event.action == "click"))
        self._judge.act(viewer, _ACTION_INDEX[event.action], event.occurred_at_ms)
        if self._judge.keeps_out(viewer):
            return
        counter = COUNTED_ACTIONS.get(event.action)
        if counter is not None:
            amounts = ((counter, 1.0),)
            self._deltas.add(event.item_id, event.occurred_at_ms, amounts, event.viewer_id)
        if event.action == "click":
            row = searches.click(viewer.journal, event, self._queries)
            self._viewers.write(viewer, b"m", *row)
            if viewer.slates:
                self._label(viewer, event)

    def _like(self, viewer: Viewer, action: str, item_id: str, time_ms: int) -> None:
        """Add to the viewer's affinities what they did with an item."""
        rows = viewer.profile.act(action, item_id, time_ms, self._catalog)
        self._viewers.write_profile(viewer, rows)

    def _label(self, viewer: Viewer, click: Click) -> None:
        request_id = click.request_id
        of_request = viewer.slates.get(request_id, ()) if request_id else viewer.all_slates()
        found = attribute(of_request, click)
        if found is None:
            return
        slate, slot = found
        if not slate.labelled and slot not in slate.clicked:
            slate.clicked += (slot,)
            self._viewers.write(viewer, b"c", slate.key, slate.state())

    def _remember(self, viewer: Viewer, event: Click | Watch, action: str) -> None:
        """Put an action among the viewer's recent ones."""
        entry = Action(event.occurred_at_ms, event.event_id, _ACTION_INDEX[action], event.item_id)
        slot = viewer.recent.add(entry)
        if slot is not None:
            self._viewers.write(viewer, b"r", bytes([slot]), recent_row(entry))

    def _watch(self, viewer: Viewer, event: Watch) -> None:
        """Move a playback on, and count for its item what that adds."""
        time_ms, item_id = event.occurred_at_ms, event.item_id
        key = playback_key(event.playback_id, item_id)
        playback = viewer.playbacks.get(key)
        amounts: Amounts = []
        if playback is None or time_ms - playback.last_ms > MEMORY_MS:
            playback = Playback(time_ms, time_ms)
            amounts.append(("watches", 1.0))
            self._forget_playbacks(viewer, key)
            self._remember(viewer, event, "watch")
        begun = len(amounts)
        has_timer = not (begun or playback.closed)
        had_completed = playback.completed
        closing, grown = playback.update(time_ms, event.state, event.watched_ms, event.duration_ms)
        amounts += closing
        playback.kept_out = playback.kept_out or self._judge.keeps_out(viewer)
        counts = not playback.kept_out
        if amounts and counts:
            began_by = event.viewer_id if begun else None
            self._deltas.add(item_id, playback.start_ms, amounts, began_by)
        if grown and counts:
            self._deltas.add(item_id, time_ms, (("watched_ms", float(grown)),))
        if grown:
            self._viewers.write_profile(viewer, viewer.profile.watch(time_ms, grown))
        self._visit(viewer, time_ms, watches=begun, watched_ms=grown)
        if playback.completed and not had_completed:
            self._remember(viewer, event, "complete")
            self._like(viewer, "complete", item_id, playback.start_ms)
        if closing:
            self._viewers.write_profile(viewer, viewer.profile.close(playback.start_ms, closing))
        self._keep(viewer, key, item_id, playback)
        if not (has_timer or playback.closed):
            self._set_playback_timer(viewer, key, item_id, playback)

    def _keep(self, viewer: Viewer, key: bytes, item_id: str, playback: Playback) -> None:
        viewer.playbacks.put(key, playback)
        self._viewers.write(viewer, b"p", key, playback_row(item_id, playback))

    def _forget_playbacks(self, viewer: Viewer, key: bytes) -> None:
        since_ms = self._stream_time_ms - self._playbacks_kept_ms
        for forgotten in viewer.playbacks.forget(key, since_ms):
            self._viewers.write(viewer, b"p", forgotten, None)

    def _set_playback_timer(
        self, viewer: Viewer, key: bytes, item_id: str, playback: Playback
    ) -> None:
        due_ms = playback.last_ms + IDLE_MS
        if due_ms < self._stream_time_ms:  # it came late
            self._playback_due(viewer, key, item_id)
        else:
            self._timers.set((due_ms, viewer.viewer_id, key, "playback", item_id))

    def advance(self, stream_time_ms: int) -> None:
        """Close the windows and playbacks that are over; forget viewers long idle."""
        self._stream_time_ms = stream_time_ms
        if self._timers.pending(stream_time_ms):
            for _, viewer_id, key, kind, ref in self._timers.take(stream_time_ms):
                viewer = self._viewers.get(viewer_id)
                if viewer is not None:
                    due = self._slate_due if kind == "slate" else self._playback_due
                    due(viewer, key, ref)
        if self._viewers.expires(stream_time_ms):
            self._touched.update(dict.fromkeys(self._viewers.expire(stream_time_ms)))

    def _slate_due(self, viewer: Viewer, key: bytes, request_id: str) -> None:
        """Give the slate's examples; drop it when no older slate can be open any more."""
        slate = viewer.slate(request_id, key)
        if slate is None:
            return
        if not slate.labelled:
            if not self._judge.keeps_out(viewer):
                self._labelled.append((viewer.viewer_id, slate))
            slate.labelled = True
            if slate.shown.due_ms < slate.shown.served_ms + self._longest_window_ms:
                self._viewers.write(viewer, b"c", key, slate.state())
                self._set_slate_timer(viewer, slate)
                return
        viewer.drop_slate(slate)
        self._viewers.write(viewer, b"s", key, None)
        self._viewers.write(viewer, b"c", key, None)

    def _playback_due(self, viewer: Viewer, key: bytes, item_id: str) -> None:
        """Close a playback unless a heartbeat came since the timer was set."""
        playback = viewer.playbacks.get(key)
        if playback is None or playback.closed:
            return
        if playback.last_ms + IDLE_MS >= self._stream_time_ms:
            self._set_playback_timer(viewer, key, item_id, playback)
            return
        closing = playback.time_out()
        playback.kept_out = playback.kept_out or self._judge.keeps_out(viewer)
        if not playback.kept_out:
            self._deltas.add(item_id, playback.start_ms, closing)
        self._viewers.write_profile(viewer, viewer.profile.close(playback.start_ms, closing))
        self._touched[viewer.viewer_id] = None
        self._keep(viewer, key, item_id, playback)

    def follow(self, topic: str, key: str) -> None:
        """Nothing kept depends on what the views say now."""

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Emit what has come up since the last cut."""
        for item_id, delta in self._deltas.take():
            cut.emit(ITEMS, item_id, delta)
        for query, delta in self._queries.take():
            cut.emit(QUERIES, query, delta)
        for session in self._judge.take_sessions():
            cut.emit(SESSIONS, _SESSION_KEY, session)
        labelled, self._labelled = self._labelled, []
        keep_rate = self._settings.negative_keep_rate
        for viewer_id, slate in labelled:
            made = examples(viewer_id, slate, keep_rate, cut.computed_at_ms)
            cut.emit_all(EXAMPLES, _SEGMENT_KEY, made)
        erased, self._erased = self._erased, {}
        for viewer_id in erased:
            cut.emit(SIGNALS, viewer_id, None)
        touched, self._touched = self._touched, {}
        for viewer_id in touched | self._owed:
            self._publish(viewer_id, cut, touched=viewer_id in touched)
        return self._viewers.take_rows()

    def _publish(self, viewer_id: str, cut: Cut, *, touched: bool) -> None:
        """Send a viewer's signal, or owe it when the last one was a moment ago."""
        viewer = self._viewers.get(viewer_id)
        if viewer is None:
            self._owed.pop(viewer_id, None)
            self._judge.forget(viewer_id)
            cut.emit(SIGNALS, viewer_id, None)
            return
        if cut.stream_time_ms - viewer.published_ms >= PUBLISH_EVERY_MS:
            signal = viewer_signal(viewer, self._parameters, cut.computed_at_ms)
            cut.emit(SIGNALS, viewer_id, signal)
            viewer.published_ms, viewer.owed = cut.stream_time_ms, False
            self._owed.pop(viewer_id, None)
        elif touched:
            viewer.owed = True
            self._owed[viewer_id] = None
        else:
            return
        self._viewers.write(viewer, b"h", b"", viewer.head())

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        self._viewers.restore(rows)

    def ready(self) -> None:
        """Set the timers again, and owe again what was owed."""
        for viewer, key, item_id in self._viewers.ready():
            playback = viewer.playbacks.get(key)
            if playback is not None:
                self._set_playback_timer(viewer, key, item_id, playback)
        for viewer in self._viewers:
            self._judge.restore(viewer)
            for slate in viewer.all_slates():
                self._set_slate_timer(viewer, slate)
            if viewer.owed:
                self._owed[viewer.viewer_id] = None

    def labelled_gauges(self) -> list[Figure]:
        """Viewers and actions by trust, as the engine's metrics name them."""
        return self._judge.figures(len(self._viewers))

    @property
    def rows(self) -> int:
        """Viewers held."""
        return len(self._viewers)
