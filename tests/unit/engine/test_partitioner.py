"""The partitioners, against vectors of the clients they stand for."""

from __future__ import annotations

from collections import Counter

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from streamapp.engine.partitioner import by_crc32, by_murmur2, partitioner
from streamapp.errors import ConfigurationError

keys = st.binary(max_size=40)
counts = st.integers(1, 100)

JAVA = {
    # org.apache.kafka.common.utils.Utils.murmur2, as Kafka's own UtilsTest has them.
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
@pytest.mark.parametrize("partitions", [1, 3, 12, 50])
def test_murmur2_is_that_of_the_java_client(key, signed, partitions):
    assert by_murmur2(key, partitions) == (signed & 0x7FFFFFFF) % partitions


@given(keys, counts)
def test_murmur2_puts_a_key_where_aiokafkas_producer_does(key, partitions):
    every = list(range(partitions))
    assert by_murmur2(key, partitions) == DefaultPartitioner()(key, every, every)


@given(keys, counts)
def test_crc32_is_the_unsigned_checksum_of_the_key(key, partitions):
    bits = 0xFFFFFFFF
    for byte in key:  # CRC-32 (IEEE 802.3), bit by bit
        bits ^= byte
        for _ in range(8):
            bits = bits >> 1 ^ (0xEDB88320 if bits & 1 else 0)
    assert by_crc32(key, partitions) == (bits ^ 0xFFFFFFFF) % partitions


@pytest.mark.parametrize("name", ["murmur2", "crc32"])
def test_keys_are_spread_evenly(name):
    place = partitioner(name)
    spread = Counter(place(b"viewer-%d" % n, 12) for n in range(12_000))
    assert set(spread) == set(range(12))
    assert all(700 < count < 1300 for count in spread.values())


def test_an_unknown_partitioner_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'random'.*crc32.*murmur2"):
        partitioner("random")
