"""Conduct: what each event does to its viewer, and what it adds elsewhere.

The story of a step: an impression counts for its items and opens a slate; an action counts for its
item, joins the recent actions, and labels the slate it belongs to; a heartbeat moves its playback
on. Slates become examples, and playbacks close, when stream time has gone on long enough; what was
watched of a slate becomes examples of its own (`streamapp.features.completions`).
An action also says how far to trust the viewer. What a bot does changes nothing but what is known
of the viewer, and what one contributed before they turned out to be one is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mypy_extensions import mypyc_attr

from streamapp.events import Click, Watch
from streamapp.features import searches
from streamapp.features.co_engagement import CoEngagements
from streamapp.features.completions import Completions, DueCompletions, due_ms, labels
from streamapp.features.dedupe import WITHIN_MS
from streamapp.features.deltas import ItemDeltas
from streamapp.features.digest import digest
from streamapp.features.engagements import Act
from streamapp.features.examples import awaited
from streamapp.features.item_names import ItemNames, Name, packed
from streamapp.features.journal import Slots
from streamapp.features.judge import Judge
from streamapp.features.parameters import Parameters
from streamapp.features.playbacks import IDLE_MS, MEMORY_MS, Amounts, Playback, playback_key
from streamapp.features.profile import HIDES
from streamapp.features.query_deltas import QueryDeltas
from streamapp.features.rates import COUNTED_ACTIONS
from streamapp.features.recent import ACTION_INDEX, CLICK, COMPLETE, ENGAGING, WATCH
from streamapp.features.retraction import Retraction
from streamapp.features.slates import MAX_OPEN, Aim, OpenSlates, Slate
from streamapp.features.steps import ActedStep, ShownStep, Step, WatchedStep
from streamapp.features.timers import Timer, Timers
from streamapp.features.trust import is_bot
from streamapp.features.viewer import Viewer

PUBLISH_EVERY_MS = 500
"""Stream time between two signals of one viewer."""


@mypyc_attr(acyclic=True)
class DueSlate:
    """A slate whose examples are due.

    Attributes:
        said: for each slot, what the catalog said of its item, as JSON.
    """

    __slots__ = ("said", "slate", "viewer_id")

    def __init__(self, viewer_id: str, slate: Slate, said: list[str]) -> None:
        self.viewer_id = viewer_id
        self.slate = slate
        self.said = said


@dataclass(slots=True)
class Outcome:
    """What comes of steps besides what they do to their viewer.

    Attributes:
        deltas, queries: what they add to the counters of items and queries.
        pairs: items engaged in one session.
        labelled: what examples are due of, in that order: slates, and playbacks they led to.
        completions: examples that wait for playbacks.
        segment_by: what decides of an example's segment.
        timers: when slates and playbacks must be looked at again.
        late_impressions: those that give no example, because a later event of their viewer had
            come before them.
        crowded_impressions: those that give none, because `MAX_OPEN` slates of their viewer were
            open.
        crowded_completions: slates that give no examples of what was played, because too many of
            their viewer wait for that.
    """

    deltas: ItemDeltas = field(default_factory=ItemDeltas)
    queries: QueryDeltas = field(default_factory=QueryDeltas)
    pairs: CoEngagements = field(default_factory=CoEngagements)
    labelled: list[DueSlate | DueCompletions] = field(default_factory=list)
    completions: Completions = field(default_factory=Completions)
    segment_by: str = ""
    timers: Timers = field(default_factory=Timers)
    late_impressions: int = 0
    crowded_impressions: int = 0
    crowded_completions: int = 0


class Conduct:
    """Takes the steps of viewers.

    Args:
        outcome: takes what they bring. One that nobody reads is for steps taken once already.
        names: of the items, by their numbers.
        grace_ms: how late an event may be.
        longest_window_ms: the longest click window of any surface.
        keeps_out: what a bot does is kept out; else it is only said who is one.
        judge: says whom to trust; None where that has been said of each step.
    """

    def __init__(
        self,
        outcome: Outcome,
        names: ItemNames,
        parameters: Parameters,
        grace_ms: int,
        longest_window_ms: int,
        *,
        keeps_out: bool = True,
        judge: Judge | None = None,
    ) -> None:
        self.outcome = outcome
        self._judge = judge
        self._keeps_out = keeps_out
        self._retraction = Retraction(names, parameters)
        self._names = names
        self._parameters = parameters
        self._grace_ms = grace_ms
        self._longest_window_ms = longest_window_ms
        self._ids_kept_ms = WITHIN_MS + grace_ms  # a late event may repeat one as much earlier
        self._playbacks_kept_ms = MEMORY_MS + grace_ms

    def is_new(self, viewer: Viewer, key: bytes, time_ms: int, stream_ms: int) -> bool:
        """Remember the digest of an event id; False for a duplicate."""
        return viewer.ids.add(key, time_ms, stream_ms - self._ids_kept_ms)

    def take(self, viewer: Viewer, key: bytes, step: Step) -> None:
        """Take a step; `key` is the digest of its event id, and is new."""
        judge, before = self._judge, viewer.trust
        if judge is None:
            viewer.trust = step.trust
        elif len(before) > 1:
            judge.rest(viewer, step.event.occurred_at_ms)
        if isinstance(step, WatchedStep):
            self._watch(viewer, step)
        elif isinstance(step, ActedStep):
            self._act(viewer, step, was_bot=is_bot(before))
        else:
            self._show(viewer, key, step)
        step.trust = viewer.trust
        viewer.number, viewer.newest_ms = step.number, step.newest_ms
        viewer.stream_ms = step.stream_ms

    def take_again(self, viewer: Viewer, steps: Iterable[Step], stream_ms: int) -> None:
        """Take the steps a viewer took since their row was written; do what came due until now.

        When the last signal went out is not written. One is owed if there may have been a change
        since the last cut but one: so none is missing after a restore, and few come twice.
        """
        for kept in (viewer.profile.seen, viewer.profile.hidden):
            if kept is not None:
                kept.happened = self._names.shared(kept.happened)
        self.outcome.timers = Timers()
        self.set_timers(viewer, viewer.stream_ms)
        for step in steps:
            self._come_to(viewer, step.stream_ms)
            key = digest(step.event.event_id)
            self.is_new(viewer, key, step.event.occurred_at_ms, step.stream_ms)
            self.take(viewer, key, step)
        changed_ms = max(viewer.stream_ms, self._come_to(viewer, stream_ms))
        viewer.owed = changed_ms >= stream_ms - PUBLISH_EVERY_MS
        viewer.published_ms = changed_ms

    def _is_out(self, viewer: Viewer) -> bool:
        """Return whether what the viewer does is to count for nothing."""
        trust = viewer.trust
        return len(trust) > 1 and self._keeps_out and is_bot(trust)

    def _show(self, viewer: Viewer, key: bytes, step: ShownStep) -> None:
        """Count an impression for its items, and keep the slate until its window closes."""
        event, profile = step.event, viewer.profile
        names = [self._names.named(slot.item_id) for slot in event.items]
        ids = [name.text for name in names]
        time_ms, since_ms = event.occurred_at_ms, step.stream_ms - self._grace_ms
        profile.sessions.add(time_ms, since_ms, impressions=len(ids))
        profile.show(time_ms, ids)
        if not self._is_out(viewer):
            self._count_slate(viewer, key, step, names, ids)

    def _count_slate(
        self, viewer: Viewer, key: bytes, step: ShownStep, names: list[Name], ids: list[str]
    ) -> None:
        event, outcome, journal = step.event, self.outcome, viewer.journal
        time_ms = event.occurred_at_ms
        positions = [slot.position for slot in event.items]
        rates = self._parameters.click_rates(event.surface, time_ms, positions)
        outcome.deltas.add_slate(time_ms, ids, rates)
        journal.forget(step.stream_ms - self._grace_ms)
        items = packed([name.number for name in names])
        slots = Slots(self._names.number(event.surface), items, positions)
        searches.show(journal, key, event, slots, rates, outcome.queries)
        if not ids:
            return
        if viewer.slates is not None and len(viewer.slates) >= MAX_OPEN:
            outcome.crowded_impressions += 1
            return
        slate = Slate(key, step, ids)
        if step.features:
            slate.said = self._said(step.features, names)
            categories, creators = viewer.profile.categories, viewer.profile.creators
            slate.as_of_ms = viewer.newest_ms
            slate.categories = None if categories is None else categories.copy()
            slate.creators = None if creators is None else creators.copy()
        if viewer.slates is None:
            viewer.slates = OpenSlates()
        viewer.slates.add(slate)
        if time_ms < viewer.newest_ms:
            outcome.late_impressions += 1
            slate.labelled = True
        self.set_slate_timer(viewer, slate, step.stream_ms)

    def _said(self, features: list[int], names: list[Name]) -> list[str]:
        """Return what the catalog said of the items with these names."""
        texts = list[str]()
        for index, number in enumerate(features):
            said = names[index].said
            if said is not None and said.number == number:
                texts.append(said.text)
            else:
                texts.append(self._names.name(number))
        return texts

    def _act(self, viewer: Viewer, step: ActedStep, *, was_bot: bool) -> None:
        """Remember an action and judge by it; count it; a click may label an example."""
        event, profile = step.event, viewer.profile
        time_ms, action, item_id = event.occurred_at_ms, event.action, event.item_id
        code, since_ms = ACTION_INDEX[action], step.stream_ms - self._grace_ms
        if action in ENGAGING and not self._is_out(viewer):
            self.outcome.pairs.add(item_id, time_ms, viewer.recent, profile.sessions)
        viewer.recent.add(time_ms, event.event_id, code, item_id)
        if action in HIDES:
            profile.hide(time_ms, self._names.named(item_id).text)
        profile.care(action, time_ms, step.category, step.creator)
        profile.sessions.add(time_ms, since_ms, clicks=int(code == CLICK))
        if self._judge is not None:
            self._judge.act(viewer, code, time_ms)
        if not self._is_out(viewer):
            self._count_act(viewer, step, code)
        elif not was_bot:
            outcome = self.outcome
            now_ms, retraction = step.newest_ms, self._retraction
            last = Act(time_ms, code, self._names.number(event.item_id))
            retraction.take_back_pairs(viewer, now_ms, last, outcome.pairs)
            retraction.take_back(viewer, now_ms, outcome.deltas, outcome.queries)

    def _count_act(self, viewer: Viewer, step: ActedStep, code: int) -> None:
        event, outcome, journal = step.event, self.outcome, viewer.journal
        counter = COUNTED_ACTIONS.get(event.action)
        if counter is not None:
            amounts = ((counter, 1.0),)
            outcome.deltas.add(event.item_id, event.occurred_at_ms, amounts, event.viewer_id)
        journal.forget(step.stream_ms - self._grace_ms)
        item = packed([self._names.number(event.item_id)])
        searches.act(journal, event, code, item, outcome.queries)
        if viewer.slates is not None:
            self._label(viewer.slates, event, code)

    def _label(self, slates: OpenSlates, event: Click, code: int) -> None:
        """Remember what was done with a slot."""
        aim = Aim(event.item_id, event.occurred_at_ms, event.request_id, event.position)
        found = _open_slot(slates, aim)
        if found is None:
            return
        slate, slot = found
        if code != CLICK:
            if (slot, code) not in slate.actions:
                slate.actions += ((slot, code),)
        elif slot not in slate.clicked:
            slate.clicked += (slot,)

    def _begin(self, slates: OpenSlates, event: Watch, key: bytes) -> None:
        """Remember that a slot led to a playback."""
        found = _open_slot(slates, Aim(event.item_id, event.occurred_at_ms, event.request_id))
        if found is None:
            return
        slate, slot = found
        if slot not in [begun for begun, _ in slate.begun]:
            slate.begun += ((slot, key),)

    def _watch(self, viewer: Viewer, step: WatchedStep) -> None:
        """Move a playback on, and count for its item what that adds."""
        event, deltas, profile = step.event, self.outcome.deltas, viewer.profile
        time_ms, item_id, is_out = event.occurred_at_ms, event.item_id, self._is_out(viewer)
        key = playback_key(event.playback_id, item_id)
        playback = viewer.playbacks.get(key)
        since_ms = step.stream_ms - self._grace_ms
        amounts: Amounts = []
        item = self._names.number(item_id)
        if playback is None or time_ms - playback.last_ms > MEMORY_MS:
            playback = Playback(item, time_ms, time_ms)
            amounts.append(("watches", 1.0))
            viewer.playbacks.forget(key, step.stream_ms - self._playbacks_kept_ms)
            if not is_out:
                self.outcome.pairs.add(item_id, time_ms, viewer.recent, profile.sessions)
                if viewer.slates is not None:
                    self._begin(viewer.slates, event, key)
            viewer.recent.add(time_ms, event.event_id, WATCH, item_id)
        begun = len(amounts)
        has_timer = not (begun or playback.closed)
        had_completed = playback.completed
        playback.item = item
        closing, grown = playback.update(time_ms, event.state, event.watched_ms, event.duration_ms)
        amounts += closing
        playback.kept_out = playback.kept_out or is_out
        counts = not playback.kept_out
        if amounts and counts:
            began_by = event.viewer_id if begun else None
            deltas.add(item_id, playback.start_ms, amounts, began_by)
        if grown and counts:
            deltas.add(item_id, time_ms, (("watched_ms", float(grown)),))
        if grown:
            profile.watching.watch(time_ms, grown)
        profile.sessions.add(time_ms, since_ms, watches=begun, watched_ms=grown)
        if playback.completed and not had_completed:
            viewer.recent.add(time_ms, event.event_id, COMPLETE, item_id)
            start_ms = playback.start_ms
            profile.care("complete", start_ms, step.category, step.creator)
        if closing:
            profile.watching.close(playback.start_ms, closing)
        viewer.playbacks.put(key, playback)
        if not (has_timer or playback.closed):
            self.set_playback_timer(viewer, key, playback, step.stream_ms)

    def set_slate_timer(self, viewer: Viewer, slate: Slate, stream_ms: int) -> None:
        """See to it that a slate is looked at when it is due; if it is already, do so."""
        due_ms = self._over_ms(slate) if slate.labelled else slate.due_ms
        request_id = slate.request_id
        if due_ms < stream_ms:  # it came late
            self.slate_due(viewer, slate.key, request_id, stream_ms)
        else:
            self.outcome.timers.set((due_ms, viewer.viewer_id, slate.key, "slate", request_id))

    def _over_ms(self, slate: Slate) -> int:
        """Return when no older slate can be open any more."""
        return slate.time_ms + self._longest_window_ms

    def set_playback_timer(
        self, viewer: Viewer, key: bytes, playback: Playback, stream_ms: int
    ) -> None:
        """See to it that a playback is closed when it has been silent for long."""
        due_ms = playback.last_ms + IDLE_MS
        if due_ms < stream_ms:  # it came late
            self.playback_due(viewer, key, stream_ms)
        else:
            self.outcome.timers.set((due_ms, viewer.viewer_id, key, "playback", ""))

    def slate_due(self, viewer: Viewer, key: bytes, request_id: str, stream_ms: int) -> None:
        """Give the slate's examples; drop it when no older slate can be open any more."""
        slates = viewer.slates
        slate = None if slates is None else slates.get(request_id, key)
        if slates is None or slate is None:
            return
        if not slate.labelled:
            said = slate.said
            if said is None:  # it comes from a row
                said = self._names.texts(slate.shown.features)
            self.outcome.labelled.append(DueSlate(viewer.viewer_id, slate, said))
            slate.labelled = True
            if slate.begun:
                self._await(viewer, slate, said)
            if slate.due_ms < self._over_ms(slate):
                self.set_slate_timer(viewer, slate, stream_ms)
                return
        slates.drop(slate)
        if len(slates) == 0:
            viewer.slates = None

    def _await(self, viewer: Viewer, slate: Slate, said: list[str]) -> None:
        """Keep examples until it is known what came of the playbacks."""
        outcome, viewer_id, key = self.outcome, viewer.viewer_id, slate.key
        begun = [viewer.playbacks.get(playback_key) for _, playback_key in slate.begun]
        over_ms = due_ms(slate.time_ms, [playback for playback in begun if playback is not None])
        waiting = awaited(viewer_id, slate, said, over_ms, outcome.segment_by)
        if outcome.completions.add(viewer_id, key, waiting):
            outcome.timers.set((over_ms, viewer_id, key, "completion", ""))
        else:
            outcome.crowded_completions += 1

    def completions_due(self, viewer: Viewer, key: bytes) -> None:
        """Give the examples of a slate's playbacks, but of those that count no more."""
        outcome = self.outcome
        waiting = outcome.completions.pop(viewer.viewer_id, key)
        if waiting is None:
            return
        known = [(one, viewer.playbacks.get(one.playback)) for one in waiting.begun]
        labelled = [
            (one.start, labels(playback, clicked=one.clicked))
            for one, playback in known
            if playback is not None and not playback.kept_out
        ]
        if labelled:
            outcome.labelled.append(DueCompletions(waiting.segment, waiting.due_ms, labelled))

    def playback_due(self, viewer: Viewer, key: bytes, stream_ms: int) -> bool:
        """Close a playback unless a heartbeat came since the timer was set; True if closed."""
        playback = viewer.playbacks.get(key)
        if playback is None or playback.closed:
            return False
        if playback.last_ms + IDLE_MS >= stream_ms:
            self.set_playback_timer(viewer, key, playback, stream_ms)
            return False
        closing = playback.time_out()
        playback.kept_out = playback.kept_out or self._is_out(viewer)
        if not playback.kept_out:
            item_id = self._names.name(playback.item)
            self.outcome.deltas.add(item_id, playback.start_ms, closing)
        viewer.profile.watching.close(playback.start_ms, closing)
        viewer.playbacks.put(key, playback)
        return True

    def due(self, viewer: Viewer, timer: Timer, stream_ms: int) -> bool:
        """Look at what a timer was set for; True if the viewer's signal has changed."""
        _, _, key, kind, request_id = timer
        if kind == "slate":
            self.slate_due(viewer, key, request_id, stream_ms)
            return False
        if kind == "completion":
            self.completions_due(viewer, key)
            return False
        return self.playback_due(viewer, key, stream_ms)

    def _come_to(self, viewer: Viewer, stream_ms: int) -> int:
        """Do what becomes due for the only viewer whose timers are set.

        Returns:
            When the last change of the signal was due; −1 if it has not changed.
        """
        changed_ms, timers = -1, self.outcome.timers
        while (timer := timers.next(stream_ms)) is not None:
            if self.due(viewer, timer, stream_ms):
                changed_ms = timer[0]
        return changed_ms

    def set_timers(self, viewer: Viewer, stream_ms: int) -> None:
        """Set the timers of a viewer who has come to this stream time."""
        if viewer.slates is not None:
            for slate in viewer.slates.all():
                self.set_slate_timer(viewer, slate, stream_ms)
        for key, playback in viewer.playbacks.all():
            if not playback.closed:
                self.set_playback_timer(viewer, key, playback, stream_ms)


def _open_slot(slates: OpenSlates, aim: Aim) -> tuple[Slate, int] | None:
    """Return the slate an event belongs to, and which slot, if its window is still open."""
    found = slates.attribute(aim)
    return None if found is None or found[0].labelled else found
