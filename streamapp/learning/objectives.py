"""What models predict: the objectives, which label each reads, and what each is worth.

=============  ===============  ===============================================
objective      examples         outcome
=============  ===============  ===============================================
click          kind click       clicked: 1 or 0
hide           kind click       `hide` is among the actions: 1 or 0
completion     kind completion  completed: 1 or 0, given that a playback began
watched_share  kind completion  share of the duration watched: from 0 to 1
=============  ===============  ===============================================

A share is learned as so much of an outcome: the logistic loss of a share y at probability p is
−y·ln p − (1 − y)·ln(1 − p), smallest where p is the mean share.

What an item is worth to a viewer adds them up, a click taken to begin a playback:

    w_click·p_click + p_click·(w_completion·p_completion + w_share·p_share) + w_hide·p_hide
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from streamapp.errors import ConfigurationError
from streamapp.signals import Example, Labels

DEFAULT = "click=1,completion=1"


@dataclass(frozen=True)
class Objective:
    """One thing a model predicts.

    Attributes:
        name: as in STREAMAPP_OBJECTIVES and models.versions.
        kind: of the examples it is learned from.
        prior: its rate before anything is known.
        label: what happened, from 0 to 1; None when the labels do not say.
        weight: what one such outcome is worth beside the others.
    """

    name: str
    kind: str
    prior: float
    label: Callable[[Labels], float | None]
    weight: float = 1.0

    def outcome(self, example: Example) -> float | None:
        """Return what happened, from 0 to 1; None when this example does not tell."""
        return self.label(example.labels) if example.kind == self.kind else None


def _clicked(labels: Labels) -> float | None:
    return 1.0 if labels.clicked else 0.0


def _hidden(labels: Labels) -> float | None:
    return 1.0 if "hide" in labels.actions else 0.0


def _completed(labels: Labels) -> float | None:
    return None if labels.completed is None else float(labels.completed)


def _share(labels: Labels) -> float | None:
    return labels.watched_share


OBJECTIVES = {
    one.name: one
    for one in (
        Objective("click", "click", 0.03, _clicked),
        Objective("hide", "click", 0.003, _hidden, weight=-1.0),
        Objective("completion", "completion", 0.3, _completed),
        Objective("watched_share", "completion", 0.5, _share),
    )
}
"""All there are, by name."""


def parse(declared: str) -> tuple[Objective, ...]:
    """Return the objectives of a declaration, with their weights.

    >>> [(one.name, one.weight) for one in parse("click=1, hide=-5")]
    [('click', 1.0), ('hide', -5.0)]

    Raises:
        ConfigurationError: it names none, one twice, one that is unknown, or no finite weight.
    """
    objectives: dict[str, Objective] = {}
    for part in filter(None, map(str.strip, declared.split(","))):
        name, _, text = (side.strip() for side in part.partition("="))
        known = OBJECTIVES.get(name)
        weight = _number(text)
        if known is None or weight is None or name in objectives:
            raise ConfigurationError(
                f"{part!r} of the objectives {declared!r}: expected name=weight, each name once,"
                f" of {', '.join(OBJECTIVES)}"
            )
        objectives[name] = Objective(name, known.kind, known.prior, known.label, weight)
    if not objectives:
        raise ConfigurationError(f"the objectives {declared!r} name none")
    return tuple(objectives.values())


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
