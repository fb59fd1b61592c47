"""Which partition a key belongs to: the two partitioners in use around Kafka.

A join needs one partitioner on all its topics, so the engine checks each record against it
and puts its own output where a producer of the same kind would.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

from streamapp.errors import ConfigurationError

Partitioner = Callable[[bytes, int], int]
"""key, number of partitions → partition."""

_MIX, _MASK = 0x5BD1E995, 0xFFFFFFFF
_WORD = struct.Struct("<I")

CACHED_KEYS = 1 << 17
"""murmur2 in Python costs microseconds; popular keys come again."""


@lru_cache(maxsize=CACHED_KEYS)
def by_murmur2(key: bytes, partitions: int) -> int:
    """Partition as the Java client and aiokafka choose it.

    >>> by_murmur2(b"i7", 12)
    5
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """Return the 32-bit MurmurHash2 of a key, with the seed and byte order of Kafka's clients.

    Source: A. Appleby's MurmurHash2, as in org.apache.kafka.common.utils.Utils.murmur2.
    """
    size = len(key)
    h = 0x9747B28C ^ size
    for (word,) in _WORD.iter_unpack(key[: size & ~3]):
        k = word * _MIX & _MASK
        h = h * _MIX & _MASK ^ (k ^ k >> 24) * _MIX & _MASK
    rest = key[size & ~3 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _MIX & _MASK
    h = (h ^ h >> 13) * _MIX & _MASK
    return h ^ h >> 15


def by_crc32(key: bytes, partitions: int) -> int:
    """Partition as librdkafka's `consistent` partitioner chooses it.

    >>> by_crc32(b"i7", 12)
    10
    """
    return zlib.crc32(key) % partitions


def partitioner(name: str) -> Partitioner:
    """Return the partitioner of this name.

    Raises:
        ConfigurationError: for anything but `murmur2` and `crc32`.
    """
    known: dict[str, Partitioner] = {"murmur2": by_murmur2, "crc32": by_crc32}
    if name not in known:
        raise ConfigurationError(f"unknown partitioner {name!r}; choose one of {sorted(known)}")
    return known[name]
