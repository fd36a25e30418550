"""Small calls of every entry point, to be made ten thousand times; see `test_memory`."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import algorithms
import glassnf as gnf
from algorithms import LADDER, local, small, start
from flows_for_tests import PairFlow
from glassnf import observables

Call = Callable[[], object]


def advancing(sampler: Any, ensemble: gnf.Ensemble, *arguments: Any, **settings: Any) -> Call:
    return lambda: sampler.run(ensemble, *arguments, **settings)


def mc() -> Call:
    return advancing(local(small()), start(small(), 1, 0), 2, record_every=1, record_positions=True)


def two_threads() -> Call:
    return advancing(gnf.MonteCarlo(small(), threads=2), start(small(), 1, 0), 2)


def lists() -> Call:
    return advancing(local(algorithms.large()), start(algorithms.large(), 1, 0, replicas=1), 1)


def checkerboard() -> Call:
    system = algorithms.large()
    return advancing(gnf.MonteCarlo(system, threads=1, checkerboard=True), start(system, 1, 0, replicas=1), 1)


def equilibration() -> Call:
    sampler, ensemble = local(small()), start(small(), 1, 0, replicas=1)
    return lambda: sampler.equilibrate(ensemble, 20)


def md(**settings: Any) -> Call:
    ensemble = start(small(), 1, 0)
    local(small()).run(ensemble, 50)
    return advancing(gnf.MolecularDynamics(small(), timestep=0.001, threads=1, **settings), ensemble, 4, record_every=2)


def pt(explorer: Callable[[gnf.systems.System], Any] = local) -> Call:
    sampler = gnf.ParallelTempering(small(), LADDER, explorer=explorer(small()))
    ensemble = sampler.random(seed=1)
    local(small()).run(ensemble, 50)
    return advancing(sampler, ensemble, 2, record_every=1)


def pa() -> Call:
    sampler = gnf.PopulationAnnealing(
        small(), temperatures=(1.0, 0.98), sweeps_per_step=1, equilibration_sweeps=0, explorer=local(small())
    )
    ensemble = start(small(), 1, 0, replicas=4, temperature=1.0)

    def call() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sampler.run(ensemble)

    return call


def nf_metropolis() -> Call:
    flow = PairFlow(small(), 1.0, 0.98, strength=0.002, steps=2)
    sampler = gnf.FlowMetropolis(small(), flow, base=local(small()), base_sweeps=1, sweeps=1, explorer=local(small()), steps=2)
    chains = sampler.begin(2, seed=1, equilibration_sweeps=10)
    return lambda: sampler.run(chains, 1)


def transport() -> Call:
    flow = gnf.flows.shipped(gnf.systems.ka2d())
    assert flow is not None
    flow, count = flow.without_messages(), 0
    batch = gnf.Ensemble.random(flow.system, replicas=1, temperature=0.5, seed=1)

    def call() -> object:
        nonlocal count
        count += 1  # a way of its own for every call: tables are made anew, and old ones forgotten
        return flow.transport(batch.positions, batch.species, 2.0, 2.05 + 1e-6 * count, steps=1, threads=1)

    return call


def minima() -> Call:
    ensemble = start(small(), 1, 0, replicas=1)
    return lambda: gnf.inherent_structures(ensemble, force_tolerance=1.0, max_iterations=20, threads=1)


def energy_of(function: Callable[..., object]) -> Call:
    ensemble = start(small(), 1, 0)
    return lambda: function(ensemble.system, ensemble.positions, ensemble.species)


def new_systems() -> Call:
    """Each with a native view, of which only some are kept."""
    count = 0

    def call() -> object:
        nonlocal count
        count += 1
        system = gnf.systems.custom(
            f"model-{count}", potential=small().potential, composition=small().composition, density=1.0, dimension=2
        )
        return gnf.energy(system, np.zeros((1, 30, 2)) + np.arange(30)[:, None] * 0.1)

    return call


def save_and_load() -> Call:
    folder = tempfile.TemporaryDirectory()
    ensemble, path = start(small(), 1, 0, replicas=1), Path(folder.name, "now.h5")

    def call(_folder: Any = folder) -> object:
        ensemble.save(path)
        return gnf.Ensemble.load(path)

    return call


def random_start() -> Call:
    gas = gnf.systems.custom("gas", potential=small().potential, composition=[4, 2, 2], density=0.2, dimension=2)
    return lambda: gnf.Ensemble.random(gas, replicas=1, temperature=1.0, seed=1)


def pickled() -> Call:
    ensemble = start(small(), 1, 0)
    return lambda: pickle.loads(pickle.dumps(ensemble))


def slices() -> Call:
    ensemble = start(small(), 1, 0)
    return lambda: gnf.Ensemble.concatenate([ensemble[0], ensemble[1:]])


def statistics() -> Call:
    series = np.random.default_rng(1).normal(size=(4, 64))
    return lambda: (observables.autocorrelation_time(series[0]), observables.blocking(series[0]))


def errors() -> Call:
    """Errors raised in native code, and those found before."""
    ensemble, sampler = start(small(), 1, 0), gnf.MolecularDynamics(small(), timestep=1.0, threads=2)

    def call() -> None:
        try:
            sampler.run(ensemble, 10)
        except gnf.BlowUpError:
            return
        raise AssertionError("it did not blow up")

    return call


def leak() -> Call:
    kept: list[Any] = []
    return lambda: kept.append(np.ones(1000))


CALLS: dict[str, Callable[[], Call]] = {
    "energy": lambda: energy_of(gnf.energy),
    "forces": lambda: energy_of(gnf.forces),
    "virial": lambda: energy_of(gnf.virial),
    "monte carlo": mc,
    "two threads": two_threads,
    "lists": lists,
    "checkerboard": checkerboard,
    "equilibration": equilibration,
    "molecular dynamics": md,
    "hybrid": lambda: md(swap_every=2),
    "parallel tempering": pt,
    "parallel tempering of dynamics": lambda: pt(algorithms.langevin),
    "population annealing": pa,
    "flow metropolis": nf_metropolis,
    "transport": transport,
    "inherent structures": minima,
    "new systems": new_systems,
    "save and load": save_and_load,
    "random start": random_start,
    "pickle": pickled,
    "slices": slices,
    "statistics": statistics,
    "errors": errors,
}
