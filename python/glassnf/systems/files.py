"""Systems in TOML and JSON files."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Any, Final

from .. import _check
from .system import System

__all__ = ["load", "save_json", "save_toml"]

_FORMAT: Final = "glassnf-system"
_VERSION: Final = 1


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
    file = Path(path)
    if file.suffix.lower() not in (".toml", ".json"):
        raise ValueError(f"path: expected a name that ends in .toml or .json, got {str(file)!r}")
    content = file.read_bytes()
    try:
        data = _parse_toml(content) if file.suffix.lower() == ".toml" else _parse_json(content)
        return System.from_dict(_without_header(data))
    except TypeError as error:
        raise TypeError(f"{file}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def save_json(path: str | os.PathLike[str], system: System) -> None:
    """Write a system to a JSON file, replacing it atomically."""
    text = json.dumps(_with_header(system), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _write_atomically(_path_with_suffix(path, ".json"), text.encode("utf-8"))


def save_toml(path: str | os.PathLike[str], system: System) -> None:
    """Write a system to a TOML file, replacing it atomically."""
    import tomli_w

    _write_atomically(_path_with_suffix(path, ".toml"), tomli_w.dumps(_with_header(system)).encode("utf-8"))


def _path_with_suffix(path: str | os.PathLike[str], suffix: str) -> Path:
    file = Path(path)
    if file.suffix.lower() != suffix:
        raise ValueError(f"path: expected a name that ends in {suffix}, got {str(file)!r}")
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
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(content.decode("utf-8"))
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError
        raise ValueError(f"expected a TOML file, got text that is not: {error}") from None


def _parse_json(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
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
    """Replace `path` by `content` in one step, so that readers and crashes see the old file or the new one.

    A symbolic link is followed and stays; the permissions of an existing file stay too.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a renaming in `folder` survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
