"""Text files that somebody else may have made: JSON and TOML, read whole after a look at their size."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from .files import FileFormatError, existing_file

__all__ = ["MOST_BYTES", "parse_json", "parse_toml", "read_bytes", "read_json"]

MOST_BYTES: Final = 256 << 20
"""Largest text file that is read: a comparison of many temperatures has a few MB."""

_DEEPEST: Final = 200
"""Brackets within brackets in a text: parsers call themselves for each, and the stack is not endless."""


_BRACKETS: Final = re.compile(r"[\[\]{}]")


def read_bytes(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises
    ------
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    FileFormatError
        If it is a folder or a device, or larger.
    """
    file = existing_file(path)
    with file.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise FileFormatError(f"{file}: expected a file of at most {most >> 20} MiB, got a larger one")
    return content


def _checked(content: bytes) -> str:
    text = content.decode("utf-8")
    if text.count("[") + text.count("{") > _DEEPEST:
        depth = 0
        for bracket in _BRACKETS.finditer(text):  # also those within strings: no file of glassnf has so many of them there
            depth = depth + 1 if bracket.group() in "[{" else max(0, depth - 1)
            if depth > _DEEPEST:
                raise ValueError(f"more than {_DEEPEST} brackets within one another")
    return text


def parse_json(content: bytes, **options: Any) -> Any:
    """Return the value of a JSON text; ValueError if it is not one. `options` are those of `json.loads`."""
    try:
        return json.loads(_checked(content), **options)
    except RecursionError:
        raise ValueError("the values are too deep within one another") from None


def parse_toml(content: bytes) -> dict[str, Any]:
    """Return the table of a TOML text; ValueError if it is not one."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(_checked(content))
    except RecursionError:
        raise ValueError("the values are too deep within one another") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value in a JSON file; ValueError, OSError as `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(Path(path)))
