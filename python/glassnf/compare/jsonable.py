"""Conversion to what JSON can say: no NaN, no infinities, no NumPy types."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np

__all__ = ["dumps", "jsonable"]


def jsonable(value: object) -> Any:
    """Return `value` in terms of dicts, lists, strings, numbers, booleans and None.

    NumPy arrays become nested lists, dataclasses dicts, paths and times strings, and numbers that are not finite become None.

    Raises
    ------
    TypeError
        If `value` holds an object of any other type.
    """
    if value is None or isinstance(value, (bool, str, int)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    raise TypeError(f"value: expected something that JSON can hold, got {type(value).__name__}")


def dumps(value: object) -> str:
    """Return `value` as indented JSON text (see `jsonable`), ending in a newline."""
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
