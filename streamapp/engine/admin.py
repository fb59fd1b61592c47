"""Topics on the brokers: what is there, what has to be, and how to get from one to the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streamapp.engine import clients
from streamapp.engine.roles import ROLES
from streamapp.errors import BrokersUnavailable, StreamappError
from streamapp.settings import Settings
from streamapp.topics import Wanted, wanted

APPLY = "run `streamapp topics apply`"
SETTLE_SECONDS = 30.0
"""How long new topics may take until every partition has a leader."""

OF_THE_TOPIC = 1
"""What Kafka gives as the source of a setting that was made on the topic itself."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is on the brokers.

    Attributes:
        config: every setting in force.
        own: the settings that were made on the topic itself.
        ready: every partition has a leader.
    """

    partitions: int
    config: Mapping[str, str]
    own: Mapping[str, str]
    ready: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one topic: `created`, `changed`, `unchanged` or `left` as it is, wrong."""

    topic: str
    did: str
    detail: str = ""


def topics_of(settings: Settings) -> list[Wanted]:
    """Return every topic the roles read or write, as it has to be."""
    return wanted(
        settings,
        [
            settings.changelog(role.name, name)
            for role in ROLES.values()
            for name in role.processors
        ],
    )


async def check(settings: Settings) -> list[str]:
    """Return what is wrong with the topics on the brokers, each with the command to run.

    Raises:
        BrokersUnavailable: the brokers cannot be reached or do not answer.
    """
    topics = topics_of(settings)
    async with _client(settings) as client:
        found = await _find(client, topics)
    return [problem for topic in topics for problem in problems(topic, found.get(topic.name))]


def problems(topic: Wanted, found: Found | None) -> list[str]:
    """Say how a topic is not as it has to be, and what to run."""
    if found is None:
        return [f"{topic.name} is missing: {APPLY}"]
    changes = _changes(topic, found)
    config = [f"{topic.name}: {change}: {APPLY}" for change in changes.values()]
    return [*_wrong_partitions(topic, found), *config]


async def apply(settings: Settings) -> list[Result]:
    """Create topics that are missing, and set what is set otherwise; nothing else is touched.

    Partitions are never added: a key's records would go to another task than its state.

    Raises:
        BrokersUnavailable: the brokers cannot be reached or do not answer.
        StreamappError: the brokers refuse; the message is theirs.
    """
    topics = topics_of(settings)
    async with _client(settings) as client:
        found = await _find(client, topics)
        created = await _create(client, [topic for topic in topics if topic.name not in found])
        found = await _until(client, topics, _is_served)
        results = [
            _created(topic)
            if topic.name in created
            else await _set(client, topic, found[topic.name])
            for topic in topics
        ]
        await _until(client, topics, lambda topic, found: not _changes(topic, found))
    return results


def _created(topic: Wanted) -> Result:
    policy = topic.config["cleanup.policy"]
    return Result(topic.name, "created", f"{topic.partitions} partitions, {policy}")


async def _set(client: AIOKafkaAdminClient, topic: Wanted, found: Found) -> Result:
    changes = _changes(topic, found)
    if changes:
        # The request replaces all settings of the topic: what others have set goes with it.
        config = {**found.own, **topic.config}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=config)
        for response in await client.alter_configs([resource]):
            _raise_errors((code, message) for code, message, *_ in response.resources)
    if wrong := _wrong_partitions(topic, found):
        return Result(topic.name, "left", wrong[0])
    return Result(topic.name, "changed" if changes else "unchanged", ", ".join(changes.values()))


def _changes(topic: Wanted, found: Found) -> dict[str, str]:
    """Return the settings that differ, each with how."""
    return {
        name: f"{name} is {found.config.get(name)}, not {value}"
        for name, value in topic.config.items()
        if found.config.get(name) != value
    }


def _wrong_partitions(topic: Wanted, found: Found) -> list[str]:
    if found.partitions == topic.partitions:
        return []
    said = (
        f"{topic.name} has {found.partitions} partitions, not {topic.partitions}: delete it and"
        f" {APPLY}, or set STREAMAPP_PARTITIONS={found.partitions} if all topics are to have that"
    )
    return [said]


async def _create(client: AIOKafkaAdminClient, topics: Sequence[Wanted]) -> set[str]:
    """Create topics; return which: others may have been created meanwhile by somebody else."""
    if not topics:
        return set()
    response = await client.create_topics(
        [
            NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.config)
            for topic in topics
        ]
    )
    _raise_errors(
        (code, f"{name}: {message or for_code(code).description}")
        for name, code, message in response.topic_errors
        if code != TopicAlreadyExistsError.errno
    )
    return {name for name, code, _ in response.topic_errors if not code}


async def _until(
    client: AIOKafkaAdminClient, topics: Sequence[Wanted], settled: Callable[[Wanted, Found], bool]
) -> dict[str, Found]:
    """Wait until the brokers serve the topics so: they learn of a change by and by."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = await _find(client, topics)
        waiting = [
            topic.name
            for topic in topics
            if topic.name not in found or not settled(topic, found[topic.name])
        ]
        if not waiting:
            return found
        if time.monotonic() > deadline:
            raise BrokersUnavailable(f"not served {SETTLE_SECONDS:g} s later: {', '.join(waiting)}")
        await asyncio.sleep(0.1)


def _is_served(_topic: Wanted, found: Found) -> bool:
    return found.ready


async def _find(client: AIOKafkaAdminClient, topics: Sequence[Wanted]) -> dict[str, Found]:
    described = await client.describe_topics([topic.name for topic in topics])
    existing = {d["topic"]: d["partitions"] for d in described if d["partitions"]}
    if not existing:
        return {}
    entries = await _configs(client, list(existing))
    return {
        name: Found(
            partitions=len(partitions),
            config={entry[0]: entry[1] for entry in entries.get(name, ())},
            own={e[0]: e[1] for e in entries.get(name, ()) if e[3] == OF_THE_TOPIC},
            ready=all(partition["leader"] >= 0 for partition in partitions),
        )
        for name, partitions in existing.items()
    }


async def _configs(
    client: AIOKafkaAdminClient, names: Sequence[str]
) -> dict[str, Sequence[tuple[str, str, bool, int]]]:
    """Return the settings of topics: name, value, whether it is fixed, where it comes from."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    responses = await client.describe_configs(resources)
    return {
        name: entries
        for response in responses
        for code, _, _, name, entries in response.resources
        if code == 0
    }


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client; what the brokers answer badly is raised as our own error."""
    try:
        async with clients.admin(settings) as client:
            yield client
    except KafkaError as error:
        raise BrokersUnavailable(f"brokers at {settings.bootstrap_servers}: {error}") from error


def _raise_errors(results: Iterable[tuple[int, str | None]]) -> None:
    for code, message in results:
        if code:
            raise StreamappError(message or for_code(code).description)
