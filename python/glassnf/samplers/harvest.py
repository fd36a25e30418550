"""Equilibrium samples of one temperature by any explorer: where flows start, in sampling and in training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check
from ..ensemble import Ensemble
from .explorer import Explorer
from .monte_carlo import ADAPTATION_BLOCK

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict

__all__ = ["Harvest", "harvest"]

Progress = Callable[[int, int, dict[str, Any]], None]

_PIECE_SWEEPS = 5 * ADAPTATION_BLOCK  # of equilibration, between two chances to stop and to report


@dataclass(frozen=True)
class Harvest:
    """Equilibrium samples of one temperature.

    Attributes
    ----------
    ensemble : Ensemble
        S configurations in host memory, with ids 0 ... S - 1 and energies computed anew. Sample s is of replica s mod R: all
        replicas after `spacing` sweeps, then all after twice as many, and so on.
    groups : (S,) int64
        Which replica each sample comes from. Samples of one replica are correlated, the replicas are independent.
    replicas, spacing, equilibration_sweeps : int
    pair_evaluations : int
        Distances evaluated, equilibration included.
    wall_time : float, s
    """

    ensemble: Ensemble
    groups: npt.NDArray[np.int64] = field(repr=False)
    replicas: int
    spacing: int
    equilibration_sweeps: int
    pair_evaluations: int
    wall_time: float

    @property
    def verdict(self) -> Verdict:
        """Whether the replicas were in equilibrium when they were recorded; see `observables.judge_chains`."""
        from .verdicts import of_harvest

        return of_harvest(self)


def harvest(
    explorer: Explorer,
    temperature: float,
    samples: int,
    seed: int,
    *,
    replicas: int = 64,
    spacing: int = 50,
    equilibration_sweeps: int = 4_000,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Harvest:
    """Return equilibrium samples: independent replicas from random starts are equilibrated, then recorded at intervals.

    Parameters
    ----------
    explorer : Explorer
        What moves the replicas. Its settings adapt in the equilibration and are frozen afterwards.
    temperature : float, epsilon
    samples : int
        S, at least 2.
    seed : int
        From 0 to 2**64 - 1.
    replicas : int
        R, at least 2; at most as many as samples. Errors are found from the spread between the replicas.
    spacing : int
        Sweeps between two records. The default of 50 is about the autocorrelation time of the energy of ka2d, 43 particles, by
        swap Monte Carlo (40 sweeps at T = 0.5, 50 at 0.4).
    equilibration_sweeps : int
        Before the first record. For ka2d at T = 0.4, swap Monte Carlo forgets a random start within about 2000.
    device : str
        Where the replicas are advanced, as in `Ensemble.random`.
    progress : callable, optional
        ``progress(done, total, info)`` in sweeps of each replica. A KeyboardInterrupt there ends the harvest.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    glassnf.cuda.CudaError, ImportError
        If the device cannot be used.
    """
    _check.callback("progress", progress)
    if not isinstance(explorer, Explorer):
        raise TypeError(f"explorer: expected a sampler such as MonteCarlo, got {type(explorer).__name__}")
    hot = _check.positive_float("temperature", temperature)
    count = _check.integer("samples", samples, 2)
    size = min(_check.integer("replicas", replicas, 2), count)
    interval = _check.positive_int("spacing", spacing)
    equilibration = _check.nonnegative_int("equilibration_sweeps", equilibration_sweeps)
    system = explorer.system
    _check.fits_memory("samples", samples, 3 * count * (system.n * (system.dimension + 1) + 4), "samples")
    clock = time.perf_counter()
    moving = Ensemble.random(explorer.system, size, hot, seed, device=device)
    records = math.ceil(count / size)
    total = equilibration + records * interval
    explorer.prepare(moving, total)
    pairs = _equilibrate(explorer, moving, equilibration, total, progress)
    taken: list[tuple[npt.NDArray[Any], ...]] = []
    for record in range(records):
        pairs += explorer.explore(moving, interval)
        fields = (moving.positions, moving.images, moving.species, moving.move_size)
        taken.append(tuple(np.array(_arrays.to_host(value)) for value in fields))
        if progress is not None:
            progress(equilibration + (record + 1) * interval, total, {"stage": "base samples"})
    positions, images, species, move_size = (np.concatenate(parts)[:count] for parts in zip(*taken, strict=True))
    ensemble = Ensemble.from_arrays(
        explorer.system,
        positions,
        images=images,
        species=species,
        temperature=hot,
        move_size=move_size,
        seed=seed,
        step=moving.step,
    )
    groups = np.arange(count, dtype=np.int64) % size
    return Harvest(ensemble, groups, size, interval, equilibration, pairs, time.perf_counter() - clock)


def _equilibrate(explorer: Explorer, moving: Ensemble, sweeps: int, total: int, progress: Progress | None) -> int:
    """Equilibrate, adapting, and return the pair evaluations."""
    pairs, done = 0, 0
    while done < sweeps:
        piece = min(_PIECE_SWEEPS, sweeps - done)
        pairs += explorer.adapt(moving, piece)
        done += piece
        if progress is not None:
            progress(done, total, {"stage": "equilibration"})
    return pairs
