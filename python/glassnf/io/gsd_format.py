"""Trajectories in GSD files, the format of HOOMD-blue, through the library `gsd`.

GSD stores positions and box in single precision: a round trip keeps coordinates to about 6e-8 of a box side, and only HDF5 and
the text formats keep them bit for bit. GSD puts the origin into the centre of the box; the writer takes half a box off, and the
reader adds it. Sources: the schema ``hoomd`` of https://gsd.readthedocs.io.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _optional
from .._check import memory_limit
from .files import FileFormatError, atomic_write, existing_file
from .frames import Frames, FramesSource, as_frames, ascii_types, check_dimension, frames_from_file

__all__ = ["read_gsd", "write_gsd"]

_TEMPERATURE = "glassnf/temperature"
_LEAST_BYTES = 32  # of a frame in a file: an entry of its index
_VALUES_PER_PARTICLE = 16  # numbers of 8 bytes that a particle of a frame takes while it is read


def _library() -> Any:
    return _optional.require("gsd.hoomd", extra="io", purpose="GSD files")


def write_gsd(
    path: str | os.PathLike[str],
    source: FramesSource,
    *,
    types: Sequence[str] | None = None,
    steps: npt.ArrayLike | None = None,
) -> None:
    """Write configurations to a GSD file, one frame for each, replacing an old file atomically.

    Species with names beyond ASCII are written as 1, 2, 3, ...

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
        If `gsd` is not installed.
    TypeError, ValueError
        If the arguments do not fit together.
    OSError
        If the file cannot be written; an old file is then untouched.
    """
    gsd = _library()
    frames = as_frames(source, types=types, steps=steps)
    types = ascii_types(frames.types, spaces=True)
    dimension = frames.box.size
    box = np.zeros(6, dtype=np.float32)
    box[:dimension] = frames.box
    with atomic_write(path) as temporary, gsd.open(str(temporary), "w") as file:
        for place in range(len(frames)):
            n = frames.positions.shape[1]
            positions = np.zeros((n, 3), dtype=np.float32)
            positions[:, :dimension] = frames.positions[place] - 0.5 * frames.box
            images = np.zeros((n, 3), dtype=np.int32)
            images[:, :dimension] = frames.images[place]
            frame = gsd.Frame()
            frame.configuration.step = int(frames.steps[place])
            frame.configuration.dimensions = dimension
            frame.configuration.box = box
            frame.particles.N = n
            frame.particles.types = list(types)
            frame.particles.typeid = frames.species[place].astype(np.uint32)
            frame.particles.position = positions
            frame.particles.image = images
            if frames.temperature is not None:
                frame.log[_TEMPERATURE] = frames.temperature[place : place + 1]
            file.append(frame)


def read_gsd(path: str | os.PathLike[str], *, dimension: int | None = None) -> Frames:
    """Read all frames of a GSD file.

    Parameters
    ----------
    path : str or path
    dimension : int, optional
        2 or 3; default as in the file.

    Returns
    -------
    Frames
        Coordinates shifted by half a box, from [-L/2, L/2) to [0, L).

    Raises
    ------
    ImportError
        If `gsd` is not installed.
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is not GSD, is damaged, has a tilted box or has no frame, or if particles or box change between frames.
    """
    check_dimension(dimension)
    _library()  # says what to install where it is missing
    file = existing_file(path)
    found: dict[str, list[Any]] = {key: [] for key in ("positions", "labels", "boxes", "images", "steps", "temperatures")}
    try:
        with _chunks_of(file) as chunks:
            types = chunks.types(0)
            for place in range(chunks.frames):
                if chunks.types(place) != types:
                    raise FileFormatError(f"types: expected {types} in every frame, got {chunks.types(place)}")
                _take(found, chunks, place)
        return frames_from_file(**found, types=types, dimension=dimension)
    except FileFormatError as error:
        raise FileFormatError(f"{file}: {error}") from error
    except Exception as error:  # the library documents none of its errors
        raise FileFormatError(f"{file}: expected a GSD file with the schema 'hoomd', got an error: {error}") from error


class _Chunks:
    """The arrays of a GSD file by frame, with the rules of the schema: what a frame lacks is that of the first, or a default.

    `gsd.hoomd` would read bonds and all else too, and make arrays of as many numbers as the file says there are.

    Parameters
    ----------
    file
        An open `gsd.fl.GSDFile`.
    size
        Bytes of the file.
    """

    def __init__(self, file: Any, size: int) -> None:
        self._file, self.frames = file, int(file.nframes)
        if not str(file.schema) == "hoomd":
            raise FileFormatError(f"expected a GSD file with the schema 'hoomd', got the schema {str(file.schema)!r}")
        if self.frames == 0:
            raise FileFormatError("expected at least one frame, got none")
        if not 0 < self.frames <= size // _LEAST_BYTES:
            raise FileFormatError(f"expected frames that fit into {size} bytes, got {self.frames}")
        self._first: dict[str, Any] = {}
        count = self.particles(0)
        wanted = float(self.frames) * count * _VALUES_PER_PARTICLE
        if 8.0 * wanted > memory_limit():
            raise FileFormatError(f"expected frames that fit into memory, got {self.frames} of {count} particles")

    def get(self, frame: int, name: str, columns: int | None, dtype: str) -> Any:
        """Return the array (N,) or, with `columns`, (N, columns) of a frame or of the first; None where neither has it."""
        if self._file.chunk_exists(frame=frame, name=name):
            value = np.asarray(self._file.read_chunk(frame=frame, name=name))
            fits = value.dtype == np.dtype(dtype) and value.ndim == (1 if columns is None else 2)
            if columns is not None and value.shape == (columns,):  # one row
                value, fits = value.reshape(1, columns), value.dtype == np.dtype(dtype)
            if not fits or value.size == 0 or (columns is not None and value.shape[1] != columns):
                expected = dtype if columns is None else f"{columns} columns of {dtype}"
                raise FileFormatError(f"{name}: expected {expected} in frame {frame}, got shape {value.shape} of {value.dtype}")
            if frame == 0:
                self._first[name] = value
            return value
        if frame > 0 and name not in self._first:
            self._first[name] = self.get(0, name, columns, dtype)
        return self._first.get(name)

    def number(self, frame: int, name: str, dtype: str, default: int) -> int:
        """Return a single number of a frame."""
        value = self.get(frame, name, None, dtype)
        return default if value is None else int(value[0])

    def particles(self, frame: int) -> int:
        """Return the number of particles of a frame."""
        return self.number(frame, "particles/N", "uint32", 0)

    def types(self, frame: int) -> list[str]:
        """Return the names of the species."""
        if self._file.chunk_exists(frame=frame, name="particles/types"):
            rows = np.asarray(self._file.read_chunk(frame=frame, name="particles/types"))
            if rows.dtype not in (np.int8, np.uint8) or rows.ndim not in (1, 2) or rows.size == 0:
                raise FileFormatError(f"types: expected rows of characters, got shape {rows.shape} of {rows.dtype}")
            width = rows.shape[1] if rows.ndim == 2 else 1
            return [row.tobytes().rstrip(b"\0").decode("utf-8") for row in rows.reshape(-1, width)]
        return self.types(0) if frame > 0 else ["A"]


@contextlib.contextmanager
def _chunks_of(file: Path) -> Iterator[_Chunks]:
    from gsd import fl

    with fl.open(name=str(file), mode="r") as opened:
        yield _Chunks(opened, file.stat().st_size)


def _take(found: dict[str, list[Any]], chunks: _Chunks, place: int) -> None:
    n, dimensions = chunks.particles(place), chunks.number(place, "configuration/dimensions", "uint8", 3)
    box = chunks.get(place, "configuration/box", None, "float32")
    if dimensions not in (2, 3) or box is None or box.shape != (6,):
        got = None if box is None else box.size
        raise FileFormatError(f"box: expected 2 or 3 dimensions, got {dimensions} and a box of {got} numbers")
    if box[3:].any():
        raise FileFormatError(f"box: expected a box with right angles, got the tilt factors {box[3:].tolist()}")
    sides = np.asarray(box[:dimensions], dtype=np.float64)
    arrays = {
        "position": chunks.get(place, "particles/position", 3, "float32"),
        "typeid": chunks.get(place, "particles/typeid", None, "uint32"),
        "image": chunks.get(place, "particles/image", 3, "int32"),
    }
    for name, array in arrays.items():
        if array is None and name == "position":
            raise FileFormatError(f"position: expected coordinates in frame {place}, got none")
        if array is not None and len(array) != n:
            raise FileFormatError(f"{name}: expected {n} particles in frame {place}, got {len(array)}")
    kinds = np.zeros(n, dtype=np.int64) if arrays["typeid"] is None else arrays["typeid"].astype(np.int64)
    images = np.zeros((n, 3), dtype=np.int64) if arrays["image"] is None else arrays["image"].astype(np.int64)
    found["positions"].append(arrays["position"].astype(np.float64)[:, :dimensions] + 0.5 * sides)
    found["labels"].append(kinds)
    found["boxes"].append(sides)
    found["images"].append(images[:, :dimensions])
    step = chunks.number(place, "configuration/step", "uint64", 0)
    if step >= 2**63:
        raise FileFormatError(f"step: expected a number below 2**63 in frame {place}, got {step}")
    found["steps"].append(step)
    temperature = chunks.get(place, f"log/{_TEMPERATURE}", None, "float64")
    found["temperatures"].append(None if temperature is None else float(temperature[0]))
