"""What is asked of a ranking, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from streamapp.errors import ConfigurationError
from streamapp.features.decay import DAY_MS, MINUTE_MS
from streamapp.features.serving import Features

LEAST_TEMPERATURE = 1e-3

MAX_MODEL_VERSION = 256
"""Characters of the field `model_version` of an impression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A request: where the slate will be shown, when, and how much of it may be left to chance.

    Attributes:
        request_id: of the impression; what is drawn depends on it and on nothing else.
        at_ms: now, epoch milliseconds.
        surface: where the slate is shown.
        limit: items wanted.
        segment: of the models, as the examples of this request will have it.
        query: as it was typed.
        temperature: 0 takes the best first; at 1 an item of twice the score is drawn first twice
            as often; the higher, the more is left to chance. At least 0.001, if not 0.
        new_share: of the places of a slate, for items that are new, drawn place by place.
    """

    request_id: str
    at_ms: int
    surface: str
    limit: int = 20
    segment: str = "all"
    device: str | None = None
    country: str | None = None
    query: str | None = None
    temperature: float = 0.0
    new_share: float = 0.0

    def __post_init__(self) -> None:
        by_chance = self.temperature == 0.0 or LEAST_TEMPERATURE <= self.temperature < inf
        if not (by_chance and 0.0 <= self.new_share <= 1.0 and self.limit >= 0):
            raise ConfigurationError(
                f"a request needs a temperature of 0 or from {LEAST_TEMPERATURE} on, a new_share"
                " within [0, 1] and a limit ≥ 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to rank, for all requests.

    Attributes:
        with_models: False ranks by click rate alone, whatever models there are.
        show_seen, show_hidden, show_inactive: whether items stay in that the viewer has just
            been shown, has hidden, or that are not active in the catalog.
        per_creator, per_category: items of one in a slate at most; None for any number.
        stale_item_ms: an item's signal older than this is left out, as if there were none.
        stale_viewer_ms: likewise a viewer's, but for what they have hidden.
        stale_topic_ms: a ranking notes signals whose newest is older than this.
        log_features: whether a ranking keeps the features of its items, to be logged.
        parts_held: items whose part of the coordinates is held, for the next request.

    Raises:
        ConfigurationError: a number is out of its range.
    """

    with_models: bool = True
    show_seen: bool = False
    show_hidden: bool = False
    show_inactive: bool = False
    per_creator: int | None = None
    per_category: int | None = None
    stale_item_ms: int = 7 * DAY_MS
    stale_viewer_ms: int = 30 * DAY_MS
    stale_topic_ms: int = 10 * MINUTE_MS
    log_features: bool = False
    parts_held: int = 100_000

    def __post_init__(self) -> None:
        least = {
            "per_creator": 1,
            "per_category": 1,
            "stale_item_ms": 0,
            "stale_viewer_ms": 0,
            "stale_topic_ms": 0,
            "parts_held": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ConfigurationError(f"{name} is {value}, it must be at least {bound}")


@dataclass(frozen=True, slots=True)
class Ranked:
    """One item of a ranking.

    Attributes:
        position: 1 is the top.
        score: expected value of showing it: the objectives' probabilities, by their weights.
        probabilities: of each objective that has a model, at position 1.
        propensity: probability with which it was put here, given the items above it; None when
            nothing of the slate was left to chance.
        flags: new, unseen (no signal of it), stale (its signal was left out).
        features: what the models were given of it, where options say so.
    """

    item_id: str
    position: int
    score: float
    probabilities: Mapping[str, float]
    propensity: float | None
    flags: tuple[str, ...] = ()
    features: Features | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items in the order to show them.

    Attributes:
        models: epoch in use by model, that of clicks first.
        left_out: candidates left out, by reason: seen, hidden, inactive.
        notes: what was not as it should be: `no_model:OBJECTIVE`, `unseen_viewer`, `stale_viewer`,
            `stale:TOPIC`, `limits_lifted`.
    """

    request_id: str
    viewer_id: str
    items: tuple[Ranked, ...]
    models: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def model_version(self) -> str | None:
        """The models and their epochs, for the field of an impression; None without any.

        As many of them as have room in it, whole.
        """
        names = [f"{model}@{epoch}" for model, epoch in self.models.items()]
        while len(" ".join(names)) > MAX_MODEL_VERSION:
            names.pop()
        return " ".join(names) or None

    def impression_items(self) -> list[dict[str, Any]]:
        """Return the field `items` of an impression that shows the whole ranking."""
        return [_slot(one) for one in self.items]


def _slot(one: Ranked) -> dict[str, Any]:
    slot: dict[str, Any] = {"item_id": one.item_id, "position": one.position, "score": one.score}
    if one.propensity is not None:
        slot["propensity"] = one.propensity
    if one.features is not None:
        slot["features"] = one.features
    return slot
