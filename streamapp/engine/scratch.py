"""Topics for one run on a real Kafka: made before it, deleted after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamapp.engine import admin, clients
from streamapp.errors import ConfigurationError
from streamapp.settings import Settings

DELETE_TIMEOUT_MS = 30_000


@asynccontextmanager
async def scratch_topics(settings: Settings) -> AsyncIterator[None]:
    """Make all topics of these settings, and delete them when the context ends.

    The consumer groups that read them lose their offsets with them; the brokers forget such
    groups by themselves.

    Raises:
        ConfigurationError: the settings have no prefix of their own, or it is in use.
        BrokersUnavailable: the brokers cannot be reached or do not answer.
    """
    if not settings.topic_prefix:
        raise ConfigurationError("topics that will be deleted need a prefix of their own")
    results = await admin.apply(settings)
    if known := [result.topic for result in results if result.did != "created"]:
        raise ConfigurationError(f"topics of another run are there: {', '.join(known)}")
    try:
        yield
    finally:
        client = clients.admin(settings)
        try:
            await client.start()
            await client.delete_topics([r.topic for r in results], timeout_ms=DELETE_TIMEOUT_MS)
        finally:
            await client.close()
