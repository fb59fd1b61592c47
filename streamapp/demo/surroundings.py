"""Settings of the demo: on a broker of its own, or in topics of its own on a given one."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from streamapp.demo.split import SEGMENT_BY
from streamapp.engine.embedded import PARTITIONS
from streamapp.settings import Security, Settings

CLICK_WINDOW_MS = 5_000
"""Short, so that labels close during the run; clicks come 0.7 to 0.9 s after their slate."""


def embedded(settings: Settings, bootstrap_servers: str) -> Settings:
    """Return settings for the embedded broker."""
    return replace(
        _hurried(settings),
        bootstrap_servers=bootstrap_servers,
        topic_prefix="",
        # librdkafka's mock cluster puts wrong checksums on its transaction markers.
        check_crcs=False,
        security=Security(),
    )


def scratch(settings: Settings, bootstrap_servers: str) -> Settings:
    """Return settings for a broker that has other topics and groups, too."""
    token = f"demo-{time.time_ns() // 1_000_000:x}-{os.getpid()}"
    return replace(
        _hurried(settings),
        bootstrap_servers=bootstrap_servers,
        app_id=f"{settings.app_id}-{token}",
        topic_prefix=f"{settings.topic_prefix}{token}.",
    )


def _hurried(settings: Settings) -> Settings:
    return replace(
        settings,
        partitions=PARTITIONS,
        click_window_ms=CLICK_WINDOW_MS,
        click_window_ms_by_surface={},
        keep_out_bots=False,  # who lives fifty times as fast looks like one
        segment_by=SEGMENT_BY,
    )
