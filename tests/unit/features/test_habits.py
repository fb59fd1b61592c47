from __future__ import annotations

import pytest

from streamapp.features.habits import WatchHabits
from streamapp.features.viewer import Viewer
from streamapp.features.viewer_row import decode_viewer, encode_viewer

HOUR = 3_600_000
DAY = 24 * HOUR


def test_the_worked_example_of_hours_and_ratio() -> None:
    habits = WatchHabits()
    evening = 20 * HOUR
    habits.watch(evening + 59 * 60_000, 90_000)
    habits.close(evening, [("closed", 1.0), ("ratio_sum", 0.8), ("ratio_n", 1.0)])
    habits.watch(7 * DAY + evening + 59 * 60_000, 60_000)
    assert habits.by_hour(7 * DAY + evening + 59 * 60_000) == {"20": 105_000.0}
    assert habits.watch_ratio(7 * DAY + evening, 0.5) == pytest.approx(10.4 / 20.5)


def test_what_is_taken_back_leaves_nothing() -> None:
    habits = WatchHabits()
    habits.close(5, [("ratio_sum", 0.3), ("ratio_n", 1.0)])
    habits.close(5, [("ratio_sum", -0.3), ("ratio_n", -1.0)])
    assert habits.watch_ratio(9 * DAY, 0.5) == 0.5


def test_order_does_not_matter_and_years_do_not_overflow() -> None:
    events = [(0, 1_000), (30 * 365 * DAY, 2_000), (30 * 365 * DAY - DAY, 3_000)]
    found = []
    for order in (events, events[::-1]):
        habits = WatchHabits()
        for time_ms, grown_ms in order:
            habits.watch(time_ms, grown_ms)
        found.append(habits.by_hour(30 * 365 * DAY)["0"])
    assert found[0] == pytest.approx(2_000 + 3_000 * 2 ** (-1 / 7))
    assert found[0] == pytest.approx(found[1])


def test_they_come_back_from_their_row() -> None:
    viewer = Viewer("v")
    viewer.profile.watching.watch(7 * HOUR, 4_000)
    viewer.profile.watching.close(0, [("ratio_sum", 0.5), ("ratio_n", 1.0)])
    restored = decode_viewer(encode_viewer(viewer)).profile.watching
    assert restored.by_hour(9 * HOUR) == viewer.profile.watching.by_hour(9 * HOUR)
    assert restored.watch_ratio(9 * HOUR, 0.1) == viewer.profile.watch_ratio(9 * HOUR, 0.1)
