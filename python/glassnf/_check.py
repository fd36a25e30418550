"""Argument checks with one style of message: ``<argument>: expected <what>, got <given>``.

Every function returns the validated value, converted to the plain Python or NumPy type it promises. A wrong type raises
``TypeError``, a wrong value ``ValueError``. Booleans are not numbers here.
"""

from __future__ import annotations

import difflib
import functools
import math
import operator
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = [
    "array_shape",
    "boolean",
    "callback",
    "choice",
    "describe",
    "finite_float",
    "first_place",
    "fits_memory",
    "float_array",
    "int_array",
    "integer",
    "keys",
    "magnitude",
    "memory_limit",
    "nearest",
    "nonnegative_float",
    "nonnegative_int",
    "number_in",
    "path",
    "positive_float",
    "positive_int",
    "printable",
    "probability",
    "string",
]

Shape = Sequence["int | None"]
"""A shape in which ``None`` stands for any length."""

LONGEST_DESCRIPTION = 80
_SMALLEST, _LARGEST = 1e-70, 1e70
_LONGEST_PATH, _LONGEST_PART = 4095, 255  # bytes, on Linux and nearly everywhere else
_LARGEST_SHOWN = 10**1000  # longer integers are described by their number of digits: writing them out may take minutes


def printable(text: str, longest: int = 1000) -> str:
    """Return `text` on one line of at most so many characters, without any that would move the cursor of a terminal."""
    line = " ".join(text[: 4 * longest].split())
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in line)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def describe(value: object) -> str:
    """Return a short description of `value` for an error message, which can be printed whatever `value` is."""
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return printable(f"an array of shape {value.shape} and type {value.dtype}", 2 * LONGEST_DESCRIPTION)
    if isinstance(value, int) and abs(value) > _LARGEST_SHOWN:
        return f"an integer of about {math.ceil(abs(value).bit_length() * math.log10(2.0))} digits"
    try:
        text = printable(repr(value))
    except Exception:  # of an object that cannot even say what it is
        text = f"an object of type {type(value).__name__}"
    if len(text) > LONGEST_DESCRIPTION:
        text = text[: LONGEST_DESCRIPTION - 3] + "..."
    return text


def nearest(word: object, options: Iterable[str]) -> str | None:
    """Return the option that is spelled most like `word`, or None where none is near."""
    by_lower_case = {option.lower(): option for option in options}
    matches = difflib.get_close_matches(str(word).lower(), list(by_lower_case), n=1, cutoff=0.5)
    return by_lower_case[matches[0]] if matches else None


def _type_error(name: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{name}: expected {expected}, got {describe(value)} ({type(value).__name__})")


def _value_error(name: str, expected: str, value: object) -> ValueError:
    return ValueError(f"{name}: expected {expected}, got {describe(value)}")


# ---------------------------------------------------------------------------------------------------------------- scalars


def _as_int(name: str, value: object, expected: str) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise _type_error(name, expected, value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _type_error(name, expected, value) from None


def _as_float(name: str, value: object, expected: str) -> float:
    refused = (bool, np.bool_, str, bytes, bytearray, complex, np.complexfloating)
    if isinstance(value, refused) or not hasattr(type(value), "__float__") or getattr(value, "ndim", 0) != 0:
        raise _type_error(name, expected, value)
    if isinstance(value, np.ndarray) and value.dtype.kind not in "iuf":
        raise _type_error(name, expected, value)
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        raise _type_error(name, expected, value) from None


def _in_64_bits(name: str, number: int) -> int:
    if number >= 2**63:
        raise _value_error(name, "an integer below 2**63", number)
    return number


def integer(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int with ``low <= value <= high``.

    Raises
    ------
    TypeError
        If `value` is not an integer (floats and booleans are not).
    ValueError
        If it lies outside the range.
    """
    expected = "an integer"
    if low is not None and high is not None:
        expected = f"an integer from {low} to {high}"
    elif low is not None:
        expected = f"an integer of at least {low}"
    elif high is not None:
        expected = f"an integer of at most {high}"
    number = _as_int(name, value, expected)
    if (low is not None and number < low) or (high is not None and number > high):
        raise _value_error(name, expected, value)
    return number


def positive_int(name: str, value: object) -> int:
    """Return `value` as an int above zero; TypeError or ValueError otherwise."""
    number = _as_int(name, value, "a positive integer")
    if number <= 0:
        raise _value_error(name, "a positive integer", value)
    return _in_64_bits(name, number)


def nonnegative_int(name: str, value: object) -> int:
    """Return `value` as an int of at least zero; TypeError or ValueError otherwise."""
    number = _as_int(name, value, "a non-negative integer")
    if number < 0:
        raise _value_error(name, "a non-negative integer", value)
    return _in_64_bits(name, number)


def finite_float(name: str, value: object) -> float:
    """Return `value` as a finite float; TypeError or ValueError otherwise."""
    number = _as_float(name, value, "a finite number")
    if not math.isfinite(number):
        raise _value_error(name, "a finite number", value)
    return number


def positive_float(name: str, value: object) -> float:
    """Return `value` as a finite float above zero; TypeError or ValueError otherwise."""
    number = _as_float(name, value, "a positive finite number")
    if not (math.isfinite(number) and number > 0.0):
        raise _value_error(name, "a positive finite number", value)
    return number


def magnitude(name: str, value: object) -> float:
    """Return `value` as a float from 1e-70 to 1e70, whose fourth power and inverse are finite; TypeError or ValueError."""
    number = positive_float(name, value)
    if not _SMALLEST <= number <= _LARGEST:
        raise _value_error(name, f"a number from {_SMALLEST:g} to {_LARGEST:g}", value)
    return number


def nonnegative_float(name: str, value: object) -> float:
    """Return `value` as a finite float of at least zero; TypeError or ValueError otherwise."""
    number = _as_float(name, value, "a non-negative finite number")
    if not (math.isfinite(number) and number >= 0.0):
        raise _value_error(name, "a non-negative finite number", value)
    return number


def number_in(name: str, value: object, low: float, high: float) -> float:
    """Return `value` as a float with ``low <= value <= high``; TypeError or ValueError otherwise."""
    expected = f"a number from {low:g} to {high:g}"
    number = _as_float(name, value, expected)
    if not low <= number <= high:
        raise _value_error(name, expected, value)
    return number


def probability(name: str, value: object) -> float:
    """Return `value` as a float in [0, 1]; TypeError or ValueError otherwise."""
    expected = "a probability in [0, 1]"
    number = _as_float(name, value, expected)
    if not 0.0 <= number <= 1.0:
        raise _value_error(name, expected, value)
    return number


def boolean(name: str, value: object) -> bool:
    """Return `value` as a bool; TypeError for anything but True and False."""
    if not isinstance(value, (bool, np.bool_)):
        raise _type_error(name, "True or False", value)
    return bool(value)


def string(name: str, value: object) -> str:
    """Return `value`, a non-empty string of printable characters; TypeError or ValueError otherwise."""
    expected = "a non-empty printable string"
    if not isinstance(value, str):
        raise _type_error(name, expected, value)
    if not value.strip() or not value.isprintable():
        raise _value_error(name, expected, value)
    return str(value)


def callback(name: str, value: object) -> Any:
    """Return `value`, a function or None; TypeError for anything else."""
    if value is not None and not callable(value):
        raise _type_error(name, "a function or None", value)
    return value


def path(name: str, value: object) -> Path:
    """Return `value` as a Path; TypeError unless it is a string or a path, ValueError if no file can have that name."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise _type_error(name, "a file name", value)
    text = os.fspath(value)
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        encoded = b""
    if not encoded or b"\0" in encoded or len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_PART:
        raise _value_error(name, "a file name", text)
    return Path(text)


# ----------------------------------------------------------------------------------------------------------------- memory


@functools.cache
def _physical_memory() -> int:
    """Return the bytes of memory of the machine, or of the container that the process runs in."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return 2**62
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(file).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total


def memory_limit() -> int:
    """Return how many bytes an array may have at most: the memory of the machine or container, or the limit of the process."""
    most = _physical_memory()
    limits = () if resource is None else (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return min([most, *(soft for soft, _ in map(resource.getrlimit, limits) if soft >= 0)])


def fits_memory(name: str, value: object, count: float, what: str = "numbers") -> None:
    """Raise ValueError where an argument asks for more than fits into memory, before any of it is asked for.

    Parameters
    ----------
    name, value
        The argument.
    count
        How many numbers of 8 bytes the work needs at once, at the least.
    what
        What these are.
    """
    limit = memory_limit()
    if not 8 * count <= limit:
        needed = f"{8 * count / 2**30:.3g} GiB" if count < 1e300 else "far more"
        raise ValueError(
            f"{name}: expected no more {what} than fit into {limit / 2**30:.3g} GiB of memory, got {describe(value)}, "
            f"which needs {needed}"
        )


# ---------------------------------------------------------------------------------------------------------- names and keys


def choice(name: str, value: object, options: Collection[str]) -> str:
    """Return `value`, one of `options`.

    Raises
    ------
    TypeError
        If `value` is not a string.
    ValueError
        If it is not one of `options`; the message names the nearest one.
    """
    expected = "one of " + ", ".join(repr(option) for option in options)
    if not isinstance(value, str):
        raise _type_error(name, expected, value)
    if value not in options:
        near = nearest(value, options)
        hint = f"; did you mean {near!r}?" if near is not None else ""
        raise ValueError(f"{name}: expected {expected}, got {describe(value)}{hint}")
    return str(value)


def keys(name: str, mapping: object, required: Collection[str] = (), optional: Collection[str] = ()) -> dict[str, Any]:
    """Return `mapping` as a dict that has every required key and no key beyond the optional ones.

    Raises
    ------
    TypeError
        If `mapping` is not a mapping.
    ValueError
        If a key is unknown (the message names the nearest valid one) or a required key is missing.
    """
    if not isinstance(mapping, Mapping):
        raise _type_error(name, "a table of keys and values", mapping)
    valid = [*required, *optional]
    for key in mapping:
        if key not in valid:
            near = nearest(key, valid)
            hint = f"; the nearest valid key is {near!r}" if near is not None else ""
            raise ValueError(f"{name}: expected keys among {', '.join(valid)}, got {describe(key)}{hint}")
    for key in required:
        if key not in mapping:
            present = ", ".join(str(k) for k in mapping) or "none"
            raise ValueError(f"{name}: expected the key {key!r}, got only these keys: {present}")
    return dict(mapping)


# ----------------------------------------------------------------------------------------------------------------- arrays


def _shape_text(shape: Shape) -> str:
    lengths = ["any" if length is None else str(length) for length in shape]
    return f"({lengths[0]},)" if len(lengths) == 1 else f"({', '.join(lengths)})"


def array_shape(name: str, array: npt.NDArray[Any], shape: Shape | None) -> None:
    """Raise ValueError unless `array` has `shape`, in which None stands for any length."""
    if shape is None:
        return
    fits = array.ndim == len(shape) and all(want is None or want == have for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        raise ValueError(f"{name}: expected shape {_shape_text(shape)}, got shape {array.shape}")


def first_place(mask: Any) -> tuple[int, ...]:
    """Return the index of the first true entry of an array that has one, wherever the array is."""
    return tuple(int(i) for i in np.argwhere(_arrays.to_host(mask))[0])


def _as_array(name: str, value: object, expected: str, device: _arrays.Device) -> Any:
    """Return `value` as a NumPy array, or as a CuPy array if it is in the memory of the GPU where it is wanted."""
    if device != _arrays.HOST and _arrays.on_gpu(value):
        array = _arrays.as_cupy(value)
        found = _arrays.device_of(array)
        if found != device:
            raise ValueError(f"{name}: expected an array on {device.name} or the CPU, got one on {found.name}")
        return array
    try:
        entries = value.size if isinstance(value, np.ndarray) else len(value)  # type: ignore[arg-type]
    except (TypeError, OverflowError):
        entries = 0
    fits_memory(name, value, entries, "entries")
    try:
        array = _arrays.to_host(value) if _arrays.on_gpu(value) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # ragged sequences, tensors that need a gradient
        raise TypeError(f"{name}: expected {expected}, got {describe(value)} ({error})") from None
    if array.dtype.kind in "OSUV":
        raise _type_error(name, expected, value)
    return array


def float_array(
    name: str, value: object, shape: Shape | None = None, *, finite: bool = True, device: _arrays.Device = _arrays.HOST
) -> npt.NDArray[np.float64]:
    """Return `value` as a C-contiguous float64 array.

    Parameters
    ----------
    name
        Name of the argument, for the message.
    value
        Array or nested sequence of real numbers; integers are converted, booleans and complex numbers refused.
    shape
        Expected shape; None, or a None in it, stands for any.
    finite
        Whether to refuse NaN and infinities.
    device
        Where the result is to be: in host memory a NumPy array, on a GPU a CuPy array. Called with that GPU current.

    Returns
    -------
    numpy.ndarray or cupy.ndarray
        float64; the array given where it already fits, else a copy.

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If the shape is wrong or an entry is not finite; the message gives the first such entry and its place.
    """
    expected = "an array of real numbers"
    array = _as_array(name, value, expected, device)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected {expected}, got type {array.dtype}")
    array_shape(name, array, shape)
    result: npt.NDArray[np.float64] = _arrays.contiguous(device.xp.asarray(array), "float64")
    if finite and not device.xp.isfinite(result).all():
        place = first_place(~device.xp.isfinite(result))
        raise ValueError(f"{name}: expected finite numbers, got {result[place].item()} at index {place}")
    return result


def int_array(
    name: str,
    value: object,
    shape: Shape | None = None,
    *,
    low: int | None = None,
    high: int | None = None,
    dtype: npt.DTypeLike = np.int64,
    device: _arrays.Device = _arrays.HOST,
) -> npt.NDArray[Any]:
    """Return `value` as a C-contiguous array of integers with ``low <= entry <= high``.

    Parameters
    ----------
    name
        Name of the argument, for the message.
    value
        Array or nested sequence of integers; floats (even whole ones) and booleans are refused.
    shape
        Expected shape; None, or a None in it, stands for any.
    low, high
        Inclusive limits of the entries, where given; the limits of `dtype` hold always.
    dtype
        Integer type of the result.
    device
        Where the result is to be, as in `float_array`.

    Raises
    ------
    TypeError
        If the entries are not integers.
    ValueError
        If the shape is wrong or an entry is out of range; the message gives the first such entry and its place.
    """
    expected = "an array of integers"
    array = _as_array(name, value, expected, device)
    if array.dtype.kind not in "iu" and array.size > 0:
        raise TypeError(f"{name}: expected {expected}, got type {array.dtype}")
    array_shape(name, array, shape)
    limits = np.iinfo(np.dtype(dtype))
    smallest = limits.min if low is None else max(int(limits.min), low)
    largest = limits.max if high is None else min(int(limits.max), high)
    bad = (array < smallest) | (array > largest)
    if bad.any():
        place = first_place(bad)
        raise ValueError(f"{name}: expected integers from {smallest} to {largest}, got {array[place].item()} at index {place}")
    result: npt.NDArray[Any] = _arrays.contiguous(device.xp.asarray(array), np.dtype(dtype).name)
    return result
