"""What a benchmark asks of Kafka, from outside the engines it measures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

READ_SECONDS = 20.0
LEADER_SECONDS = 30.0


class Cluster:
    """A Kafka and the topics made on it."""

    def __init__(self, bootstrap_servers: str, partitions: int) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.partitions = partitions
        self._common: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "log_level": 0,  # what goes wrong is raised
        }
        self._admin = AdminClient(self._common)
        self._reader = self._new_reader()

    def make(self, *topics: str) -> None:
        """Make topics, and wait until every partition has its leader."""
        new = [NewTopic(topic, self.partitions, 1) for topic in topics]
        for made in self._admin.create_topics(new).values():
            made.result()
        for topic in topics:
            self.ends(topic)

    def remove(self, start: str) -> None:
        """Remove all topics whose names start so; their data would fill the page cache.

        Quix Streams names a changelog `changelog__` and then the group.
        """
        found = self._admin.list_topics().topics
        names = [name for name in found if name.removeprefix("changelog__").startswith(start)]
        if names:
            for removed in self._admin.delete_topics(names).values():
                removed.result()

    def send(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Write records to one topic."""
        self.send_all((topic, key, value) for key, value in records)

    def send_all(self, records: Iterable[tuple[str, bytes, bytes]]) -> None:
        """Write records, each to the partition of its key, in batches of a busy producer's size.

        Args:
            records: topic, key and value of each.
        """
        producer = Producer(
            {
                **self._common,
                "compression.type": "lz4",
                "linger.ms": 50,
                "batch.size": 256 * 1024,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 500_000,
            }
        )
        for number, (topic, key, value) in enumerate(records):
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % 1_000 == 0:
                producer.poll(0)
        producer.flush()

    def ends(self, topic: str) -> list[int]:
        """Return the committed end of each partition."""
        return [self._end(place) for place in self._places(topic)]

    def _end(self, place: TopicPartition) -> int:
        deadline = time.monotonic() + LEADER_SECONDS
        while True:
            try:
                end = self._reader.get_watermark_offsets(place, timeout=10.0, cached=False)[1]
            except KafkaException:
                # No leader yet, or the client has forgotten who it is.
                if time.monotonic() > deadline:
                    raise
                self._reader.list_topics(place.topic, timeout=10.0)
                time.sleep(0.1)
            else:
                return int(end)

    def committed(self, group: str, topic: str) -> list[int]:
        """Return the committed offset of each partition, 0 where there is none."""
        asked = ConsumerGroupTopicPartitions(group, self._places(topic))
        (answer,) = self._admin.list_consumer_group_offsets([asked]).values()
        offsets = {tp.partition: tp.offset for tp in answer.result().topic_partitions}
        return [max(offsets.get(p, 0), 0) for p in range(self.partitions)]

    def read(self, topic: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the committed records of one partition that are there now."""
        consumer = self._new_reader()
        place = TopicPartition(topic, partition, 0)
        end = self.ends(topic)[partition]
        consumer.assign([place])
        deadline = time.monotonic() + READ_SECONDS
        try:
            # A transaction's end mark takes an offset, and no record comes for it.
            while consumer.position([place])[0].offset < end and time.monotonic() < deadline:
                for message in consumer.consume(10_000, 0.2):
                    yield _bytes(message.key()), _bytes(message.value())
        finally:
            consumer.close()

    def _new_reader(self) -> Consumer:
        return Consumer(
            {
                **self._common,
                "group.id": "streamapp-bench-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )

    def _places(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for partition in range(self.partitions)]


def steady_producer(bootstrap_servers: str) -> Producer:
    """Return a producer for records that are sent one by one, each as soon as it is there.

    A request of librdkafka has records of one partition, and a broker takes one after the other
    from a connection. So only a few are under way: what comes meanwhile goes together, and a busy
    broker is not kept busy by requests with a record each.
    """
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 10,
            "max.in.flight": 5,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )


def _bytes(raw: Any) -> bytes:
    return raw if isinstance(raw, bytes) else b""
