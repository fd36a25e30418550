"""The native view of a system, made once per system, and the default number of threads."""

from __future__ import annotations

import functools
import os

from . import _check, _core
from .systems import System

__all__ = ["default_threads", "native_system", "threads_of"]


@functools.lru_cache(maxsize=128)
def native_system(system: System) -> _core.System:
    """Return the system as the kernels see it."""
    potential = system.potential
    return _core.System(
        n=system.n,
        box=[float(side) for side in system.box],
        cutoff=float(system.cutoff_distance),
        kind=potential.kind_code,
        exponent=potential.exponent,
        species_count=system.n_species,
        coefficients=potential.coefficients().ravel().tolist(),
        largest_epsilon=max(max(row) for row in potential.epsilon),
    )


def default_threads() -> int:
    """Return GLASSNF_THREADS, or the number of processors this process may use."""
    given = os.environ.get("GLASSNF_THREADS")
    if given is not None:
        try:
            return _check.integer("GLASSNF_THREADS", int(given), 1, 4096)
        except ValueError:
            raise ValueError(f"GLASSNF_THREADS: expected an integer from 1 to 4096, got {given!r}") from None
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(threads: int | None) -> int:
    """Return a checked number of threads; None means `default_threads`."""
    return default_threads() if threads is None else _check.integer("threads", threads, 1, 4096)
