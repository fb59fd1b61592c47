"""How seldom Python looks for cycles of objects, where millions are kept that form none.

A look takes up all that has come since the last one and has not gone: rows that were begun, which
stay, and records that wait to be processed, which go by themselves. So it finds nothing, and with
the thresholds Python begins with it would take up millions of rows again and again. What outlives
one look is left alone from then on.
"""

from __future__ import annotations

COLLECT_AFTER = (1_000_000, 1_000, 1_000)
"""Thresholds for `gc.set_threshold`. The first is above what one fetch decodes: below it every
fetch would be looked through, a tenth of what an event costs."""
