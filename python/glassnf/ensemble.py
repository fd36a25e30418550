"""The state that every sampler advances: a batch of replicas of one system.

Units are reduced Lennard-Jones units with mass 1 and k_B = 1: lengths in sigma, energies in epsilon, times in tau.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _check
from .systems import System

__all__ = ["MAX_ID", "MAX_STEP", "Ensemble", "wrap_positions"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

MAX_ID = 2**40 - 1
"""Largest replica id: ids take 40 bits of the counter of the random numbers."""

MAX_STEP = 2**44 - 1
"""Largest step: steps take 44 bits of the counter of the random numbers."""

_MAX_SEED = 2**64 - 1
_DEFAULT_MOVE_SIZE = 0.1
_ARRAYS = ("positions", "images", "species", "velocities", "beta", "energy", "ids", "move_size")


def wrap_positions(positions: FloatArray, box: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Fold coordinates into [0, box) and count the box lengths taken off.

    Each coordinate x becomes x - L floor(x / L). A result that rounding leaves outside is brought back by one more L, and
    one that rounds to L itself becomes 0 of the next image. Coordinates already inside are returned bit for bit.

    Parameters
    ----------
    positions : (..., d) float64, sigma
    box : (d,) float64, sigma

    Returns
    -------
    wrapped : (..., d) float64, sigma
        With ``0 <= wrapped < box``.
    crossings : (..., d) int64
        So that ``positions = wrapped + crossings * box``, up to rounding.

    Raises
    ------
    ValueError
        If a coordinate is not finite or lies 2**31 box lengths or more from the origin.
    """
    with np.errstate(over="ignore"):
        cells = np.floor(positions / box)
    if not np.all(np.abs(cells) < 2.0**31):
        place = tuple(int(i) for i in np.argwhere(~(np.abs(cells) < 2.0**31))[0])
        raise ValueError(f"positions: expected coordinates within 2**31 box lengths, got {positions[place]} at index {place}")
    crossings = cells.astype(np.int64)
    wrapped = positions - box * cells
    above = wrapped >= box
    wrapped = np.where(above, wrapped - box, wrapped)
    below = wrapped < 0.0
    wrapped = np.where(below, wrapped + box, wrapped)
    rounded_up = wrapped >= box  # a tiny negative number plus L
    wrapped = np.where(rounded_up, 0.0, wrapped)
    crossings += above.astype(np.int64) - below.astype(np.int64) + rounded_up.astype(np.int64)
    return wrapped, crossings


def _float64(name: str, value: object, shape: Sequence[int | None]) -> FloatArray:
    """Return finite coordinates as float64; an array of another type is an error, nested lists of numbers are converted."""
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and not (dtype.kind == "f" and dtype.itemsize == 8):
        raise TypeError(f"{name}: expected an array of type float64, got type {dtype}")
    return _check.float_array(name, value, shape)


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.require(array, requirements=["C", "A", "W", "E"])


def _check_wrapped(system: System, positions: FloatArray) -> None:
    outside = (positions < 0.0) | (positions >= system.box)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        found = f"got {float(positions[place])!r} at index {place} (wrap() folds it back)"
        raise ValueError(f"positions: expected coordinates in [0, {float(system.box[place[-1]])!r}), {found}")


def _check_composition(system: System, species: IntArray) -> None:
    counts_expected = np.asarray(system.composition, dtype=np.int64)
    replicas, kinds = species.shape[0], system.n_species
    keys = species.astype(np.int64) + kinds * np.arange(replicas, dtype=np.int64)[:, None]
    counts = np.bincount(keys.ravel(), minlength=replicas * kinds).reshape(replicas, kinds)
    wrong = np.flatnonzero((counts != counts_expected).any(axis=1))
    if wrong.size:
        found = tuple(int(count) for count in counts[wrong[0]])
        expected = tuple(int(count) for count in counts_expected)
        raise ValueError(f"species: expected the composition {expected} of the system, got {found} in replica {wrong[0]}")


def _every_replica(system: System, species: npt.ArrayLike, replicas: int) -> IntArray:
    """Return a new (R, N) array from species given as (R, N) or, for all replicas alike, as (N,)."""
    kinds: IntArray = _check.int_array("species", species, low=0, high=system.n_species - 1, dtype=np.int32)
    if kinds.ndim == 1:
        _check.array_shape("species", kinds, (system.n,))
        return np.tile(kinds, (replicas, 1))
    _check.array_shape("species", kinds, (replicas, system.n))
    return kinds.copy()


def _count_replicas(positions: FloatArray) -> int:
    if positions.shape[0] == 0:
        raise ValueError(f"positions: expected at least one replica, got shape {positions.shape}")
    return int(positions.shape[0])


def _check_ids(ids: object, replicas: int) -> npt.NDArray[np.int64]:
    checked: npt.NDArray[np.int64] = _check.int_array("ids", ids, (replicas,), low=0, high=MAX_ID)
    values, counts = np.unique(checked, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"ids: expected distinct numbers, got {values[counts > 1][0]} more than once")
    return checked


def per_replica(name: str, value: object, replicas: int) -> FloatArray:
    """Return a scalar or (R,) argument as a new (R,) array of positive finite numbers."""
    array = _check.float_array(name, value)
    if array.ndim == 0:
        array = np.full(replicas, float(array))
    _check.array_shape(name, array, (replicas,))
    if not (array > 0.0).all():
        place = int(np.flatnonzero(~(array > 0.0))[0])
        raise ValueError(f"{name}: expected positive numbers, got {array[place]} for replica {place}")
    return array


def _check_device(device: object) -> str:
    name = _check.choice("device", device, ("cpu", "cuda"))
    if name == "cuda":
        from .cuda import require

        require()
        raise RuntimeError("device: expected 'cpu', got 'cuda': this version keeps ensembles in host memory only")
    return name


class Ensemble:
    """R replicas of one N-particle system, with all that a sampler needs to go on.

    Build one with `Ensemble.random`, `Ensemble.from_arrays` or `Ensemble.load`. The fields are plain attributes and may be
    assigned; `validate` checks them again, and the samplers call it before any work. After changing positions or species by
    hand, call `update_energy`.

    Attributes
    ----------
    system : System
    positions : (R, N, d) float64, sigma
        Wrapped into [0, box).
    images : (R, N, d) int32
        Box crossings; unwrapped coordinates are ``positions + images * box``.
    species : (R, N) int32
        Species index of each particle; each replica has the composition of the system, in an order of its own.
    velocities : (R, N, d) float64, sigma/tau, or None
        Used by molecular dynamics only.
    beta : (R,) float64, 1/epsilon
        Inverse temperature, finite and not negative.
    energy : (R,) float64, epsilon
        Potential energy, kept current by the samplers.
    ids : (R,) int64
        Identity of each replica in the random numbers: distinct, from 0 to 2**40 - 1. Slices keep them.
    move_size : (R,) float64, sigma
        Half-width of the displacement trial.
    seed : int
        From 0 to 2**64 - 1.
    step : int
        Sweeps done so far, from 0 to 2**44 - 1. With `seed` and `ids` it is the whole state of the random numbers.
    device : str
        ``"cpu"``.
    """

    def __init__(
        self,
        system: System,
        *,
        positions: FloatArray,
        images: IntArray,
        species: IntArray,
        velocities: FloatArray | None,
        beta: FloatArray,
        energy: FloatArray,
        ids: npt.NDArray[np.int64],
        move_size: FloatArray,
        seed: int,
        step: int,
        device: str = "cpu",
    ) -> None:
        """Take complete fields as they are and validate them; see `from_arrays` for a constructor with defaults."""
        self.system = system
        self.positions = positions
        self.images = images
        self.species = species
        self.velocities = velocities
        self.beta = beta
        self.energy = energy
        self.ids = ids
        self.move_size = move_size
        self.seed = seed
        self.step = step
        self.device = device
        self.validate()

    # -------------------------------------------------------------------------------------------------------- constructors

    @classmethod
    def random(cls, system: System, replicas: int, temperature: npt.ArrayLike, seed: int, device: str = "cpu") -> Ensemble:
        """Start from random positions without overlaps, each replica its own.

        Parameters
        ----------
        system : System
        replicas : int
            Number of replicas R, at least 1.
        temperature : float or (R,) array, epsilon
            Positive and finite.
        seed : int
            From 0 to 2**64 - 1. The start of a replica depends on `seed` and its id only.
        device : str
            ``"cpu"``.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        RuntimeError
            If `device` cannot be used.
        """
        _check_system(system)
        count = _check.positive_int("replicas", replicas)
        temperatures = per_replica("temperature", temperature, count)
        number = _check.integer("seed", seed, 0, _MAX_SEED)
        _check_device(device)
        from ._random_start import random_start

        ids = np.arange(count, dtype=np.int64)
        positions, species = random_start(system, ids, number)
        return cls.from_arrays(system, positions, species=species, temperature=temperatures, seed=number, ids=ids)

    @classmethod
    def from_arrays(
        cls,
        system: System,
        positions: npt.ArrayLike,
        *,
        species: npt.ArrayLike | None = None,
        images: npt.ArrayLike | None = None,
        velocities: npt.ArrayLike | None = None,
        temperature: npt.ArrayLike,
        seed: int,
        step: int = 0,
        ids: npt.ArrayLike | None = None,
        move_size: npt.ArrayLike | None = None,
    ) -> Ensemble:
        """Build an ensemble from copies of given arrays; energies are computed.

        Parameters
        ----------
        system : System
        positions : (R, N, d), sigma
            Any finite coordinates: they are wrapped into [0, box) and the crossings are added to `images`. Arrays must be
            float64; nested lists of numbers are converted.
        species : (R, N) or (N,) integers, optional
            Default: the order of ``system.species`` in every replica. The composition must be that of the system.
        images : (R, N, d) integers, optional
            Default 0.
        velocities : (R, N, d), sigma/tau, optional
            float64 or nested lists.
        temperature : float or (R,) array, epsilon
            Positive and finite.
        seed, step, ids : int, int, (R,) integers, default 0 ... R-1
        move_size : float or (R,) array, sigma, optional
            Default 0.1.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        """
        _check_system(system)
        coordinates = _float64("positions", positions, (None, system.n, system.dimension))
        replicas = _count_replicas(coordinates)
        wrapped, crossings = wrap_positions(coordinates, system.box)
        if images is not None:
            crossings += _check.int_array("images", images, coordinates.shape, dtype=np.int32)
        ensemble = cls(
            system,
            positions=wrapped,
            images=_check.int_array("images", crossings, dtype=np.int32),
            species=_every_replica(system, system.species if species is None else species, replicas),
            velocities=None if velocities is None else _float64("velocities", velocities, coordinates.shape).copy(),
            beta=1.0 / per_replica("temperature", temperature, replicas),
            energy=np.zeros(replicas),
            ids=_check_ids(np.arange(replicas) if ids is None else ids, replicas).copy(),
            move_size=per_replica("move_size", _DEFAULT_MOVE_SIZE if move_size is None else move_size, replicas).copy(),
            seed=seed,
            step=step,
        )
        ensemble.update_energy()
        return ensemble

    @classmethod
    def concatenate(cls, ensembles: Sequence[Ensemble]) -> Ensemble:
        """Join ensembles of the same system, seed, step and device along the replicas, in the order given.

        Raises
        ------
        ValueError
            If the list is empty, the ensembles differ in one of these, two replicas share an id, or only some have velocities.
        """
        parts = list(ensembles)
        if not parts:
            raise ValueError("ensembles: expected at least one ensemble, got an empty list")
        for place, part in enumerate(parts):
            if not isinstance(part, Ensemble):
                raise TypeError(f"ensembles[{place}]: expected an Ensemble, got {type(part).__name__}")
            for name in ("system", "seed", "step", "device"):
                if getattr(part, name) != getattr(parts[0], name):
                    expected, given = getattr(parts[0], name), getattr(part, name)
                    raise ValueError(f"ensembles[{place}].{name}: expected {expected!r} of the first ensemble, got {given!r}")
            if (part.velocities is None) != (parts[0].velocities is None):
                raise ValueError(f"ensembles[{place}].velocities: expected velocities in all ensembles or in none")
        first = parts[0]
        arrays = {name: [getattr(part, name) for part in parts] for name in _ARRAYS}
        joined: dict[str, Any] = {
            name: None if values[0] is None else np.concatenate(values) for name, values in arrays.items()
        }
        return cls(first.system, **joined, seed=first.seed, step=first.step, device=first.device)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ensemble:
        """Read an ensemble from an HDF5 file that `save` or ``glassnf sample`` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        glassnf.io.FileFormatError
            If the file is truncated, foreign, of another version or inconsistent.
        """
        from .io.hdf5 import load_ensemble

        return load_ensemble(path)

    # ---------------------------------------------------------------------------------------------------------- properties

    @property
    def replicas(self) -> int:
        """Number of replicas, R."""
        return int(self.positions.shape[0])

    @property
    def n(self) -> int:
        """Number of particles of one replica, N."""
        return int(self.system.n)

    @property
    def temperature(self) -> FloatArray:
        """Temperature of each replica, (R,) float64 in epsilon; infinite where beta is 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.beta, dtype=np.float64)

    def unwrapped(self) -> FloatArray:
        """Return the coordinates without periodic wrapping, (R, N, d) float64 in sigma."""
        return np.asarray(self.positions + self.images * self.system.box, dtype=np.float64)

    def __len__(self) -> int:
        return self.replicas

    def __iter__(self) -> Iterator[Ensemble]:
        return (self[place] for place in range(self.replicas))

    def __repr__(self) -> str:
        temperatures = self.temperature
        low, high = float(temperatures.min()), float(temperatures.max())
        text = f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"
        return (
            f"Ensemble({self.system.name}, N={self.n}, d={self.system.dimension}, replicas={self.replicas}, T={text}, "
            f"seed={self.seed}, step={self.step}, device={self.device!r})"
        )

    def __str__(self) -> str:
        temperatures = self.temperature
        per_particle = self.energy / self.n
        rows = [
            ("system", f"{self.system.name}, N = {self.n}, d = {self.system.dimension}, density {self.system.density:.6g}"),
            ("replicas", f"{self.replicas}"),
            ("temperature", _span(temperatures)),
            ("energy/N", _span(per_particle)),
            ("move size", _span(self.move_size)),
            ("velocities", "no" if self.velocities is None else "yes"),
            ("step", f"{self.step}"),
            ("seed", f"{self.seed}"),
            ("device", self.device),
        ]
        return "\n".join(["Ensemble", *(f"  {name:<12} {value}" for name, value in rows)])

    # ------------------------------------------------------------------------------------------------------------- methods

    def validate(self) -> None:
        """Check every field, and replace it by a contiguous array of the right type where it fits but for that.

        Raises
        ------
        TypeError, ValueError
            If a field is not as the class describes; the message names it, what was expected and what was found.
        """
        _check_system(self.system)
        n, d = self.system.n, self.system.dimension
        _check_device(self.device)
        positions = _float64("positions", self.positions, (None, n, d))
        replicas = _count_replicas(positions)
        _check_wrapped(self.system, positions)
        species = _check.int_array(
            "species", self.species, (replicas, n), low=0, high=self.system.n_species - 1, dtype=np.int32
        )
        _check_composition(self.system, species)
        self.seed = _check.integer("seed", self.seed, 0, _MAX_SEED)
        self.step = _check.integer("step", self.step, 0, MAX_STEP)
        beta = _check.float_array("beta", self.beta, (replicas,))
        if (beta < 0.0).any():
            replica = int(np.flatnonzero(beta < 0.0)[0])
            raise ValueError(f"beta: expected non-negative numbers, got {beta[replica]} for replica {replica}")
        self.positions = _writable(positions)
        self.images = _writable(_check.int_array("images", self.images, (replicas, n, d), dtype=np.int32))
        self.species = _writable(species)
        if self.velocities is not None:
            self.velocities = _writable(_float64("velocities", self.velocities, (replicas, n, d)))
        self.beta = _writable(beta)
        self.energy = _writable(_check.float_array("energy", self.energy, (replicas,)))
        self.ids = _writable(_check_ids(self.ids, replicas))
        self.move_size = _writable(
            per_replica("move_size", _check.float_array("move_size", self.move_size, (replicas,)), replicas)
        )

    def wrap(self) -> None:
        """Fold `positions` into [0, box) and add the crossings to `images`; unwrapped coordinates stay the same.

        Raises
        ------
        TypeError, ValueError
            If a coordinate is not finite or has left the range of `images`.
        """
        positions = _float64("positions", self.positions, (None, self.system.n, self.system.dimension))
        wrapped, crossings = wrap_positions(positions, self.system.box)
        images = _check.int_array("images", self.images, positions.shape, dtype=np.int32)
        self.images = _check.int_array("images", crossings + images, dtype=np.int32)
        self.positions = wrapped

    def update_energy(self) -> None:
        """Compute `energy` from positions and species."""
        from .energy import energy

        self.energy = np.asarray(energy(self.system, self.positions, self.species), dtype=np.float64)

    def copy(self) -> Ensemble:
        """Return an ensemble with arrays of its own; the immutable system is shared."""
        return self._with_replicas(slice(None))

    def __copy__(self) -> Ensemble:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Ensemble:
        return self.copy()

    def __getitem__(self, index: object) -> Ensemble:
        """Return copies of the chosen replicas, with their ids.

        Parameters
        ----------
        index : int, slice, (K,) integers or (R,) booleans
            The replicas must be distinct, because ids are.

        Raises
        ------
        IndexError
            If a replica does not exist.
        TypeError, ValueError
            If `index` is none of these, chooses nothing, or chooses a replica twice.
        """
        if isinstance(index, slice):
            return self._with_replicas(index)
        array = np.asarray(index)
        if array.dtype.kind == "b":
            _check.array_shape("index", array, (self.replicas,))
            return self._with_replicas(np.flatnonzero(array))
        chosen = np.atleast_1d(_check.int_array("index", index))
        _check.array_shape("index", chosen, (None,))
        outside = (chosen < -self.replicas) | (chosen >= self.replicas)
        if outside.any():
            raise IndexError(f"index: expected replicas from 0 to {self.replicas - 1}, got {chosen[outside][0]}")
        chosen = chosen % self.replicas
        if np.unique(chosen).size < chosen.size:
            raise ValueError("index: expected distinct replicas, got one more than once")
        return self._with_replicas(chosen)

    def _with_replicas(self, index: slice | npt.NDArray[np.int64]) -> Ensemble:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        chosen: dict[str, Any] = {
            name: None if value is None else np.array(value[index], order="C") for name, value in arrays.items()
        }
        if len(chosen["positions"]) == 0:
            raise ValueError(f"index: expected at least one of the {self.replicas} replicas, got none")
        return Ensemble(self.system, **chosen, seed=self.seed, step=self.step, device=self.device)

    def to(self, device: str) -> Ensemble:
        """Return the ensemble on `device`: itself where it is there already.

        Raises
        ------
        RuntimeError
            If `device` is ``"cuda"`` and no CUDA device can be used; the message says why.
        TypeError, ValueError
            If `device` is not a known name.
        """
        _check_device(device)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ensemble to an HDF5 file, replacing an old one atomically; `load` restores it bit for bit."""
        from .io.hdf5 import save_ensemble

        save_ensemble(path, self)

    def identical_to(self, other: object) -> bool:
        """Return whether every field of `other` is the same, bit for bit."""
        if not isinstance(other, Ensemble):
            return False
        if any(getattr(self, name) != getattr(other, name) for name in ("system", "seed", "step", "device")):
            return False
        for name in _ARRAYS:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is None or theirs is None:
                if mine is not theirs:
                    return False
            elif mine.shape != theirs.shape or mine.dtype != theirs.dtype or mine.tobytes() != theirs.tobytes():
                return False
        return True


def _check_system(system: object) -> None:
    if not isinstance(system, System):
        raise TypeError(f"system: expected a glassnf System, got {_check.describe(system)} ({type(system).__name__})")


def _span(values: FloatArray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
