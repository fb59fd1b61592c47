"""Settings: environment variables `STREAMAPP_…`, read once into a frozen value.

Every variable is documented where its field is declared; `streamapp settings` prints the
table made from these declarations. Durations are integer milliseconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from re import fullmatch
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from streamapp.errors import ConfigurationError

PREFIX = "STREAMAPP_"
IGNORED = ("STREAMAPP_TEST_", "STREAMAPP_PORT_FILE")
"""Starts of variables that are no settings: the test suite's, and what starts a worker sets."""
MASK = "********"
CLICK_WINDOW = "STREAMAPP_CLICK_WINDOW_MS_"
"""Followed by a surface in capitals: the click window of that surface."""

SEGMENTS = r"(surface|country|experiment:.+)?"

T = TypeVar("T")


def _setting(
    default: T,
    doc: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> T:
    """Declare a setting: its default, what it is for, and which values can work."""
    about = {"doc": doc, "least": least, "most": most, "choices": choices, "secret": secret}
    declared: Any = field(default=default, metadata=about, repr=not secret)
    return declared  # type: ignore[no-any-return]  # a dataclass field stands for its value


@dataclass(frozen=True, slots=True)
class Security:
    """How to reach the brokers; handed to the Kafka clients as it is."""

    security_protocol: str = _setting(
        "PLAINTEXT",
        "protocol to the brokers",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism: str = _setting(
        "PLAIN", "SASL mechanism", choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    sasl_username: str = _setting("", "SASL user name")
    sasl_password: str = _setting("", "SASL password", secret=True)
    ssl_cafile: str = _setting("", "file of the authorities that sign the brokers' certificates")
    ssl_certfile: str = _setting("", "file of the client's certificate")
    ssl_keyfile: str = _setting("", "file of the client's key")
    ssl_key_password: str = _setting("", "password of the client's key", secret=True)

    def __post_init__(self) -> None:
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise ConfigurationError(
                f"{PREFIX}SECURITY_PROTOCOL={self.security_protocol} needs {PREFIX}SASL_USERNAME"
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured, with defaults that work on one machine."""

    bootstrap_servers: str = _setting("127.0.0.1:9092", "Kafka brokers, host:port,host:port")
    app_id: str = _setting(
        "streamapp", "first part of every group, transaction and changelog name of this deployment"
    )
    topic_prefix: str = _setting(
        "", "put before every topic name: a second deployment on the same brokers"
    )
    partitions: int = _setting(0, "partitions of every topic; 0 is what topics/ says", least=0)
    replication: int = _setting(1, "replicas of every topic", least=1)
    partitioner: str = _setting(
        "murmur2",
        "how the producers of events pick a partition: murmur2 (Java, aiokafka) or crc32"
        " (librdkafka's default)",
        choices=("murmur2", "crc32"),
    )
    commit_interval_ms: int = _setting(
        200,
        "time between two commits: freshness against cost; ten times as long while far behind, and"
        " up to five times in the learn role, which publishes once a second",
        least=1,
    )
    max_idle_ms: int = _setting(
        2_000, "how long an input that is behind but silent holds the others back", least=0
    )
    grace_ms: int = _setting(
        86_400_000, "how far behind stream time an event may be before it is too_late", least=0
    )
    in_future_ms: int = _setting(
        300_000, "how far ahead of its Kafka timestamp an event may be", least=0
    )
    max_event_bytes: int = _setting(262_144, "largest event accepted", least=1)
    transaction_timeout_ms: int = _setting(
        10_000, "longest a lost worker's open transaction blocks readers", least=1_000
    )
    session_timeout_ms: int = _setting(
        6_000, "silence after which a worker's partitions go to others", least=1_000
    )
    click_window_ms: int = _setting(
        120_000, "how long after an impression a click still makes it a positive example", least=1
    )
    click_window_ms_by_surface: Mapping[str, int] = field(
        default_factory=dict,
        metadata={"doc": "the same for one surface, as in STREAMAPP_CLICK_WINDOW_MS_SEARCH=60000"},
    )
    negative_keep_rate: float = _setting(
        1.0, "share of the examples without a click that is kept for learning", least=0.0001, most=1
    )
    segment_by: str = _setting(
        "",
        "which model an example is for: nothing is one for all; surface, country, or"
        " experiment:NAME for the viewer's variant. Other than nothing, no position bias and no"
        " priors are estimated",
    )
    item_features: bool = _setting(
        default=True,
        doc="whether examples hold what signals.items said of their items; if not, ingest need not"
        " read that topic",
    )
    objectives: str = _setting(
        "click=1,completion=1",
        "what models predict, of click, completion, watched_share and hide, and what one such"
        " outcome is worth where they are combined",
    )
    model_suffix: str = _setting(
        "", "put behind the objective in the ids of models: another one begins new models"
    )
    estimate_interval_ms: int = _setting(
        600_000,
        "stream time between two estimates of position bias and priors; 0: none are made",
        least=0,
    )
    keep_out_bots: bool = _setting(
        default=True,
        doc="whether what a viewer does counts for nothing while their trust is `bot`; if not, that"
        " is only said",
    )
    session_keep_rate: float = _setting(
        1.0,
        "share of the viewers whose sessions anomalies are learnt from; less where one task cannot"
        " take them all",
        least=0.0001,
        most=1,
    )
    skip: frozenset[tuple[str, int, int]] = _setting(
        frozenset(), "records to reject as `skipped`: topic:partition:offset,…"
    )
    check_crcs: bool = _setting(
        default=True,
        doc="verify the checksums of fetched records; librdkafka's mock broker writes wrong ones",
    )
    web_host: str = _setting("127.0.0.1", "address that /metrics and /health are served on")
    log_level: str = _setting(
        "INFO", "what workers log", choices=("DEBUG", "INFO", "WARNING", "ERROR")
    )
    security: Security = field(default_factory=Security)

    def __post_init__(self) -> None:
        if not fullmatch(SEGMENTS, self.segment_by):
            raise ConfigurationError(
                f"{PREFIX}SEGMENT_BY={self.segment_by}: expected nothing, surface, country or"
                " experiment:NAME"
            )
        by_surface = MappingProxyType(dict(self.click_window_ms_by_surface))
        object.__setattr__(self, "click_window_ms_by_surface", by_surface)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings out of an environment.

        Raises:
            ConfigurationError: naming the variable and what it should be.
        """
        values = _read(cls, env)
        values["click_window_ms_by_surface"] = {
            name.removeprefix(CLICK_WINDOW).lower(): _number(name, text, int, 1, None)
            for name, text in env.items()
            if name.startswith(CLICK_WINDOW)
        }
        return cls(**values, security=Security(**_read(Security, env)))

    def to_env(self) -> dict[str, str]:
        """Return the variables that make `from_env` give these settings again."""
        variables = {row.variable: row.text for row in self._rows() if row.text != row.default}
        windows = self.click_window_ms_by_surface
        return variables | {CLICK_WINDOW + s.upper(): str(ms) for s, ms in windows.items()}

    def click_window(self, surface: str) -> int:
        """Return the click window of a surface, ms."""
        return self.click_window_ms_by_surface.get(surface, self.click_window_ms)

    def topic(self, name: str) -> str:
        """Return the name a topic has on the brokers."""
        return self.topic_prefix + name

    def role_id(self, role: str) -> str:
        """Return the app id of a role: its consumer group, and the start of its other names."""
        return f"{self.app_id}-{role}"

    def changelog(self, role: str, processor: str) -> str:
        """Return the changelog topic of a processor, as it is named on the brokers."""
        return self.topic(f"{self.role_id(role)}-{processor}-changelog")

    def table(self) -> list[SettingRow]:
        """Return one row for each variable, secrets masked."""
        rows = []
        for row in self._rows():
            masked = row.secret and row.text
            rows.append(row._replace(text=MASK) if masked else row)
            if row.variable == f"{PREFIX}CLICK_WINDOW_MS":
                rows.extend(self._surface_rows())
        return rows

    def _surface_rows(self) -> Iterator[SettingRow]:
        about = {f.name: f.metadata for f in fields(self)}["click_window_ms_by_surface"]
        yield SettingRow(f"{CLICK_WINDOW}<SURFACE>", "", "", about["doc"], secret=False)
        for surface, ms in sorted(self.click_window_ms_by_surface.items()):
            yield SettingRow(CLICK_WINDOW + surface.upper(), str(ms), "", "", secret=False)

    def _rows(self) -> Iterator[SettingRow]:
        for section in (self, self.security):
            for declared in _declared(type(section)):
                yield SettingRow(
                    _variable(declared),
                    _text(getattr(section, declared.name)),
                    _text(declared.default),
                    declared.metadata["doc"],
                    declared.metadata["secret"],
                )


class SettingRow(NamedTuple):
    """A variable as `streamapp settings` shows it."""

    variable: str
    text: str
    default: str
    doc: str
    secret: bool


def unknown_variables(env: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Return `STREAMAPP_…` variables that mean nothing, each with the likeliest known one.

    They are not an error: an orchestrator may set such names on its own (Kubernetes does, for
    a service called streamapp).
    """
    known = {_variable(f).removeprefix(PREFIX) for s in (Settings, Security) for f in _declared(s)}
    unknown = sorted(
        name
        for name in env
        if name.startswith(PREFIX)
        and not name.startswith((*IGNORED, CLICK_WINDOW))
        and name.removeprefix(PREFIX) not in known
    )
    return [(name, _nearest(name.removeprefix(PREFIX), known)) for name in unknown]


def _nearest(name: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return PREFIX + near[0] if near else None


def _declared(section: type[Settings | Security]) -> list[Field[Any]]:
    return [f for f in fields(section) if f.default is not MISSING]


def _variable(declared: Field[Any]) -> str:
    return PREFIX + declared.name.upper()


def _read(section: type[Settings | Security], env: Mapping[str, str]) -> dict[str, Any]:
    """Parse the variables of a section that are set and not empty."""
    given = ((f, env.get(_variable(f), "").strip()) for f in _declared(section))
    return {f.name: _parse(_variable(f), text, f) for f, text in given if text}


def _parse(name: str, text: str, declared: Field[Any]) -> Any:
    about = declared.metadata
    if isinstance(declared.default, bool):
        return _flag(name, text)
    if isinstance(declared.default, int | float):
        kind = type(declared.default)
        return _number(name, text, kind, about["least"], about["most"])
    if isinstance(declared.default, frozenset):
        return frozenset(_coordinates(name, part) for part in text.split(",") if part.strip())
    if about["choices"] and text not in about["choices"]:
        raise ConfigurationError(f"{name}={text}: expected one of {', '.join(about['choices'])}")
    return text


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigurationError(f"{name}={text}: expected true or false")
    return text.lower() == "true"


def _number(
    name: str, text: str, kind: type[int | float], least: float | None, most: float | None
) -> Any:
    what = "a whole number" if kind is int else "a number"
    try:
        value = kind(text)
    except ValueError:
        raise ConfigurationError(f"{name}={text}: expected {what}") from None
    if least is not None and not value >= least:
        raise ConfigurationError(f"{name}={text}: expected {what}, at least {least}")
    if most is not None and not value <= most:
        raise ConfigurationError(f"{name}={text}: expected {what}, at most {most}")
    return value


def _coordinates(name: str, text: str) -> tuple[str, int, int]:
    try:
        topic, partition, offset = text.strip().rsplit(":", 2)
        return topic, int(partition), int(offset)
    except ValueError:
        raise ConfigurationError(f"{name}: {text!r} is not topic:partition:offset") from None


def _text(value: Any) -> str:
    if isinstance(value, frozenset):
        return ",".join(f"{topic}:{part}:{offset}" for topic, part, offset in sorted(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
