"""The one place that knows about array libraries.

Functions of the energy backend take NumPy arrays, torch CPU tensors, or nested lists, without a copy where the type and layout
are already right, and answer in the kind they were given. Kernels receive addresses; everything is checked here first, because
the address of a non-contiguous array, or of one with another type, silently reads garbage.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _check
from .systems import System

__all__ = ["Batch", "address", "answer", "as_batch", "is_torch", "wrapped"]


def is_torch(value: object) -> bool:
    """Whether `value` is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def address(array: npt.NDArray[Any] | None) -> int:
    """Return the address of a C-contiguous array, 0 for None."""
    if array is None:
        return 0
    if not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous array, got strides {array.strides} for shape {array.shape}")
    return int(array.ctypes.data)


def to_numpy(name: str, value: Any) -> npt.NDArray[Any]:
    """Return a NumPy view (or, for lists, a new array) of an array argument."""
    if is_torch(value):
        if value.device.type != "cpu":
            raise ValueError(f"{name}: expected a tensor on the CPU, got one on {value.device}")
        view: npt.NDArray[Any] = value.detach().numpy()
        return view
    if not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__"):
        raise ValueError(f"{name}: expected an array in host memory, got {type(value).__name__} in device memory")
    if isinstance(value, np.ndarray):
        return value
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name}: expected an array of numbers, got {_check.describe(value)} ({error})") from None


@dataclass(frozen=True)
class Batch:
    """Checked positions (R, N, d) float64, wrapped, and species (R, N) int32; `single` if the caller gave one configuration."""

    positions: npt.NDArray[np.float64]
    species: npt.NDArray[np.int32]
    single: bool
    torch: bool


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
        If a shape, type or value is not as above.
    """
    if not isinstance(system, System):
        raise TypeError(f"system: expected a System, got {type(system).__name__}")
    array = to_numpy("positions", positions)
    if isinstance(positions, np.ndarray) or is_torch(positions):
        if array.dtype != np.float64:
            raise TypeError(f"positions: expected an array of type float64, got type {array.dtype}")
    elif array.dtype.kind not in "fiu":
        raise TypeError(f"positions: expected numbers, got {_check.describe(positions)}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    single = array.ndim == 2
    expected = f"(R, {system.n}, {system.dimension}) or ({system.n}, {system.dimension})"
    if array.ndim not in (2, 3) or array.shape[-2:] != (system.n, system.dimension):
        raise ValueError(f"positions: expected shape {expected}, got {array.shape}")
    array = array.reshape(-1, system.n, system.dimension)
    return Batch(wrapped(array, system.box), _species(system, species, array.shape[0]), single, is_torch(positions))


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


def _species(system: System, species: Any, replicas: int) -> npt.NDArray[np.int32]:
    array = system.species if species is None else to_numpy("species", species)
    if array.dtype.kind not in "iu":
        raise TypeError(f"species: expected integers, got type {array.dtype}")
    if array.shape not in ((system.n,), (replicas, system.n)):
        raise ValueError(f"species: expected shape ({replicas}, {system.n}) or ({system.n},), got {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= system.n_species):
        wrong = array[(array < 0) | (array >= system.n_species)].flat[0]
        raise ValueError(f"species: expected indices from 0 to {system.n_species - 1}, got {wrong}")
    return np.ascontiguousarray(np.broadcast_to(array, (replicas, system.n)), dtype=np.int32)


def answer(batch: Batch, result: npt.NDArray[np.float64]) -> Any:
    """Return a result (R, ...) in the kind and batching of the caller's positions."""
    if batch.single:
        result = result[0]
    if batch.torch:
        import torch

        return (
            torch.from_numpy(np.ascontiguousarray(result)) if result.ndim else torch.tensor(float(result), dtype=torch.float64)
        )
    return result
