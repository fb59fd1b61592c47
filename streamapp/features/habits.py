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

from math import exp2
from struct import Struct
from typing import Final

from mypy_extensions import mypyc_attr

from streamapp.features.decay import DAY_MS, HOUR_MS
from streamapp.features.playbacks import Amounts
from streamapp.features.rates import shrunk

HALF_LIFE_MS: Final = 7 * DAY_MS
HOURS: Final = 24

_HOUR: Final = Struct("<Bd")
_SIZE: Final = 9
_HOUR_MS: Final = HOUR_MS
_NAMES = [str(hour) for hour in range(HOURS)]


@mypyc_attr(acyclic=True)
class WatchHabits:
    """When and how far a viewer watches.

    Attributes:
        landmark_ms: where the weight of an event is 1; −1 before the first one.
        hours: for each hour of the day that was watched in, itself and ms: 9 bytes, in order.
    """

    __slots__ = ("hours", "landmark_ms", "ratio_n", "ratio_sum")

    def __init__(
        self,
        landmark_ms: int = -1,
        hours: bytes = b"",
        ratio_sum: float = 0.0,
        ratio_n: float = 0.0,
    ) -> None:
        self.landmark_ms = landmark_ms
        self.hours = hours
        self.ratio_sum = ratio_sum
        self.ratio_n = ratio_n

    def watch(self, time_ms: int, grown_ms: int) -> None:
        """Take time watched, at the event that brought it."""
        weight = self._weight(time_ms)
        hour, hours = time_ms // _HOUR_MS % HOURS, self.hours
        at, size = 0, len(hours)
        while at < size and hours[at] < hour:
            at += _SIZE
        ms, end = 0.0, at
        if at < size and hours[at] == hour:
            kept: tuple[int, float] = _HOUR.unpack_from(hours, at)
            ms, end = kept[1], at + _SIZE
        added: bytes = _HOUR.pack(hour, ms + weight * grown_ms)
        self.hours = hours[:at] + added + hours[end:]

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
            hours = _HOUR.iter_unpack(self.hours)
            self.hours = b"".join([_HOUR.pack(hour, ms * factor) for hour, ms in hours])
            self.ratio_sum *= factor
            self.ratio_n *= factor
            self.landmark_ms = time_ms
        return exp2(age_ms / HALF_LIFE_MS)

    def by_hour(self, time_ms: int) -> dict[str, float]:
        """Return the ms watched at a time, by hour of the day."""
        factor = exp2((self.landmark_ms - time_ms) / HALF_LIFE_MS)
        return {_NAMES[hour]: ms * factor for hour, ms in _HOUR.iter_unpack(self.hours) if ms}

    def watch_ratio(self, time_ms: int, prior: float) -> float:
        """Return how much of a playback the viewer watches on average, at a time."""
        factor = exp2((self.landmark_ms - time_ms) / HALF_LIFE_MS)
        return shrunk(self.ratio_sum * factor, self.ratio_n * factor, prior)
