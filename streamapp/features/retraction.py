"""Taking back what a viewer contributed to items, their pairs and queries within the last 24 h.

An amount a counted at event time t is taken back as −a at t: a decayed counter is a sum over its
events, so what remains is the sum over the others, at any time after.

::

    counted    +1 at 12:00 ─────────────── worth 2^(−1) 6 h later (half-life 6 h)
    retracted                18:00: −1 at 12:00, worth −2^(−1) then: together 0

Worked example: a bot clicked an item at 12:00 and at 15:00, a human at 16:00. At 18:00 its 6 h
counter of clicks is 2^(−1) + 2^(−1/2) + 2^(−1/3) ≈ 2.001; the retraction adds −2^(−1) − 2^(−1/2),
and 2^(−1/3) ≈ 0.794 is left, as if there had been no bot.

So is a session that counted for an item, or for two of them, at the minute it counted at
(`streamapp.features.engagements` finds them again).

A playback is taken back whole if it began within the 24 h, with all of its growth, and counts no
more. What is not taken back: that a viewer is among an item's distinct viewers, which is an
estimate; examples, which have been learnt from; and the times of an item's first and newest event.
A retraction names only times that were named when the amounts were counted, so it moves neither:
`as_of_ms` and the age that velocity goes by stay what they were with the bot, and counters are as
at that `as_of_ms`.
"""

from __future__ import annotations

from streamapp.features import searches
from streamapp.features.co_engagement import CoEngagements
from streamapp.features.decay import DAY_MS
from streamapp.features.deltas import ItemDeltas
from streamapp.features.engagements import Act, engagements
from streamapp.features.item_names import ItemNames, unpacked
from streamapp.features.journal import Journal
from streamapp.features.parameters import Parameters
from streamapp.features.query_deltas import QueryDeltas
from streamapp.features.rates import COUNTED_ACTIONS
from streamapp.features.recent import ACTIONS
from streamapp.features.viewer import Viewer

WITHIN_MS = DAY_MS
"""What is older than this, by the viewer's newest event, stays counted."""


class Retraction:
    """Takes back what viewers contributed.

    Args:
        names: of the items, by their numbers.
        parameters: as they were when slates were counted.
    """

    def __init__(self, names: ItemNames, parameters: Parameters) -> None:
        self._names = names
        self._parameters = parameters

    def take_back_pairs(self, viewer: Viewer, now_ms: int, last: Act, pairs: CoEngagements) -> None:
        """Take back what a viewer engaged, while it is still known; see `take_back`.

        Args:
            last: the action the verdict fell with: it has engaged its item, nothing else.
        """
        for one in engagements(viewer.journal, viewer.playbacks, last, self._names):
            if one.time_ms >= now_ms - WITHIN_MS:
                pairs.add(one.item_id, one.time_ms, one.recent, one.known, retracts=True)

    def take_back(
        self, viewer: Viewer, now_ms: int, deltas: ItemDeltas, queries: QueryDeltas
    ) -> None:
        """Take back all of a viewer's that is recent; forget what it was made of.

        Args:
            now_ms: newest event time of the viewer.
        """
        since_ms = now_ms - WITHIN_MS
        self._slates(viewer.journal, since_ms, deltas)
        self._acts(viewer.journal, since_ms, deltas)
        self._playbacks(viewer, since_ms, deltas)
        searches.retract(viewer.journal, self._names, since_ms, queries)
        viewer.journal = Journal()
        viewer.slates = None

    def _slates(self, journal: Journal, since_ms: int, deltas: ItemDeltas) -> None:
        for shown, slots in journal.since(since_ms):
            surface, time_ms = self._names.name(slots.surface), shown.time_ms
            rates = self._parameters.click_rates(surface, time_ms, slots.positions)
            for number, rate in zip(unpacked(slots.items), rates, strict=True):
                amounts = (("impressions", -1.0), ("expected_clicks", -rate))
                deltas.add(self._names.name(number), time_ms, amounts)

    def _acts(self, journal: Journal, since_ms: int, deltas: ItemDeltas) -> None:
        for time_ms, item, action in journal.acts(since_ms):
            counter = COUNTED_ACTIONS.get(ACTIONS[action])
            if counter is not None:
                (number,) = unpacked(item)
                deltas.add(self._names.name(number), time_ms, ((counter, -1.0),))

    def _playbacks(self, viewer: Viewer, since_ms: int, deltas: ItemDeltas) -> None:
        for key, playback in viewer.playbacks.all():
            if playback.kept_out or playback.start_ms < since_ms:
                continue
            item_id, start_ms = self._names.name(playback.item), playback.start_ms
            amounts = [(counter, -amount) for counter, amount in playback.counted()]
            deltas.add(item_id, start_ms, amounts)
            m30, h6, d7 = playback.grown
            watched_ms = -float(playback.watched_ms)
            deltas.add_sums(item_id, start_ms, "watched_ms", watched_ms, (-m30, -h6, -d7))
            playback.kept_out = True
            viewer.playbacks.put(key, playback)
