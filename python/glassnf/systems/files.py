"""Systems in TOML and JSON files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from .. import _check
from .system import System

__all__ = ["load", "save_json", "save_toml"]

_FORMAT: Final = "glassnf-system"
_VERSION: Final = 1
_MOST_BYTES: Final = 64 << 20


def load(path: str | os.PathLike[str]) -> System:
    """Read a system from a TOML or JSON file, told apart by the suffix.

    Parameters
    ----------
    path
        A file written by `System.to_toml` or `System.to_json`, or by hand: the keys are the arguments of
        `glassnf.systems.custom`, with the arguments of `PairPotential` in the table ``potential``.

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read.
    TypeError, ValueError
        If it is not such a file, if a key is missing or unknown (the message names the nearest valid one), or if a value is
        not acceptable; the message starts with the path.
    """
    from ..io.text import read_bytes

    file = _check.path("path", path)
    if file.suffix.lower() not in (".toml", ".json"):
        raise ValueError(f"path: expected a name that ends in .toml or .json, got {_check.describe(str(file))}")
    content = read_bytes(file, _MOST_BYTES)
    try:
        data = _parse_toml(content) if file.suffix.lower() == ".toml" else _parse_json(content)
        return System.from_dict(_without_header(data))
    except TypeError as error:
        raise TypeError(_check.printable(f"{file}: {error}")) from None
    except ValueError as error:
        raise ValueError(_check.printable(f"{file}: {error}")) from None


def save_json(path: str | os.PathLike[str], system: System) -> None:
    """Write a system to a JSON file, replacing it atomically."""
    text = json.dumps(_with_header(system), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _write_atomically(_path_with_suffix(path, ".json"), text.encode("utf-8"))


def save_toml(path: str | os.PathLike[str], system: System) -> None:
    """Write a system to a TOML file, replacing it atomically."""
    import tomli_w

    _write_atomically(_path_with_suffix(path, ".toml"), tomli_w.dumps(_with_header(system)).encode("utf-8"))


def _path_with_suffix(path: str | os.PathLike[str], suffix: str) -> Path:
    file = _check.path("path", path)
    if file.suffix.lower() != suffix:
        raise ValueError(f"path: expected a name that ends in {suffix}, got {_check.describe(str(file))}")
    return file


def _with_header(system: System) -> dict[str, Any]:
    return {"format": _FORMAT, "format_version": _VERSION, **system.to_dict()}


def _without_header(data: dict[str, Any]) -> dict[str, Any]:
    """Check and drop the keys that say what the file is; a file written by hand may leave them out."""
    rest = dict(data)
    kind = rest.pop("format", _FORMAT)
    if kind != _FORMAT:
        raise ValueError(f"format: expected {_FORMAT!r}, got {_check.describe(kind)}")
    version = _check.positive_int("format_version", rest.pop("format_version", _VERSION))
    if version != _VERSION:
        raise ValueError(f"format_version: expected {_VERSION}, got {version}: the file is of another version of glassnf")
    return rest


def _parse_toml(content: bytes) -> dict[str, Any]:
    from ..io.text import parse_toml

    try:
        return parse_toml(content)
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError
        raise ValueError(f"expected a TOML file, got text that is not: {error}") from None


def _parse_json(content: bytes) -> dict[str, Any]:
    from ..io.text import parse_json

    try:
        data = parse_json(content, object_pairs_hook=_unique_keys)
    except ValueError as error:
        raise ValueError(f"expected a JSON file, got text that is not: {error}") from None
    if not isinstance(data, dict):
        raise TypeError(f"expected a JSON object, got {_check.describe(data)}")
    return data


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing a key that appears twice (the later one would silently win)."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} appears twice")
        result[key] = value
    return result


def _write_atomically(path: Path, content: bytes) -> None:
    from ..io.files import atomic_write

    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
