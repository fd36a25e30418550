"""Values that an argument may get and should not: of the wrong type, shape, size or sign, or not numbers at all."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
from typing import Any

import numpy as np
from hypothesis import strategies as st

HUGE = 10**12
"""Beyond the memory of any machine, as a number of things that take some bytes each."""


class Nameless:
    """An object of no use, whose representation is long and cannot be printed on one line."""

    def __repr__(self) -> str:
        return "nameless\n\x1b[31m" + "x" * 500


def _scalars() -> list[Any]:
    plain = [None, True, False, "x", "", "nan", "0.5", "\x1b[31m\n", "é" * 300, b"x", 1 + 2j, Nameless(), int]
    numbers = [float("nan"), float("inf"), -float("inf"), -1, 0, 1.5, 0.0, -0.0, 5e-324, 1e-200, 1e308, -1e308, 1e16]
    large = [HUGE, -HUGE, 2**31, 2**32 + 1, 2**62, 2**63, 2**64, 10**400, -(10**400)]
    other = [
        np.float32(0.5),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.datetime64("2020-01-01"),
        decimal.Decimal("0.5"),
        decimal.Decimal("nan"),
        fractions.Fraction(1, 3),
        dt.date(2020, 1, 1),
    ]
    arrays = [np.array(np.nan), np.array([1, 2]), np.array("x"), np.array([None, 1]), np.zeros((0, 3)), np.array([0.5])]
    containers = [
        [],
        {},
        (),
        [1, [2, 3]],
        {"a": 1},
        {1, 2},
        range(3),
        [None],
        ["a", "b"],
        [float("nan")],
        [10**400],
        [[]],
        [0.5],
    ]
    return [*plain, *numbers, *large, *other, *arrays, *containers]


SCALARS = _scalars()


def _at(array: np.ndarray, value: Any) -> np.ndarray:
    changed = array.copy()
    if changed.size:
        changed.flat[changed.size // 2] = value
    return changed


def _numbers_of(array: np.ndarray) -> list[Any]:
    """Return variants of an array with other values."""
    if array.dtype.kind == "f":
        values = [np.nan, np.inf, -np.inf, 1e300, -1e300, -1.0, 0.0, 1e-300]
        return [_at(array, value) for value in values] + [np.full_like(array, value) for value in values]
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        values = [limits.min, limits.max, 0, 1]
        return [_at(array, value) for value in values] + [np.full_like(array, value) for value in values]
    return []


def wrong_arrays(array: np.ndarray) -> list[Any]:
    """Return arrays like a valid one but of another shape, type, or with bad numbers in it."""
    shapes = [array[None], array.ravel(), array[..., None], array[:0], array[:-1], array[..., :0], array.T, np.zeros(())]
    shapes += [np.zeros((2,) * 12), np.broadcast_to(array.ravel()[:1], (HUGE,)), np.zeros((0,) * array.ndim)]
    with np.errstate(all="ignore"):
        types = [array.astype(name) for name in ("float32", "int64", "bool", "complex128", "object", "str", "float16", "uint8")]
    text = np.full(array.shape, "x")
    return [*shapes, *types, text, [array.tolist(), 1], *_numbers_of(array)]


def same_arrays(array: np.ndarray) -> list[np.ndarray]:
    """Return arrays with the same numbers stored otherwise: spread out, backwards, read-only, of the other byte order."""
    spread = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)[..., ::2]
    spread[...] = array
    backwards = array[..., ::-1].copy()[..., ::-1]
    fortran, frozen = np.asfortranarray(array), array.copy()
    frozen.setflags(write=False)
    return [spread, backwards, fortran, frozen, array.astype(array.dtype.newbyteorder())]


def is_work(value: Any) -> bool:
    """Whether an honest function would be busy for too long: a test must not ask for so much of it."""
    try:
        return not isinstance(value, (str, bytes)) and bool(np.any(np.abs(np.asarray(value, dtype=np.float64)) > 50))
    except (TypeError, ValueError, OverflowError):
        return isinstance(value, int) and value > 50


def all_wrong(valid: Any, *, work: bool) -> list[Any]:
    """Return wrong values for an argument whose valid value is known; no large numbers where they are amounts of work."""
    found = list(SCALARS)
    if isinstance(valid, np.ndarray):
        found += wrong_arrays(valid)
    elif isinstance(valid, (tuple, list)):
        found += [
            type(valid)(),
            type(valid)([*valid, None]),
            type(valid)([*valid, "x"]),
            type(valid)([*valid] * 2),
            [*valid][::-1],
        ]
    elif isinstance(valid, str):
        found += [valid.upper(), valid + " ", valid + "\x00", valid[:-1], valid * 400]
    if callable(valid):
        found = [value for value in found if not callable(value)]
    if work:
        found = [value for value in found if not is_work(value)]
    return found


def wrong(valid: Any, *, work: bool) -> st.SearchStrategy[Any]:
    """Draw from `all_wrong`; for arrays, arrays half of the time."""
    found = all_wrong(valid, work=work)
    if isinstance(valid, np.ndarray):
        arrays = [value for value in found if isinstance(value, np.ndarray) and value.size]
        return st.one_of(st.sampled_from(found), st.sampled_from(arrays))
    return st.sampled_from(found)
