"""What comes in: the input records, decoded and validated in one pass.

Times are integers, epoch milliseconds UTC; durations are integer milliseconds. Fields that are
not named here are ignored; an optional field may be absent or null.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from streamapp.errors import Rejection

REASONS = (
    "invalid_json",
    "missing_field",
    "invalid_field",
    "oversized",
    "key_mismatch",
    "misrouted",
    "too_late",
    "in_future",
    "skipped",
)
"""Why a record is rejected. Decoding gives the first three, the engine the others."""

MAX_ITEMS = 500
"""Slots in one slate."""

MAX_DETAIL = 300
"""Characters of a rejection's detail."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(max_length=4096)]
Millis = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Position = Annotated[int, Meta(ge=1, le=1_000_000)]
Probability = Annotated[float, Meta(gt=0, le=1)]
Served = Annotated[dict[Id, float | str | bool | None], Meta(max_length=1000)]

Action = Literal["click", "like", "share", "follow", "add_to_cart", "purchase", "hide", "report"]
State = Literal["start", "progress", "complete", "exit"]
Kind = Literal["short", "vod", "live", "product"]
Status = Literal["active", "hidden", "removed"]


class Slot(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry of a slate.

    Attributes:
        position: 1 is the top.
        propensity: probability in (0, 1] with which the ranker put the item here.
        features: what the ranker used when it served the item, by name.
    """

    item_id: Id
    position: Position
    score: float | None = None
    propensity: Probability | None = None
    features: Served | None = None


class Impression(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """events.impressions: one slate as shown. `items` is empty for a search without results."""

    event_id: Id
    occurred_at_ms: Millis
    viewer_id: Id
    request_id: Id
    surface: Id
    items: Annotated[tuple[Slot, ...], Meta(max_length=MAX_ITEMS)]
    session_id: Id | None = None
    device: Id | None = None
    country: Id | None = None
    experiments: dict[Id, Id] | None = None
    query: Text | None = None
    model_version: Id | None = None

    @property
    def key(self) -> str:
        """Keyed by viewer."""
        return self.viewer_id


class Click(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """events.clicks: one action of a viewer on an item."""

    event_id: Id
    occurred_at_ms: Millis
    viewer_id: Id
    item_id: Id
    action: Action
    request_id: Id | None = None
    position: Position | None = None
    query: Text | None = None
    price: float | None = None
    reason: Text | None = None
    session_id: Id | None = None
    surface: Id | None = None
    device: Id | None = None
    country: Id | None = None
    experiments: dict[Id, Id] | None = None

    @property
    def key(self) -> str:
        """Keyed by viewer."""
        return self.viewer_id


class Watch(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """events.watches: one heartbeat of a playback.

    Attributes:
        watched_ms: cumulative within the playback.
        duration_ms: of the item; None or 0 when it has none (live).
    """

    event_id: Id
    occurred_at_ms: Millis
    viewer_id: Id
    item_id: Id
    playback_id: Id
    state: State
    watched_ms: Millis
    duration_ms: Millis | None = None
    live: bool | None = None
    request_id: Id | None = None
    session_id: Id | None = None
    surface: Id | None = None
    device: Id | None = None
    country: Id | None = None
    experiments: dict[Id, Id] | None = None

    @property
    def key(self) -> str:
        """Keyed by viewer."""
        return self.viewer_id


class CatalogItem(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """catalog.items: what is known of an item; only its id is required."""

    item_id: Id
    kind: Kind | None = None
    creator_id: Id | None = None
    category: Id | None = None
    title: Text | None = None
    duration_ms: Millis | None = None
    published_at_ms: Millis | None = None
    status: Status = "active"
    starts_at_ms: Millis | None = None
    ends_at_ms: Millis | None = None

    @property
    def key(self) -> str:
        """Keyed by item."""
        return self.item_id


class Parameter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """control.parameters: a number, or a list by position, in force from `valid_from_ms` on."""

    name: Id
    valid_from_ms: Millis
    value: float | Annotated[tuple[float, ...], Meta(min_length=1, max_length=10_000)]

    @property
    def key(self) -> str:
        """Keyed by name."""
        return self.name


class Erasure(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """privacy.erasures: delete everything held about a viewer."""

    viewer_id: Id
    requested_at_ms: Millis

    @property
    def key(self) -> str:
        """Keyed by viewer."""
        return self.viewer_id

    @property
    def occurred_at_ms(self) -> int:
        """Its place in the stream."""
        return self.requested_at_ms


_T = TypeVar("_T")

_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`(?: - at `\$(?P<at>.*)`)?")
_INVALID = re.compile(r"(?P<what>.*) - at (?:key in )?`\$(?P<at>.*)`", re.DOTALL)


def _rejection(error: Exception) -> Rejection:
    """Say what was wrong in terms of the record: a reason code, and `field: what`."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Rejection("invalid_json", text[:MAX_DETAIL])
    if missing := _MISSING.fullmatch(text):
        path = f"{missing['at'] or ''}.{missing['field']}".lstrip(".")
        return Rejection("missing_field", f"{path}: required"[:MAX_DETAIL])
    if invalid := _INVALID.fullmatch(text):
        path = invalid["at"].lstrip(".") or "record"
        return Rejection("invalid_field", f"{path}: {invalid['what']}"[:MAX_DETAIL])
    return Rejection("invalid_field", f"record: {text}"[:MAX_DETAIL])


def decoder(kind: type[_T], topic: str) -> Callable[[bytes | None], _T]:
    """Return a function that decodes and validates one record of `topic`, or raises Rejection.

    What it raises has a reason code and a detail in terms of the record: `field: what`.
    """
    decode = msgspec.json.Decoder(kind).decode

    def decode_record(value: bytes | None) -> _T:
        if value is None:
            raise Rejection("invalid_json", "the record has no value")
        try:
            return decode(value)
        except (ValueError, RecursionError) as error:  # DecodeError, UnicodeDecodeError: ValueError
            raise _rejection(error) from None

    decode_record.__doc__ = f"Decode one record of {topic}; raise Rejection if it cannot be used."
    return decode_record


decode_impression = decoder(Impression, "events.impressions")
decode_click = decoder(Click, "events.clicks")
decode_watch = decoder(Watch, "events.watches")
decode_catalog_item = decoder(CatalogItem, "catalog.items")
decode_parameter = decoder(Parameter, "control.parameters")
decode_erasure = decoder(Erasure, "privacy.erasures")
