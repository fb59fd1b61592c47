"""Compiled modules under pytest: imported as such, and with their doctests."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

from streamapp import compiled


def pytest_configure() -> None:
    """Import the compiled modules before pytest would import their sources.

    They keep no docstrings; doctests are found in the sources.
    """
    for name in compiled.modules():
        module = importlib.import_module(f"streamapp.{name.removesuffix('.py').replace('/', '.')}")
        source = (compiled.PACKAGE / name).read_text()
        vars(module)["__test__"] = dict(_docstrings(ast.parse(source)))


def _docstrings(node: ast.AST, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the docstrings of a module, its classes and functions, by their qualified names."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        if text := ast.get_docstring(node):
            yield name, text
        for child in node.body:
            yield from _docstrings(child, f"{name}.{getattr(child, 'name', '')}".lstrip("."))
