"""What showing an item is worth: the objectives' probabilities, by their declared weights.

    value = w_click·p_click + w_hide·p_hide
            + p_click·(w_completion·p_completion + w_share·watched_share)

Completion and watched share are those of a playback once begun, and a click is taken to begin one.
Any other objective counts as a hide does: by its weight, which is below 0 for what is unwanted.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamapp.reader.weights import Numbers

CLICK = "click"

GIVEN_PLAYBACK = frozenset({"completion", "watched_share"})
"""Objectives whose probabilities are those of a playback once begun."""


def values(
    clicks: Numbers, probabilities: Mapping[str, Numbers], weights: Mapping[str, float]
) -> Numbers:
    """Return the values of some items.

    Args:
        clicks: probability of a click on each.
        probabilities: by objective, those of each item; what it says of clicks is not looked at.
        weights: by objective; 1 where none is given.

    >>> import numpy as np
    >>> chances = {"completion": np.array([0.5]), "hide": np.array([0.01])}
    >>> values(np.array([0.2]), chances, {"completion": 2.0, "hide": -5.0}).round(9).tolist()
    [0.35]
    """
    total = weights.get(CLICK, 1.0) * clicks
    for objective, chances in probabilities.items():
        if objective in GIVEN_PLAYBACK:
            total = total + weights.get(objective, 1.0) * chances * clicks
        elif objective != CLICK:
            total = total + weights.get(objective, 1.0) * chances
    return total
