"""Taking back from the items what a viewer contributed.

An amount a counted at event time t is taken back as −a at t: a decayed counter is a sum over its
events, so what remains is the sum over the others, at any time after.

::

    counted    +1 at 12:00 ─────────────── worth 2^(−1) 6 h later (half-life 6 h)
    retracted                18:00: −1 at 12:00, worth −2^(−1) then: together 0

Worked example: a bot clicked an item at 12:00 and at 15:00, a human at 16:00. At 18:00 its 6 h
counter of clicks is 2^(−1) + 2^(−1/2) + 2^(−1/3) ≈ 2.001; the retraction adds −2^(−1) − 2^(−1/2),
and 2^(−1/3) ≈ 0.794 is left, as if there had been no bot.

What is not taken back: that a viewer is among an item's distinct viewers, which is an estimate;
and the times of an item's first and newest event. A retraction names only times that were named
when the amounts were counted, so it moves neither: `as_of_ms` and the age that velocity goes by
stay what they were with the bot, and counters are as at that `as_of_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import NamedTuple

from streamapp.features.deltas import ItemDeltas
from streamapp.features.playbacks import Amounts
from streamapp.features.rates import COUNTED_ACTIONS

ClickRate = Callable[[str, int], Callable[[int], float]]
"""surface, event time → position → mean click rate: `Parameters.position_ctr`."""


class ShownSlot(NamedTuple):
    """An item as it was shown in a slate."""

    item_id: str
    time_ms: int
    surface: str
    position: int


class Acted(NamedTuple):
    """An action of events.clicks; one that items do not count changes nothing."""

    item_id: str
    time_ms: int
    action: str


class Played(NamedTuple):
    """What a playback counted for at one event time, by counter."""

    item_id: str
    time_ms: int
    amounts: Amounts


Contribution = ShownSlot | Acted | Played


def retract(
    contributions: Iterable[Contribution], click_rate: ClickRate, deltas: ItemDeltas
) -> None:
    """Take back what was counted for these, each at its own event time.

    Args:
        click_rate: as it was when the slots were counted.
    """
    for (surface, time_ms), group in groupby(contributions, _slate_of):
        rate = None if surface is None else click_rate(surface, time_ms)
        for one in group:
            amounts = [(counter, -amount) for counter, amount in _amounts(one, rate)]
            if amounts:
                deltas.add(one.item_id, time_ms, amounts)


def _slate_of(one: Contribution) -> tuple[str | None, int]:
    """Return what contributions to one slate have in common, to look its click rates up once."""
    return one.surface if isinstance(one, ShownSlot) else None, one.time_ms


def _amounts(one: Contribution, rate: Callable[[int], float] | None) -> Amounts:
    if isinstance(one, Played):
        return one.amounts
    if isinstance(one, Acted):
        counter = COUNTED_ACTIONS.get(one.action)
        return [] if counter is None else [(counter, 1.0)]
    amounts = [("impressions", 1.0)]
    if rate is not None:
        amounts.append(("expected_clicks", rate(one.position)))
    return amounts
