"""The type stub of the native module says what the module has: names, parameters, defaults, values of enumerations."""

from __future__ import annotations

import ast
import enum
from pathlib import Path
from typing import Any

import pytest

import glassnf
from glassnf import _core

STUB = Path(glassnf.__file__).parent / "_core.pyi"
TREE = ast.parse(STUB.read_text(encoding="utf-8"))
FUNCTIONS = {node.name: node for node in TREE.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name: node for node in TREE.body if isinstance(node, ast.ClassDef)}


def parameters(function: ast.FunctionDef) -> list[tuple[str, str, str | None]]:
    """Return (name, kind, default) of every parameter but self."""
    arguments = function.args
    plain = arguments.posonlyargs + arguments.args
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    rows = [(a.arg, "plain", d and ast.unparse(d)) for a, d in zip(plain, defaults, strict=True)]
    rows += [(a.arg, "keyword", d and ast.unparse(d)) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [row for row in rows if row[0] != "self"]


def signature(bound: Any) -> ast.FunctionDef:
    """Return the signature that pybind11 writes into the first line of a docstring."""
    node = ast.parse(f"def {bound.__doc__.splitlines()[0]}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def test_names() -> None:
    variables = {node.target.id for node in TREE.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    own = {name for name in vars(_core) if not name.startswith("_")} | {"__version__"}
    assert {*FUNCTIONS, *CLASSES, *variables} == own


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_function(name: str) -> None:
    assert parameters(FUNCTIONS[name]) == parameters(signature(getattr(_core, name)))


def test_system() -> None:
    constructor = next(node for node in CLASSES["System"].body if isinstance(node, ast.FunctionDef))
    assert parameters(constructor) == parameters(signature(_core.System.__init__))


def test_stream() -> None:
    assert issubclass(_core.Stream, enum.IntEnum)
    assignments = [node for node in CLASSES["Stream"].body if isinstance(node, ast.Assign)]
    in_stub = {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assignments}
    assert in_stub == {member.name: member.value for member in _core.Stream}
