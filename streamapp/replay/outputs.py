"""What a replay writes: `<topic>.jsonl`, one `{"key": …, "value": …}` a line, in order."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from streamapp.engine.roles import ROLES
from streamapp.errors import ConfigurationError
from streamapp.replay.files import SUFFIX

UNFINISHED = ".unfinished"
INTERNAL = "activity."
"""Start of the topics between roles, which are nobody else's to read."""

_encode = msgspec.json.Encoder().encode


class Outputs:
    """The files of all output topics; they get their names when all of it is written.

    Args:
        target: a directory that is empty or does not exist; None to count and write nothing.

    Attributes:
        records: written so far, by topic.
    """

    def __init__(self, target: Path | None) -> None:
        written = (topic for role in ROLES.values() for topic in role.outputs)
        topics = [topic for topic in dict.fromkeys(written) if not topic.startswith(INTERNAL)]
        self.records: Counter[str] = Counter(dict.fromkeys(topics, 0))
        self._target = target
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        target = self._target
        if target is None:
            return self
        if target.exists() and not target.is_dir():
            raise ConfigurationError(f"{target} is no directory")
        target.mkdir(parents=True, exist_ok=True)
        found = sorted(entry.name for entry in target.iterdir())
        if found:
            raise ConfigurationError(f"{target} is not empty: it holds {', '.join(found[:5])}")
        for topic in self.records:
            self._files[topic] = _path(target, topic, UNFINISHED).open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the files their names, or remove them after a failure."""
        target = self._target
        if target is None:
            return
        for topic, file in self._files.items():
            unfinished = _path(target, topic, UNFINISHED)
            if error is None:
                file.close()
                unfinished.rename(_path(target, topic))
            else:
                with suppress(OSError):  # a full disk is told by the first error
                    file.close()
                unfinished.unlink(missing_ok=True)

    def write(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Append a record; what is internal is left out."""
        file = self._files.get(topic)
        if file is not None:
            name = b"null" if key is None else _encode(key.decode(errors="replace"))
            file.write(b'{"key":%b,"value":%b}\n' % (name, b"null" if value is None else value))
        if topic in self.records:
            self.records[topic] += 1


def _path(target: Path, topic: str, suffix: str = "") -> Path:
    return target / f"{topic}{SUFFIX}{suffix}"
