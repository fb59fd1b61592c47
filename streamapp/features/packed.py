"""Tables of fixed-size records that begin with a digest, packed in bytes.

A viewer's ids and playbacks as Python objects would take ten times the memory. A search reads
through bytes, fast while they are few; so a table of many records is split into buckets by the
first bytes of the digest, and the cost of a search stays what it was.
"""

from __future__ import annotations

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

BUCKET_RECORDS: Final = 64
"""Records in a bucket, on average, at most."""

MAX_BUCKETS: Final = 1 << 16


@mypyc_attr(acyclic=True)
class PackedTable:
    """Records by the 8-byte digest they begin with, which may come twice; a subclass says more.

    Attributes:
        SIZE: bytes of a record.
        held: number of records.
        buckets: a power of two of them; within each the records are in the order they came.
    """

    __slots__ = ("buckets", "held")

    SIZE: ClassVar[int]

    def __init__(self, held: int = 0, buckets: tuple[bytearray, ...] = ()) -> None:
        self.held = held
        self.buckets = buckets

    def bucket(self, key: bytes) -> bytearray:
        """Return the bucket in which a digest belongs."""
        buckets = self.buckets
        if len(buckets) == 1:
            return buckets[0]
        if not buckets:
            bucket = bytearray()
            self.buckets = (bucket,)
            return bucket
        return buckets[(key[0] << 8 | key[1]) & len(buckets) - 1]

    def append(self, bucket: bytearray, record: bytes) -> None:
        """Add a record to the bucket in which its digest belongs."""
        bucket += record
        self.held += 1
        if self.held > BUCKET_RECORDS * len(self.buckets) and len(self.buckets) < MAX_BUCKETS:
            self._split()

    def drop(self, bucket: bytearray, at: int) -> None:
        """Remove the record at an offset of a bucket."""
        self.held -= 1
        del bucket[at : at + self.SIZE]

    def records(self) -> list[bytes]:
        """Return all records."""
        return [
            bytes(bucket[at : at + self.SIZE])
            for bucket in self.buckets
            for at in range(0, len(bucket), self.SIZE)
        ]

    def _split(self) -> None:
        """Take twice the buckets; each bucket's records go to two of them, in their order."""
        records = self.records()
        self.buckets = tuple([bytearray() for _ in range(2 * len(self.buckets))])
        for record in records:
            self.bucket(record).extend(record)


def find(data: bytes | bytearray, key: bytes, size: int, start: int = 0) -> int:
    """Return the offset of the first record of `size` bytes that begins with `key`, or −1.

    >>> find(b"aa01bb02", b"bb", size=4), find(b"aa01bb02", b"01", size=4)
    (4, -1)
    """
    at = data.find(key, start)
    while at >= 0 and at % size:
        at = data.find(key, at + 1)
    return at
