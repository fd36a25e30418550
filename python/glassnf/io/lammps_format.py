"""Trajectories in LAMMPS text dumps.

They are read through the library `lammpsio`. It writes them too, but with six digits of the box and eight decimals of the
coordinates; so the writer here is our own, with 17 significant digits, and coordinates come back bit for bit. No other kept
library that may be used from BSD-licensed code writes the image flags. Two-dimensional systems follow LAMMPS: z = 0 in a
periodic box from -0.5 to 0.5. Types are numbered from 1. Source: https://docs.lammps.org/dump.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from .. import _optional
from .files import FileFormatError, atomic_write, existing_file
from .frames import Frames, FramesSource, as_frames, check_dimension, frames_from_file

__all__ = ["read_lammps_dump", "write_lammps_dump"]

_COORDINATES = (("x", "y", "z"), ("xu", "yu", "zu"), ("xs", "ys", "zs"), ("xsu", "ysu", "zsu"))
_UNWRAPPED = {"xu", "xsu"}
_SCALED = {"xs", "xsu"}
_COLUMNS = "id type x y z ix iy iz"


def _library() -> Any:
    return _optional.require("lammpsio", extra="io", purpose="LAMMPS dump files")


def write_lammps_dump(
    path: str | os.PathLike[str],
    source: FramesSource,
    *,
    steps: npt.ArrayLike | None = None,
) -> None:
    """Write configurations to a LAMMPS text dump with image flags, one frame for each, replacing an old file atomically.

    Species k has type k + 1; names and temperatures are not stored.

    Parameters
    ----------
    path : str or path
    source : Ensemble, Frames, or (positions, species, box)
        See `glassnf.io.frames.as_frames`.
    steps : (F,) integers, optional
        Time of each frame.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not fit together.
    OSError
        If the file cannot be written; an old file is then untouched.
    """
    frames = as_frames(source, steps=steps)
    with atomic_write(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as stream:
        for place in range(len(frames)):
            _write_frame(stream, frames, place)


def _write_frame(stream: TextIO, frames: Frames, place: int) -> None:
    n, dimension = frames.positions.shape[1:]
    bounds = [f"0 {side:.17g}" for side in frames.box] + ["-0.5 0.5"] * (3 - dimension)
    head = ["ITEM: TIMESTEP", str(frames.steps[place]), "ITEM: NUMBER OF ATOMS", str(n), "ITEM: BOX BOUNDS pp pp pp", *bounds]
    stream.write("\n".join([*head, f"ITEM: ATOMS {_COLUMNS}\n"]))
    z = ["0"] * (3 - dimension)
    rows = zip(frames.species[place].tolist(), frames.positions[place].tolist(), frames.images[place].tolist(), strict=True)
    for number, (kind, position, image) in enumerate(rows, start=1):
        words = [str(number), str(kind + 1), *(f"{x:.17g}" for x in position), *z, *map(str, image), *z]
        stream.write(" ".join(words) + "\n")


def read_lammps_dump(path: str | os.PathLike[str], *, dimension: int | None = None) -> Frames:
    """Read all frames of a LAMMPS text dump.

    Coordinates may be x, xu, xs or xsu; image flags ix, iy, iz are used with x and xs. Particles are sorted by id.

    Parameters
    ----------
    path : str or path
    dimension : int, optional
        2 or 3. Default: 2 where every z coordinate is zero, else 3.

    Returns
    -------
    Frames
        With the types "1", "2", ...; coordinates count from the origin of LAMMPS, wrapped into [0, L).

    Raises
    ------
    ImportError
        If `lammpsio` is not installed.
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is malformed or truncated, lacks columns or has a tilted box, or if columns, particles or box change between
        frames.
    """
    check_dimension(dimension)
    library = _library()
    file = existing_file(path)
    try:
        count, columns = _scan(file)
        coordinates = next((names for names in _COORDINATES if set(names) <= set(columns)), None)
        if coordinates is None or "type" not in columns:
            raise FileFormatError(f"ATOMS: expected the columns type, x, y and z, got {' '.join(columns)!r}")
        schema: dict[str, Any] = {"typeid": columns.index("type"), "position": [columns.index(name) for name in coordinates]}
        if "id" in columns:
            schema["id"] = columns.index("id")
        if {"ix", "iy", "iz"} <= set(columns) and coordinates[0] not in _UNWRAPPED:
            schema["image"] = [columns.index(name) for name in ("ix", "iy", "iz")]
        return _read_frames(library.DumpFile(str(file), schema=schema), count, coordinates[0] in _SCALED, dimension)
    except FileFormatError as error:
        raise FileFormatError(f"{file}: {error}") from error
    except UnicodeError as error:
        raise FileFormatError(f"{file}: expected a LAMMPS text dump, got a file that is not text") from error
    except Exception as error:  # the library documents none of its errors
        raise FileFormatError(f"{file}: expected a LAMMPS text dump, got an error: {error}") from error


def _read_frames(snapshots: Any, count: int, scaled: bool, dimension: int | None) -> Frames:
    found: dict[str, list[Any]] = {key: [] for key in ("positions", "labels", "boxes", "images", "steps", "temperatures")}
    for snapshot in snapshots:
        low, high = (np.asarray(bound, dtype=np.float64) for bound in (snapshot.box.low, snapshot.box.high))
        if snapshot.box.tilt is not None and np.any(snapshot.box.tilt):
            raise FileFormatError(f"BOX BOUNDS: expected a box with right angles, got the tilts {list(snapshot.box.tilt)}")
        positions = np.asarray(snapshot.position, dtype=np.float64)
        found["positions"].append(low + positions * (high - low) if scaled else positions)
        found["labels"].append(np.asarray(snapshot.typeid).astype(str))
        found["boxes"].append(high - low)
        found["images"].append(np.asarray(snapshot.image) if snapshot.has_image() else None)
        found["steps"].append(int(snapshot.step))
        found["temperatures"].append(None)
    if len(found["positions"]) != count:
        raise FileFormatError(f"expected {count} frames, got {len(found['positions'])}")
    return frames_from_file(**found, dimension=dimension)


def _scan(path: Path) -> tuple[int, list[str]]:
    """Walk over the frames of a dump without parsing atoms; return their number and the names of the columns.

    The library trusts the number of atoms and the columns of the first frame, and passes over a frame that breaks off; so
    these are checked first.
    """
    count = 0
    columns: list[str] = []
    with path.open("r", encoding="utf-8") as stream:
        lines = _numbered(stream)
        for number, line in lines:
            if count == 0 and line.startswith(("ITEM: UNITS", "ITEM: TIME\n")):
                next(lines, None)
                continue
            if not line.startswith("ITEM: TIMESTEP"):
                raise FileFormatError(f"line {number}: expected 'ITEM: TIMESTEP', got {line.strip()[:40]!r}")
            natoms, names = _scan_frame(lines)
            if columns and names != columns:
                raise FileFormatError(
                    f"ATOMS: expected the columns {' '.join(columns)!r} in every frame, got {' '.join(names)!r}"
                )
            columns = names
            for _ in range(natoms):
                number, row = next(lines, (number, ""))
                if len(row.split()) != len(columns):
                    raise FileFormatError(f"line {number}: expected {len(columns)} columns, got {row.strip()[:40]!r}")
            count += 1
    if count == 0:
        raise FileFormatError("expected at least one frame, got none")
    return count, columns


def _numbered(stream: TextIO) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def _scan_frame(lines: Iterator[tuple[int, str]]) -> tuple[int, list[str]]:
    """Read from below ``ITEM: TIMESTEP`` to the first atom; return the number of atoms and the names of the columns."""
    end = (0, "the end of the file")
    natoms = 0
    for number, line in lines:
        if line.startswith("ITEM: NUMBER OF ATOMS"):
            number, text = next(lines, end)
            if not text.strip().isdecimal() or len(text.strip()) > 9 or int(text) == 0:
                raise FileFormatError(f"line {number}: expected a number of atoms, got {text.strip()[:40]!r}")
            natoms = int(text)
        elif line.startswith("ITEM: TIMESTEP"):
            break
        elif line.startswith("ITEM: ATOMS"):
            if natoms == 0:
                raise FileFormatError(f"line {number}: expected 'ITEM: NUMBER OF ATOMS' before the atoms, got none")
            names = line.split()[2:]
            if len(set(names)) < len(names):
                raise FileFormatError(f"line {number}: expected different columns, got {' '.join(names)!r}")
            return natoms, names
    raise FileFormatError("expected 'ITEM: ATOMS' in every frame, got none: the file is truncated")
