"""Children are kept running, given up, ended and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamapp import supervisor
from streamapp.engine import worker
from streamapp.settings import Settings
from streamapp.supervisor import Child, Patience, Supervisor, environment, workers

QUICK = Patience(first_wait=0.01, longest_wait=0.02, settled=60.0, crashes=3, ending=0.2)
LONG = "import time; print('up', flush=True); time.sleep(600)"


class Lines:
    """What was written, and a way to wait for a line."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self._more = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.all.append((name, line))
        self._more.set()

    def of(self, name: str) -> list[str]:
        return [line for who, line in self.all if who == name]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._more.clear()
                await self._more.wait()


def python(name: str, code: str) -> Child:
    return Child(name, ("-c", code))


async def test_what_children_write_is_handed_on_by_line_under_their_name():
    lines = Lines()
    code = "import sys; print('one\\ntwo'); sys.stderr.write('no newline'); sys.exit(3)"
    watched = Supervisor([python("a", code)], dict(os.environ), lines, Patience(crashes=1))
    assert await watched.run(handle_signals=False) == 1
    assert sorted(lines.of("a")[:3]) == ["no newline", "one", "two"]


async def test_a_child_that_ends_is_started_again():
    lines = Lines()
    watched = Supervisor(
        [python("a", "print('here')"), python("b", LONG)], dict(os.environ), lines, QUICK
    )
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: lines.of("a").count("here") == 3)
    assert await running == 1
    assert watched.restarts == 2


async def test_after_repeated_crashes_a_child_is_given_up_and_all_end():
    lines = Lines()
    crashing = python("a", "import sys; sys.exit(7)")
    watched = Supervisor([crashing, python("b", LONG)], dict(os.environ), lines, QUICK)
    assert await watched.run(handle_signals=False) == 1
    assert watched.given_up == ["a"]
    assert lines.of("a")[-1].startswith("given up: ended 3 times in a row (exit code 7)")
    assert lines.of("b")[-1] == "ended (by SIGTERM)"


async def test_a_child_that_had_settled_is_not_given_up():
    lines = Lines()
    patience = Patience(first_wait=0.01, settled=0.0, crashes=2)
    watched = Supervisor([python("a", "print('here')")], dict(os.environ), lines, patience)
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: lines.of("a").count("here") > 4)
    watched.stop()
    assert await running == 0


def test_the_waits_between_restarts_double_up_to_the_longest():
    assert list(Patience(first_wait=1, longest_wait=3, crashes=5).waits()) == [1, 2, 3, 3]


async def test_children_may_end_in_peace():
    lines = Lines()
    graceful = (
        "import signal, sys, time\n"
        "def end(*_): print('drained', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    watched = Supervisor([python("a", graceful)], dict(os.environ), lines, Patience(ending=20))
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: "up" in lines.of("a"))
    watched.stop()
    assert await running == 0
    assert lines.of("a") == ["up", "drained", "ended (exit code 0)"]


DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True); time.sleep(600)"
)


async def test_a_child_that_does_not_end_is_killed():
    lines = Lines()
    watched = Supervisor([python("a", DEAF)], dict(os.environ), lines, QUICK)
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: "up" in lines.of("a"))
    watched.stop()
    assert await running == 0
    assert lines.of("a")[-1] == "ended (by SIGKILL)"


async def test_a_second_request_to_end_kills_at_once():
    lines = Lines()
    watched = Supervisor([python("a", DEAF)], dict(os.environ), lines, Patience(ending=600))
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: "up" in lines.of("a"))
    watched.stop()
    watched.stop()
    async with asyncio.timeout(20):
        assert await running == 0


async def test_the_port_a_child_tells_is_known_while_it_runs():
    lines = Lines()
    telling = (
        "import os, pathlib\n"
        "pathlib.Path(os.environ['STREAMAPP_PORT_FILE']).write_text('4711\\n')\n"
        f"{LONG}"
    )
    watched = Supervisor([python("a", telling)], dict(os.environ), lines, QUICK)
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: "serves /metrics and /health on port 4711" in lines.of("a"))
    assert watched.ports == {"a": 4711}
    watched.stop()
    await running
    assert watched.ports == {}


async def test_cancelling_leaves_no_child():
    lines = Lines()
    tells = "import os; print(os.getpid(), flush=True); " + LONG
    watched = Supervisor([python("a", tells)], dict(os.environ), lines, Patience(ending=600))
    running = asyncio.create_task(watched.run(handle_signals=False))
    await lines.until(lambda: "up" in lines.of("a"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(int(lines.of("a")[0]))


async def test_settings_reach_the_children_and_replace_those_of_this_process(monkeypatch):
    monkeypatch.setenv("STREAMAPP_COMMIT_INTERVAL_MS", "77")
    monkeypatch.setenv("STREAMAPP_TEST_HOOK", "kept")
    monkeypatch.setenv("OTHER", "kept too")
    lines = Lines()
    names = ["STREAMAPP_APP_ID", "STREAMAPP_COMMIT_INTERVAL_MS", "STREAMAPP_TEST_HOOK", "OTHER"]
    tells = f"import os; print([os.environ.get(name) for name in {names}])"
    env = environment(Settings(app_id="other"))
    await Supervisor([python("a", tells)], env, lines, Patience(crashes=1)).run(
        handle_signals=False
    )
    assert lines.of("a")[0] == "['other', None, 'kept', 'kept too']"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie whose parent has not asked for it yet is dead.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


SUPERVISING = """
import asyncio, os, signal, sys
from streamapp.supervisor import Child, Supervisor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
code += "print(os.getpid(), flush=True); time.sleep(600)"
write = lambda name, line: print(line, flush=True)
sys.exit(asyncio.run(Supervisor([Child("a", ("-c", code))], dict(os.environ), write).run()))
"""


def supervising() -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_no_child_outlives_a_killed_supervisor():
    process, child = supervising()
    with process:
        assert alive(child)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while alive(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(child)


def test_signals_to_the_supervisor_end_the_children():
    process, child = supervising()
    with process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not alive(child)


def test_every_role_gets_as_many_workers_as_asked_for():
    assert [child.name for child in workers(1)] == ["ingest", "signals", "learn"]
    two = workers(2)
    assert [child.name for child in two][:2] == ["ingest-1", "ingest-2"]
    assert two[0].arguments == two[1].arguments == ("-m", "streamapp", "worker", "ingest")


def test_the_worker_writes_its_port_where_the_supervisor_looks():
    assert supervisor.PORT_FILE == worker.PORT_FILE
