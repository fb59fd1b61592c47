from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from streamapp.engine.transport import ConsumerThread


async def test_a_subscription_waits_for_the_thread_to_begin() -> None:
    thread: Any = ConsumerThread.__new__(ConsumerThread)
    thread._consumer = thread._rebalance_listener = None
    asked: list[set[str]] = []

    async def call_thread(_method: object, *, topics: set[str], **_others: object) -> None:
        asked.append(topics)

    thread.call_thread = call_thread
    waiting = asyncio.create_task(thread.subscribe(["a", "b"]))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    thread._consumer = SimpleNamespace(subscribe=None)
    await waiting
    assert asked == [{"a", "b"}]
