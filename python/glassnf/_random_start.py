"""Random starting configurations without overlaps.

Particles are thrown at random and pushed apart: first with the soft harmonic repulsion of the system's diameters, which has no
singularity and works at any density, then down the true potential, with steps of limited length, until no particle's energy
is enormous. Both stages use FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201, 2006) with the step length capped, each replica
on its own: the start of a replica depends on the seed and its id only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from . import _arrays, _core
from ._batch import Batch
from .energy import evaluate
from .ensemble import wrap_positions
from .systems import PairPotential, System

__all__ = ["random_start"]

FloatArray = npt.NDArray[np.float64]

_SOFT_STEPS = 400
_HARD_STEPS = 400
_LONGEST_STEP = 0.1  # in the smallest sigma
_ENOUGH = 1e-4  # soft stage: overlap energy per particle, in the largest epsilon
_OVERLAP = 1e3  # energy per particle, in the largest epsilon, that no configuration without overlaps has
_ATTEMPTS = 20
_BLOCK = 4_000_000  # coordinates handled at once, to bound memory


def no_check() -> None:
    """Go on."""


def random_start(
    system: System, ids: npt.NDArray[np.int64], seed: int, check: Callable[[], None] = no_check
) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Return wrapped positions (R, N, d) and species (R, N) of new replicas with these ids.

    What `check` raises ends the work: it is called before each replica is thrown, and in each step of the relaxation.
    """
    n, d = system.n, system.dimension
    per_block = max(1, _BLOCK // (n * d))
    positions = np.empty((ids.size, n, d))
    species = np.empty((ids.size, n), dtype=np.int32)
    for first in range(0, ids.size, per_block):
        block = slice(first, first + per_block)
        for place, replica in enumerate(ids[block], start=first):
            check()
            positions[place] = _uniform(seed, _core.Stream.RANDOM_START, int(replica), n * d).reshape(n, d) * system.box
            order = np.argsort(_uniform(seed, _core.Stream.RANDOM_SPECIES, int(replica), n), kind="stable")
            species[place, order] = system.species
        _push_apart(system, positions[block], species[block], ids[block], seed, check)
    return positions, species


def _push_apart(
    system: System,
    positions: FloatArray,
    species: npt.NDArray[np.int32],
    ids: npt.NDArray[np.int64],
    seed: int,
    check: Callable[[], None],
) -> None:
    """Relax in place; replicas left with an overlap are shaken and relaxed again.

    Two particles closer than 0.01 sigma feel no force between them (potentials.hpp) and would stay together.
    """
    soft = _softened(system)
    n, d = positions.shape[1:]
    highest = _OVERLAP * n * max(max(row) for row in system.potential.epsilon)
    shake = 0.1 * min(min(row) for row in system.potential.sigma)
    left = np.arange(ids.size)
    for attempt in range(_ATTEMPTS):
        for place in left if attempt else ():
            check()
            kick = _uniform(seed, _core.Stream.RANDOM_START, int(ids[place]), n * d, step=attempt).reshape(n, d) - 0.5
            positions[place] = wrap_positions(positions[place] + shake * kick, system.box)[0]
        positions[left] = _relax(soft, positions[left], species[left], _SOFT_STEPS, check, stop_at=_ENOUGH)
        positions[left] = _relax(system, positions[left], species[left], _HARD_STEPS, check, stop_at=None)
        u = evaluate(system, Batch(positions[left], species[left]))[0]
        left = left[u > highest]
        if not left.size:
            return
    raise RuntimeError(
        f"random start: {left.size} of {ids.size} replicas of {system.name!r} still have overlaps after {_ATTEMPTS} attempts; "
        "the density may be too high for its diameters (Ensemble.from_arrays takes positions of your own)"
    )


def _uniform(seed: int, stream: _core.Stream, replica: int, count: int, *, step: int = 0) -> FloatArray:
    values = np.empty(count)
    _core.uniform(seed, stream, step, replica, count, _arrays.address(values))
    return values


def _softened(system: System) -> System:
    """The same particles with a harmonic repulsion of the same diameters."""
    potential = PairPotential("harmonic", sigma=system.potential.sigma, epsilon=np.ones((system.n_species,) * 2))
    return System(
        name="soft start", species=system.species, box=system.box, potential=potential, species_names=system.species_names
    )


def _relax(
    system: System,
    positions: FloatArray,
    species: npt.NDArray[np.int32],
    steps: int,
    check: Callable[[], None],
    *,
    stop_at: float | None,
) -> FloatArray:
    """FIRE with capped steps, batched with per-replica state; replicas that are done are left alone.

    A replica is done when its energy per particle is at most `stop_at` or, if that is None, when the largest force would move
    no particle by more than a tenth of the longest step in a unit of thermal length (no overlaps left).
    """
    smallest = min(min(row) for row in system.potential.sigma)
    largest_force = 100.0 * max(max(row) for row in system.potential.epsilon) / smallest
    x = positions.copy()
    active = np.arange(x.shape[0])
    v = np.zeros_like(x)
    dt = np.full(x.shape[0], 0.02)
    alpha = np.full(x.shape[0], 0.1)
    downhill = np.zeros(x.shape[0], dtype=np.int64)
    for _ in range(steps):
        check()
        wrapped = wrap_positions(x[active], system.box)[0]
        x[active] = wrapped
        u, f, _ = evaluate(system, Batch(np.ascontiguousarray(wrapped), species[active]), with_forces=True)
        check()
        if stop_at is not None:
            going = u > stop_at * system.n
        else:
            going = np.abs(f).max(axis=(1, 2)) > largest_force
        active, f = active[going], f[going]
        if not active.size:
            break
        _fire_step(x, v, dt, alpha, downhill, active, f, _LONGEST_STEP * smallest)
    return wrap_positions(x, system.box)[0]


def _fire_step(
    x: FloatArray,
    v: FloatArray,
    dt: FloatArray,
    alpha: FloatArray,
    downhill: npt.NDArray[np.int64],
    active: npt.NDArray[np.int64],
    f: FloatArray,
    longest: float,
) -> None:
    """One FIRE step of the active replicas; forces are capped so that one step moves a particle by at most `longest`."""
    size = np.sqrt(np.einsum("rnd,rnd->rn", f, f))
    f = f * np.minimum(1.0, longest / np.maximum(size, 1e-30) / dt[active, None] ** 2)[..., None]
    velocity = v[active]
    power = np.einsum("rnd,rnd->r", f, velocity)
    norm_f = np.sqrt(np.einsum("rnd,rnd->r", f, f))
    norm_v = np.sqrt(np.einsum("rnd,rnd->r", velocity, velocity))
    mix = alpha[active]
    direction = f * (mix * norm_v / np.maximum(norm_f, 1e-30))[:, None, None]
    down = power > 0.0
    velocity = np.where(down[:, None, None], velocity * (1.0 - mix)[:, None, None] + direction, 0.0)
    downhill[active] = np.where(down, downhill[active] + 1, 0)
    faster = down & (downhill[active] > 5)
    dt[active] = np.where(faster, np.minimum(dt[active] * 1.1, 0.1), np.where(down, dt[active], dt[active] * 0.5))
    alpha[active] = np.where(faster, mix * 0.99, np.where(down, mix, 0.1))
    velocity += f * dt[active, None, None]
    step = velocity * dt[active, None, None]
    length = np.sqrt(np.einsum("rnd,rnd->rn", step, step))
    x[active] += step * np.minimum(1.0, longest / np.maximum(length, 1e-30))[..., None]
    v[active] = velocity
