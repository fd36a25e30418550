"""The immutable description of a model liquid: how many particles of which species, in which box, with which potential."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .potential import PairPotential

__all__ = ["LARGEST_N", "System", "custom", "default_species_names", "smallest_n"]

_DIMENSIONS = (2, 3)
LARGEST_N = 2**31 - 1  # particle indices are 32-bit integers in the kernels
_NUMBERS_PER_PARTICLE = 32  # of 8 bytes, at the least, that work with a single configuration takes
_BOX_LIMIT = 1e30
_BOX_RANGE = f"[{1.0 / _BOX_LIMIT:g}, {_BOX_LIMIT:g}]"


@dataclass(frozen=True, init=False, eq=False, repr=False)
class System:
    """An N-particle liquid in a periodic box. Immutable; compared and hashed by value.

    Parameters
    ----------
    name
        Name of the model, for reports.
    species
        Species index, 0 to S-1, of each particle, shape (N,). Only the number of particles of each species matters: the
        array is sorted.
    box
        Lengths of the sides of the periodic box, shape (d,), d = 2 or 3, in units of sigma.
    potential
        The pair potential of the S species.
    species_names
        S distinct names; "A", "B", "C", ... by default.

    Attributes
    ----------
    name : str
    species : numpy.ndarray
        Shape (N,), int32, sorted, read-only.
    box : numpy.ndarray
        Shape (d,), float64, read-only.
    potential : PairPotential
    species_names : tuple of str

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or shape, if a species index is out of range, or if a side of the box is shorter
        than twice the largest cutoff distance (a particle would then interact with two images of another one).
    """

    name: str
    species: npt.NDArray[np.int32]
    box: npt.NDArray[np.float64]
    potential: PairPotential
    species_names: tuple[str, ...]

    def __init__(
        self,
        name: str,
        species: npt.ArrayLike,
        box: npt.ArrayLike,
        potential: PairPotential,
        species_names: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(potential, PairPotential):
            raise TypeError(f"potential: expected a PairPotential, got {_check.describe(potential)}")
        index = _check.int_array("species", species, (None,), low=0, high=potential.n_species - 1, dtype=np.int32)
        if index.size == 0:
            raise ValueError("species: expected at least one particle, got none")
        sides = _check_box(box)
        _check_sides(sides, index.size, potential)
        object.__setattr__(self, "name", _check.string("name", name))
        # An array over the memory of immutable bytes is read-only and cannot be made writable again.
        object.__setattr__(self, "species", np.frombuffer(np.sort(index).tobytes(), dtype=np.int32))
        object.__setattr__(self, "box", np.frombuffer(sides.tobytes(), dtype=np.float64))
        object.__setattr__(self, "potential", potential)
        object.__setattr__(self, "species_names", _check_names(species_names, potential.n_species))

    # -- sizes --------------------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of particles N."""
        return int(self.species.size)

    @property
    def dimension(self) -> int:
        """Number of space dimensions d, 2 or 3."""
        return int(self.box.size)

    @property
    def n_species(self) -> int:
        """Number of species S (some may have no particles)."""
        return self.potential.n_species

    @functools.cached_property
    def composition(self) -> tuple[int, ...]:
        """Number of particles of each species, S entries that sum to N."""
        return tuple(int(count) for count in np.bincount(self.species, minlength=self.n_species))

    @functools.cached_property
    def volume(self) -> float:
        """Volume (area in two dimensions) of the box, in units of sigma^d."""
        return math.prod(float(side) for side in self.box)

    @property
    def density(self) -> float:
        """Number density N / V, in units of sigma^-d."""
        return self.n / self.volume

    @property
    def cutoff_distance(self) -> float:
        """The largest distance at which any pair of species interacts, in units of sigma."""
        return self.potential.cutoff_distance

    # -- identity -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON text of the system, 64 hexadecimal digits, the same on every machine."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, System):
            return NotImplemented
        return self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.species, self.box, self.potential, self.species_names)

    # -- text ---------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        counts = ":".join(str(count) for count in self.composition)
        size = f"n={self.n} ({counts}), {self.dimension}D, density={self.density:.6g}"
        return f"<System {self.name!r}: {size}, {self.potential.kind}>"

    def __str__(self) -> str:
        counts = ", ".join(f"{name}: {count}" for name, count in zip(self.species_names, self.composition, strict=True))
        rows = [
            ("name", self.name),
            ("n", str(self.n)),
            ("composition", counts),
            ("dimension", str(self.dimension)),
            ("box", " x ".join(f"{side:.6g}" for side in self.box)),
            ("density", f"{self.density:.6g}"),
        ]
        width = 14
        lines = [f"{label:<{width}}{value}" for label, value in rows]
        potential = self.potential.describe(self.species_names).splitlines()
        lines.append(f"{'potential':<{width}}{potential[0]}")
        lines.extend(" " * width + line for line in potential[1:])
        return "\n".join(lines)

    # -- exchange -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the system as plain lists, numbers and strings (see `from_dict`)."""
        return {
            "name": self.name,
            "species_names": list(self.species_names),
            "composition": list(self.composition),
            "box": [float(side) for side in self.box],
            "potential": self.potential.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: object) -> System:
        """Build a system from a mapping.

        Parameters
        ----------
        data
            The keys are the arguments of `glassnf.systems.custom`: ``name``, ``potential`` (a mapping, see
            `PairPotential.from_dict`), ``composition`` or ``species``, ``box`` or ``density`` and ``dimension``, and
            optionally ``species_names``.

        Raises
        ------
        TypeError, ValueError
            As `custom`; and if a key is missing or unknown, in which case the nearest valid one is named.
        """
        optional = ("species_names", "composition", "species", "box", "density", "dimension")
        values = _check.keys("system", data, ("name", "potential"), optional)
        if not isinstance(values["potential"], PairPotential):
            values["potential"] = PairPotential.from_dict(values["potential"])
        system = custom(values.pop("name"), **values)
        return system if cls is System else cls(*system.__reduce__()[1])

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the system to a JSON file, replacing it atomically; `glassnf.systems.load` reads it."""
        from . import files

        files.save_json(path, self)

    def to_toml(self, path: str | os.PathLike[str]) -> None:
        """Write the system to a TOML file, replacing it atomically; `glassnf.systems.load` reads it."""
        from . import files

        files.save_toml(path, self)


def custom(
    name: str,
    *,
    potential: PairPotential,
    composition: npt.ArrayLike | Mapping[str, int] | None = None,
    species: npt.ArrayLike | None = None,
    box: npt.ArrayLike | None = None,
    density: float | None = None,
    dimension: int | None = None,
    species_names: Sequence[str] | None = None,
) -> System:
    """Describe a liquid of your own.

    Parameters
    ----------
    name
        Name of the model, for reports.
    potential
        The pair potential of its S species.
    composition
        Number of particles of each species: S integers, or a mapping from species name to number.
    species
        In place of `composition`: the species index of each particle, shape (N,).
    box
        Sides of the box, shape (d,), in units of sigma; or one side with `dimension`, for a square or cube.
    density
        In place of `box`: the number density of a square (`dimension` 2) or cubic (3) box.
    dimension
        Number of space dimensions, 2 or 3; needed with `density` and with a `box` that is one number.
    species_names
        S distinct names; "A", "B", "C", ... by default.

    Returns
    -------
    System

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, missing or superfluous, or if the box is too small for the cutoff; the message then says from
        which number of particles on it would be large enough at this density.
    """
    if not isinstance(potential, PairPotential):
        raise TypeError(f"potential: expected a PairPotential, got {_check.describe(potential)}")
    names = _check_names(species_names, potential.n_species)
    if (composition is None) == (species is None):
        given = "neither" if composition is None else "both"
        raise ValueError(f"composition: expected either composition or species, got {given}")
    if (box is None) == (density is None):
        raise ValueError(f"box: expected either box or density, got {'neither' if box is None else 'both'}")
    index = species if species is not None else _species_of(composition, names)
    dimension = None if dimension is None else _check_dimension(dimension)
    if density is not None:
        if dimension is None:
            raise ValueError("dimension: expected 2 or 3 together with density, got none")
        count = int(_check.int_array("species", index, (None,)).size)
        side = side_length(count, _check.positive_float("density", density), dimension)
        if not 1.0 / _BOX_LIMIT <= side <= _BOX_LIMIT:
            raise ValueError(f"density: expected a number whose box has sides in {_BOX_RANGE}, got {_check.describe(density)}")
        sides = np.full(dimension, side)
    else:
        sides = _sides_of(box, dimension)
    return System(name, index, sides, potential, names)


def default_species_names(n_species: int) -> tuple[str, ...]:
    """Return "A", "B", ..., "Z" for up to 26 species, else "S0", "S1", ..."""
    if n_species <= 26:
        return tuple(chr(ord("A") + a) for a in range(n_species))
    return tuple(f"S{a}" for a in range(n_species))


def side_length(n: int, density: float, dimension: int) -> float:
    """Return the side of a square or cube that holds `n` particles at `density`."""
    volume = n / density
    return math.sqrt(volume) if dimension == 2 else float(np.cbrt(volume))


def smallest_n(density: float, dimension: int, cutoff_distance: float) -> int:
    """Return the smallest number of particles whose square or cubic box has sides of at least 2 x `cutoff_distance`."""
    n = max(1, math.floor(density * (2.0 * cutoff_distance) ** dimension) - 1)
    while side_length(n, density, dimension) < 2.0 * cutoff_distance:
        n += 1
    return n


# ------------------------------------------------------------------------------------------------------------------ checks


def _check_dimension(dimension: object) -> int:
    return _check.integer("dimension", dimension, min(_DIMENSIONS), max(_DIMENSIONS))


def _check_box(box: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the sides of a box, positive and finite, 2 or 3 of them."""
    sides = _check.float_array("box", box, (None,))
    if sides.size not in _DIMENSIONS:
        raise ValueError(f"box: expected 2 or 3 sides, got {sides.size}")
    if not ((sides >= 1.0 / _BOX_LIMIT) & (sides <= _BOX_LIMIT)).all():
        raise ValueError(f"box: expected positive sides in {_BOX_RANGE}, got {_text(sides)}")
    return sides


def _check_sides(sides: npt.NDArray[np.float64], n: int, potential: PairPotential) -> None:
    """Refuse a box in which a particle would interact with two images of another one."""
    least = 2.0 * potential.cutoff_distance
    if float(sides.min()) >= least:
        return
    message = f"box: expected every side at least 2 x the largest cutoff ({least}), got {_text(sides)}"
    if (sides == sides[0]).all():
        density = n / math.prod(float(side) for side in sides)
        enough = density * least**sides.size
        if enough < LARGEST_N:
            enough = smallest_n(density * (1.0 - 1e-12), sides.size, potential.cutoff_distance)
            message += f" for n = {n}; at this density the smallest n whose box fits is {enough}"
    raise ValueError(message)


def _text(sides: npt.NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{side:.6g}" for side in sides) + ")"


def _sides_of(box: Any, dimension: int | None) -> npt.NDArray[np.float64]:
    """Return the sides of a box given as d numbers, or as one number and the dimension."""
    sides = _check.float_array("box", box)
    if sides.ndim == 0:
        if dimension is None:
            raise ValueError("dimension: expected 2 or 3 together with a box of one number, got none")
        return np.full(dimension, float(sides))
    if dimension is not None:
        _check.array_shape("box", sides, (dimension,))
    return sides


def _species_of(composition: Any, names: tuple[str, ...]) -> npt.NDArray[np.int32]:
    """Return sorted species indices from a number of particles per species."""
    if isinstance(composition, Mapping):
        values = _check.keys("composition", composition, (), names)
        composition = [_check.nonnegative_int(f"composition[{name!r}]", values.get(name, 0)) for name in names]
    counts = _check.int_array("composition", composition, (len(names),), low=0, high=LARGEST_N)
    total = sum(int(count) for count in counts)
    if not 1 <= total <= LARGEST_N:
        raise ValueError(f"composition: expected from 1 to {LARGEST_N} particles in all, got {total}")
    _check.fits_memory("composition", composition, _NUMBERS_PER_PARTICLE * total, "particles")
    return np.repeat(np.arange(len(names), dtype=np.int32), counts)


def _check_names(species_names: Sequence[str] | None, n_species: int) -> tuple[str, ...]:
    """Return one distinct name per species."""
    if species_names is None:
        return default_species_names(n_species)
    if isinstance(species_names, str) or not isinstance(species_names, Sequence):
        raise TypeError(f"species_names: expected a sequence of names, got {_check.describe(species_names)}")
    names = tuple(_check.string(f"species_names[{a}]", name) for a, name in enumerate(species_names))
    if len(names) != n_species or len(set(names)) != n_species:
        raise ValueError(f"species_names: expected {n_species} distinct names, got {_check.describe(list(names))}")
    return names
