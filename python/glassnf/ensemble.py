"""The state that every sampler advances: a batch of replicas of one system.

Units are reduced Lennard-Jones units with mass 1 and k_B = 1: lengths in sigma, energies in epsilon, times in tau.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _check, _core, cuda
from ._arrays import HOST, Device
from ._exclusive import Turn, exclusive
from .systems import System

__all__ = ["MAX_ID", "MAX_STEP", "Ensemble", "wrap_positions"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

MAX_ID = 2**40 - 1
"""Largest replica id: ids take 40 bits of the counter of the random numbers."""

MAX_STEP = 2**44 - 1
"""Largest step: steps take 44 bits of the counter of the random numbers."""

_MAX_SEED = 2**64 - 1
_MAX_IMAGE = 2**30  # half the range of images: no run between two checks comes that far, and kernels need not look
_DEFAULT_MOVE_SIZE = 0.1
_COLDEST = 1e-300  # its inverse is finite, and so are products of that with reasonable energies
_ARRAYS = ("positions", "images", "species", "velocities", "beta", "energy", "ids", "move_size")


def wrap_positions(positions: FloatArray, box: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Fold coordinates into [0, box) and count the box lengths taken off.

    Each coordinate x becomes x - L floor(x / L). A result that rounding leaves outside is brought back by one more L, and
    one that rounds to L itself becomes 0 of the next image. Coordinates already inside are returned bit for bit.

    Parameters
    ----------
    positions : (..., d) float64, sigma
        In host memory or, as a CuPy array, on the current GPU; the results are where it is, with the same bits.
    box : (d,) float64, sigma
        In host memory.

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
    given: object = positions
    if not (isinstance(given, np.ndarray) or _arrays.on_gpu(given)):
        raise TypeError(f"positions: expected an array, got {_check.describe(positions)}")
    if positions.dtype != np.float64 or positions.ndim == 0:
        raise TypeError(f"positions: expected an array of type float64, got {positions.ndim} axes of {positions.dtype}")
    xp = _arrays.namespace(positions)
    lengths = _check.float_array("box", box, (positions.shape[-1],))
    if not (lengths > 0.0).all():
        raise ValueError(f"box: expected positive sides, got {lengths.tolist()}")
    sides = xp.asarray(lengths)
    with np.errstate(over="ignore"):
        cells = xp.floor(positions / sides)
    near = xp.abs(cells) < 2.0**31
    if not near.all():
        place = _check.first_place(~near)
        found = f"got {float(positions[place])!r} at index {place}"
        raise ValueError(f"positions: expected coordinates within 2**31 box lengths, {found}")
    wrapped, crossings = _arrays.fold(positions, sides, cells)
    return wrapped, crossings.astype(np.int64)


def _float64(name: str, value: object, shape: Sequence[int | None], device: Device) -> FloatArray:
    """Return finite coordinates as float64; an array of another type is an error, nested lists of numbers are converted."""
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and not (dtype.kind == "f" and dtype.itemsize == 8):
        raise TypeError(f"{name}: expected an array of type float64, got type {dtype}")
    return _check.float_array(name, value, shape, device=device)


def _check_wrapped(system: System, positions: FloatArray) -> None:
    outside = (positions < 0.0) | (positions >= _arrays.put(system.box, positions))
    if outside.any():
        place = _check.first_place(outside)
        found = f"got {float(positions[place])!r} at index {place} (wrap() folds it back)"
        raise ValueError(f"positions: expected coordinates in [0, {float(system.box[place[-1]])!r}), {found}")


def _check_composition(system: System, species: IntArray) -> None:
    xp = _arrays.namespace(species)
    expected = np.asarray(system.composition, dtype=np.int64)
    replicas, kinds = species.shape[0], system.n_species
    keys = species.astype(np.int64) + kinds * xp.arange(replicas, dtype=np.int64)[:, None]
    counts = xp.bincount(keys.ravel(), minlength=replicas * kinds).reshape(replicas, kinds)
    wrong = counts != xp.asarray(expected)
    if wrong.any():
        replica, _ = _check.first_place(wrong)
        found = tuple(_arrays.to_host(counts[replica]).tolist())
        raise ValueError(
            f"species: expected the composition {tuple(expected.tolist())} of the system, got {found} in replica {replica}"
        )


def _every_replica(system: System, species: npt.ArrayLike, replicas: int, device: Device) -> IntArray:
    """Return a new (R, N) array from species given as (R, N) or, for all replicas alike, as (N,)."""
    kinds: IntArray = _check.int_array("species", species, low=0, high=system.n_species - 1, dtype=np.int32, device=device)
    if kinds.ndim == 1:
        _check.array_shape("species", kinds, (system.n,))
        tiled: IntArray = device.xp.tile(kinds, (replicas, 1))
        return tiled
    _check.array_shape("species", kinds, (replicas, system.n))
    return kinds.copy()


def _count_replicas(positions: FloatArray) -> int:
    if positions.shape[0] == 0:
        raise ValueError(f"positions: expected at least one replica, got shape {positions.shape}")
    return int(positions.shape[0])


def _check_ids(ids: object, replicas: int, device: Device) -> npt.NDArray[np.int64]:
    checked: npt.NDArray[np.int64] = _check.int_array("ids", ids, (replicas,), low=0, high=MAX_ID, device=device)
    ordered = device.xp.sort(checked)
    repeated = ordered[1:] == ordered[:-1]
    if repeated.any():
        raise ValueError(f"ids: expected distinct numbers, got {int(ordered[_check.first_place(repeated)])} more than once")
    return checked


def per_replica(name: str, value: object, replicas: int, device: Device = HOST) -> FloatArray:
    """Return a scalar or (R,) argument as a (R,) array of positive finite numbers."""
    array = _check.float_array(name, value, device=device)
    if array.ndim == 0:
        array = device.xp.full(replicas, float(array))
    _check.array_shape(name, array, (replicas,))
    if not (array > 0.0).all():
        (place,) = _check.first_place(~(array > 0.0))
        raise ValueError(f"{name}: expected positive numbers, got {float(array[place])!r} for replica {place}")
    return array


def inverse(name: str, temperatures: FloatArray) -> FloatArray:
    """Return 1 / T for positive temperatures; ValueError where that is not finite."""
    if (temperatures < _COLDEST).any():
        (place,) = _check.first_place(temperatures < _COLDEST)
        raise ValueError(
            f"{name}: expected numbers with a finite inverse, got {float(temperatures[place])!r} for replica {place}"
        )
    return 1.0 / temperatures


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
        Box crossings, from -2**30 to 2**30; unwrapped coordinates are ``positions + images * box``.
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
        ``"cpu"``: the fields are NumPy arrays. ``"cuda:0"``, ``"cuda:1"``, ...: CuPy arrays on this GPU, and all methods work
        there, on CuPy's current stream of it. Fields may be set to arrays in host memory, which the next `validate` moves.
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
        """Take complete fields as they are and validate them; see `from_arrays` for a constructor with defaults.

        Fields that are not on `device` are moved there.
        """
        self._turn = Turn("ensemble")
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
            ``"cpu"``, ``"cuda"`` for the current CUDA device, or ``"cuda:K"``. The replicas are made on the CPU and moved
            there, so that they are the same on all devices.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.cuda.CudaError
            If `device` cannot be used, or has not the memory.
        ImportError
            If `device` is a CUDA device and CuPy is not installed.
        """
        return random_ensemble(system, replicas, temperature, seed, device, kind=cls)

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
        device: str | None = None,
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
        device : str, optional
            Where the ensemble is to be, as in `random`. Default: where `positions` are. The other arrays may be in host memory
            or there.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        glassnf.cuda.CudaError, ImportError
            As for `random`.
        """
        _check_system(system)
        if device is None:
            place = _arrays.device_of(_arrays.native("positions", positions)) if _arrays.on_gpu(positions) else HOST
            device = place.name
        place = cuda.find_device(device)
        with place.current(), _arrays.out_of_memory("these replicas"):
            coordinates = _float64("positions", positions, (None, system.n, system.dimension), place)
            replicas = _count_replicas(coordinates)
            wrapped, crossings = wrap_positions(coordinates, system.box)
            if images is not None:
                given = _check.int_array("images", images, coordinates.shape, dtype=np.int32, device=place)
                crossings = crossings + given
            if velocities is not None:
                velocities = _float64("velocities", velocities, coordinates.shape, place).copy()
            ensemble = cls(
                system,
                positions=wrapped,
                images=_check.int_array("images", crossings, dtype=np.int32, device=place),
                species=_every_replica(system, system.species if species is None else species, replicas, place),
                velocities=velocities,
                beta=inverse("temperature", per_replica("temperature", temperature, replicas, place)),
                energy=place.xp.zeros(replicas),
                ids=_check_ids(np.arange(replicas) if ids is None else ids, replicas, place).copy(),
                move_size=per_replica(
                    "move_size", _DEFAULT_MOVE_SIZE if move_size is None else move_size, replicas, place
                ).copy(),
                seed=seed,
                step=step,
                device=place.name,
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
        given: object = ensembles
        if isinstance(given, (Ensemble, np.ndarray)) or not isinstance(given, Iterable):
            raise TypeError(f"ensembles: expected a list of ensembles, got {_check.describe(given)}")
        parts = list(ensembles)
        if not parts:
            raise ValueError("ensembles: expected at least one ensemble, got an empty list")
        for place, part in enumerate(parts):
            if not isinstance(part, Ensemble):
                raise TypeError(f"ensembles[{place}]: expected an Ensemble, got {type(part).__name__}")
            part.validate()
            for name in ("system", "seed", "step", "device"):
                if getattr(part, name) != getattr(parts[0], name):
                    expected, given = getattr(parts[0], name), getattr(part, name)
                    raise ValueError(f"ensembles[{place}].{name}: expected {expected!r} of the first ensemble, got {given!r}")
            if (part.velocities is None) != (parts[0].velocities is None):
                raise ValueError(f"ensembles[{place}].velocities: expected velocities in all ensembles or in none")
        first = parts[0]
        arrays = {name: [getattr(part, name) for part in parts] for name in _ARRAYS}
        with first._place.current(), _arrays.out_of_memory("these replicas"):
            joined: dict[str, Any] = {
                name: None if values[0] is None else first._place.xp.concatenate(values) for name, values in arrays.items()
            }
        return cls(first.system, **joined, seed=first.seed, step=first.step, device=first.device)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "cpu") -> Ensemble:
        """Read an ensemble from an HDF5 file that `save` or ``glassnf sample`` wrote, on whatever device it was.

        Parameters
        ----------
        path : str or path
        device : str
            Where the ensemble is to be, as in `random`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        glassnf.io.FileFormatError
            If the file is truncated, foreign, of another version or inconsistent.
        glassnf.cuda.CudaError, ImportError
            As for `random`.
        """
        from .io.hdf5 import load_ensemble

        target = cuda.find_device(device)
        return load_ensemble(path).to(target.name)

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
    def _place(self) -> Device:
        return cuda.find_device(self.device)

    @property
    def temperature(self) -> FloatArray:
        """Temperature of each replica, (R,) float64 in epsilon; infinite where beta is 0."""
        with self._place.current(), np.errstate(divide="ignore"):
            result: FloatArray = self._place.xp.asarray(1.0 / self.beta, dtype=np.float64)
        return result

    def unwrapped(self) -> FloatArray:
        """Return the coordinates without periodic wrapping, (R, N, d) float64 in sigma."""
        with self._place.current(), _arrays.out_of_memory("these coordinates"):
            box = _arrays.put(self.system.box, self.positions)
            result: FloatArray = self._place.xp.asarray(self.positions + self.images * box, dtype=np.float64)
        return result

    def __len__(self) -> int:
        return self.replicas

    def __iter__(self) -> Iterator[Ensemble]:
        return (self[place] for place in range(self.replicas))

    def __repr__(self) -> str:
        temperatures = _arrays.to_host(self.temperature)
        low, high = float(temperatures.min()), float(temperatures.max())
        text = f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"
        return (
            f"Ensemble({self.system.name}, N={self.n}, d={self.system.dimension}, replicas={self.replicas}, T={text}, "
            f"seed={self.seed}, step={self.step}, device={self.device!r})"
        )

    def __str__(self) -> str:
        temperatures = _arrays.to_host(self.temperature)
        per_particle = _arrays.to_host(self.energy) / self.n
        rows = [
            ("system", f"{self.system.name}, N = {self.n}, d = {self.system.dimension}, density {self.system.density:.6g}"),
            ("replicas", f"{self.replicas}"),
            ("temperature", _span(temperatures)),
            ("energy/N", _span(per_particle)),
            ("move size", _span(_arrays.to_host(self.move_size))),
            ("velocities", "no" if self.velocities is None else "yes"),
            ("step", f"{self.step}"),
            ("seed", f"{self.seed}"),
            ("device", self.device),
        ]
        return "\n".join(["Ensemble", *(f"  {name:<12} {value}" for name, value in rows)])

    # ------------------------------------------------------------------------------------------------------------- methods

    @exclusive("self", briefly=True)
    def validate(self) -> None:
        """Check every field, and replace it by a contiguous array of the right type where it fits but for that.

        On a CUDA device the checks run there, and fields in host memory are moved there; `device` becomes its full name.

        Raises
        ------
        TypeError, ValueError
            If a field is not as the class describes; the message names it, what was expected and what was found.
        glassnf.cuda.CudaError, ImportError
            If `device` cannot be used.
        """
        _check_system(self.system)
        place = self._place
        with place.current(), _arrays.out_of_memory("this ensemble"):
            self._validate(place)
        self.device = place.name

    def _validate(self, place: Device) -> None:
        n, d = self.system.n, self.system.dimension
        positions = _float64("positions", self.positions, (None, n, d), place)
        replicas = _count_replicas(positions)
        _check_wrapped(self.system, positions)
        species = _check.int_array(
            "species", self.species, (replicas, n), low=0, high=self.system.n_species - 1, dtype=np.int32, device=place
        )
        _check_composition(self.system, species)
        self.seed = _check.integer("seed", self.seed, 0, _MAX_SEED)
        self.step = _check.integer("step", self.step, 0, MAX_STEP)
        beta = _check.float_array("beta", self.beta, (replicas,), device=place)
        if (beta < 0.0).any():
            (replica,) = _check.first_place(beta < 0.0)
            raise ValueError(f"beta: expected non-negative numbers, got {float(beta[replica])!r} for replica {replica}")
        writable = _arrays.writable
        self.positions = writable(positions)
        images = _check.int_array(
            "images", self.images, (replicas, n, d), low=-_MAX_IMAGE, high=_MAX_IMAGE, dtype=np.int32, device=place
        )
        self.images = writable(images)
        self.species = writable(species)
        if self.velocities is not None:
            self.velocities = writable(_float64("velocities", self.velocities, (replicas, n, d), place))
        self.beta = writable(beta)
        self.energy = writable(_check.float_array("energy", self.energy, (replicas,), device=place))
        self.ids = writable(_check_ids(self.ids, replicas, place))
        move_size = _check.float_array("move_size", self.move_size, (replicas,), device=place)
        self.move_size = writable(per_replica("move_size", move_size, replicas, place))

    @exclusive("self", briefly=True)
    def wrap(self) -> None:
        """Fold `positions` into [0, box) and add the crossings to `images`; unwrapped coordinates stay the same.

        Raises
        ------
        TypeError, ValueError
            If a coordinate is not finite or has left the range of `images`.
        """
        place = self._place
        with place.current(), _arrays.out_of_memory("this ensemble"):
            positions = _float64("positions", self.positions, (None, self.system.n, self.system.dimension), place)
            wrapped, crossings = wrap_positions(positions, self.system.box)
            images = _check.int_array("images", self.images, positions.shape, dtype=np.int32, device=place)
            self.images = _check.int_array("images", crossings + images, dtype=np.int32, device=place)
            self.positions = wrapped

    @exclusive("self", briefly=True)
    def update_energy(self) -> None:
        """Compute `energy` from positions and species."""
        from .energy import energy

        self.energy = self._place.xp.asarray(energy(self.system, self.positions, self.species))

    @exclusive("self", briefly=True)
    def draw_velocities(self) -> None:
        """Draw `velocities` from the Maxwell-Boltzmann distribution of each replica's temperature, mass 1.

        The mean of each replica is taken off, so that the whole does not drift. The numbers depend on seed, step, ids and
        temperatures only, and are the same on all devices.

        Raises
        ------
        ValueError
            If a replica has beta = 0.
        """
        place = self._place
        with place.current(), _arrays.out_of_memory("this ensemble"):
            beta = _arrays.to_host(_check.float_array("beta", self.beta, (self.replicas,), device=place))
            if not (beta > 0.0).all():
                (replica,) = _check.first_place(~(beta > 0.0))
                raise ValueError(f"beta: expected positive numbers, got {float(beta[replica])!r} for replica {replica}")
            velocities = np.empty(self.positions.shape)
            temperature, ids = np.ascontiguousarray(1.0 / beta), np.ascontiguousarray(_arrays.to_host(self.ids))
            _core.maxwell_velocities(
                replicas=self.replicas,
                n=self.n,
                dimension=self.system.dimension,
                temperature=_arrays.address(temperature),
                ids=_arrays.address(ids),
                seed=self.seed,
                step=self.step,
                velocities=_arrays.address(velocities),
            )
            self.velocities = place.xp.asarray(velocities)

    def copy(self) -> Ensemble:
        """Return an ensemble with arrays of its own; the immutable system is shared."""
        return self._with_replicas(slice(None))

    def __copy__(self) -> Ensemble:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Ensemble:
        return self.copy()

    @exclusive("self", briefly=True)
    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, in host memory: pickles need no GPU, and are read where there is the same device."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        state = {name: None if value is None else _arrays.to_host(value) for name, value in arrays.items()}
        return {"system": self.system, **state, "seed": self.seed, "step": self.step, "device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Ensemble.__init__(self, **state)

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
        array = _arrays.to_host(index)
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

    @exclusive("self", briefly=True)
    def _with_replicas(self, index: slice | npt.NDArray[np.int64]) -> Ensemble:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        xp = self._place.xp
        with self._place.current(), _arrays.out_of_memory("these replicas"):
            where = index if isinstance(index, slice) else xp.asarray(index)
            chosen: dict[str, Any] = {
                name: None if value is None else xp.array(value[where], order="C") for name, value in arrays.items()
            }
        if len(chosen["positions"]) == 0:
            raise ValueError(f"index: expected at least one of the {self.replicas} replicas, got none")
        return Ensemble(self.system, **chosen, seed=self.seed, step=self.step, device=self.device)

    @exclusive("self", briefly=True)
    def to(self, device: str) -> Ensemble:
        """Return the ensemble on `device`: itself where it is there already, else a copy.

        Parameters
        ----------
        device : str
            ``"cpu"``, ``"cuda"`` for the current CUDA device, or ``"cuda:K"``.

        Raises
        ------
        glassnf.cuda.CudaError
            If it is a CUDA device that cannot be used, or has not the memory; the message says why.
        ImportError
            If it is a CUDA device and CuPy is not installed.
        TypeError, ValueError
            If it is not a known name, or there is no such device.
        """
        target = cuda.find_device(device)
        if target == self._place:
            return self
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with target.current(), _arrays.out_of_memory("this ensemble"):
            # By way of the host from one GPU to another: that waits for all work on the arrays.
            moved: dict[str, Any] = {
                name: None if value is None else target.xp.array(_arrays.to_host(value), order="C")
                for name, value in arrays.items()
            }
            return Ensemble(self.system, **moved, seed=self.seed, step=self.step, device=target.name)

    @exclusive("self", briefly=True)
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
            elif mine.dtype != theirs.dtype or mine.shape != theirs.shape or _bytes(mine) != _bytes(theirs):
                return False
        return True


def _check_system(system: object) -> None:
    if not isinstance(system, System):
        raise TypeError(f"system: expected a glassnf System, got {_check.describe(system)} ({type(system).__name__})")


def random_ensemble(
    system: System,
    replicas: int,
    temperature: npt.ArrayLike,
    seed: int,
    device: str = "cpu",
    *,
    units: int = 1,
    check: Callable[[], None] | None = None,
    kind: type[Ensemble] = Ensemble,
) -> Ensemble:
    """Do what `Ensemble.random` does, in steps between which it can be ended.

    Parameters
    ----------
    system, replicas, temperature, seed, device
        As there; replicas and temperatures are those of one unit.
    units
        How many times they are repeated, once it is known that all replicas fit into memory.
    check
        Called several times a second; what it raises ends the work.
    kind
        Class of the result.
    """
    _check_system(system)
    count = _check.positive_int("replicas", replicas)
    number = _check.integer("seed", seed, 0, _MAX_SEED)
    target = cuda.find_device(device)
    _check_memory(system, count * units, target)
    temperatures = np.tile(per_replica("temperature", temperature, count), units)
    from ._random_start import no_check, random_start

    ids = np.arange(temperatures.size, dtype=np.int64)
    positions, species = random_start(system, ids, number, no_check if check is None else check)
    start = kind.from_arrays(system, positions, species=species, temperature=temperatures, seed=number, ids=ids)
    return start.to(target.name)


def _check_memory(system: System, replicas: int, device: Device) -> None:
    """Raise at once, before the replicas are made in host memory, where they fit neither there nor into a CUDA device."""
    n, d = system.n, system.dimension
    if device.ordinal is not None:
        needed, total = replicas * (n * d * (8 + 4) + n * 4 + 4 * 8), cuda.memory(device.ordinal).total
        if needed > total:
            raise cuda.CudaOutOfMemoryError(
                f"replicas: expected as many as fit into {total / 2**30:.1f} GiB of memory of {device.name}, got {replicas}, "
                f"which need {needed / 2**30:.1f} GiB: use fewer replicas at once"
            )
    _check.fits_memory("replicas", replicas, 2 * replicas * n * d, "replicas")


def _bytes(array: npt.NDArray[Any]) -> bytes:
    return _arrays.to_host(array).tobytes()


def _span(values: FloatArray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
