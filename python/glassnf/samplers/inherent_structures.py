"""Inherent structures: the minima of the basins in which configurations lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check, _core
from .._native import native_system, threads_of
from ..ensemble import Ensemble

__all__ = ["InherentStructures", "inherent_structures"]

_MOST_ITERATIONS = 2**40
_LANES = 8  # replicas that one thread minimises side by side


@dataclass(frozen=True)
class InherentStructures:
    """What `inherent_structures` found.

    Attributes
    ----------
    ensemble : Ensemble
        The minima, in host memory; temperatures, ids, seed and step are those of the configurations, velocities are none.
    energy : (R,) float64, epsilon
    converged : (R,) bool
        Whether no component of a force exceeds the tolerance.
    largest_force : (R,) float64, epsilon/sigma
        Largest component; infinite where particles lie on top of each other.
    iterations : (R,) int64
    """

    ensemble: Ensemble
    energy: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    largest_force: npt.NDArray[np.float64]
    iterations: npt.NDArray[np.int64]


def inherent_structures(
    ensemble: Ensemble,
    *,
    force_tolerance: float = 1e-6,
    max_iterations: int = 20_000,
    threads: int | None = None,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> InherentStructures:
    """Minimise the potential energy of every replica; the ensemble itself stays as it is.

    Fast inertial relaxation (FIRE: Bitzek, Koskinen, Gahler, Moseler, Gumbsch, Phys. Rev. Lett. 97, 170201, 2006; with the
    refinements of Guenole et al., Comput. Mater. Sci. 175, 109584, 2020), eight small replicas at a time, one in each lane of
    the processor. The result of a replica does not depend on the others, as long as forces stay in the range of exact sums
    (65536 epsilon/sigma; overlaps leave it). Which basin a configuration belongs to is defined by
    steepest descent; FIRE, like other fast minimisers, now and then ends in a neighbouring one.

    Parameters
    ----------
    ensemble : Ensemble
        On a CUDA device, it is copied to the host, where the work is done.
    force_tolerance : float, epsilon/sigma
        At least 1e-9 times the energy scale, the resolution of sums of forces.
    max_iterations : int
        Force evaluations of one replica.
    threads : int, optional
        As for `MonteCarlo`.
    progress : callable, optional
        ``progress(done, total, info)``, in replicas, between native calls; Ctrl-C is heard there.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above or the ensemble is not valid.

    Examples
    --------
    >>> import glassnf as gnf
    >>> start = gnf.Ensemble.random(gnf.systems.ka2d(n=43), replicas=8, temperature=1.0, seed=1)
    >>> found = gnf.inherent_structures(start)
    >>> bool(found.converged.all())
    True
    """
    _check.callback("progress", progress)
    if not isinstance(ensemble, Ensemble):
        raise TypeError(f"ensemble: expected an Ensemble, got {type(ensemble).__name__}")
    scale = max(max(row) for row in ensemble.system.potential.epsilon)
    tolerance = _check.positive_float("force_tolerance", force_tolerance)
    if tolerance < 1e-9 * scale:
        raise ValueError(f"force_tolerance: expected at least {1e-9 * scale:g}, got {tolerance:g}")
    most = _check.integer("max_iterations", max_iterations, 1, _MOST_ITERATIONS)
    count = threads_of(threads)
    ensemble.validate()
    minima = ensemble.copy().to("cpu")
    minima.velocities = np.zeros(minima.positions.shape)
    iterations, largest = np.zeros(minima.replicas, dtype=np.int64), np.zeros(minima.replicas)
    at_once = _LANES * count
    for first in range(0, minima.replicas, at_once):
        part = slice(first, min(first + at_once, minima.replicas))
        arrays: dict[str, Any] = {
            name: _arrays.address(getattr(minima, name)[part])
            for name in ("positions", "velocities", "images", "species", "beta", "energy", "ids")
        }
        _core.minimise(
            native_system(minima.system),
            replicas=part.stop - first,
            **arrays,
            timestep=0.005,
            largest_timestep=0.05,
            tolerance=tolerance,
            most_iterations=most,
            iterations=_arrays.address(iterations[part]),
            largest_force=_arrays.address(largest[part]),
            threads=count,
        )
        if progress is not None:
            progress(part.stop, minima.replicas, {"converged": int((largest[: part.stop] <= tolerance).sum())})
    minima.velocities = None
    return InherentStructures(minima, minima.energy.copy(), largest <= tolerance, largest, iterations)
