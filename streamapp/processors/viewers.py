"""viewers: what each viewer does, joined and labelled.

::

    events.impressions ─┐              ┌─▶ activity.items     what it adds to the items' counters
                        │              ├─▶ activity.queries   what it adds to the queries searched
                        │              ├─▶ activity.sessions  how it looks, to learn anomalies from
    events.clicks      ─┼─▶ the viewer ┼─▶ training.examples  slates with what came of them
    events.watches     ─┤              ├─▶ signals.viewers    what the viewer did, and cares for
    privacy.erasures   ─┘              └─▶ activity.pairs     items engaged in one session

The story of an event: a duplicate is dropped; what had to be looked up for it goes with it into a
step, which the viewer takes (see `streamapp.features.conduct`) and which is what a restore takes
again. A viewer idle for 30 days is forgotten. An erasure forgets a viewer at once: open slates give
no examples, the signal is deleted, and events from before the request that come later are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
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
from streamapp.features.catalog import Catalog, interned
from streamapp.features.completions import DueCompletions
from streamapp.features.conduct import PUBLISH_EVERY_MS, Conduct, DueSlate, Outcome
from streamapp.features.digest import digest
from streamapp.features.examples import completion, examples
from streamapp.features.figure import Figure
from streamapp.features.item_names import ItemNames, Name
from streamapp.features.item_signals import ItemSignals
from streamapp.features.journal import REQUEST_MS
from streamapp.features.judge import Judge
from streamapp.features.parameters import Parameters
from streamapp.features.playbacks import IDLE_MS
from streamapp.features.segments import segment_of
from streamapp.features.serving import matches, odds, session_ctr, words
from streamapp.features.steps import UNTITLED, ActedStep, ShownStep, Step, WatchedStep
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_signal import viewer_signal
from streamapp.features.viewer_store import ViewerStore
from streamapp.processors.base import Cut, Row
from streamapp.processors.viewers_settings import ViewersSettings

IMPRESSIONS = "events.impressions"
CLICKS = "events.clicks"
WATCHES = "events.watches"
ERASURES = "privacy.erasures"
CATALOG = "catalog.items"
ITEMS = "activity.items"
QUERIES = "activity.queries"
PAIRS = "activity.pairs"
SESSIONS = "activity.sessions"
EXAMPLES = "training.examples"
SIGNALS = "signals.viewers"

_DECODE: dict[str, Callable[[bytes], Impression | Click | Watch | Erasure]] = {
    IMPRESSIONS: decode_impression,
    CLICKS: decode_click,
    WATCHES: decode_watch,
    ERASURES: decode_erasure,
}
_SESSION_KEY = b"session"


class Viewers:
    """The processor of one partition of the viewers.

    Attributes:
        duplicates: events dropped as duplicates, so far.
        erased: events dropped because their viewer had asked for it, so far.
    """

    name: ClassVar[str] = "viewers"
    inputs: ClassVar[tuple[str, ...]] = (IMPRESSIONS, CLICKS, WATCHES, ERASURES)

    def __init__(
        self,
        catalog: Catalog,
        parameters: Parameters,
        settings: ViewersSettings,
        item_signals: ItemSignals | None = None,
    ) -> None:
        self.duplicates = 0
        self.erased = 0
        self._catalog = catalog
        self._parameters = parameters
        self._item_signals = ItemSignals() if item_signals is None else item_signals
        self._settings = settings
        self._stream_time_ms = 0
        self._restored = False
        grace_ms, window_ms = settings.grace_ms, settings.longest_window_ms
        names = self._names = ItemNames(grace_ms + max(REQUEST_MS, window_ms))
        self._outcome = Outcome(segment_by=settings.segment_by)
        self._completions = self._outcome.completions
        self._judge = Judge(catalog, parameters, session_keep_rate=settings.session_keep_rate)
        keeps_out = settings.keep_out_bots
        world = names, parameters, grace_ms, window_ms
        self._conduct = Conduct(self._outcome, *world, keeps_out=keeps_out, judge=self._judge)
        self._again = Conduct(Outcome(), *world, keeps_out=keeps_out)
        self._viewers = ViewerStore(names, self._take_again, settings.idle_ms, grace_ms)
        # What the next cut takes out, besides the rows and the outcome.
        self._touched: dict[str, None] = {}
        self._owed: dict[str, None] = {}
        self._erased: dict[str, None] = {}

    @property
    def late_impressions(self) -> int:
        """Impressions that gave no example: a later event of their viewer had come before them."""
        return self._outcome.late_impressions

    @property
    def crowded_impressions(self) -> int:
        """Impressions that gave no example: their viewer had too many slates open already."""
        return self._outcome.crowded_impressions

    @property
    def complete_ms(self) -> int:
        """Stream time up to which examples wait for what is being watched; 0 if none does."""
        return max((due_ms for due_ms, _, _ in self._completions.waiting()), default=0)

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
        viewer = self._viewers.get(viewer_id) or self._viewers.begin(viewer_id, time_ms)
        key = digest(event.event_id)
        if not self._conduct.is_new(viewer, key, time_ms, self._stream_time_ms):
            self.duplicates += 1
            return
        step = self._step(viewer, event)
        self._conduct.take(viewer, key, step)
        self._viewers.write(viewer, step)
        self._touched[viewer_id] = None

    def _step(self, viewer: Viewer, event: Impression | Click | Watch) -> Step:
        """Look up what an event needs to be known of the rest of the world."""
        number, stream_ms, time_ms = viewer.number + 1, self._stream_time_ms, event.occurred_at_ms
        newest_ms = max(viewer.newest_ms, time_ms)
        if isinstance(event, Impression):
            recent = viewer.recent
            last = recent.last_item("click")
            last_category = None if last is None else self._tastes(last)[0]
            # Nothing more needs to be known of slots that were served with their features.
            ids = [slot.item_id for slot in event.items if slot.features is None]
            if ids and len(ids) < len(event.items):
                ids = [slot.item_id for slot in event.items]
            ratio, rate = self._eagerness(viewer, time_ms) if ids else (None, None)
            return ShownStep(
                number,
                newest_ms,
                stream_ms,
                event,
                time_ms + self._settings.click_window(event.surface),
                last_category,
                recent.count("click"),
                recent.count("watch"),
                recent.count("complete"),
                self._said(ids),
                signals=self._item_signals.texts(ids, time_ms),
                matches=self._matches(event.query, ids) if event.query else b"",
                watch_ratio=ratio,
                session_ctr=rate,
            )
        category, creator = self._tastes(event.item_id)
        if isinstance(event, Click):
            return ActedStep(number, newest_ms, stream_ms, event, category, creator)
        return WatchedStep(number, newest_ms, stream_ms, event, category, creator)

    def _said(self, item_ids: list[str]) -> list[int]:
        """Return the numbers of what the catalog says of items."""
        names, numbers = self._names, list[int]()
        looked_up: list[tuple[str, Name]] = []
        for item_id in item_ids:
            name = names.known(item_id)
            said = None if name is None else name.said
            if said is None:
                said = names.named(self._catalog.features([item_id])[0])
                looked_up.append((item_id, said))
            numbers.append(said.number)
        for item_id, said in looked_up:
            self._note(names.named(item_id), said)
        return numbers

    def _note(self, name: Name, said: Name) -> None:
        """Note with an item's name what the catalog says of it."""
        item = self._catalog.get(name.text)
        name.said = said
        name.category = interned(None if item is None else item.category)
        name.creator = interned(None if item is None else item.creator_id)

    def _tastes(self, item_id: str) -> tuple[str | None, str | None]:
        """Return category and creator of an item."""
        name = self._names.known(item_id)
        if name is not None and name.said is not None:
            return name.category, name.creator
        item = self._catalog.get(item_id)
        return (None, None) if item is None else (item.category, item.creator_id)

    def _eagerness(self, viewer: Viewer, time_ms: int) -> tuple[float | None, float | None]:
        """Return how eager a viewer is, as their signal says it; nothing of one without events."""
        as_of_ms, profile = viewer.newest_ms, viewer.profile
        if as_of_ms < 0:
            return None, None
        prior = self._parameters.prior("watch_ratio", None, as_of_ms)
        session = profile.sessions
        rate = session_ctr(session.clicks, session.impressions, as_of_ms, time_ms)
        return odds(profile.watch_ratio(as_of_ms, prior)), rate

    def _matches(self, query: str, item_ids: list[str]) -> bytes:
        """Return how many of a query's words are in the title of each item."""
        wanted, get = words(query), self._catalog.get
        if not wanted:
            return b""
        items = [get(item_id) for item_id in item_ids]
        titles = [None if item is None else item.title for item in items]
        return bytes([matches(wanted, title) if title else UNTITLED for title in titles])

    def _erase(self, viewer_id: str, requested_ms: int) -> None:
        """Forget a viewer, and what is still to be said of them."""
        self._viewers.erase(viewer_id, requested_ms)
        self._touched.pop(viewer_id, None)
        self._owed.pop(viewer_id, None)
        self._judge.forget(viewer_id)
        self._completions.forget(viewer_id)
        self._erased[viewer_id] = None

    def advance(self, stream_time_ms: int) -> None:
        """Close the windows and playbacks that are over; forget viewers long idle."""
        self._stream_time_ms = self._viewers.stream_ms = stream_time_ms
        if self._restored:
            self._wake(stream_time_ms)
        timers = self._outcome.timers
        while (timer := timers.next(stream_time_ms)) is not None:
            viewer = self._viewers.get(timer[1])
            if viewer is not None and self._conduct.due(viewer, timer, stream_time_ms):
                self._touched[viewer.viewer_id] = None
        if stream_time_ms >= self._viewers.rest_due_ms:
            self._viewers.lay_to_rest(stream_time_ms)
        if stream_time_ms >= self._viewers.due_ms:
            self._touched.update(dict.fromkeys(self._viewers.expire(stream_time_ms)))

    def _take_again(self, viewer: Viewer, steps: list[Step], stream_time_ms: int) -> None:
        """Let a viewer who was restored come to the present."""
        self._again.take_again(viewer, steps, stream_time_ms)
        self._judge.restore(viewer)

    def _wake(self, stream_time_ms: int) -> None:
        """After a restore: set the timers of those who may have any, owe again what was owed."""
        self._restored = False
        for due_ms, viewer_id, key in self._completions.waiting():
            self._outcome.timers.set((due_ms, viewer_id, key, "completion", ""))
        longest_ms = max(IDLE_MS, self._settings.longest_window_ms) + PUBLISH_EVERY_MS
        for viewer in self._viewers.ready(stream_time_ms - longest_ms):
            self._conduct.set_timers(viewer, stream_time_ms)
            if viewer.owed:
                self._owed[viewer.viewer_id] = None

    def follow(self, topic: str, key: str) -> None:
        """Forget what was looked up of an item that has changed."""
        if topic == CATALOG:
            name = self._names.known(key)
            if name is not None:
                name.said = None

    def cut(self, cut: Cut) -> Iterable[Row]:
        """Emit what has come up since the last cut."""
        outcome, self._again.outcome = self._outcome, Outcome()
        cut.emit_each(ITEMS, outcome.deltas.take())
        cut.emit_each(QUERIES, outcome.queries.take())
        cut.emit_each(PAIRS, outcome.pairs.take())
        for session in self._judge.take_sessions():
            cut.emit(SESSIONS, _SESSION_KEY, session)
        labelled, outcome.labelled = outcome.labelled, []
        for due in labelled:
            self._give(due, cut)
        erased, self._erased = self._erased, {}
        for viewer_id in erased:
            cut.emit(SIGNALS, viewer_id, None)
        touched, self._touched = self._touched, {}
        for viewer_id in touched | self._owed:
            self._publish(viewer_id, cut, touched=viewer_id in touched)
        return chain(self._viewers.take_rows(), self._completions.take())

    def _give(self, due: DueSlate | DueCompletions, cut: Cut) -> None:
        """Emit the examples of a slate, or of the playbacks it led to."""
        computed_at_ms, by = cut.computed_at_ms, self._settings.segment_by
        if isinstance(due, DueCompletions):
            made = [completion(*one, due.due_ms, computed_at_ms) for one in due.labelled]
            cut.emit_all(EXAMPLES, due.segment.encode(), made)
            return
        keep_rate = self._settings.negative_keep_rate
        made = examples(due.viewer_id, due.slate, due.said, keep_rate, computed_at_ms, by)
        cut.emit_all(EXAMPLES, segment_of(due.slate.shown.event, by).encode(), made)

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

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take rows of the changelog."""
        self._viewers.restore(self._completions.restore(rows))

    def ready(self) -> None:
        """All rows are in; who is needed of the viewers is woken when the stream time is told."""
        self._restored = True

    def gauges(self) -> dict[str, float]:
        """Events that were dropped, and impressions that gave no example, as metrics name them."""
        return {
            "duplicates": float(self.duplicates),
            "erased_events": float(self.erased),
            "late_impressions": float(self.late_impressions),
            "crowded_impressions": float(self.crowded_impressions),
            "crowded_completions": float(self._outcome.crowded_completions),
        }

    def labelled_gauges(self) -> list[Figure]:
        """Viewers and actions by trust, as the engine's metrics name them."""
        return self._judge.figures(len(self._viewers))

    @property
    def rows(self) -> int:
        """Viewers held."""
        return len(self._viewers)
