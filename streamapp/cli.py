"""The `streamapp` command. Each subcommand is implemented elsewhere and imported when it runs."""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streamapp import __version__
from streamapp.errors import StreamappError
from streamapp.settings import Settings, unknown_variables

FAILED = 2
"""Exit code when something is not as it must be; the message says what."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

Command = Callable[[argparse.Namespace, Settings], int]
Subparsers = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    args = parser().parse_args(argv)
    run: Command = args.run
    try:
        settings = Settings.from_env(os.environ)
        _warn_of_unknown_variables()
        return run(args, settings)
    except StreamappError as error:
        print(f"streamapp: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; nothing more can be told to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="streamapp",
        description="Fresh signals and models for ranking, from what viewers do, over Kafka.",
        epilog="Settings are environment variables; `streamapp settings` lists them.",
    )
    top.add_argument("--version", action="version", version=f"streamapp {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_workers(commands)
    _add_demo(commands)
    _add_topics(commands)
    _add_replay(commands)
    _add_tail(commands)
    _add(commands, "settings", _settings, "list every setting, its value and what it is for")
    return top


def _add_workers(commands: Subparsers) -> None:
    worker = _add(commands, "worker", _worker, "run one worker of a role until SIGTERM")
    worker.add_argument("role", choices=("ingest", "signals", "learn"), help="what it works on")
    worker.add_argument(
        "--web-port",
        type=_port,
        default=0,
        metavar="P",
        help="of /metrics and /health; 0: a free one (0)",
    )
    up = _add(commands, "up", _up, "run all roles on this machine until interrupted")
    up.add_argument(
        "--processes", type=_count, default=1, metavar="N", help="workers of each role (1)"
    )


def _add_demo(commands: Subparsers) -> None:
    demo = _add(commands, "demo", _demo, "show everything at work on a simulated audience")
    demo.add_argument("--seconds", type=_positive, default=60.0, metavar="N", help="how long (60)")
    demo.add_argument(
        "--rate", type=_positive, default=500.0, metavar="R", help="events a second (500)"
    )
    demo.add_argument(
        "--bootstrap-servers",
        metavar="HOST:PORT",
        help="a Kafka to run on; else a broker within the demo that forgets everything",
    )


def _add_topics(commands: Subparsers) -> None:
    topics = _add(commands, "topics", None, "list, create and check the topics")
    actions = topics.add_subparsers(title="actions", required=True, metavar="ACTION")
    _add(actions, "list", _topics_list, "list the topics as they have to be")
    _add(actions, "apply", _topics_apply, "create what is missing, set what is set otherwise")
    _add(actions, "check", _topics_check, "say what is wrong on the brokers; exit 1 if anything")
    schemas = _add(actions, "schemas", _topics_schemas, "check the JSON Schemas of the records")
    schemas.add_argument("--write", action="store_true", help="write what is out of date")


def _add_replay(commands: Subparsers) -> None:
    replay = _add(commands, "replay", _replay, "run files of events through the processors")
    replay.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="DIR",
        help="holds TOPIC.jsonl, one event a line",
    )
    replay.add_argument(
        "--to",
        dest="target",
        type=Path,
        metavar="DIR",
        help="gets TOPIC.jsonl, one {key, value} a line, every version in order",
    )
    replay.add_argument(
        "--examples",
        type=Path,
        metavar="DIR",
        help="gets examples.parquet: the labelled examples, a column each field and feature",
    )
    replay.set_defaults(refuse=replay.error)
    replay.add_argument("--sort", action="store_true", help="sort the events by time first")


def _add_tail(commands: Subparsers) -> None:
    tail = _add(commands, "tail", _tail, "print committed records as JSON lines until interrupted")
    tail.add_argument("topic", help="as `streamapp topics list` names it, or any other")
    tail.add_argument("--key", metavar="K", help="only records with this key")
    tail.add_argument("--from-beginning", action="store_true", help="not only new records")
    tail.add_argument("--max", type=_count, metavar="N", help="end after so many records")


def _worker(args: argparse.Namespace, settings: Settings) -> int:
    from streamapp.engine import worker

    return worker.run(args.role, settings, args.web_port)


def _up(args: argparse.Namespace, settings: Settings) -> int:
    from streamapp import supervisor

    return supervisor.run(settings, args.processes)


def _demo(args: argparse.Namespace, settings: Settings) -> int:
    from streamapp import demo

    return demo.run(settings, args.seconds, args.rate, args.bootstrap_servers)


def _replay(args: argparse.Namespace, settings: Settings) -> int:
    from streamapp import replay

    if args.target is None and args.examples is None:
        args.refuse("one of the arguments --to and --examples is required")
    return replay.run(args.source, args.target, args.sort, settings, examples=args.examples)


def _tail(args: argparse.Namespace, settings: Settings) -> int:
    from streamapp.engine import tail

    _quiet_clients()
    return tail.run(
        args.topic, settings, args.key, from_beginning=args.from_beginning, limit=args.max
    )


def _topics_list(_args: argparse.Namespace, settings: Settings) -> int:
    from streamapp.engine import admin

    for topic in admin.topics_of(settings):
        retention = topic.config.get("retention.ms")
        kept = topic.config["cleanup.policy"] if retention is None else _days(int(retention))
        print(f"{topic.name:<40} {topic.partitions:>3} partitions  {kept}")
        print(textwrap.indent(textwrap.fill(topic.what, 92), "    "))
    return 0


def _topics_apply(_args: argparse.Namespace, settings: Settings) -> int:
    from streamapp.engine import admin

    _quiet_clients()
    results = asyncio.run(admin.apply(settings))
    for result in results:
        print(f"{result.did:<10} {result.topic}" + (f" ({result.detail})" if result.detail else ""))
    return int(any(result.did == "left" for result in results))


def _topics_check(_args: argparse.Namespace, settings: Settings) -> int:
    from streamapp.engine import admin

    _quiet_clients()
    problems = asyncio.run(admin.check(settings))
    for problem in problems:
        print(problem)
    if not problems:
        print("all topics are as they have to be")
    return int(bool(problems))


def _topics_schemas(args: argparse.Namespace, _settings: Settings) -> int:
    from streamapp import topics

    stale = topics.stale_schemas(topics.directory() / "schemas")
    if args.write:
        for path, text in stale.items():
            path.write_bytes(text)
    for path in stale:
        print(f"{path.name}: " + ("written" if args.write else "not as the record types are"))
    return int(bool(stale) and not args.write)


def _settings(_args: argparse.Namespace, settings: Settings) -> int:
    for row in settings.table():
        print(f"{row.variable}={row.text}" + ("" if row.text == row.default else "  (set)"))
        if row.doc:
            print(textwrap.indent(textwrap.fill(row.doc, 92), "    "))
    return 0


def _warn_of_unknown_variables() -> None:
    for name, near in unknown_variables(os.environ):
        meant = f"; did you mean {near}?" if near else ""
        print(f"streamapp: {name} is no setting{meant}", file=sys.stderr)


def _quiet_clients() -> None:
    """Let a failure be told once, by the error that ends the command."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _days(ms: int) -> str:
    return "kept for ever" if ms < 0 else f"kept {ms / 86_400_000:g} days"


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a whole number below 65,536")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _add(
    commands: Subparsers, name: str, run: Command | None, about: str
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + "."
    )
    if run is not None:
        added.set_defaults(run=run)
    return added
