"""Potential energies, forces and virials of batches of configurations.

Energies of small boxes run over all pairs, those of boxes of three or more cells a side through a cell grid. Threads share out
the replicas, or the cells of one large replica; results do not depend on their number.

Differentiable: when torch positions require a gradient, `energy` goes through the registered operator ``glassnf::energy`` and
its gradient is minus the force (see `glassnf.torch_ops`).

Arrays on a GPU go to the CUDA kernels, on the caller's current stream of that GPU and without a copy, and so do the answers.
The host waits once, for the checks of the values; the kernels are still queued when a function returns, as torch's and CuPy's
own are.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy.typing as npt

from . import _arrays, _check, _core
from ._batch import Batch, answer, as_batch
from ._native import native_system, threads_of
from .systems import System

__all__ = ["PRECISIONS", "energy", "energy_and_forces", "forces", "pressure", "virial"]

PRECISIONS = ("float64", "mixed")
_HOTTEST = 1e300  # times the number of particles it is finite


def evaluate(
    system: System,
    batch: Batch,
    *,
    with_forces: bool = False,
    with_virial: bool = False,
    threads: int | None = None,
    precision: str = "float64",
) -> tuple[Any, Any, Any]:
    """Run the kernels on a checked batch: energy (R,), forces (R, N, d) or None, virial (R, d, d) or None."""
    mixed = is_mixed(precision, _arrays.device_of(batch.positions))
    count, native = threads_of(threads), native_system(system)
    replicas, n, d = batch.positions.shape
    with _arrays.guard(batch.positions), _arrays.out_of_memory("energies and forces"):
        u = _arrays.empty((replicas,), batch.positions)
        f = _arrays.empty((replicas, n, d), batch.positions) if with_forces else None
        w = _arrays.empty((replicas, d, d), batch.positions) if with_virial else None
        run_kernels(native, batch.positions, batch.species, u, f, w, threads=count, mixed=mixed)
    return u, f, w


def run_kernels(
    native: _core.System, positions: Any, species: Any, energy: Any, forces: Any, virial: Any, *, threads: int, mixed: bool
) -> None:
    """Fill energy, and forces and virial unless they are None, from arrays that have been checked and are all in one place."""
    device = _arrays.device_of(positions)
    arrays = {
        "positions": _arrays.address(positions),
        "species": _arrays.address(species),
        "energy": _arrays.address(energy),
        "forces": _arrays.address(forces),
        "virial": _arrays.address(virial),
    }
    replicas = int(positions.shape[0])
    if device.ordinal is None:
        _core.energy(native, replicas=replicas, **arrays, threads=threads)
    elif replicas > 0:
        stream = _arrays.stream_of(positions)
        _core.cuda_energy(native, replicas=replicas, **arrays, device=device.ordinal, stream=stream, mixed=mixed)


def is_mixed(precision: object, device: _arrays.Device) -> bool:
    """Return whether pair arithmetic is to be in single precision, which only a GPU does."""
    mixed = _check.choice("precision", precision, PRECISIONS) == "mixed"
    if mixed and device == _arrays.HOST:
        raise ValueError("precision: expected 'float64' for arrays on the CPU, got 'mixed', which only CUDA devices have")
    return mixed


def energy(
    system: System, positions: Any, species: Any = None, *, threads: int | None = None, precision: str = "float64"
) -> Any:
    """Potential energy of each configuration.

    Parameters
    ----------
    system : System
    positions : (R, N, d) or (N, d) float64, sigma
        NumPy array, nested lists, torch tensor (CPU or CUDA), CuPy array, or another array with ``__cuda_array_interface__``
        (which is answered with CuPy arrays). Coordinates need not be wrapped.
    species : (R, N) or (N,) integers, optional
        In the same memory as `positions`. Default: the order of ``system.species``.
    threads : int, optional
        Of the CPU. Default: environment variable GLASSNF_THREADS, else all processors.
    precision : {"float64", "mixed"}
        Mixed: pair distances, energies and forces in single precision, their sums in double; on a GPU only.

    Returns
    -------
    (R,) float64, or a scalar for one configuration, epsilon
        In the kind of `positions`, on their device.

    Raises
    ------
    TypeError, ValueError
        If a shape, type, device or value is not as above, or a coordinate is not finite.
    glassnf.cuda.CudaError
        If the arrays are on a GPU and it cannot be used, or its memory is full.
    """
    if _arrays.is_torch(positions) and positions.requires_grad:
        from . import torch_ops

        return torch_ops.energy(system, positions, species, threads=threads, precision=precision)
    batch = as_batch(system, positions, species)
    return answer(batch, evaluate(system, batch, threads=threads, precision=precision)[0])


def forces(
    system: System, positions: Any, species: Any = None, *, threads: int | None = None, precision: str = "float64"
) -> Any:
    """Force on every particle, minus the gradient of the energy: (R, N, d) or (N, d), epsilon/sigma. Arguments as `energy`."""
    return energy_and_forces(system, positions, species, threads=threads, precision=precision)[1]


def energy_and_forces(
    system: System, positions: Any, species: Any = None, *, threads: int | None = None, precision: str = "float64"
) -> tuple[Any, Any]:
    """Energies (R,) and forces (R, N, d) in one pass. Arguments and errors as `energy`."""
    batch = as_batch(system, positions, species)
    u, f, _ = evaluate(system, batch, with_forces=True, threads=threads, precision=precision)
    return answer(batch, u), answer(batch, f)


def virial(
    system: System, positions: Any, species: Any = None, *, threads: int | None = None, precision: str = "float64"
) -> Any:
    """Virial tensor W_ab = sum over pairs of r_a F_b (R, d, d), epsilon; r and F from one particle of the pair to the other.

    The pressure tensor is (N k_B T I + W) / V (Irving and Kirkwood 1950, pair forces). Arguments and errors as `energy`.
    """
    batch = as_batch(system, positions, species)
    return answer(batch, evaluate(system, batch, with_virial=True, threads=threads, precision=precision)[2])


def pressure(
    system: System,
    positions: Any,
    species: Any = None,
    *,
    temperature: npt.ArrayLike,
    threads: int | None = None,
    precision: str = "float64",
) -> Any:
    """Instantaneous pressure of each configuration, (N T + tr W / d) / V, with the ideal part at `temperature`.

    Parameters
    ----------
    temperature : float or (R,), epsilon
        Positive.

    Returns
    -------
    (R,) or a scalar, epsilon/sigma^d
    """
    kinetic = _check.float_array("temperature", temperature)
    if not ((kinetic > 0.0) & (kinetic <= _HOTTEST)).all():
        raise ValueError(f"temperature: expected positive numbers of at most {_HOTTEST:g}, got {_check.describe(temperature)}")
    batch = as_batch(system, positions, species)
    replicas = int(batch.positions.shape[0])
    if kinetic.shape not in ((), (replicas,)):
        raise ValueError(f"temperature: expected a number or shape ({replicas},), got {kinetic.shape}")
    _, _, w = evaluate(system, batch, with_virial=True, threads=threads, precision=precision)
    with _arrays.guard(w):
        ideal = system.n * kinetic
        trace = functools.reduce(operator.add, (w[:, k, k] for k in range(system.dimension)))
        result = (_arrays.put(ideal, w) if ideal.ndim else float(ideal)) + trace / system.dimension
        return answer(batch, result / system.volume)
