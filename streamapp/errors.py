"""Every error streamapp raises, in one hierarchy.

Whether a failed step may be tried again is an attribute of the error, so that callers
never branch on its type.
"""

from __future__ import annotations


class StreamappError(Exception):
    """Base of all errors raised by streamapp."""

    retriable = False


class ConfigurationError(StreamappError):
    """A setting, a topic or a command line that cannot work; the message says what to change."""


class Rejection(StreamappError):
    """An input record that cannot be used. It goes to events.rejected; the batch goes on.

    Attributes:
        reason: one of the codes in :data:`streamapp.events.REASONS`.
        detail: what exactly was wrong, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ProcessorFailed(StreamappError):
    """A processor raised on a record. The process ends: nothing of the batch is committed.

    Attributes:
        topic, partition, offset: the record, as `STREAMAPP_SKIP` names it.
    """

    def __init__(self, topic: str, partition: int, offset: int, cause: BaseException) -> None:
        super().__init__(
            f"processing {topic}:{partition}:{offset} raised {cause!r}; "
            f"to go on without this record set STREAMAPP_SKIP={topic}:{partition}:{offset}"
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset


class CommitFailed(StreamappError):
    """A transaction failed or its outcome is unknown: the task is dropped and restored."""

    retriable = True


class BrokersUnavailable(StreamappError):
    """The brokers cannot be reached, do not let us in, or do not answer as they should."""

    retriable = True
