"""What can be configured about the viewers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamapp.features.decay import DAY_MS


@dataclass(frozen=True, slots=True)
class ViewersSettings:
    """Settings of the processor `viewers`.

    Attributes:
        click_window_ms: how long after an impression a click labels its example.
        click_window_ms_by_surface: the same where it differs.
        negative_keep_rate: share of the examples without a click that is given.
        grace_ms: how late an event may be; what it may refer to is remembered as long.
        idle_ms: a viewer without events for so long (to the hour) is forgotten.
        keep_out_bots: what a bot does counts for nothing; if not, it is only said who is one.
        session_keep_rate: share of the viewers whose sessions anomalies are learnt from.
        segment_by: which model an example is for, see `streamapp.features.segments`.
    """

    click_window_ms: int = 120_000
    click_window_ms_by_surface: Mapping[str, int] = field(default_factory=dict)
    negative_keep_rate: float = 1.0
    grace_ms: int = DAY_MS
    idle_ms: int = 30 * DAY_MS
    keep_out_bots: bool = True
    session_keep_rate: float = 1.0
    segment_by: str = ""

    def click_window(self, surface: str) -> int:
        """Return the click window of a surface."""
        return self.click_window_ms_by_surface.get(surface, self.click_window_ms)

    @property
    def longest_window_ms(self) -> int:
        """The longest click window of any surface."""
        return max(self.click_window_ms, *self.click_window_ms_by_surface.values(), 0)
