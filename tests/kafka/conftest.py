"""A corner of the broker for each test: its own topic names and groups, removed afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from streamapp.engine import clients
from streamapp.settings import Settings


@pytest.fixture
def settings(kafka: str) -> Iterator[Settings]:
    """Settings whose topics and groups nobody else has; the topics do not exist yet."""
    own = f"t{uuid.uuid4().hex[:8]}"
    made = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"{own}.",
        app_id=own,
        partitions=3,
        keep_out_bots=False,  # tests click as fast as they like
    )
    yield made
    asyncio.run(_remove_topics(made))


async def _remove_topics(settings: Settings) -> None:
    async with clients.admin(settings) as client:
        names = await client.list_topics()
        await client.delete_topics([n for n in names if n.startswith(settings.topic_prefix)])
