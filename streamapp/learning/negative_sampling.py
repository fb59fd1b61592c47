"""Learning from sampled negatives what is so of all.

Of the examples without a click only a share r reaches the models; all with a click do. Among what
is kept the odds of a click are therefore 1/r times the true odds, so

    logit(p) = logit(p among the kept) + ln r

ln r ≤ 0: what is published must promise less than what was learned from. The model of the click
learns unweighted on what is kept, with −ln r as a known part of its score; so its own intercept is
that of the kept examples plus ln r, which is the one to publish, and stays right when r changes.
Each negative tells r = 1/weight. Other objectives of the same examples learn a clicked one as r of
an example, which is what it stands for beside the others.
"""

from __future__ import annotations

from math import log

from streamapp.signals import Example


class NegativeSampling:
    """What sampling means for the learning of one objective.

    Attributes:
        keep_rate: r, as the last negative told it.
    """

    def __init__(self, objective: str, keep_rate: float) -> None:
        self.keep_rate = keep_rate
        self._of_clicks = objective == "click"

    def update(self, example: Example) -> tuple[float, float]:
        """Take an example; return what is known of its score, and how much of an example it is."""
        if example.kind != "click":
            return 0.0, 1.0
        if not example.labels.clicked:
            self.keep_rate = 1.0 / example.weight
        if self._of_clicks:
            return -log(self.keep_rate), 1.0
        return 0.0, min(1.0, example.weight * self.keep_rate)
