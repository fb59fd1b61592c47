"""How well a model told, before it learned from them, which of two items a viewer preferred.

Of each request the mean over its pairs counts; a request weighs half of one seen `half_life`
requests later. With x the log-odds given to what was in fact preferred:

===========  ===================================================================================
log_loss     mean −ln σ(x); 0.693 is what a coin gets
accuracy     share of the pairs with x > 0, x = 0 counts half: the AUC within requests
calibration  Σ σ(|x|) / Σ accuracy: how often it should be right by its own account, by how often
             it was; above 1 it promises too much
===========  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log1p

import msgspec

from streamapp.signals import Quality

_RESCALE = 2.0**64


class PairState(msgspec.Struct, array_like=True):
    """All there is to restore: the weight of the next request, and decayed sums."""

    scale: float = 1.0
    weight: float = 0.0
    loss: float = 0.0
    right: float = 0.0
    expected: float = 0.0


class PairQuality:
    """Decayed log loss, accuracy and calibration of pairs."""

    def __init__(self, half_life: float) -> None:
        self._growth = 2.0 ** (1.0 / half_life)
        self.state = PairState()

    def update(self, margins: Iterable[float]) -> None:
        """Take x of the pairs of one request, at least one."""
        count = 0
        loss = right = expected = 0.0
        for x in margins:
            count += 1
            miss = exp(-abs(x))
            loss += log1p(miss) - min(x, 0.0)
            expected += 1.0 / (1.0 + miss)
            right += 1.0 if x > 0.0 else 0.5 if x == 0.0 else 0.0
        state = self.state
        state.scale *= self._growth
        if state.scale > _RESCALE:
            self._rescale()
        each = state.scale / count
        state.weight += state.scale
        state.loss += each * loss
        state.right += each * right
        state.expected += each * expected

    def _rescale(self) -> None:
        now = (getattr(self.state, name) / _RESCALE for name in PairState.__struct_fields__)
        self.state = PairState(*now)

    @property
    def quality(self) -> Quality:
        """All three."""
        state = self.state
        return Quality(
            log_loss=state.loss / state.weight if state.weight else None,
            auc=state.right / state.weight if state.weight else None,
            calibration=state.expected / state.right if state.right else None,
        )
