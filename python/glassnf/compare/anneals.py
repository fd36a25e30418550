"""Several runs of population annealing as one batch: every run resamples its own population, all share the temperatures.

A population of a few dozen replicas neither fills a machine nor takes long for its sweeps, so that runs one after another would
mostly pay for what happens between two temperatures. Here the populations of all K runs make one ensemble. The steps of the
temperature, and the move size, come from all replicas of all runs, as the ladder of parallel tempering does in a comparison:
the runs are coupled by two numbers a temperature, which are averages over all K populations, and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .. import cuda
from .algorithms import FloatArray

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..samplers import MolecularDynamics, MonteCarlo

Explorers = Callable[[float], "MonteCarlo | MolecularDynamics"]

__all__ = ["Anneals", "anneal_together"]

IntArray = npt.NDArray[np.int64]

_ADAPTATION_LIMIT: Final = 0.5  # largest change of log(move_size) between two temperatures
_RECORDS: Final = 16  # of the energy at the target, in the second half of the sweeps


@dataclass(frozen=True)
class Anneals:
    """What K anneals found; S temperatures, from the start to the target.

    Attributes
    ----------
    temperatures
        (S,) in epsilon / k_B, falling.
    mean_energy, specific_heat
        (K,) at the target, per particle, in epsilon and k_B: averages over the population and the second half of its sweeps.
        The variance in C_v is corrected for its bias by the squared error of the mean, from the families.
    log_z
        (K,) log Z(target) / Z(start).
    ess, rho_t, families
        (S, K) effective sample size of the reweighting into a temperature as a fraction; mean square family size; number of
        families.
    pair_evaluations
        Of all runs.
    """

    temperatures: FloatArray
    mean_energy: FloatArray
    specific_heat: FloatArray
    log_z: FloatArray
    ess: FloatArray
    rho_t: FloatArray
    families: IntArray
    pair_evaluations: int


class _Populations:
    """K populations of P replicas each, those of run k at k P to (k + 1) P - 1."""

    def __init__(self, members: Ensemble, explorers: Explorers, seeds: Sequence[int]) -> None:
        self.members, self.seeds = members, seeds
        self._explorers = explorers
        self.explorer = explorers(1.0 / float(members.beta[0]))
        self.runs = len(seeds)
        self.size = members.replicas // self.runs
        self.families: IntArray = np.tile(np.arange(self.size, dtype=np.int64), (self.runs, 1))
        self.log_z = np.zeros(self.runs)
        self.pair_evaluations = 0
        self._share_move_size(0.0)

    def _share_move_size(self, change: float) -> None:
        """Give all replicas their mean move size, times exp(change)."""
        from .._arrays import to_host

        sizes = to_host(self.members.move_size)
        size = min(math.fsum(sizes.tolist()) / sizes.size * math.exp(change), 0.5 * float(self.members.system.box.min()))
        with cuda.find_device(self.members.device).current():
            self.members.move_size[...] = size

    def energy(self) -> FloatArray:
        """Return energies (K, P) of whole systems."""
        from ..samplers._population import host_energy

        return host_energy(self.members).reshape(self.runs, self.size)

    def sweep(self, sweeps: int) -> None:
        """Move all replicas, and then bring the move size nearer to the acceptance that the explorer aims at."""
        from ..samplers import MCRecord, MonteCarlo

        record = self.explorer.run(self.members, sweeps)
        self.pair_evaluations += record.pair_evaluations
        if isinstance(record, MCRecord) and isinstance(self.explorer, MonteCarlo):
            tried, accepted = float(record.displacement_attempts.sum()), float(record.displacement_accepts.sum())
            change = accepted / tried - self.explorer.target_acceptance if tried else 0.0
            self._share_move_size(max(-_ADAPTATION_LIMIT, min(_ADAPTATION_LIMIT, change)))

    def resample(self, beta_step: float, beta: float) -> FloatArray:
        """Let every run choose its replicas for a lower temperature, and set it; return the effective sample sizes (K,).

        Velocities are drawn anew, so that copies part.
        """
        from ..samplers._population import copy_replicas, parents_of, reweight

        energy, step = self.energy(), int(self.members.step)
        parents, ess = np.empty((self.runs, self.size), dtype=np.int64), np.empty(self.runs)
        for k, seed in enumerate(self.seeds):
            weighted = reweight(np.ascontiguousarray(energy[k]), beta_step)
            parents[k] = parents_of(weighted, seed, step)
            self.log_z[k] += weighted.log_mean
            ess[k] = weighted.ess
        self.families = np.take_along_axis(self.families, parents, axis=1)
        copy_replicas(self.members, (parents + self.size * np.arange(self.runs)[:, None]).ravel())
        with cuda.find_device(self.members.device).current():
            self.members.beta[...] = beta
        self.explorer = self._explorers(1.0 / beta)
        if self.members.velocities is not None:
            self.members.draw_velocities()
        return ess

    def family_sizes(self) -> tuple[IntArray, FloatArray]:
        """Return the number of families (K,) and rho_t (K,)."""
        from ..samplers._families import sizes_of

        found = [sizes_of(families) for families in self.families]
        return np.array([one[0] for one in found]), np.array([one[1] for one in found])

    def measure(self, sweeps: int, temperature: float) -> tuple[FloatArray, FloatArray]:
        """Do the sweeps of the target and return <U>/N and C_v/N (K,) over the second half of them."""
        from .._arrays import to_host

        early = sweeps // 2
        if early:
            self.sweep(early)
        every = max(1, (sweeps - early) // _RECORDS)
        record = self.explorer.run(self.members, sweeps - early, record_every=every)
        self.pair_evaluations += record.pair_evaluations
        energy = np.asarray(to_host(record.energy)).reshape(-1, self.runs, self.size)
        found = [_averages(energy[:, k], self.families[k]) for k in range(self.runs)]
        n = self.members.system.n
        return np.array([one[0] for one in found]) / n, np.array([one[1] for one in found]) / (n * temperature**2)


def _averages(energy: FloatArray, families: IntArray) -> tuple[float, float]:
    """Return mean and variance of energies (records, P) of one run, corrected for the bias of the variance."""
    from ..samplers._families import error_of_mean

    mean = float(energy.mean())
    error = error_of_mean(energy.mean(axis=0), families)
    return mean, float(((energy - mean) ** 2).mean()) + (error**2 if math.isfinite(error) else 0.0)


def anneal_together(
    members: Ensemble,
    explorers: Explorers,
    target: float,
    *,
    seeds: Sequence[int],
    sweeps: int,
    last_sweeps: int,
    culling_fraction: float,
    progress: Callable[[float, dict[str, Any]], None] | None = None,
) -> Anneals:
    """Anneal K populations from the temperature that they have down to a target.

    Parameters
    ----------
    members
        The K P replicas, one run after another, in equilibrium at one temperature; advanced in place.
    explorers
        Called with a temperature: what moves them there.
    target
        In epsilon / k_B, below that of the replicas.
    seeds
        (K,) seeds of the resampling of each run.
    sweeps, last_sweeps
        Of every replica, at each temperature and at the target.
    culling_fraction
        Expected fraction of replicas without children in a step, of all runs together.
    progress
        Hears the part of the way that is done, and what there is to tell.
    """
    from ..samplers._population import find_step

    populations = _Populations(members, explorers, seeds)
    beta, end = float(members.beta[0]), 1.0 / target
    first = beta
    betas, ess = [beta], [np.ones(populations.runs)]
    families = [populations.family_sizes()]
    while beta < end:
        populations.sweep(sweeps)
        found = find_step(np.ascontiguousarray(populations.energy().ravel()), end - beta, culling_fraction)
        beta = end if found.beta_step == end - beta else beta + found.beta_step
        ess.append(populations.resample(found.beta_step, beta))
        families.append(populations.family_sizes())
        betas.append(beta)
        if progress is not None:
            energy = float(populations.energy().mean()) / members.system.n
            progress((beta - first) / (end - first), {"temperature": 1.0 / beta, "energy_per_particle": energy})
    mean_energy, specific_heat = populations.measure(last_sweeps, target)
    return Anneals(
        temperatures=1.0 / np.array(betas),
        mean_energy=mean_energy,
        specific_heat=specific_heat,
        log_z=populations.log_z,
        ess=np.array(ess),
        rho_t=np.array([one[1] for one in families]),
        families=np.array([one[0] for one in families]),
        pair_evaluations=populations.pair_evaluations,
    )
