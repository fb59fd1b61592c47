"""Habits of a viewer: when and how far they watch, decayed with half-life 7 d.

`watched_ms_by_hour`: Σ of the growth of watched_ms, each at the event that brought it and in its
hour of the day (UTC); hours without any are left out. `watch_ratio`: (ratio_sum + 20·m)/(ratio_n +
20) over the viewer's closed playbacks of known duration, each min(watched / duration, 3) and 1 at
the time of the playback's first heartbeat; m from control.parameters `prior/watch_ratio`, shipped
0.5. Worked example: 90 s watched at 20:59 seven days ago and 60 s at 20:10 today are {"20":
105000}; one closed playback, watched to 0.8 seven days ago, gives (0.4 + 10)/(0.5 + 20) ≈ 0.507.

The sums are kept forward decayed from a landmark, as in `streamapp.features.decay`.
"""

from __future__ import annotations

from array import array
from math import exp2
from struct import Struct

import msgspec

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.features.playbacks import Amounts
from streamapp.features.rates import shrunk

HALF_LIFE_MS = 7 * DAY_MS
HOURS = 24

_MS = Struct("<d")
_NO_HOURS = bytes(_MS.size * HOURS)


class WatchHabits(msgspec.Struct, gc=False, array_like=True):
    """When and how far a viewer watches.

    Attributes:
        landmark_ms: where the weight of an event is 1; −1 before the first one.
        hours: 24 floats of 8 bytes, ms watched by hour of the day.
    """

    landmark_ms: int = -1
    hours: bytearray = msgspec.field(default_factory=lambda: bytearray(_NO_HOURS))
    ratio_sum: float = 0.0
    ratio_n: float = 0.0

    def watch(self, time_ms: int, grown_ms: int) -> None:
        """Take time watched, at the event that brought it."""
        weight = self._weight(time_ms)
        hours, at = self.hours, _MS.size * (time_ms // HOUR_MS % HOURS)
        (ms,) = _MS.unpack_from(hours, at)
        _MS.pack_into(hours, at, ms + weight * grown_ms)

    def close(self, start_ms: int, amounts: Amounts) -> None:
        """Take what a playback counts for at its start: of this, ratio_sum and ratio_n."""
        weight = self._weight(start_ms)
        for counter, amount in amounts:
            if counter == "ratio_sum":
                self.ratio_sum += weight * amount
            elif counter == "ratio_n":
                self.ratio_n += weight * amount

    def _weight(self, time_ms: int) -> float:
        """Return the weight of an event; move the landmark before it leaves what a float holds."""
        if self.landmark_ms < 0:
            self.landmark_ms = time_ms
        age_ms = time_ms - self.landmark_ms
        if age_ms > 512 * HALF_LIFE_MS:
            factor, age_ms = exp2(-age_ms / HALF_LIFE_MS), 0
            self.hours = bytearray(
                array("d", [ms * factor for ms in array("d", bytes(self.hours))]).tobytes()
            )
            self.ratio_sum *= factor
            self.ratio_n *= factor
            self.landmark_ms = time_ms
        return exp2(age_ms / HALF_LIFE_MS)

    def by_hour(self, time_ms: int) -> dict[str, float]:
        """Return the ms watched at a time, by hour of the day."""
        factor = exp2((self.landmark_ms - time_ms) / HALF_LIFE_MS)
        hours = enumerate(array("d", bytes(self.hours)))
        return {str(hour): ms * factor for hour, ms in hours if ms}

    def watch_ratio(self, time_ms: int, prior: float) -> float:
        """Return how much of a playback the viewer watches on average, at a time."""
        factor = exp2((self.landmark_ms - time_ms) / HALF_LIFE_MS)
        return shrunk(self.ratio_sum * factor, self.ratio_n * factor, prior)
