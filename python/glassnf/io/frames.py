"""Configurations on their way to and from trajectory files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from .. import _check
from ..systems import System
from .files import FileFormatError

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = ["Frames", "FramesSource", "as_frames", "ascii_types", "frames_from_file", "sorted_labels"]

FloatArray = npt.NDArray[np.float64]

_LONGEST_NAME = 200

_BOX_TOLERANCE = 1e-6
"""Relative difference of box sides that counts as rounding: GSD stores float32, text files often six digits."""


@dataclass(frozen=True)
class Frames:
    """Configurations of the same particles in the same box.

    Attributes
    ----------
    positions : (F, N, d) float64, sigma
        Wrapped into [0, box).
    species : (F, N) int32
        Index into `types`.
    box : (d,) float64, sigma
    images : (F, N, d) int32
        Box crossings; unwrapped coordinates, ``positions + images * box``, are those of the file.
    types : tuple of str
        Names of the species.
    steps : (F,) int64
        Time of each frame in sweeps or steps; 0, 1, 2, ... where unknown.
    temperature : (F,) float64, epsilon, or None
        None where the file has none.
    """

    positions: FloatArray
    species: npt.NDArray[np.int32]
    box: FloatArray
    images: npt.NDArray[np.int32]
    types: tuple[str, ...]
    steps: npt.NDArray[np.int64]
    temperature: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.positions.shape[0])

    def unwrapped(self) -> FloatArray:
        """Return the coordinates without periodic wrapping, (F, N, d) float64 in sigma."""
        return np.asarray(self.positions + self.images * self.box, dtype=np.float64)

    def to_ensemble(
        self, system: System, *, temperature: npt.ArrayLike | None = None, seed: int = 0, step: int = 0
    ) -> Ensemble:
        """Build an ensemble with one replica per frame.

        Species are matched by name; where the names are not those of the system but the numbers 1 to S, number k is species
        k - 1. The box must be that of the system to a relative 1e-6.

        Parameters
        ----------
        system : System
        temperature : float or (F,) array, epsilon, optional
            Default: those of the file.
        seed, step : int
            State of the random numbers of the new ensemble, in which frame i has id i.

        Raises
        ------
        ValueError
            If dimension, box, number of particles or composition are not those of the system, or no temperature is known.
        """
        from ..ensemble import Ensemble

        if not isinstance(system, System):
            raise TypeError(f"system: expected a glassnf System, got {type(system).__name__}")
        if self.box.shape != system.box.shape:
            raise ValueError(f"box: expected {system.dimension} dimensions of the system, got {self.box.size} in the file")
        if not np.allclose(self.box, system.box, rtol=_BOX_TOLERANCE, atol=0.0):
            expected, given = tuple(system.box.tolist()), tuple(self.box.tolist())
            raise ValueError(f"box: expected {expected} of system {system.name!r}, got {given} in the file")
        if self.positions.shape[1] != system.n:
            raise ValueError(
                f"positions: expected {system.n} particles of the system, got {self.positions.shape[1]} in the file"
            )
        if temperature is None:
            if self.temperature is None:
                raise ValueError("temperature: expected a number, because the file has none, got None")
            temperature = self.temperature
        return Ensemble.from_arrays(
            system,
            self.positions,
            species=self._species_of(system),
            images=self.images,
            temperature=temperature,
            seed=seed,
            step=step,
        )

    def _species_of(self, system: System) -> npt.NDArray[np.int32]:
        numbers = tuple(str(number + 1) for number in range(system.n_species))
        for names in (system.species_names, numbers):
            if set(self.types) <= set(names):
                table = np.array([names.index(label) for label in self.types], dtype=np.int32)
                return np.asarray(table[self.species], dtype=np.int32)
        expected = " or ".join(", ".join(names) for names in (system.species_names, numbers))
        raise ValueError(f"species: expected the types {expected} of system {system.name!r}, got {', '.join(self.types)[:200]}")


FramesSource = Union["Ensemble", Frames, "tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]"]
"""What the writers take: an Ensemble (a frame per replica), Frames, or (positions, species, box)."""


def sorted_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return distinct labels in order: by value where all are numbers, else by spelling."""
    distinct = set(labels)
    if all(label.isdecimal() for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def as_frames(source: FramesSource, *, types: Sequence[str] | None = None, steps: npt.ArrayLike | None = None) -> Frames:
    """Bring what a writer was given into one form.

    Parameters
    ----------
    source : Ensemble, Frames, or tuple of arrays
        Positions (F, N, d) or (N, d), wrapped or not; species (F, N) or (N,); box (d,), all sides positive.
    types : sequence of str, optional
        Names of the species. Default: those of the system or the Frames; A, B, C, ... for arrays.
    steps : (F,) integers, optional
        Default: those of the Frames, else 0, 1, 2, ...

    Raises
    ------
    TypeError, ValueError
        If shapes, types or values do not fit.
    """
    from ..ensemble import Ensemble

    if isinstance(source, Ensemble):
        source.validate()
        source = source.to("cpu")
        number = np.arange(source.replicas, dtype=np.int64)
        frames = Frames(
            source.positions,
            source.species,
            np.array(source.system.box),
            source.images,
            source.system.species_names,
            number,
            source.temperature if (source.beta > 0.0).all() else None,
        )
    elif isinstance(source, Frames):
        frames = _frames_of_arrays(*(getattr(source, field.name) for field in dataclasses.fields(Frames)))
    elif isinstance(source, tuple) and len(source) == 3:
        frames = _frames_of_arrays(*source)
    else:
        raise TypeError(f"source: expected an Ensemble, Frames or (positions, species, box), got {type(source).__name__}")
    names = frames.types if types is None else _check_types(types, len(frames.types))
    numbers = frames.steps if steps is None else _check.int_array("steps", steps, (len(frames),), low=0)
    return Frames(frames.positions, frames.species, frames.box, frames.images, names, numbers, frames.temperature)


def _check_types(types: Sequence[str], at_least: int) -> tuple[str, ...]:
    if not isinstance(types, (list, tuple)):
        raise TypeError(f"types: expected a sequence of names, got {_check.describe(types)}")
    names = tuple(_check.string("types", name) for name in types)
    if max(map(len, names), default=0) > _LONGEST_NAME:
        raise ValueError(f"types: expected names of at most {_LONGEST_NAME} characters, got {_check.describe(names)}")
    if len(set(names)) < len(names) or len(names) < at_least:
        raise ValueError(f"types: expected at least {at_least} different names, got {_check.describe(names)}")
    return names


def default_types(count: int) -> tuple[str, ...]:
    """Return A, B, C, ... for up to 26 species, else 1, 2, 3, ..."""
    return tuple(chr(ord("A") + k) if count <= 26 else str(k + 1) for k in range(count))


def ascii_types(types: Sequence[str], *, spaces: bool) -> tuple[str, ...]:
    """Return the names of the species, or 1, 2, 3, ... where a name has characters that a format cannot hold."""
    if all(name.isascii() and name.isprintable() and (spaces or " " not in name) for name in types):
        return tuple(types)
    return tuple(str(number + 1) for number in range(len(types)))


def _frames_of_arrays(
    positions: Any,
    species: Any,
    box: Any,
    images: Any = None,
    types: tuple[str, ...] | None = None,
    steps: Any = None,
    temperature: FloatArray | None = None,
) -> Frames:
    from ..ensemble import wrap_positions

    sides = _check.float_array("box", box)
    if sides.shape not in ((2,), (3,)) or not (sides > 0.0).all():
        raise ValueError(f"box: expected 2 or 3 positive sides, got {sides.tolist()}")
    coordinates = _check.float_array("positions", positions)
    if coordinates.ndim == 2:
        coordinates = coordinates[None]
    _check.array_shape("positions", coordinates, (None, None, sides.size))
    if coordinates.shape[0] == 0 or coordinates.shape[1] == 0:
        raise ValueError(f"positions: expected at least one frame of one particle, got shape {coordinates.shape}")
    kinds = _check.int_array("species", species, low=0, dtype=np.int32)
    if kinds.ndim == 1:
        kinds = np.tile(kinds, (coordinates.shape[0], 1))
    _check.array_shape("species", kinds, coordinates.shape[:2])
    wrapped, crossings = wrap_positions(coordinates, sides)
    if images is not None:
        crossings = crossings + _check.int_array("images", images, coordinates.shape, dtype=np.int32)
    counts = _check.int_array("images", crossings, dtype=np.int32)
    names = default_types(int(kinds.max()) + 1) if types is None else types
    if int(kinds.max()) >= len(names):
        raise ValueError(f"species: expected integers below the number of types, {len(names)}, got {int(kinds.max())}")
    numbers = np.arange(len(coordinates), dtype=np.int64) if steps is None else steps
    return Frames(wrapped, kinds, sides, counts, names, numbers, temperature)


def check_dimension(dimension: object) -> None:
    """Raise TypeError or ValueError unless the argument of a reader is 2, 3 or None."""
    if dimension is not None:
        _check.integer("dimension", dimension, 2, 3)


def frames_from_file(
    positions: Sequence[FloatArray],
    labels: Sequence[npt.NDArray[Any]],
    boxes: Sequence[FloatArray],
    images: Sequence[npt.NDArray[Any] | None],
    *,
    types: Sequence[str] | None = None,
    steps: Sequence[int],
    temperatures: Sequence[float | None],
    dimension: int | None,
) -> Frames:
    """Join the frames that a reader found, each in three dimensions or all in two, and check that they belong together.

    Parameters
    ----------
    positions, images : F arrays of (N, 2) or (N, 3)
        Coordinates as in the file, wrapped or not.
    labels : F arrays of (N,)
        Names of the species; or indices into `types` where that is given.
    boxes : F arrays of (2,) or (3,)
    types : sequence of str, optional
        Default: the distinct labels, sorted.
    steps : F integers
    temperatures : F numbers, None where unknown
    dimension : int or None
        None: two where every z coordinate and image is zero.

    Raises
    ------
    FileFormatError
        If there is no frame, or number of particles or box change from frame to frame, or values are not acceptable.
    """
    from ..ensemble import wrap_positions

    if not positions:
        raise FileFormatError("expected at least one frame, got none")
    for place, (found, box) in enumerate(zip(positions, boxes, strict=True)):
        if found.shape != positions[0].shape or found.shape[0] == 0:
            raise FileFormatError(f"positions: expected shape {positions[0].shape} in frame {place}, got {found.shape}")
        if not (np.isfinite(box).all() and (box > 0.0).all()):
            raise FileFormatError(f"box: expected positive finite sides, got {box.tolist()} in frame {place}")
        if not np.array_equal(box, boxes[0]):
            raise FileFormatError(f"box: expected {boxes[0].tolist()} of the first frame in frame {place}, got {box.tolist()}")
    coordinates, crossings, sides = _flattened(positions, images, boxes[0], dimension)
    if not np.isfinite(coordinates).all():
        raise FileFormatError("positions: expected finite coordinates, got NaN or infinity")
    names, kinds = _index_labels(labels, types)
    try:
        wrapped, more = wrap_positions(coordinates, sides)
        counts = _check.int_array("images", crossings + more, dtype=np.int32)
    except ValueError as error:
        raise FileFormatError(str(error)) from None
    known = [number for number in temperatures if number is not None]
    temperature = np.array(known, dtype=np.float64) if len(known) == len(positions) else None
    if temperature is not None and not (np.isfinite(temperature).all() and (temperature > 0.0).all()):
        raise FileFormatError("temperature: expected positive finite numbers, got others")
    return Frames(wrapped, kinds, sides, counts, names, np.array(steps, dtype=np.int64), temperature)


def _flattened(
    positions: Sequence[FloatArray], images: Sequence[npt.NDArray[Any] | None], box: FloatArray, dimension: int | None
) -> tuple[FloatArray, npt.NDArray[np.int64], FloatArray]:
    """Stack the frames and drop the third dimension of a two-dimensional system."""
    coordinates = np.stack([np.asarray(frame, dtype=np.float64) for frame in positions])
    blank = np.zeros(coordinates.shape[1:], dtype=np.int64)
    crossings = np.stack([blank if frame is None else np.asarray(frame, dtype=np.int64) for frame in images])
    sides = np.asarray(box, dtype=np.float64)
    if sides.size == 3 and dimension != 3:
        flat = not coordinates[..., 2].any() and not crossings[..., 2].any()
        if dimension == 2 and not flat:
            raise FileFormatError("positions: expected z = 0 for every particle of a two-dimensional system, got other values")
        if flat:
            coordinates, crossings, sides = coordinates[..., :2], crossings[..., :2], sides[:2]
    if dimension is not None and sides.size != dimension:
        raise FileFormatError(f"positions: expected {dimension} dimensions, got {sides.size}")
    return np.ascontiguousarray(coordinates), np.ascontiguousarray(crossings), sides


def _check_names(names: Sequence[str]) -> None:
    """Raise FileFormatError unless the names of species in a file are distinct and can be printed."""
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise FileFormatError(f"species: expected printable names of at most {_LONGEST_NAME} characters, got {name[:80]!r}")
    if len(set(names)) < len(names):
        raise FileFormatError(f"species: expected different names, got {', '.join(names)[:200]}")


def _index_labels(
    labels: Sequence[npt.NDArray[Any]], types: Sequence[str] | None
) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    stacked = np.stack(list(labels))
    if types is not None:
        _check_names([str(name) for name in types])
        if stacked.min() < 0 or stacked.max() >= len(types):
            raise FileFormatError(f"species: expected indices below the number of types, {len(types)}, got {stacked.max()}")
        return tuple(types), np.asarray(stacked, dtype=np.int32)
    distinct, inverse = np.unique(stacked, return_inverse=True)
    names = sorted_labels([str(label) for label in distinct])
    _check_names(names)
    order = np.array([names.index(str(label)) for label in distinct], dtype=np.int32)
    return names, order[inverse.reshape(stacked.shape)]
