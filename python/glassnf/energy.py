"""Potential energies, forces and virials of batches of configurations.

Energies of small boxes run over all pairs, those of boxes of three or more cells a side through a cell grid. Threads share out
the replicas, or the cells of one large replica; results do not depend on their number.

Differentiable: when torch positions require a gradient, `energy` goes through the registered operator ``glassnf::energy`` and
its gradient is minus the force (see `glassnf.torch_ops`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _check, _core
from ._native import native_system, threads_of
from .systems import System

__all__ = ["energy", "energy_and_forces", "forces", "pressure", "virial"]


def evaluate(
    system: System, batch: _arrays.Batch, *, with_forces: bool = False, with_virial: bool = False, threads: int | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None]:
    """Run the kernels on a checked batch: energy (R,), forces (R, N, d) or None, virial (R, d, d) or None."""
    replicas, n, d = batch.positions.shape
    u = np.empty(replicas)
    f = np.empty((replicas, n, d)) if with_forces else None
    w = np.empty((replicas, d, d)) if with_virial else None
    _core.energy(
        native_system(system),
        replicas=replicas,
        positions=_arrays.address(batch.positions),
        species=_arrays.address(batch.species),
        energy=_arrays.address(u),
        forces=_arrays.address(f),
        virial=_arrays.address(w),
        threads=threads_of(threads),
    )
    return u, f, w


def energy(system: System, positions: Any, species: Any = None, *, threads: int | None = None) -> Any:
    """Potential energy of each configuration.

    Parameters
    ----------
    system : System
    positions : (R, N, d) or (N, d) float64, sigma
        NumPy array, torch CPU tensor or nested lists. Coordinates need not be wrapped.
    species : (R, N) or (N,) integers, optional
        Default: the order of ``system.species``.
    threads : int, optional
        Default: environment variable GLASSNF_THREADS, else all processors.

    Returns
    -------
    (R,) float64, or a scalar for one configuration, epsilon
        In the kind of `positions`.

    Raises
    ------
    TypeError, ValueError
        If a shape, type or value is not as above, or a coordinate is not finite.
    """
    if _arrays.is_torch(positions) and positions.requires_grad:
        from . import torch_ops

        return torch_ops.energy(system, positions, species, threads=threads)
    batch = _arrays.as_batch(system, positions, species)
    return _arrays.answer(batch, evaluate(system, batch, threads=threads)[0])


def forces(system: System, positions: Any, species: Any = None, *, threads: int | None = None) -> Any:
    """Force on every particle, minus the gradient of the energy: (R, N, d) or (N, d), epsilon/sigma. Arguments as `energy`."""
    return energy_and_forces(system, positions, species, threads=threads)[1]


def energy_and_forces(system: System, positions: Any, species: Any = None, *, threads: int | None = None) -> tuple[Any, Any]:
    """Energies (R,) and forces (R, N, d) in one pass. Arguments and errors as `energy`."""
    batch = _arrays.as_batch(system, positions, species)
    u, f, _ = evaluate(system, batch, with_forces=True, threads=threads)
    assert f is not None
    return _arrays.answer(batch, u), _arrays.answer(batch, f)


def virial(system: System, positions: Any, species: Any = None, *, threads: int | None = None) -> Any:
    """Virial tensor W_ab = sum over pairs of r_a F_b (R, d, d), epsilon; r and F from one particle of the pair to the other.

    The pressure tensor is (N k_B T I + W) / V (Irving and Kirkwood 1950, pair forces). Arguments and errors as `energy`.
    """
    batch = _arrays.as_batch(system, positions, species)
    _, _, w = evaluate(system, batch, with_virial=True, threads=threads)
    assert w is not None
    return _arrays.answer(batch, w)


def pressure(
    system: System, positions: Any, species: Any = None, *, temperature: npt.ArrayLike, threads: int | None = None
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
    if not (kinetic > 0.0).all():
        raise ValueError(f"temperature: expected positive numbers, got {_check.describe(temperature)}")
    batch = _arrays.as_batch(system, positions, species)
    if kinetic.shape not in ((), (batch.positions.shape[0],)):
        raise ValueError(f"temperature: expected a number or shape ({batch.positions.shape[0]},), got {kinetic.shape}")
    _, _, w = evaluate(system, batch, with_virial=True, threads=threads)
    assert w is not None
    trace = np.trace(w, axis1=1, axis2=2)
    return _arrays.answer(batch, (system.n * kinetic + trace / system.dimension) / system.volume)
