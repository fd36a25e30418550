"""Trajectories in GSD files, the format of HOOMD-blue, through the library `gsd`.

GSD stores positions and box in single precision: a round trip keeps coordinates to about 6e-8 of a box side, and only HDF5 and
the text formats keep them bit for bit. GSD puts the origin into the centre of the box; the writer takes half a box off, and the
reader adds it. Sources: the schema ``hoomd`` of https://gsd.readthedocs.io.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _optional
from .files import FileFormatError, atomic_write, existing_file
from .frames import Frames, FramesSource, as_frames, ascii_types, frames_from_file

__all__ = ["read_gsd", "write_gsd"]

_TEMPERATURE = "glassnf/temperature"


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
    gsd = _library()
    name = str(existing_file(path))
    found: dict[str, list[Any]] = {key: [] for key in ("positions", "labels", "boxes", "images", "steps", "temperatures")}
    types: list[str] = []
    try:
        with gsd.open(name, "r") as file:
            for frame in file:
                types = types or list(frame.particles.types)
                if list(frame.particles.types) != types:
                    raise FileFormatError(f"types: expected {types} in every frame, got {frame.particles.types}")
                _take(found, frame)
        return frames_from_file(**found, types=types, dimension=dimension)
    except FileFormatError as error:
        raise FileFormatError(f"{name}: {error}") from error
    except Exception as error:  # the library documents none of its errors
        raise FileFormatError(f"{name}: expected a GSD file with the schema 'hoomd', got an error: {error}") from error


def _take(found: dict[str, list[Any]], frame: Any) -> None:
    dimensions = int(frame.configuration.dimensions)
    box = np.asarray(frame.configuration.box, dtype=np.float64)
    if dimensions not in (2, 3) or box.shape != (6,):
        raise FileFormatError(f"box: expected 2 or 3 dimensions, got {dimensions} and a box of {box.size} numbers")
    if box[3:].any():
        raise FileFormatError(f"box: expected a box with right angles, got the tilt factors {box[3:].tolist()}")
    sides = box[:dimensions]
    positions = np.asarray(frame.particles.position, dtype=np.float64)
    found["positions"].append(positions[:, :dimensions] + 0.5 * sides)
    found["labels"].append(np.asarray(frame.particles.typeid, dtype=np.int64))
    found["boxes"].append(sides)
    found["images"].append(np.asarray(frame.particles.image, dtype=np.int64)[:, :dimensions])
    found["steps"].append(int(frame.configuration.step))
    temperature = frame.log.get(_TEMPERATURE)
    found["temperatures"].append(None if temperature is None else float(np.asarray(temperature).ravel()[0]))
