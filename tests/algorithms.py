"""Every algorithm as a small job, for tests that are about none in particular: threads, processes, memory, large steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import glassnf as gnf
from flows_for_tests import PairFlow

Job = Callable[[int, int], npt.NDArray[Any]]
"""``job(seed, step)`` starts at a step and returns all that it found, as bytes."""

LADDER = (1.0, 0.8, 0.64)


def small() -> gnf.systems.System:
    return gnf.systems.ka2d(n=30)


def large() -> gnf.systems.System:
    return gnf.systems.ka2d(n=150)


def start(system: gnf.systems.System, seed: int, step: int, replicas: int = 3, temperature: Any = 0.8) -> gnf.Ensemble:
    """Return a start without overlaps, at a step."""
    ensemble = gnf.Ensemble.random(system, replicas=replicas, temperature=temperature, seed=seed)
    ensemble.step = step
    return ensemble


def bits(*parts: Any) -> npt.NDArray[Any]:
    """Return the bytes of arrays, and of the fields of ensembles, one after the other."""
    pieces = []
    for part in parts:
        arrays = [part]
        if isinstance(part, gnf.Ensemble):
            velocities = np.zeros(0) if part.velocities is None else part.velocities
            arrays = [part.positions, part.images, part.species, part.energy, part.beta, part.move_size, velocities]
        pieces += [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
    return np.concatenate(pieces)


def monte_carlo(system: gnf.systems.System, **settings: Any) -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        ensemble = start(system, seed, step)
        sampler = gnf.MonteCarlo(system, threads=1, **settings)
        sampler.equilibrate(ensemble, 40)
        record = sampler.run(ensemble, 10, record_every=1, record_positions=True)
        return bits(ensemble, record.energy, record.positions, record.displacement_accepts, record.swap_accepts)

    return job


def molecular_dynamics(system: gnf.systems.System, **settings: Any) -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        ensemble = start(system, seed, step)
        gnf.MonteCarlo(system, threads=1).run(ensemble, 20)
        record = gnf.MolecularDynamics(system, timestep=0.002, threads=1, **settings).run(ensemble, 60, record_every=7)
        return bits(ensemble, record.energy, record.kinetic_energy)

    return job


def parallel_tempering(explorer: Callable[[gnf.systems.System], Any], **settings: Any) -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        system = small()
        sampler = gnf.ParallelTempering(system, LADDER, explorer=explorer(system), ladders=2, sweeps_per_exchange=3, **settings)
        ensemble = sampler.random(seed)
        gnf.MonteCarlo(system, threads=1).run(ensemble, 20)
        ensemble.step = step
        record = sampler.run(ensemble, 40, record_every=10)
        return bits(ensemble, record.energy, record.replica, record.attempts, record.accepts)

    return job


def population_annealing(**settings: Any) -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        system = small()
        sampler = gnf.PopulationAnnealing(
            system, temperatures=LADDER, sweeps_per_step=5, equilibration_sweeps=20, explorer=local(system), **settings
        )
        result = sampler.run(start(system, seed, step, replicas=16), seed)
        return bits(result.ensemble, result.energy, result.log_z, result.families)

    return job


def flow_metropolis() -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        system = small()
        sampler = gnf.FlowMetropolis(
            system,
            PairFlow(system, 1.0, 0.8, strength=0.002),
            base=local(system),
            base_sweeps=5,
            sweeps=2,
            explorer=local(system),
        )
        sides = [start(system, seed + k, step, temperature=t) for k, t in enumerate((0.8, 1.0))]
        for side in sides:
            gnf.MonteCarlo(system, threads=1).run(side, 20)
        chains = sampler.begin_from(*sides)
        record = sampler.run(chains, 4)
        return bits(chains.cold, chains.hot, record.energy, record.accepts)

    return job


def flow_sampler() -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        system = small()
        hot = start(system, seed, step, replicas=8, temperature=1.0)
        gnf.MonteCarlo(system, threads=1).run(hot, 20)
        result = gnf.FlowSampler(system, PairFlow(system, 1.0, 0.8, strength=0.002), threads=1).run_from(hot)
        return bits(result.ensemble, result.log_weights)

    return job


def inherent_structures() -> Job:
    def job(seed: int, step: int) -> npt.NDArray[Any]:
        ensemble = start(small(), seed, step)
        found = gnf.inherent_structures(ensemble, force_tolerance=1e-3, threads=1)
        return bits(found.ensemble, found.iterations)

    return job


def local(system: gnf.systems.System) -> gnf.MonteCarlo:
    return gnf.MonteCarlo(system, threads=1)


def langevin(system: gnf.systems.System) -> gnf.MolecularDynamics:
    return gnf.MolecularDynamics(system, timestep=0.002, threads=1)


JOBS: dict[str, Job] = {
    "mc": monte_carlo(small(), swap_probability=0.0),
    "swap": monte_carlo(small()),
    "swap, lists": monte_carlo(large()),
    "checkerboard": monte_carlo(large(), checkerboard=True),
    "nve": molecular_dynamics(small(), thermostat="nve"),
    "langevin": molecular_dynamics(small()),
    "rescaling": molecular_dynamics(large(), thermostat="rescaling"),
    "hybrid": molecular_dynamics(small(), swap_every=10),
    "pt": parallel_tempering(local),
    "pt, langevin": parallel_tempering(langevin),
    "pa": population_annealing(),
    "flow metropolis": flow_metropolis(),
    "flow sampler": flow_sampler(),
    "inherent structures": inherent_structures(),
}
