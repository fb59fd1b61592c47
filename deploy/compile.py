"""Compile hot modules with mypyc, which makes extension modules of typed Python.

`[tool.streamapp] compiled` in pyproject.toml lists them. Each is plain Python that does the same
uncompiled. What gains most is classes whose attributes are floats, ints and strings, and loops over
lists of these. What does not gain, and stays out: msgspec structs, code that mostly handles them,
subclasses of classes that are not compiled, generators and closures.

The extension modules lie beside their sources, with `streamapp/compiled.json` saying what they were
built from, so that `streamapp.compiled` can refuse them when a source has changed. They are built
anew only then, or when this file has changed. Without a C compiler everything runs from source.

The value of a `Final` is copied into the code that uses it: a compiled module takes such a constant
from compiled modules only.

A class of which there are very many, and whose attributes are numbers only, is declared acyclic:
the garbage collector then neither visits its instances nor adds 16 bytes to each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import sysconfig
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "streamapp"  # not to be imported here: it refuses what this is to mend
MANIFEST = PACKAGE / "compiled.json"
BUILD = ROOT / "build" / "compiled"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
SHARED = "streamapp.compiled"
"""Name of the extension module with all the code, less `__mypyc`; the others only point to it."""

CONFIG = """[mypy]
namespace_packages = true
explicit_package_bases = true
ignore_missing_imports = true
[mypy-river.*]
follow_imports = skip
"""
"""`make lint` checks types in full. To read all of river takes mypyc minutes, for nothing."""

EXACT = "-ffp-contract=off"
"""No multiplication and addition in one, which would round otherwise than Python does."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="compile hot modules where they have changed")
    parser.add_argument("--remove", action="store_true", help="remove what was compiled")
    if parser.parse_args().remove:
        remove()
        return 0
    wanted = _wanted()
    if _is_built(wanted):
        return 0
    remove()
    missing = _missing()
    if missing:
        print(f"streamapp runs uncompiled, which is slower: {missing}")
    elif wanted["sources"]:
        print(f"compiling {len(wanted['sources'])} modules")
        _build(wanted)
    return 0


def _wanted() -> dict[str, Any]:
    """Return what the manifest says when everything is built."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    paths = [_path(name) for name in project["tool"]["streamapp"]["compiled"]]
    return {
        "suffix": SUFFIX,
        "mypy": version("mypy"),
        "compile.py": _digest(Path(__file__)),
        "sources": {str(path.relative_to(PACKAGE)): _digest(path) for path in paths},
    }


def _path(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_built(wanted: dict[str, Any]) -> bool:
    built = json.loads(MANIFEST.read_bytes()) if MANIFEST.exists() else None
    return built == wanted and all(
        (PACKAGE / name).with_suffix(SUFFIX).exists() for name in wanted["sources"]
    )


def remove() -> None:
    """Remove what was compiled."""
    for built in PACKAGE.rglob("*.so"):
        built.unlink()
    MANIFEST.unlink(missing_ok=True)


def _missing() -> str | None:
    """Return what compiling needs and this machine has not, or None."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if shutil.which(compiler.split()[0]) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "the headers of this Python are missing"
    return None


def _build(wanted: dict[str, Any]) -> None:
    os.chdir(ROOT)
    sources = [f"streamapp/{name}" for name in wanted["sources"]]
    libraries = BUILD / "lib"
    shutil.rmtree(libraries, ignore_errors=True)
    _compile(sources, libraries)
    # First of all what tells stale modules, then the modules.
    MANIFEST.write_text(json.dumps(wanted, indent=1) + "\n")
    for built in sorted(libraries.rglob("*.so")):
        shutil.copy2(built, ROOT / built.relative_to(libraries))


def _compile(sources: list[str], libraries: Path) -> None:
    from mypyc.build import mypycify
    from setuptools import Distribution

    config = BUILD / "mypy.ini"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG)
    options = [f"--config-file={config}", f"--cache-dir={BUILD / 'mypy'}"]
    extensions = mypycify([*options, *sources], target_dir=str(BUILD), group_name=SHARED)
    for extension in extensions:
        extension.extra_compile_args.append(EXACT)
    command: Any = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(libraries), str(BUILD / "objects")
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    sys.exit(main())
