"""Trajectories in extended XYZ files, through the library `extxyz` of the authors of the format.

The writer gives 17 significant digits, so that coordinates come back bit for bit. Two-dimensional systems have z = 0, a box of
height 1 and ``pbc="T T F"``. The species are in the column ``species``, box crossings in the column ``image``.

The reader also knows the dialect of the package atooms, whose comment line starts with ``columns:`` and gives the box as
``cell:Lx,Ly``. Sources: https://github.com/libAtoms/extxyz; https://framagit.org/atooms/atooms.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _optional
from .files import FileFormatError, atomic_write, existing_file
from .frames import Frames, FramesSource, as_frames, ascii_types, check_dimension, frames_from_file

__all__ = ["read_extxyz", "write_extxyz"]

_FORMATS = {"R": "%.17g", "I": "%d", "S": "%s", "L": "%s"}
_MOST_COLUMNS = 64
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")  # but for tabs and ends of lines
_PROPERTIES = re.compile(r'Properties"?\s*=\s*"?([^\s"]*)', re.IGNORECASE)
_COLUMNS = re.compile(r"[^\[\]{}:,]+:[A-Za-z]:[0-9]+(?::[^\[\]{}:,]+:[A-Za-z]:[0-9]+)*")
_ESCAPE = re.compile(r'(?<!\\)(?:\\\\)*\\[^n"\\]')  # of what need not be escaped, which could hide a name
_ATOOMS_COLUMNS = {
    "species": "species:S:1",
    "type": "species:S:1",
    "name": "species:S:1",
    "id": "species:S:1",
    "position": "pos:R:{d}",
    "pos": "pos:R:{d}",
    "velocity": "velo:R:{d}",
    "vel": "velo:R:{d}",
    "radius": "radius:R:1",
    "mass": "mass:R:1",
}


def _library() -> Any:
    return _optional.require("extxyz", extra="io", purpose="extended XYZ files")


def write_extxyz(
    path: str | os.PathLike[str],
    source: FramesSource,
    *,
    types: Sequence[str] | None = None,
    steps: npt.ArrayLike | None = None,
) -> None:
    """Write configurations to an extended XYZ file, one frame for each, replacing an old file atomically.

    Species with names that have white space or characters beyond ASCII are written as 1, 2, 3, ...

    Parameters
    ----------
    path : str or path
    source : Ensemble, Frames, or (positions, species, box)
        See `glassnf.io.frames.as_frames`.
    types : sequence of str, optional
        Names of the species.
    steps : (F,) integers, optional
        Time of each frame.

    Raises
    ------
    ImportError
        If `extxyz` is not installed.
    TypeError, ValueError
        If the arguments do not fit together.
    OSError
        If the file cannot be written; an old file is then untouched.
    """
    library = _library()
    frames = as_frames(source, types=types, steps=steps)
    dimension = frames.box.size
    cell = np.eye(3)
    cell[np.arange(dimension), np.arange(dimension)] = frames.box
    periodic = np.array([True, True, dimension == 3])
    labels = np.array(ascii_types(frames.types, spaces=False))
    shape = (frames.positions.shape[1], 3)
    with atomic_write(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as stream:
        for place in range(len(frames)):
            positions, images = np.zeros(shape), np.zeros(shape, dtype=np.int32)
            positions[:, :dimension] = frames.positions[place]
            images[:, :dimension] = frames.images[place]
            info: dict[str, Any] = {"step": int(frames.steps[place])}
            if frames.temperature is not None:
                info["temperature"] = float(frames.temperature[place])
            arrays = {"species": labels[frames.species[place]], "pos": positions, "image": images}
            frame = library.Frame(natoms=shape[0], cell=cell, pbc=periodic, info=info, arrays=arrays)
            library.write_dicts(stream, frame, use_cextxyz=False, format_dict=_FORMATS)


@dataclass(frozen=True)
class _Header:
    """What the two lines above the atoms of one frame say."""

    natoms: int
    comment: str


def _scan(path: Path) -> list[_Header]:
    """Walk over the frames of an XYZ file without parsing atoms.

    The library trusts the number of atoms and of columns, and allocates by it; so these are compared with the file first. Its
    lines are strings of C, which a zero byte ends, so that the rest of a line would count as if it were not there.
    """
    headers = []
    with path.open("r", encoding="utf-8", newline="\n") as stream:
        number = 0
        for line in stream:
            number += 1
            _refuse_control(line, number)
            if not line.strip():
                rest = next((text for text in stream if text.strip()), None)
                if rest is not None:
                    raise FileFormatError(f"line {number}: expected a number of atoms, got a blank line before more text")
                break
            if not line.strip().isdecimal() or len(line.strip()) > 9 or int(line) == 0:
                raise FileFormatError(f"line {number}: expected a number of atoms, got {line.strip()[:40]!r}")
            natoms = int(line)
            comment = stream.readline()
            _refuse_control(comment, number + 1)
            for place in range(natoms):
                atom = stream.readline()
                _refuse_control(atom, number + 2 + place)
                if not atom.strip():
                    raise FileFormatError(f"line {number + 2 + place}: expected atom {place + 1} of {natoms}, got nothing")
            headers.append(_Header(natoms, comment.strip()))
            number += 1 + natoms
    if not headers:
        raise FileFormatError("expected at least one frame, got none")
    return headers


def _refuse_control(line: str, number: int) -> None:
    found = _CONTROL.search(line)
    if found is not None:
        raise FileFormatError(f"line {number}: expected text, got the control character {found.group()!r}")


def read_extxyz(path: str | os.PathLike[str], *, dimension: int | None = None) -> Frames:
    """Read all frames of an extended XYZ file, or of an atooms one.

    Parameters
    ----------
    path : str or path
    dimension : int, optional
        2 or 3. Default: 2 where every z coordinate is zero or there is none, else 3.

    Returns
    -------
    Frames
        Coordinates wrapped into [0, L); `images` are those of the column ``image`` plus the wrapping.

    Raises
    ------
    ImportError
        If `extxyz` is not installed.
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is malformed or truncated, has no box or a tilted one, or if particles or box change between frames.
    """
    check_dimension(dimension)
    library = _library()
    file = existing_file(path)
    try:
        headers = _scan(file)
        atooms = [header.comment.startswith("columns:") for header in headers]
        if any(atooms) and not all(atooms):
            raise FileFormatError("expected one dialect in all frames, got 'columns:' in some comment lines only")
        return (
            _read_atooms(library, file, headers, dimension) if all(atooms) else _read_frames(library, file, headers, dimension)
        )
    except FileFormatError as error:
        raise FileFormatError(f"{file}: {error}") from error
    except UnicodeError as error:
        raise FileFormatError(f"{file}: expected an extended XYZ file, got a file that is not text") from error
    except OSError:
        raise
    except Exception as error:  # the library documents none of its errors
        raise FileFormatError(f"{file}: expected an extended XYZ file, got an error: {error}") from error


def _parse(library: Any, file: Path, count: int, comment: str | None = None) -> Iterator[Any]:
    """Yield `count` frames as the library reads them, and close the file; blank lines at its end would be an error there."""
    with contextlib.closing(library.iread_dicts(str(file), comment=comment)) as frames:
        yield from itertools.islice(frames, count)


def _check_properties(comment: str) -> None:
    """Refuse columns that are not a string of names, types and counts: what else it may be, the library takes for a string."""
    if _ESCAPE.search(comment):
        raise FileFormatError(f"comment: expected backslashes before quotes, n and backslashes only, got {comment[:80]!r}")
    for match in _PROPERTIES.finditer(comment):
        if not _COLUMNS.fullmatch(match.group(1)):
            raise FileFormatError(f"Properties: expected name:type:columns, once or more, got {match.group()[:80]!r}")
        counts = match.group(1).split(":")[2::3]
        if any(len(count) > 3 or not 1 <= int(count) <= _MOST_COLUMNS for count in counts):
            raise FileFormatError(f"Properties: expected 1 to {_MOST_COLUMNS} columns each, got {comment[:80]!r}")


def _read_frames(library: Any, file: Path, headers: list[_Header], dimension: int | None) -> Frames:
    for header in headers:
        _check_properties(header.comment)
    found: dict[str, list[Any]] = {key: [] for key in ("positions", "labels", "boxes", "images", "steps", "temperatures")}
    for place, frame in enumerate(_parse(library, file, len(headers))):
        cell = np.asarray(frame.cell, dtype=np.float64)
        sides = np.diagonal(cell)
        if "Lattice" not in headers[place].comment or not cell.any():
            raise FileFormatError(f"Lattice: expected a box in the comment line of frame {place}, got none")
        if (cell != np.diag(sides)).any():
            raise FileFormatError(f"Lattice: expected a box with right angles, got {cell.tolist()}")
        arrays = frame.arrays
        missing = [name for name in ("species", "pos") if name not in arrays]
        if missing:
            raise FileFormatError(f"Properties: expected the columns species and pos, got {', '.join(arrays)}")
        _take(found, arrays, 3, place)
        found["boxes"].append(sides)
        found["images"].append(_images(arrays, place))
        found["steps"].append(_step(headers[place].comment, place))
        found["temperatures"].append(_temperature(frame.info.get("temperature")))
    if len(found["positions"]) != len(headers):
        raise FileFormatError(f"expected {len(headers)} frames, got {len(found['positions'])}")
    return frames_from_file(**found, dimension=dimension)


def _take(found: dict[str, list[Any]], arrays: dict[str, Any], columns: int, place: int) -> None:
    positions = np.asarray(arrays["pos"])
    if positions.ndim != 2 or positions.shape[1] != columns or positions.dtype.kind not in "iuf":
        raise FileFormatError(f"pos: expected {columns} columns of numbers in frame {place}, got shape {positions.shape}")
    labels = np.asarray(arrays["species"])
    if labels.ndim != 1:
        raise FileFormatError(f"species: expected one column in frame {place}, got shape {labels.shape}")
    found["positions"].append(positions.astype(np.float64))
    found["labels"].append(labels.astype(str))


def _images(arrays: dict[str, Any], place: int) -> npt.NDArray[Any] | None:
    images = arrays.get("image")
    if images is None:
        return None
    images = np.asarray(images)
    if images.dtype.kind not in "iu" or images.shape != np.shape(arrays["pos"]):
        raise FileFormatError(
            f"image: expected 3 columns of integers in frame {place}, got shape {images.shape} of {images.dtype}"
        )
    return images


def _temperature(value: Any) -> float | None:
    if value is None or isinstance(value, (bool, str)) or np.ndim(value) != 0:
        return None
    return float(value)


def _step(comment: str, place: int) -> int:
    """Return the step of a comment line (the library reads integers as 32 bits only), or the place of the frame."""
    match = re.search(r'(?:^|\s)step[=:]"?(\d{1,18})(?=["\s]|$)', comment)
    return int(match.group(1)) if match else place


# ------------------------------------------------------------------------------------------------------- the atooms dialect


def _read_atooms(library: Any, file: Path, headers: list[_Header], dimension: int | None) -> Frames:
    fields = [dict(part.split(":", 1) for part in header.comment.split() if ":" in part) for header in headers]
    if any(field["columns"] != fields[0]["columns"] for field in fields):
        raise FileFormatError("columns: expected the same columns in every frame, got others")
    boxes = [_atooms_cell(field) for field in fields]
    columns = boxes[0].size
    unknown = [name for name in fields[0]["columns"].split(",") if name not in _ATOOMS_COLUMNS]
    if unknown:
        raise FileFormatError(f"columns: expected columns among {', '.join(_ATOOMS_COLUMNS)}, got {', '.join(unknown)}")
    properties = [_ATOOMS_COLUMNS[name].format(d=columns) for name in fields[0]["columns"].split(",")]
    names = [entry.split(":", 1)[0] for entry in properties]
    if "species" not in names or "pos" not in names or len(set(names)) < len(names):
        raise FileFormatError(f"columns: expected species and position once each, got {fields[0]['columns']!r}")
    found: dict[str, list[Any]] = {key: [] for key in ("positions", "labels", "boxes", "images", "steps", "temperatures")}
    for place, frame in enumerate(_parse(library, file, len(headers), comment="Properties=" + ":".join(properties))):
        found["boxes"].append(boxes[place])
        found["images"].append(None)
        found["steps"].append(_step(headers[place].comment, place))
        found["temperatures"].append(_atooms_number(fields[place].get("T")))
        _take(found, frame.arrays, columns, place)
    if len(found["positions"]) != len(headers):
        raise FileFormatError(f"expected {len(headers)} frames, got {len(found['positions'])}")
    return frames_from_file(**found, dimension=dimension)


def _atooms_cell(field: dict[str, str]) -> npt.NDArray[np.float64]:
    text = field.get("cell", "")
    try:
        sides = np.array([float(side) for side in text.split(",")])
    except ValueError:
        sides = np.empty(0)
    if sides.size not in (2, 3):
        raise FileFormatError(f"cell: expected 2 or 3 sides separated by commas, got {text!r}")
    return sides


def _atooms_number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
