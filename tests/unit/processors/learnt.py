"""What a learner has come to, to compare two of them."""

from __future__ import annotations

from typing import Any

import msgspec

from streamapp.processors.learner import Learner


def seen(one: Learner) -> Any:
    """Return all that a contest knows, as its rows would say, except how often it published."""
    told: dict[Any, Any] = {}
    for contest in one._contests.values():
        for model in contest.models:
            weights = {c.index: model.ftrl.snapshot(c.index) for c in _held(model)}
            told[model.id] = (weights, model.ftrl.bias, model.examples, contest.status(model))
            told[model.id, "said"] = (
                contest.reason(model),
                msgspec.to_builtins(contest.metrics(model)),
            )
        told[contest.id, "counts"] = msgspec.to_builtins(contest.counts)
    return told


def _held(model: Any) -> Any:
    return list(model.ftrl._coordinates.values())
