"""Has a model become worse? Page's test on the mean loss of blocks of examples.

The loss of single examples is far from normal; the mean of a block of N is close to it. A block's
mean is measured in standard deviations s of the blocks before it, from their mean m:

    z = (block − m)/s, at most ±5        S = max(0, S + z − k), S = 0 at first

and S > h is drift; then all begins anew. S is the largest Σ (z − k) over the blocks since any one
of them. k = 0.5 lets pass what is within half a standard deviation on average, h = 10. Limiting z
lets no single block decide: it takes three at least. m and s learn from limited blocks as well, and
nothing is said before `min_blocks`.

Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), scaled here: how large a
change of a loss is depends on the model. With m and s known, normal blocks raise a false alarm
once in (e^(2kb) − 2kb − 1)/(2k²) blocks, b = h + 1.166 (D. Siegmund, "Sequential Analysis", 1985):
140,000 for k = 0.5, h = 10. A loss higher by 1.5 s is noticed after about h/(1.5 − k) = 10 blocks.

*Example*: m = 0.20, s = 0.01. Blocks of 0.22 have z = 2 and add 1.5 each: drift with the seventh,
S = 10.5 (m and s are not moved here, as the detector would).

A rhythm of the day is no drift but may look like one: what is given can be the loss above that of a
constant, which has the same rhythm.
"""

from __future__ import annotations

from math import isfinite, sqrt

import msgspec
from river import base

from streamapp.errors import ConfigurationError

MAX_Z = 5.0
"""No block counts as further from the mean than this, in standard deviations."""

MAX_LOSS = 27.7
"""What a loss counts at most, nats, either sign; one that is no number counts as this."""


ROUNDING = 1e-9
"""A spread below this, by the size of the mean, says nothing: equal losses add up differently."""


class DriftState(msgspec.Struct, array_like=True):
    """All there is to restore.

    Attributes:
        count, total: of the block under way.
        blocks, mean, squares: blocks so far, their mean, and Σ (block − mean)².
        excess: S.
    """

    count: int = 0
    total: float = 0.0
    blocks: int = 0
    mean: float = 0.0
    squares: float = 0.0
    excess: float = 0.0
    detected: bool = False


class LossDrift(base.DriftDetector):
    """Notices that a loss has become higher; river's interface, state that can be saved as JSON.

    `drift_detected` is true from the example that completes the telling block to the next one.

    Args:
        block: N, examples in a block.
        allowance: k, standard deviations.
        threshold: h.
        min_blocks: blocks to learn what is usual from, at least 2.

    >>> detector = LossDrift(block=1)
    >>> for number in range(200):
    ...     detector.update(0.2 + 0.01 * (-1) ** number + (0.05 if number >= 150 else 0.0))
    ...     if detector.drift_detected:
    ...         print(number)
    152
    """

    def __init__(
        self,
        block: int = 1_000,
        allowance: float = 0.5,
        threshold: float = 10.0,
        min_blocks: int = 30,
    ) -> None:
        if not (block >= 1 and allowance >= 0 and threshold > 0 and min_blocks >= 2):  # noqa: PLR2004
            raise ConfigurationError(
                "a drift detector needs block ≥ 1, allowance ≥ 0, threshold > 0, min_blocks ≥ 2"
            )
        super().__init__()
        self.block = block
        self.allowance = allowance
        self.threshold = threshold
        self.min_blocks = min_blocks
        self._state = DriftState()

    def update(self, x: float) -> None:
        """Take the loss of one example, nats."""
        if self._drift_detected:
            self._reset()
            self._state = DriftState()
        state = self._state
        state.count += 1
        if not -MAX_LOSS <= x <= MAX_LOSS:
            x = -MAX_LOSS if isfinite(x) and x < 0.0 else MAX_LOSS
        state.total += x
        if state.count == self.block:
            self._close(state.total / self.block)
            state.count, state.total = 0, 0.0

    def _close(self, block: float) -> None:
        state = self._state
        if state.blocks >= self.min_blocks:
            spread = sqrt(state.squares / (state.blocks - 1))
            z = 0.0
            if spread > ROUNDING * (1.0 + abs(state.mean)):
                z = max(-MAX_Z, min(MAX_Z, (block - state.mean) / spread))
            block = state.mean + z * spread
            state.excess = max(0.0, state.excess + z - self.allowance)
            state.detected = self._drift_detected = state.excess > self.threshold
        state.blocks += 1
        former = block - state.mean
        state.mean += former / state.blocks
        state.squares += former * (block - state.mean)

    @property
    def excess(self) -> float:
        """S; above the threshold it is drift."""
        return self._state.excess

    def snapshot(self) -> DriftState:
        """Return the state, for JSON."""
        return msgspec.structs.replace(self._state)

    def restore(self, state: DriftState) -> None:
        """Go on exactly from a snapshot."""
        self._state = msgspec.structs.replace(state)
        self._drift_detected = state.detected
