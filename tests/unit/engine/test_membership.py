"""Does the group still know this worker? Asked before anybody else is fenced out."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    IllegalGenerationError,
    NodeNotReadyError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from streamapp.engine import transport
from streamapp.engine.transport import ConsumerThread


class Coordinator:
    """Stands for aiokafka's: answers as the test says."""

    group_id, generation, member_id = "x-ingest", 7, "member-1"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def _send_req(self, request: Any) -> Any:
        self.asked.append(request)
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(error_code=self.answer.errno)


def thread_of(coordinator: Coordinator, *, reassigning: bool = False) -> ConsumerThread:
    thread = ConsumerThread.__new__(ConsumerThread)
    subscription = SimpleNamespace(reassignment_in_progress=reassigning)
    thread._consumer = SimpleNamespace(_coordinator=coordinator, _subscription=subscription)
    return thread


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        (NoError, True),
        (RebalanceInProgressError, True),
        (UnknownMemberIdError, False),
        (IllegalGenerationError, False),
        (NodeNotReadyError(), False),
    ],
)
async def test_the_answer_to_a_heartbeat_decides(answer, known):
    coordinator = Coordinator(answer)
    assert await thread_of(coordinator).is_member() is known
    assert len(coordinator.asked) == 1


async def test_nobody_is_asked_in_the_middle_of_a_rebalance():
    coordinator = Coordinator(NoError)
    assert not await thread_of(coordinator, reassigning=True).is_member()
    assert coordinator.asked == []


async def test_nobody_is_asked_without_a_generation():
    coordinator = Coordinator(NoError)
    coordinator.generation = -1
    assert not await thread_of(coordinator).is_member()
    assert coordinator.asked == []


async def test_no_answer_within_a_moment_means_no(monkeypatch):
    monkeypatch.setattr(transport, "HEARTBEAT_SECONDS", 0.01)
    assert not await thread_of(Coordinator(asyncio.Event())).is_member()
