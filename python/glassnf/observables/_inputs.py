"""Checks of the arrays that the observables take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnf import _check

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ComplexArray = npt.NDArray[np.complex128]

LARGEST = 1e70
"""Largest magnitude of a number in a series."""

MAX_SPECIES = 255
"""Largest species label."""


def series_2d(name: str, value: object) -> FloatArray:
    """Return a time series as (records, replicas), from (records,) or (records, replicas).

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If it has another number of axes, is empty or is not finite.
    """
    array = _check.float_array(name, value)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name}: expected a non-empty array of shape (records,) or (records, replicas), got shape {array.shape}"
        )
    moderate(name, array)
    return array.reshape(array.shape[0], -1)


def moderate(name: str, array: FloatArray) -> FloatArray:
    """Return `array` if the fourth powers of its numbers are finite, as averages of products need; ValueError otherwise."""
    far = ~(np.abs(array) <= LARGEST)
    if far.any():
        place = _check.first_place(far)
        raise ValueError(
            f"{name}: expected numbers of magnitude at most {LARGEST:g}, got {array[place].item()} at index {place}"
        )
    return array


def same_shape(name: str, value: object, other: FloatArray) -> FloatArray:
    """Return `value` as (records, replicas) where it has the shape of the series `other`."""
    array = series_2d(name, value)
    if array.shape != other.shape:
        raise ValueError(f"{name}: expected shape {other.shape} (records, replicas), got shape {array.shape}")
    return array


def box_sides(name: str, value: object, dimension: int | None = None) -> FloatArray:
    """Return the sides of the periodic box, shape (d,), positive, with d = 2 or 3 (or `dimension`)."""
    box = _check.float_array(name, value, (dimension,))
    if box.size not in (2, 3):
        raise ValueError(f"{name}: expected 2 or 3 box sides, got {box.size}")
    if not ((box >= 1e-30) & (box <= 1e30)).all():
        raise ValueError(f"{name}: expected positive sides in [1e-30, 1e30], got {box.tolist()}")
    return box


@dataclass(frozen=True, eq=False)
class Frames:
    """Configurations with the leading axes flattened, particles of each frame sorted by species.

    Attributes
    ----------
    positions
        (frames, N, d), wrapped into [0, box).
    box
        (d,).
    counts
        (S,) number of particles of each species, the same in every frame.
    lead
        Shape of the leading axes before they were flattened.
    """

    positions: FloatArray
    box: FloatArray
    counts: IntArray
    lead: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of particles."""
        return int(self.positions.shape[1])

    @property
    def dimension(self) -> int:
        """Dimension of space."""
        return int(self.box.size)

    @property
    def volume(self) -> float:
        """Volume (area in 2D) of the box."""
        return float(np.prod(self.box))

    def of_species(self, species: int) -> FloatArray:
        """Positions of one species in every frame, (frames, N_a, d)."""
        start = int(self.counts[:species].sum())
        return self.positions[:, start : start + int(self.counts[species])]


def wrap(positions: FloatArray, box: FloatArray) -> FloatArray:
    """Return `positions` wrapped into [0, box)."""
    wrapped = positions - box * np.floor(positions / box)
    return np.where(wrapped >= box, 0.0, wrapped)


def frames(positions: object, box: object, species: object = None) -> Frames:
    """Check configurations and return them as :class:`Frames`.

    Parameters
    ----------
    positions
        (..., N, d), wrapped or not.
    box
        (d,).
    species
        None (one species), (N,) for all frames, or (..., N).

    Raises
    ------
    TypeError, ValueError
        On a wrong type or shape, on NaN or infinite coordinates, or where the composition changes between frames.
    """
    sides = box_sides("box", box)
    d = sides.size
    coordinates = _check.float_array("positions", positions)
    if coordinates.ndim < 2 or coordinates.shape[-1] != d or coordinates.size == 0:
        raise ValueError(f"positions: expected a non-empty array of shape (..., N, {d}), got shape {coordinates.shape}")
    if not (np.abs(coordinates) <= 2.0**52 * sides).all():
        raise ValueError(f"positions: expected coordinates within 2**52 box lengths, got up to {np.abs(coordinates).max():g}")
    lead, n = coordinates.shape[:-2], coordinates.shape[-2]
    flat = wrap(coordinates.reshape(-1, n, d), sides)
    if species is None:
        return Frames(flat, sides, np.array([n], dtype=np.int64), lead)
    labels = species_labels(species, lead, n).reshape(-1, n)
    order = np.argsort(labels, axis=1, kind="stable")
    ordered = np.take_along_axis(labels, order, axis=1)
    if not (ordered == ordered[0]).all():
        raise ValueError("species: expected the same composition in every frame, got different ones")
    counts = np.bincount(ordered[0]).astype(np.int64)
    return Frames(np.take_along_axis(flat, order[:, :, None], axis=1), sides, counts, lead)


def species_labels(species: object, lead: tuple[int, ...], n: int) -> npt.NDArray[Any]:
    """Return species labels, given as (n,) or as (*lead, n), as a read-only (*lead, n) array of labels."""
    labels = _check.int_array("species", species, low=0, high=MAX_SPECIES)
    if labels.shape not in ((n,), (*lead, n)):
        raise ValueError(f"species: expected shape {(n,)} or {(*lead, n)}, got shape {labels.shape}")
    return np.broadcast_to(labels, (*lead, n))
