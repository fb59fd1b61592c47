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
        target: a directory that is empty or does not exist.

    Attributes:
        records: written so far, by topic.
    """

    def __init__(self, target: Path) -> None:
        written = (topic for role in ROLES.values() for topic in role.outputs)
        topics = [topic for topic in dict.fromkeys(written) if not topic.startswith(INTERNAL)]
        self.records: Counter[str] = Counter(dict.fromkeys(topics, 0))
        self._target = target
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        target = self._target
        if target.exists() and not target.is_dir():
            raise ConfigurationError(f"{target} is no directory")
        target.mkdir(parents=True, exist_ok=True)
        found = sorted(entry.name for entry in target.iterdir())
        if found:
            raise ConfigurationError(f"{target} is not empty: it holds {', '.join(found[:5])}")
        for topic in self.records:
            self._files[topic] = self._path(topic, UNFINISHED).open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the files their names, or remove them after a failure."""
        for topic, file in self._files.items():
            unfinished = self._path(topic, UNFINISHED)
            if error is None:
                file.close()
                unfinished.rename(self._path(topic))
            else:
                with suppress(OSError):  # a full disk is told by the first error
                    file.close()
                unfinished.unlink(missing_ok=True)

    def _path(self, topic: str, suffix: str = "") -> Path:
        return self._target / f"{topic}{SUFFIX}{suffix}"

    def write(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Append a record; what is internal is left out."""
        file = self._files.get(topic)
        if file is not None:
            name = b"null" if key is None else _encode(key.decode(errors="replace"))
            file.write(b'{"key":%b,"value":%b}\n' % (name, b"null" if value is None else value))
            self.records[topic] += 1
