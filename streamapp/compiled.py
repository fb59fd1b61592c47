"""Modules that run compiled, and the check that none of them is older than its source.

`make compile` builds extension modules beside the sources that pyproject.toml lists, and Python
prefers them. What they were built from is in `compiled.json` beside this file; where that is
missing, as in a wheel, everything runs from source.
"""

from __future__ import annotations

import hashlib
import json
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

PACKAGE = Path(__file__).parent
MANIFEST = PACKAGE / "compiled.json"


def source_hash(source: Path) -> str | None:
    """Return a hash of a source; None where there is none."""
    return hashlib.sha256(source.read_bytes()).hexdigest() if source.exists() else None


def modules() -> dict[str, str]:
    """Return the modules that this interpreter runs compiled, each with the hash of its source.

    They are named by path, from the package: `learning/coordinate.py`.
    """
    if not MANIFEST.exists():
        return {}
    manifest = json.loads(MANIFEST.read_bytes())
    sources: dict[str, str] = manifest["sources"]
    return sources if manifest["suffix"] in EXTENSION_SUFFIXES else {}


def check() -> None:
    """Refuse to run extension modules that are not what their sources say.

    Raises:
        ImportError: a source has changed since it was compiled.
    """
    for name, built_from in modules().items():
        if source_hash(PACKAGE / name) != built_from:
            raise ImportError(
                f"streamapp/{name} has changed since it was compiled: run `make compile`,"
                " or `make uncompile` to work without"
            )
