"""The command line: arguments reach their implementation, errors are one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamapp import cli
from streamapp.settings import Settings

COMMANDS = ["worker", "up", "demo", "topics", "replay", "tail", "settings"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: streamapp {command}" in capsys.readouterr().out


def test_the_command_line_alone_names_every_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "target", "expected"),
    [
        (
            ["worker", "ingest", "--web-port", "99"],
            "engine.worker",
            (("ingest", Settings(), 99), {}),
        ),
        (["worker", "learn"], "engine.worker", (("learn", Settings(), 0), {})),
        (["up", "--processes", "3"], "supervisor", ((Settings(), 3), {})),
        (
            ["demo", "--seconds", "5", "--rate", "9.5"],
            "demo",
            ((Settings(), 5.0, 9.5, None), {}),
        ),
        (
            ["demo", "--bootstrap-servers", "h:1"],
            "demo",
            ((Settings(), 60.0, 500.0, "h:1"), {}),
        ),
        (
            ["replay", "--from", "a", "--to", "b", "--sort"],
            "replay",
            ((Path("a"), Path("b"), True, Settings()), {"examples": None}),
        ),
        (
            ["replay", "--from", "a", "--examples", "c"],
            "replay",
            ((Path("a"), None, False, Settings()), {"examples": Path("c")}),
        ),
        (
            ["tail", "t", "--key", "k", "--max", "2"],
            "engine.tail",
            (("t", Settings(), "k"), {"from_beginning": False, "limit": 2}),
        ),
    ],
)
def test_arguments_reach_the_implementation(argv, target, expected, monkeypatch):
    for name in [name for name in os.environ if name.startswith("STREAMAPP_")]:
        monkeypatch.delenv(name)
    called = []

    def run(*args, **kwargs):
        called.append((args, kwargs))
        return 7

    monkeypatch.setattr(f"streamapp.{target}.run", run)
    assert cli.main(argv) == 7
    assert called == [expected]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["topics"],
        ["worker", "sleep"],
        ["worker", "learn", "--web-port", "65536"],
        ["worker", "learn", "--web-port", "-1"],
        ["up", "--processes", "0"],
        ["demo", "--seconds", "nan"],
        ["demo", "--rate", "-1"],
        ["tail", "t", "--max", "x"],
        ["replay", "--from", "a"],
    ],
)
def test_a_wrong_command_line_is_refused_with_its_usage(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: streamapp")


def test_a_setting_that_cannot_work_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("STREAMAPP_PARTITIONS", "many")
    assert cli.main(["settings"]) == 2
    told = capsys.readouterr()
    assert told.err == "streamapp: STREAMAPP_PARTITIONS=many: expected a whole number\n"


def test_a_misspelt_setting_is_warned_of_and_the_command_goes_on(monkeypatch, capsys):
    monkeypatch.setenv("STREAMAPP_PARTITION", "4")
    assert cli.main(["settings"]) == 0
    said = capsys.readouterr().err
    assert "STREAMAPP_PARTITION is no setting; did you mean STREAMAPP_PARTITIONS?" in said


def test_settings_prints_every_variable_with_its_value(monkeypatch, capsys):
    monkeypatch.setenv("STREAMAPP_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("STREAMAPP_PARTITIONS", "4")
    assert cli.main(["settings"]) == 0
    out = capsys.readouterr().out
    assert "STREAMAPP_PARTITIONS=4  (set)\n" in out
    assert "STREAMAPP_SASL_PASSWORD=********  (set)\n" in out
    assert "hunter2" not in out


def test_output_may_be_cut_off_by_its_reader():
    command = f"{sys.executable} -m streamapp settings | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    assert done.stdout == "STREAMAPP_BOOTSTRAP_SERVERS=127.0.0.1:9092\n"
    assert done.stderr == ""


def test_commands_that_need_no_processor_load_none():
    code = (
        "import sys; from streamapp.cli import main; main(['settings']);"
        "print([m for m in ('river', 'faust', 'aiokafka') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
