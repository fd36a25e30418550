"""What a public function may do with a wrong argument: return something finite, or raise an error that names the argument."""

from __future__ import annotations

import dataclasses
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import glassnf as gnf
from glassnf.compare import PluginError
from glassnf.flows import FlowError

LONGEST = 700

ALLOWED = (TypeError, ValueError, IndexError, OSError, ImportError, FlowError, PluginError, gnf.BlowUpError, gnf.cuda.CudaError)


def innermost(error: BaseException) -> str:
    """Return the file in which an error was raised."""
    return traceback.extract_tb(error.__traceback__)[-1].filename


def judge_error(error: BaseException, argument: str, parameters: Iterable[str], others: Mapping[str, str]) -> str | None:
    """Return what is wrong with an error, or None; `others` are names by which messages call an argument."""
    text = str(error)
    kind = f"{type(error).__name__}: {text[:300]!r}"
    if not isinstance(error, ALLOWED):
        return f"an error of the wrong type, {kind}"
    if "/glassnf/" not in innermost(error):
        return f"an error from {innermost(error)}, {kind}"
    if not text.strip() or not text.isprintable() or len(text) > LONGEST:
        return f"not one printable sentence of at most {LONGEST} characters, {kind}"
    names = "|".join(re.escape(name) for name in parameters)
    own = f"{re.escape(argument)}|{re.escape(others.get(argument, argument))}"
    if not re.search(rf"\b({own})\b", text) and not re.match(rf"({names})\b", text):
        return f"a message that does not name {argument}, {kind}"
    return None


def not_finite(result: Any, path: str = "result") -> str | None:
    """Return where a result holds NaN or infinity, or None."""
    if isinstance(result, np.ndarray):
        bad = result.dtype.kind in "fc" and not np.isfinite(result).all()
        return f"{path}: NaN or infinity in an array of shape {result.shape}" if bad else None
    if isinstance(result, (float, np.floating, complex)):
        return None if np.isfinite(result) else f"{path}: {result}"
    if isinstance(result, gnf.Ensemble):
        found = {name: getattr(result, name) for name in ("positions", "velocities", "beta", "energy", "move_size")}
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        found = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    elif isinstance(result, Mapping):
        found = dict(result)
    elif isinstance(result, (tuple, list)):
        found = dict(enumerate(result))
    else:
        return None
    for name, value in found.items():
        problem = not_finite(value, f"{path}.{name}")
        if problem is not None:
            return problem
    return None


TIMES = ("wall_time", "flow_time", "base_time", "explorer_time", "time", "sample_seconds", "fit_seconds")


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same, bit for bit, but for the time that they took."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, gnf.Ensemble):
        return a.identical_to(b)
    if isinstance(a, (float, np.floating)):
        return type(a) is type(b) and (a == b or (a != a and b != b))
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        names = [field.name for field in dataclasses.fields(a) if field.name not in TIMES]
        return type(a) is type(b) and all(same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return isinstance(a, (int, str, type(None))) is False or a == b
