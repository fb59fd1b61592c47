"""No extension module runs that is not what its source says."""

from __future__ import annotations

import json
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from streamapp import compiled


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hot.py").write_text("x = 1\n")
    monkeypatch.setattr(compiled, "PACKAGE", tmp_path)
    monkeypatch.setattr(compiled, "MANIFEST", tmp_path / "compiled.json")
    return tmp_path


def build(package: Path, suffix: str = EXTENSION_SUFFIXES[0]) -> None:
    sources = {"hot.py": compiled.source_hash(package / "hot.py")}
    (package / "compiled.json").write_text(json.dumps({"suffix": suffix, "sources": sources}))


@pytest.mark.usefixtures("package")
def test_where_nothing_was_compiled_there_is_nothing_to_check():
    compiled.check()
    assert compiled.modules() == {}


def test_what_was_compiled_runs_while_its_source_stays(package: Path):
    build(package)
    compiled.check()
    assert list(compiled.modules()) == ["hot.py"]


def test_a_changed_source_is_refused_with_the_way_out(package: Path):
    build(package)
    (package / "hot.py").write_text("x = 2\n")
    with pytest.raises(ImportError, match=r"streamapp/hot\.py has changed .* `make compile`"):
        compiled.check()


def test_a_source_that_is_gone_is_refused(package: Path):
    build(package)
    (package / "hot.py").unlink()
    with pytest.raises(ImportError, match="has changed"):
        compiled.check()


def test_what_another_interpreter_compiled_does_not_matter_to_this_one(package: Path):
    build(package, suffix=".of-another.so")
    (package / "hot.py").write_text("x = 2\n")
    compiled.check()
    assert compiled.modules() == {}
