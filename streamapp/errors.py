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


class RecordTooLarge(StreamappError):
    """A topic does not take a record of a cut. The process ends: that cut can never be written.

    Attributes:
        topic, partition: where it was to go, as named on the brokers.
        key: its key; None if it has none.
        size: bytes of key and value, before they are compressed.
        others: records written together with it; the topic refused them all.
    """

    def __init__(
        self, topic: str, partition: int, key: bytes | None, size: int, others: int = 0
    ) -> None:
        together = f", in one batch with {others} smaller ones" if others else ""
        shown = None if key is None else key[:100]
        super().__init__(
            f"partition {partition} of {topic} does not take the record of key {shown!r}, which "
            f"has {size} bytes{together}: compressed, that is more than the topic's "
            "max.message.bytes; to go on, raise that"
        )
        self.topic = topic
        self.partition = partition
        self.key = key
        self.size = size
        self.others = others


class BrokersUnavailable(StreamappError):
    """The brokers cannot be reached, do not let us in, or do not answer as they should."""

    retriable = True
