"""Which candidates may be shown at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from streamapp.events import CatalogItem
from streamapp.reader.held_signal import HeldSignal
from streamapp.reader.items import Items, is_active
from streamapp.reader.request import Options
from streamapp.signals import ViewerSignal


class Item(msgspec.Struct, frozen=True, gc=False):
    """A candidate that may be shown.

    Attributes:
        known: what the catalog says of it.
        signal: None without one, and when it is stale.
        category, creator_id: of the catalog, or else of the signal.
    """

    item_id: str
    known: CatalogItem | None
    signal: HeldSignal | None
    stale: bool
    category: str | None
    creator_id: str | None


def eligible(
    candidates: Iterable[str],
    held: Items,
    viewer: ViewerSignal | None,
    options: Options,
    at_ms: int,
) -> tuple[list[Item], Counter[str]]:
    """Return what may be shown of the candidates, each once, and how many may not, by reason."""
    barred = _barred(viewer, options, at_ms)
    stale_ms = at_ms - options.stale_item_ms
    items, left_out = [], Counter[str]()
    known_of, signal_of = held.catalog.get, held.signal
    for item_id in dict.fromkeys(candidates):
        known, signal = known_of(item_id), signal_of(item_id)
        if item_id in barred:
            left_out[barred[item_id]] += 1
        elif not (options.show_inactive or is_active(known, signal, at_ms)):
            left_out["inactive"] += 1
        else:
            stale = signal is not None and signal.as_of_ms < stale_ms
            if stale:
                signal = None
            told = known or signal
            category, creator_id = (
                (None, None) if told is None else (told.category, told.creator_id)
            )
            items.append(Item(item_id, known, signal, stale, category, creator_id))
    return items, left_out


def _barred(viewer: ViewerSignal | None, options: Options, at_ms: int) -> dict[str, str]:
    """Return the items that are not shown to a viewer, with the reason.

    What was seen long ago may be shown again; what was hidden stays so.
    """
    barred: dict[str, str] = {}
    if viewer is None:
        return barred
    if not options.show_seen and viewer.as_of_ms >= at_ms - options.stale_viewer_ms:
        barred |= dict.fromkeys(viewer.seen, "seen")
    if not options.show_hidden:
        barred |= dict.fromkeys(viewer.hidden, "hidden")
    return barred
