"""Ensembles in HDF5 files.

Layout of a file, format version 2::

    512 bytes            the seal (see `glassnf.io.container`): length and SHA-256 of the rest, which is plain HDF5
    /                    attributes format = "glassnf", format_version = 2, glassnf_version, created (UTC, ISO 8601)
    /ensemble            attributes seed, step
    /ensemble/system     JSON text of the system
    /ensemble/positions  (R, N, d) float64, and the other fields under their own names; velocities only if there are any

A file is made in memory and written at once, so that a full disk is an error of Python and never of the HDF5 library half-way.
It is compared with its seal before that library sees it. Every array carries a checksum of its own besides (the Fletcher-32
filter of HDF5). Files of version 1, which have no seal, can be read.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import importlib
import io
import json
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._arrays import to_host
from ..systems import System
from . import container
from .files import DamagedFileError, FileFormatError, atomic_write, existing_file, hint_of_previous
from .text import parse_json

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "create",
    "load_ensemble",
    "open_for_reading",
    "read_dataset",
    "read_ensemble",
    "read_json",
    "save_ensemble",
    "write_dataset",
    "write_ensemble",
    "write_header",
    "write_json",
]

_left: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("left", default=None)
"""Bytes that may still be read from the file that is open for reading."""

FORMAT = "glassnf"
FORMAT_VERSION = container.VERSION

_FIELDS: dict[str, tuple[str, npt.DTypeLike]] = {
    "positions": ("RNd", np.float64),
    "images": ("RNd", np.int32),
    "species": ("RN", np.int32),
    "velocities": ("RNd", np.float64),
    "beta": ("R", np.float64),
    "energy": ("R", np.float64),
    "ids": ("R", np.int64),
    "move_size": ("R", np.float64),
}


def _h5py() -> Any:
    return importlib.import_module("h5py")


def glassnf_version() -> str:
    """Return the version of the installed package, or "unknown" where it runs from its source folder."""
    from importlib import metadata  # slow to import

    try:
        return metadata.version("glassnf")
    except metadata.PackageNotFoundError:
        return "unknown"


# ------------------------------------------------------------------------------------------------------------------ writing


@contextlib.contextmanager
def create(path: str | os.PathLike[str], *, keep_previous: bool = False) -> Iterator[Any]:
    """Make an HDF5 file in memory, and when the body of the ``with`` statement ends, seal it and replace `path` atomically.

    Parameters
    ----------
    path : str or path
    keep_previous : bool
        See `glassnf.io.atomic_write`.

    Yields
    ------
    h5py.File

    Raises
    ------
    OSError
        If the file cannot be written; an old file is then untouched, as it is when the body raises.
    """
    image = io.BytesIO()
    with _h5py().File(image, "w", userblock_size=container.BLOCK) as file:
        yield file
    with image.getbuffer() as content:
        container.seal(content)
        with atomic_write(path, keep_previous=keep_previous) as temporary, open(temporary, "wb", buffering=0) as stream:
            written = 0
            while written < content.nbytes:
                written += stream.write(content[written:])


def write_header(group: Any, created: str | None = None) -> None:
    """Write the attributes that say what a file is; `created` defaults to now."""
    group.attrs["format"] = FORMAT
    group.attrs["format_version"] = FORMAT_VERSION
    group.attrs["glassnf_version"] = glassnf_version()
    group.attrs["created"] = created or datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def write_dataset(group: Any, name: str, array: npt.NDArray[Any]) -> None:
    """Write an array, with checksums unless it is a single number."""
    if array.ndim == 0:
        group.create_dataset(name, data=array)
    else:
        group.create_dataset(name, data=array, chunks=True, fletcher32=True)


def write_json(group: Any, name: str, value: object) -> None:
    """Write a value as JSON text. Finite floats come back bit for bit.

    A dataset and not an attribute, because attributes are limited to 64 KiB. The text is stored as bytes with a checksum.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    write_dataset(group, name, np.frombuffer(text.encode("utf-8"), dtype=np.uint8))


def write_ensemble(group: Any, ensemble: Ensemble) -> None:
    """Write the fields of an ensemble into an empty HDF5 group.

    Parameters
    ----------
    group : h5py.Group
    ensemble : Ensemble

    Raises
    ------
    TypeError, ValueError
        If the ensemble is not valid (see `Ensemble.validate`).
    """
    ensemble.validate()
    group.attrs["seed"] = np.uint64(ensemble.seed)
    group.attrs["step"] = np.int64(ensemble.step)
    write_json(group, "system", ensemble.system.to_dict())
    for name in _FIELDS:
        value = getattr(ensemble, name)
        if value is not None:
            write_dataset(group, name, to_host(value))


def save_ensemble(path: str | os.PathLike[str], ensemble: Ensemble) -> None:
    """Write an ensemble to an HDF5 file, replacing an old file atomically.

    Raises
    ------
    TypeError, ValueError
        If `ensemble` is not a valid Ensemble.
    OSError
        If the file cannot be written; an old file is then untouched.
    """
    check_ensemble(ensemble)
    ensemble.validate()
    with create(path) as file:
        write_header(file)
        write_ensemble(file.create_group("ensemble"), ensemble)


def check_ensemble(ensemble: object) -> None:
    """Raise TypeError unless the argument is an Ensemble."""
    from ..ensemble import Ensemble

    if not isinstance(ensemble, Ensemble):
        raise TypeError(f"ensemble: expected an Ensemble, got {type(ensemble).__name__}")


# ------------------------------------------------------------------------------------------------------------------ reading


@contextlib.contextmanager
def open_for_reading(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a file that glassnf wrote, and turn every error of the HDF5 library into a FileFormatError that names the file.

    Yields
    ------
    h5py.File

    Raises
    ------
    FileNotFoundError, PermissionError
        If the file does not exist or may not be read.
    FileFormatError
        If it is not an HDF5 file, is truncated or damaged, or was not written by this version of glassnf; and in place of
        every ValueError, TypeError, KeyError, OSError or RuntimeError that reading from it raises.
    """
    name = str(existing_file(path))
    with open(name, "rb") as stream:
        try:
            sealed = container.check(stream)
        except FileFormatError as error:
            raise type(error)(f"{name}: {error}{hint_of_previous(name)}") from error
        except OSError as error:
            raise DamagedFileError(f"{name}: expected a file that can be read, got an error: {error}") from error
        try:
            file = _h5py().File(stream, "r")
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise FileFormatError(
                f"{name}: expected an HDF5 file of glassnf, got a truncated or damaged file ({error})"
            ) from error
        with file:
            left = _left.set([os.fstat(stream.fileno()).st_size])
            try:
                _check_header(file, sealed)
                yield file
            except FileFormatError as error:
                raise FileFormatError(f"{name}: {error}") from error
            except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
                raise FileFormatError(f"{name}: expected an undamaged file of glassnf, got an error: {error}") from error
            finally:
                _left.reset(left)


def _check_header(file: Any, sealed: bool) -> None:
    kind = _attribute(file, "format")
    if not isinstance(kind, str) or kind != FORMAT:
        raise FileFormatError(f"format: expected {FORMAT!r}, got {kind!r}: the file was not written by glassnf")
    version, expected = read_integer(file, "format_version"), FORMAT_VERSION if sealed else 1
    if version == FORMAT_VERSION and not sealed:
        raise FileFormatError("expected the block with the SHA-256 at the start, got none: another program wrote the file")
    if version != expected:
        raise FileFormatError(f"format_version: expected {expected}, got {version}: another version of glassnf wrote the file")


def _attribute(group: Any, name: str) -> Any:
    """Return an attribute as a Python object, or None."""
    value = group.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def read_integer(group: Any, name: str) -> int:
    """Read an integer attribute."""
    value = _attribute(group, name)
    if value is None:
        raise FileFormatError(f"{name}: expected this attribute in {group.name!r}, which has none of that name")
    if type(value) is not int:
        raise FileFormatError(f"{name}: expected an integer attribute in {group.name!r}, got {value!r}")
    return value


def read_group(parent: Any, name: str) -> Any:
    """Return a subgroup."""
    _refuse_link(parent, name)
    group = parent.get(name)
    if not isinstance(group, _h5py().Group):
        raise FileFormatError(f"{name}: expected a group of this name in {parent.name!r}, got {_kind(group)}")
    return group


def _refuse_link(group: Any, name: str) -> None:
    """Refuse what is not in the group itself: a link may lead to another file."""
    if name in group and not isinstance(group.get(name, getlink=True), _h5py().HardLink):
        raise FileFormatError(f"{name}: expected an array or a group in {group.name!r} itself, got a link to another place")


def _check_layout(dataset: Any, name: str) -> None:
    """Refuse an array whose numbers lie in other files, or are compressed: so that its size in the file is that in memory."""
    if dataset.is_virtual or dataset.external:
        raise FileFormatError(f"{name}: expected numbers in the file itself, got some in other files")
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    if any(code != _h5py().h5z.FILTER_FLETCHER32 for code in codes):
        raise FileFormatError(f"{name}: expected numbers that are not compressed, got the filters {codes}")


def find_dataset(group: Any, name: str) -> Any:
    """Return a dataset of numbers whose stored bytes are as many as its shape needs, so that reading it allocates no more.

    A dataset may promise any shape: HDF5 fills in what was never written.
    """
    _refuse_link(group, name)
    dataset = group.get(name)
    if not isinstance(dataset, _h5py().Dataset):
        raise FileFormatError(f"{name}: expected a dataset of this name in {group.name!r}, got {_kind(dataset)}")
    if dataset.shape is None or dataset.dtype.kind not in "iuf":
        raise FileFormatError(f"{name}: expected numbers, got type {dataset.dtype}")
    _check_layout(dataset, name)
    needed = dataset.dtype.itemsize
    for length in dataset.shape:
        needed *= int(length)
    stored = int(dataset.id.get_storage_size())
    if stored < needed:
        raise FileFormatError(f"{name}: expected {needed} bytes for shape {dataset.shape}, got {stored} in the file")
    if needed and dataset.chunks is not None and math.prod(dataset.chunks) * dataset.dtype.itemsize > stored:
        raise FileFormatError(f"{name}: expected chunks within the size of the array, got {dataset.chunks}")
    return dataset


def _spend(count: int, name: str) -> None:
    """Refuse to read more bytes from a file than it has: many names of one array would fill the memory."""
    left = _left.get()
    if left is not None:
        left[0] -= count
        if left[0] < 0:
            raise FileFormatError(f"{name}: expected arrays that lie one behind another, got more bytes than the file has")


def read_dataset(
    group: Any, name: str, shape: tuple[int | None, ...] | None = None, dtype: npt.DTypeLike | None = None
) -> npt.NDArray[Any]:
    """Read an array after checking its shape (None stands for any length), type and size.

    Raises
    ------
    FileFormatError
        If the array is missing or is not as expected.
    """
    dataset = find_dataset(group, name)
    found = tuple(int(length) for length in dataset.shape)
    if shape is not None:
        fits = len(shape) == len(found) and all(want in (None, have) for want, have in zip(shape, found, strict=True))
        if not fits:
            expected = ", ".join("any" if length is None else str(length) for length in shape)
            raise FileFormatError(f"{name}: expected shape ({expected}), got {found}")
    _spend(dataset.size * dataset.dtype.itemsize, name)
    stored_type = dataset.dtype.newbyteorder("=")
    if dtype is not None and stored_type != np.dtype(dtype):
        raise FileFormatError(f"{name}: expected type {np.dtype(dtype)}, got {dataset.dtype}")
    return np.asarray(dataset[()], dtype=stored_type)


def read_json(group: Any, name: str) -> Any:
    """Read a value that `write_json` wrote."""
    content = read_dataset(group, name, (None,), np.uint8).tobytes()
    try:
        return parse_json(content)
    except ValueError as error:
        raise FileFormatError(f"{name}: expected JSON text, got text that is not: {error}") from None


def _kind(item: Any) -> str:
    return "nothing" if item is None else f"a {type(item).__name__.lower()}"


def _read_system(group: Any, n: int, dimension: int) -> System:
    """Read the system after checking that the number of particles it promises is that of the arrays."""
    data = read_json(group, "system")
    if not isinstance(data, dict) or not isinstance(data.get("composition"), list) or not isinstance(data.get("box"), list):
        raise FileFormatError("system: expected a JSON object with the keys 'composition' and 'box', got something else")
    counts = data["composition"]
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != n:
        raise FileFormatError(f"system: expected a composition of {n} particles, as in positions, got {str(counts)[:80]}")
    if len(data["box"]) != dimension:
        raise FileFormatError(f"system: expected a box of {dimension} sides, as in positions, got {str(data['box'])[:80]}")
    try:
        return System.from_dict(data)
    except (TypeError, ValueError, KeyError) as error:
        raise FileFormatError(f"system: expected a description of a system, got one that is not valid: {error}") from error


def read_ensemble(group: Any) -> Ensemble:
    """Read an ensemble from an HDF5 group that `write_ensemble` wrote.

    Parameters
    ----------
    group : h5py.Group

    Returns
    -------
    Ensemble
        Bit for bit the one written.

    Raises
    ------
    FileFormatError
        If a field is missing, has another shape or type than the system demands, or holds values that an ensemble must not
        hold. Sizes are compared before anything is allocated.
    """
    from ..ensemble import Ensemble

    shape = find_dataset(group, "positions").shape
    if len(shape) != 3:
        raise FileFormatError(f"positions: expected shape (replicas, particles, dimensions), got {shape}")
    lengths = dict(zip("RNd", (int(length) for length in shape), strict=True))
    system = _read_system(group, lengths["N"], lengths["d"])
    arrays: dict[str, Any] = {}
    for name, (letters, dtype) in _FIELDS.items():
        if name == "velocities" and name not in group:
            arrays[name] = None
            continue
        arrays[name] = read_dataset(group, name, tuple(lengths[letter] for letter in letters), dtype)
    seed, step = read_integer(group, "seed"), read_integer(group, "step")
    try:
        return Ensemble(system, **arrays, seed=seed, step=step)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"ensemble: expected valid fields, got an error: {error}") from error


def load_ensemble(path: str | os.PathLike[str]) -> Ensemble:
    """Read an ensemble from a file of `save_ensemble`, or the latest checkpoint from a file of ``glassnf sample``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is truncated, foreign, of another version or inconsistent; the message names the file and the field.
    """
    with open_for_reading(path) as file:
        return read_ensemble(read_group(file, "ensemble"))
