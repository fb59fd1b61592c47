#!/usr/bin/env python3
"""A real Apache Kafka on this machine, for tests and local use: `kafka.py up|down|status`.

One node in KRaft mode on free loopback ports. The jars come from Maven as pom.xml pins them,
once; everything a broker writes lies in its run directory and is gone after `down`.
Needs Python, Java 17 and, the first time, Maven; nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).resolve().parent
LIBS = HERE / ".libs"
FORMATTED = LIBS / "formatted"
RUN_DIR = HERE / ".run" / "local"
READY = "Kafka Server started"

# Below the range systems take the ports of outgoing connections from: a client that tries to
# reach a stopped broker can neither take its port nor end up connected to itself.
PORTS = range(20_000, 32_000)

JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
)

# One node, topics only as `streamapp topics apply` makes them, and few partitions for the
# internal topics, so that the first group and the first transaction need not wait for 100. A
# killed broker cannot come back before its session with the controller has ended.
CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
log.cleaner.dedupe.buffer.size=16777216
"""


class KafkaUnavailableError(Exception):
    """The broker cannot be started; the message says what is missing or what it logged."""


class KafkaBroker:
    """A broker with its port, data and log under one directory.

    It can be stopped or killed and started again on the same port with the same data, by this
    process or, since what it needs is written to the directory, by another.
    """

    def __init__(self, run_dir: Path = RUN_DIR) -> None:
        self.run_dir = run_dir
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    @property
    def bootstrap_servers(self) -> str:
        """The address clients connect to; it stays the same through restarts."""
        return (self.run_dir / "bootstrap").read_text().strip()

    @property
    def pid(self) -> int | None:
        """The process id while the broker runs."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.run_dir / "pid").read_text())
            if self._is_broker(pid):
                return pid
        return None

    def start(self, timeout: float = 60.0) -> str:
        """Start the broker, wait until it serves, return its address.

        Raises:
            KafkaUnavailableError: Java or Maven is missing, or the broker did not come up.
        """
        if self.pid is None:
            install()
            self._prepare()
            self._launch(time.monotonic() + timeout)
        return self.bootstrap_servers

    def stop(self, timeout: float = 30.0) -> None:
        """Shut the broker down in order; its data stay."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End the broker at once, as a crash would; its data stay."""
        self._end(signal.SIGKILL, 10.0)

    def restart(self) -> None:
        """Start again on the same port with the same data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End the broker, without order, and remove all it wrote."""
        self.kill()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def _prepare(self) -> None:
        """Choose ports and lay out formatted storage, unless an earlier start did."""
        config = self.run_dir / "server.properties"
        if config.exists():
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        data = self.run_dir / "data"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(FORMATTED, data)
        port, controller_port = free_ports(2)
        (self.run_dir / "bootstrap").write_text(f"127.0.0.1:{port}\n")
        config.write_text(CONFIG.format(port=port, controller_port=controller_port, data=data))

    def _launch(self, deadline: float) -> None:
        log = self.run_dir / "kafka.log"
        config = str(self.run_dir / "server.properties")
        with log.open("wb") as out:
            process = self._process = subprocess.Popen(
                [*_java("kafka.Kafka"), config],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            (self.run_dir / "pid").write_text(str(process.pid))
            _await_ready(process, log, deadline)
        except BaseException:  # an interrupt, too, must not leave it behind
            self.kill()
            raise

    def _end(self, how: signal.Signals, timeout: float) -> None:
        pid = self.pid
        if pid is None:
            return
        # A stopped process (SIGSTOP) would take no SIGTERM.
        for sent in (signal.SIGCONT, how):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
        deadline = time.monotonic() + timeout
        while self.pid == pid:
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        (self.run_dir / "pid").unlink(missing_ok=True)

    def _is_broker(self, pid: int) -> bool:
        """Tell whether the process is this broker: ids are given again to others."""
        return str(self.run_dir / "server.properties") in _command_line(pid)


def _await_ready(process: subprocess.Popen[bytes], log: Path, deadline: float) -> None:
    while READY not in (text := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise KafkaUnavailableError(f"Kafka did not start; it logged:\n{text[-4000:]}")
        time.sleep(0.05)


def install() -> None:
    """Copy the jars that pom.xml names to .libs and format storage once, unless done."""
    (HERE / ".run").mkdir(exist_ok=True)
    with (HERE / ".run" / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at once
        done = LIBS / "pom.sha256"
        wanted = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()
        if not done.exists() or done.read_text() != wanted:
            _copy_jars()
            _format()
            done.write_text(wanted)


def _copy_jars() -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError("Maven is missing (Debian: apt-get install maven)")
    shutil.rmtree(LIBS, ignore_errors=True)
    copy = [maven, "-q", "-B", "--strict-checksums", "dependency:copy-dependencies"]
    _run([*copy, f"-DoutputDirectory={LIBS}", f"-f={HERE / 'pom.xml'}"], "download of the jars")


def _format() -> None:
    """Format empty storage, as every new broker starts from; only its place differs."""
    config = LIBS / "format.properties"
    config.write_text(CONFIG.format(port=1, controller_port=2, data=FORMATTED))
    tool = [*_java("kafka.tools.StorageTool"), "format", "-t", uuid.uuid4().hex[:22]]
    _run([*tool, "-c", str(config)], "formatting")


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KafkaUnavailableError(f"{what} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _command_line(pid: int) -> str:
    """Return the command line of a process, empty when there is none."""
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return ""
    ps = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout


def _java(main: str) -> list[str]:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        raise KafkaUnavailableError(
            "Java is missing (Debian: apt-get install openjdk-17-jre-headless)"
        )
    return [java, *JAVA_OPTIONS, "-cp", f"{LIBS}/*", main]


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now, chosen at random."""
    free: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise KafkaUnavailableError("no free port on 127.0.0.1")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description="A local Apache Kafka (KRaft, one node).")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument(
        "--run-dir", type=Path, default=RUN_DIR, help="where it keeps all it writes"
    )
    args = parser.parse_args(argv)
    broker = KafkaBroker(args.run_dir.resolve())
    try:
        if args.command == "up":
            print(broker.start())
        elif args.command == "down":
            broker.remove()
        elif broker.pid is None:
            print("not running")
            return 1
        else:
            print(f"running at {broker.bootstrap_servers}, process {broker.pid}")
    except KafkaUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
