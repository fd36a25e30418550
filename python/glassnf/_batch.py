"""Configurations as callers give them, checked and laid out for the kernels, and answers in the kind that was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _check, cuda
from .systems import System

__all__ = ["Batch", "answer", "as_batch", "checked_on_gpu", "wrapped"]

_FAR = 2.0**30  # box lengths beyond which coordinates are looked at one by one


@dataclass(frozen=True)
class Batch:
    """Checked configurations.

    Attributes
    ----------
    positions : (R, N, d) float64
        Wrapped. In host memory a NumPy array, on a GPU a torch tensor or a CuPy array.
    species : (R, N) int32
        Of the same library, on the same device.
    single : bool
        Whether the caller gave one configuration.
    torch : bool
        Whether the caller gave a torch tensor.
    """

    positions: Any
    species: Any
    single: bool = False
    torch: bool = False


def as_batch(system: System, positions: Any, species: Any) -> Batch:
    """Check configurations of a system and lay them out for the kernels.

    Parameters
    ----------
    system : System
    positions : (R, N, d) or (N, d), sigma
        Any finite coordinates; float64 if they are an array.
    species : (R, N), (N,) or None
        None: the order of ``system.species``.

    Raises
    ------
    TypeError, ValueError
        If a shape, type, device or value is not as above.
    CudaUnavailableError
        If `positions` are on a GPU and there is no usable CUDA backend.
    """
    if not isinstance(system, System):
        raise TypeError(f"system: expected a System, got {type(system).__name__}")
    gpu = _arrays.on_gpu(positions)
    if gpu:
        cuda.require("positions")
    array = _arrays.native("positions", positions)
    if isinstance(positions, np.ndarray) or _arrays.is_torch(array) or gpu:
        if array.dtype != np.float64 and _arrays.dtype_name(array) != "float64":
            raise TypeError(f"positions: expected an array of type float64, got type {_arrays.dtype_name(array)}")
    elif array.dtype.kind not in "fiu":
        raise TypeError(f"positions: expected numbers, got {_check.describe(positions)}")
    single = array.ndim == 2
    expected = f"(R, {system.n}, {system.dimension}) or ({system.n}, {system.dimension})"
    if array.ndim not in (2, 3) or tuple(array.shape[-2:]) != (system.n, system.dimension):
        raise ValueError(f"positions: expected shape {expected}, got {tuple(array.shape)}")
    kinds = _species_beside(array, species)
    if not gpu:
        return _host_batch(system, _arrays.to_host(array), system.species if kinds is None else kinds, single, array)
    with _arrays.guard(array), _arrays.out_of_memory("these configurations"):
        layout = _arrays.contiguous(array, "float64").reshape((-1, system.n, system.dimension))
        kinds = _arrays.put(system.species, layout) if kinds is None else kinds
        checked = checked_on_gpu(layout, kinds, system.box, system.n_species)
    return Batch(*checked, single, _arrays.is_torch(array))


def _host_batch(system: System, positions: npt.NDArray[Any], species: Any, single: bool, given: Any) -> Batch:
    layout = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, system.n, system.dimension)
    kinds = host_species(_arrays.to_host(species), layout.shape[0], system.n, system.n_species)
    return Batch(wrapped(layout, system.box), kinds, single, _arrays.is_torch(given))


def _species_beside(positions: Any, species: Any) -> Any:
    """Return species as an array in the memory where `positions` are; lists go there, arrays must be there already."""
    if species is None or (isinstance(species, np.ndarray) and isinstance(positions, np.ndarray)):
        return species
    kinds = _arrays.native("species", species)
    here, there = _arrays.device_of(positions), _arrays.device_of(kinds)
    given_as_array = isinstance(species, np.ndarray) or _arrays.is_torch(species) or _arrays.on_gpu(species)
    if here != there and given_as_array:
        raise ValueError(f"species: expected an array on {here.name}, where the positions are, got one on {there.name}")
    if here == there and here != _arrays.HOST:
        kinds = _arrays.beside(kinds, positions)
    elif here != there:
        _check_integers(kinds)
        with _arrays.guard(positions):
            kinds = _arrays.put(kinds, positions)
    return kinds


def _check_integers(species: Any) -> None:
    if isinstance(species, np.ndarray):
        integers = species.dtype.kind in "iu"
    else:
        integers = _arrays.dtype_name(species).startswith(("int", "uint"))
    if not integers:
        raise TypeError(f"species: expected integers, got type {_arrays.dtype_name(species)}")


def _check_shape(species: Any, replicas: int, n: int) -> None:
    if tuple(species.shape) not in ((n,), (replicas, n)):
        raise ValueError(f"species: expected shape ({replicas}, {n}) or ({n},), got {tuple(species.shape)}")


# ---- in host memory ----------------------------------------------------------------------------------------------------------


def wrapped(array: npt.NDArray[np.float64], box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return coordinates (R, N, d) inside the box; the array itself if they are there already."""
    # The first test is the quick one, and enough for square and cubic boxes.
    if not array.size or (array.min() >= 0.0 and (array.max() < box.min() or bool((array < box).all()))):
        return array
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"positions: expected finite coordinates, got {array[place]} at index {place}")
    from .ensemble import wrap_positions

    return np.ascontiguousarray(wrap_positions(array, box)[0])


def host_species(array: npt.NDArray[Any], replicas: int, n: int, n_species: int) -> npt.NDArray[np.int32]:
    """Return species given as (N,) or (R, N) integers in host memory as a (R, N) array."""
    _check_integers(array)
    _check_shape(array, replicas, n)
    if array.size and (array.min() < 0 or array.max() >= n_species):
        wrong = array[(array < 0) | (array >= n_species)].flat[0]
        raise ValueError(f"species: expected indices from 0 to {n_species - 1}, got {wrong}")
    return np.ascontiguousarray(np.broadcast_to(array, (replicas, n)), dtype=np.int32)


# ---- on a GPU ----------------------------------------------------------------------------------------------------------------


def checked_on_gpu(positions: Any, species: Any, box: npt.NDArray[np.float64], n_species: int) -> tuple[Any, Any]:
    """Check values of configurations on a GPU, and return positions in the box (R, N, d) and species (R, N) int32.

    The host waits for the GPU once, to see the extreme values of both arrays; everything else is queued. Where a value is not
    acceptable the arrays are copied to the host, and the checks there say which.

    Parameters
    ----------
    positions : (R, N, d) contiguous float64
        Torch tensor or CuPy array; call this under `_arrays.guard` of it.
    species : (N,) or (R, N) integers
        Of the same library, on the same device.
    box : (d,) in host memory
    n_species : int
    """
    replicas, n, _ = positions.shape
    _check_integers(species)
    _check_shape(species, replicas, n)
    if replicas > 0:
        if _arrays.dtype_name(species) != "int32":
            species = _arrays.contiguous(species, "int64")
        positions = _inside(positions, species, box, n_species)
    spread = _arrays.namespace(species).broadcast_to(species, (replicas, n))
    return positions, _arrays.contiguous(spread, "int32")


def _inside(positions: Any, species: Any, box: npt.NDArray[np.float64], n_species: int) -> Any:
    """Return checked positions in the box: themselves where they are there already."""
    cube = bool((box == box[0]).all())
    sides = None if cube else _arrays.put(box, positions)
    (low, high), (first, last), *scaled = _arrays.extremes(positions, species, *([] if cube else [positions / sides]))
    if not 0 <= first <= last < n_species:
        host_species(_arrays.to_host(species), positions.shape[0], positions.shape[1], n_species)
    # Division is correctly rounded, hence x / L < 1 exactly where x < L.
    if low >= 0.0 and (scaled[0][1] if scaled else high / float(box[0])) < 1.0:
        return positions
    if not max(-low, high) < _FAR * float(box.min()):  # so for NaN too
        return _arrays.put(wrapped(_arrays.to_host(positions), box), positions)
    if sides is None:
        sides = _arrays.put(box, positions)
    cells = _arrays.namespace(positions).floor(positions / sides)
    return _arrays.contiguous(_arrays.fold(positions, sides, cells)[0], "float64")


# ---- answers -----------------------------------------------------------------------------------------------------------------


def answer(batch: Batch, result: Any) -> Any:
    """Return a result (R, ...) in the kind and batching of the caller's positions."""
    if batch.single:
        result = result[0]
    if batch.torch and not _arrays.is_torch(result):
        import torch

        return (
            torch.from_numpy(np.ascontiguousarray(result)) if result.ndim else torch.tensor(float(result), dtype=torch.float64)
        )
    return result
