"""Stable digests of ids: the same in every process, run and Python version."""

from __future__ import annotations

from hashlib import blake2b

DIGEST_BYTES = 8
"""Among a viewer's few thousand ids two collide with a chance of about 10^-13."""


def digest(text: str) -> bytes:
    """Return 8 bytes that stand for `text`.

    >>> digest("e1").hex()
    '1b5d5e51f54f0f04'
    """
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def fraction(text: str) -> float:
    """Return a number in [0, 1), uniform over texts, always the same for one text.

    >>> round(fraction("r1:3"), 6)
    0.149725
    """
    return int.from_bytes(digest(text), "big") / 2.0**64
