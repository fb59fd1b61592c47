"""Topics for one run on a real Kafka: made before it, deleted after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest

from streamapp.engine import admin, clients
from streamapp.engine.roles import ROLES
from streamapp.errors import ConfigurationError
from streamapp.settings import Settings

DELETE_TIMEOUT_MS = 30_000


@asynccontextmanager
async def scratch_topics(settings: Settings) -> AsyncIterator[None]:
    """Make all topics of these settings, and delete them when the context ends.

    The roles' consumer groups go with them, if their workers have left.

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
        async with clients.admin(settings) as client:
            await client.delete_topics([r.topic for r in results], timeout_ms=DELETE_TIMEOUT_MS)
            for role in ROLES:
                await _delete_group(client, settings.role_id(role))


async def _delete_group(client: AIOKafkaAdminClient, group: str) -> None:
    """Delete a group; one that has members or never was is left to the brokers."""
    # The client has no method for this, only the request.
    coordinator = await client.find_coordinator(group)
    await client._send_request_to_node(coordinator, DeleteGroupsRequest([group]))
