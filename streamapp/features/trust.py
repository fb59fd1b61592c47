"""How far a viewer is trusted: ok, suspect or bot, and what moves it.

::

              found something        found something, the second time in a row
        ok ────────────────▶ suspect ─────────────────────────────────▶ bot
           ◀────────────────         ◀─────────────────────────────────
              1 h without              6 h without

A viewer's **deliberate** actions (`streamapp.features.trust_rules`) are counted in the order in
which they are merged; duplicates are not. With every 8th of them, late ones included, the rules
look at what the viewer did within the hour: a **look**. With every 16th the look also takes the
vector of the session (`streamapp.features.session_vector`): it is an anomaly if its score by the
control.parameters `anomaly/session` in force at that time is at or above the threshold in there
(`streamapp.features.half_space`).

* A look that finds anything, an anomaly included, makes an ok viewer a suspect.
* **Strikes** are the looks in a row in which a rule found something; one in which none did sets
  them to 0. At the 2nd strike a suspect is a bot. An anomaly is no strike: alone it makes a bot of
  a suspect only with the 8th session vector in a row, 128 deliberate actions, that is one.
* After 6 h in which no look found anything a bot is a suspect again, but with 1 strike; a suspect
  is ok after 1 h, counted from when it became one again if it was a bot. Nothing is remembered of
  it then but how many actions there were.

One look makes one step at most. Time is the viewer's own: the newest event time merged of the
viewer; the way back is looked at with each of the viewer's events, before the event counts. So a
verdict is a function of the viewer's own events in the order they are merged, of the catalog and
of the parameters, whatever the partition.

While a viewer is a bot nothing they do reaches items, queries, candidates, experiments and
examples; of a playback that did not count in part, nothing counts any more. A suspect counts.

Worked example: a click each 100 ms on one item, from t = 0 on, and nothing else. The look with the
8th action finds nothing: a burst is of 15. That with the 16th finds `burst` (1.4 s for 15) and
`repeated_item`: suspect, first strike. That with the 24th also finds `regular_intervals`; it is
the second strike: bot, at t = 2.3 s. The 24th and all that follow count for nothing. If a look at
t = 60 s is the last to find something, an event at t = 60 s + 6 h + 1 ms finds a suspect, and one
at t = 60 s + 7 h + 2 ms an ok viewer.
"""

from __future__ import annotations

from struct import Struct
from typing import Literal, NamedTuple

from streamapp.features.decay import HOUR_MS
from streamapp.features.trust_rules import ANOMALY, names

OK, SUSPECT, BOT = range(3)
State = Literal["ok", "suspect", "bot"]
STATES: tuple[State, ...] = ("ok", "suspect", "bot")

TRANSITIONS = frozenset(((OK, SUSPECT), (SUSPECT, BOT), (BOT, SUSPECT), (SUSPECT, OK)))

LOOK_EVERY = 8
VECTOR_EVERY = 16
"""Deliberate actions from one session vector to the next; a multiple of LOOK_EVERY."""

STRIKES = 2
PROBATION_STRIKES = 1
ANOMALIES = 8
QUIET_MS = {SUSPECT: HOUR_MS, BOT: 6 * HOUR_MS}
"""How long nothing is to be found until a viewer is trusted a step more."""

_MOST = 255
_RECORD = Struct("<BBBBBq")


class Trust(NamedTuple):
    """How far a viewer is trusted, 13 bytes packed, and one as long as it is ok.

    Attributes:
        actions: deliberate ones so far, modulo 16.
        reasons: all that was found since it was ok.
        strikes: looks in a row that found something by rule.
        anomalies: session vectors in a row that were anomalies.
        since_ms: time of the last look that found something, or of the last step back.
    """

    actions: int = 0
    state: int = OK
    reasons: int = 0
    strikes: int = 0
    anomalies: int = 0
    since_ms: int = 0

    def pack(self) -> bytes:
        """Return it packed, for the viewer and their head row."""
        return _ONES[self.actions] if self.state == OK else _RECORD.pack(*self)

    @property
    def name(self) -> State:
        """The state, as signals.viewers has it."""
        return STATES[self.state]

    @property
    def reason_names(self) -> list[str]:
        """The reasons, as signals.viewers has them."""
        return names(self.reasons) if self.reasons else []

    def moved(self, state: int) -> Trust:
        """Return it in another state.

        Raises:
            ValueError: there is no such transition.
        """
        if (self.state, state) not in TRANSITIONS:
            raise ValueError(f"from {self.name} to {STATES[state]} leads no way")
        return self._replace(state=state)

    def looked(self, reasons: int, time_ms: int, *, took_vector: bool) -> Trust:
        """Return what a look makes of it, given what it found."""
        by_rule = bool(reasons & ~ANOMALY)
        anomalies = self.anomalies
        if took_vector:
            anomalies = min(anomalies + 1, _MOST) if reasons & ANOMALY else 0
        strikes = min(self.strikes + 1, _MOST) if by_rule else 0
        if not reasons:
            return self._replace(strikes=strikes, anomalies=anomalies)
        after = self._replace(
            reasons=self.reasons | reasons, strikes=strikes, anomalies=anomalies, since_ms=time_ms
        )
        if self.state == OK:
            return after.moved(SUSPECT)
        if self.state == SUSPECT and (strikes >= STRIKES or anomalies >= ANOMALIES):
            return after.moved(BOT)
        return after

    def rested(self, time_ms: int) -> Trust:
        """Return what time alone has made of it."""
        trust = self
        if trust.state == BOT and time_ms - trust.since_ms > QUIET_MS[BOT]:
            suspect_ms = trust.since_ms + QUIET_MS[BOT] + 1
            trust = trust.moved(SUSPECT)._replace(
                strikes=PROBATION_STRIKES, anomalies=0, since_ms=suspect_ms
            )
        if trust.state == SUSPECT and time_ms - trust.since_ms > QUIET_MS[SUSPECT]:
            trust = trust.moved(OK)._replace(reasons=0, strikes=0, anomalies=0, since_ms=0)
        return trust


_ONES = [bytes([number]) for number in range(VECTOR_EVERY)]


def unpack(packed: bytes) -> Trust:
    """Return the trust in a viewer; nothing packed is a viewer who did nothing yet."""
    if len(packed) > 1:
        return Trust._make(_RECORD.unpack(packed))
    return Trust(packed[0]) if packed else Trust()


def counted(packed: bytes) -> bytes:
    r"""Return packed trust with one deliberate action more; the first byte is their number.

    >>> counted(b""), counted(bytes([14])), counted(bytes([15]))
    (b'\x01', b'\x0f', b'\x00')
    """
    if not packed:
        return _ONES[1]
    return _ONES[(packed[0] + 1) % VECTOR_EVERY] + packed[1:]


def is_bot(packed: bytes) -> bool:
    """Return whether a viewer's packed trust is that of a bot."""
    return len(packed) > 1 and packed[1] == BOT
