"""Checks of population annealing: species on a frozen lattice, the partition function without bias, velocities."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..samplers._population import parents_of, reweight
from ..samplers.annealing_result import PAResult, weighted_average
from ..samplers.molecular_dynamics import MolecularDynamics
from ..samplers.monte_carlo import MonteCarlo
from ..samplers.population_annealing import PopulationAnnealing
from ..systems import PairPotential
from .dynamics import kinetic_energies
from .frozen import Frozen
from .monte_carlo import cached, mean_of
from .pairs import TwoParticles
from .plan import Case, Context, Finding, case, close, counted, equal, measured, replicated
from .statistics import combine

__all__ = ["CASES"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

HOT = 2.0
SCHEDULE = (HOT, 0.6, 0.35, 0.22)


def _anneal(ctx: Context, frozen: Frozen, replicas: int, label: object, sweeps: int, **options: Any) -> PAResult:
    mc = MonteCarlo(frozen.system, swap_probability=1.0, threads=ctx.threads)
    fixed: dict[str, Any] = {"temperatures": SCHEDULE, "equilibration_sweeps": 0, "adapt_move_size": False}
    pa = PopulationAnnealing(frozen.system, explorer=mc, sweeps_per_step=sweeps, record_energy=False, **(fixed | options))
    start = frozen.ensemble(frozen.draw(replicas, ctx.number("start", label)), ctx.number("chain", label))
    return pa.run(start, device=ctx.device)


def frozen_lattice(ctx: Context, adaptive: bool) -> Findings:
    """A large population: assignments at the target, <U>, C_v and log Z at all temperatures."""
    frozen, replicas = Frozen((2, 2, 2), temperature=HOT), ctx.count(12_000, 60_000)
    options: dict[str, Any] = {}
    if adaptive:
        options = {"temperatures": None, "start": HOT, "target": SCHEDULE[-1], "culling_fraction": 0.15}
    result = _anneal(ctx, frozen, replicas, "large", 30, **options)
    population = result.ensemble.to("cpu")
    state = frozen.state_of(population.species)
    p = frozen.probabilities_at(float(result.temperatures[-1]))
    yield counted("assignments at the target", np.bincount(state, minlength=p.size), p)
    yield cached(population[:200])
    misses: dict[str, list[Finding]] = {"mean energy": [], "specific heat": [], "log Z": []}
    zero = frozen.averages(HOT)[2]
    for k, temperature in enumerate(result.temperatures.tolist()):
        mean, heat, log_z = frozen.averages(temperature)
        misses["mean energy"].append(measured("", result.mean_energy[k], result.mean_energy_error[k], mean))
        misses["specific heat"].append(measured("", result.specific_heat[k], result.specific_heat_error[k], heat))
        if k > 0:
            misses["log Z"].append(measured("", result.log_z[k], result.log_z_error[k], log_z - zero))
    for name, found in misses.items():
        last = found[-1]
        p_value = combine(np.array([one.p_value for one in found]))
        yield Finding(f"{name} at all temperatures", p_value, last.observed, last.expected, last.error)
    move_size = np.abs(population.move_size - 0.1).max()
    yield close("move sizes that were not to adapt", float(move_size), 0.0, 0.0)


def no_bias(ctx: Context) -> Findings:
    """Many populations of 8: the mean of Z, and of Z times the energy, are exact at any population."""
    frozen, runs = Frozen((2, 2, 2), temperature=HOT), ctx.count(400, 4_000)
    results = [_anneal(ctx, frozen, 8, k, 1) for k in range(runs)]
    mean, _, log_z = frozen.averages(SCHEDULE[-1])
    target = log_z - frozen.averages(HOT)[2]
    z = np.exp(np.array([result.log_z[-1] for result in results]) - target)
    joint = z * np.array([result.mean_energy[-1] for result in results])
    yield replicated("mean of Z over populations of 8", z, 1.0)
    yield replicated("mean of Z <U> over populations of 8", joint / mean, 1.0)
    average = weighted_average(results)
    weights = z / z.sum()
    yield close("weighted average of the energy", average.mean_energy, float(weights @ (joint / z)), 1e-9 * abs(mean))
    yield close("log Z of all runs", average.log_z - target, math.log(z.mean()), 1e-9)


def resampling(ctx: Context) -> Findings:
    """Systematic resampling: each replica has as many children as its weight says, floor or ceil of it, and so on average."""
    rng = ctx.rng("energies")
    energy, step, trials = rng.normal(0.0, 2.0, 24), 0.4, ctx.count(4_000, 40_000)
    weights = np.exp(-step * energy)
    wanted = weights / weights.mean()
    found = reweight(energy, step)
    children = np.stack(
        [np.bincount(parents_of(found, ctx.number("resampling"), k), minlength=energy.size) for k in range(trials)]
    )
    outside = (children < np.floor(wanted)) | (children > np.ceil(wanted))
    yield Finding(
        "children beside floor and ceil of the expected number", observed=float(outside.sum()), expected=0.0, limit=0.0
    )
    yield equal("populations of another size", children.sum(axis=1), np.full(trials, energy.size))
    share = wanted - np.floor(wanted)
    errors = np.sqrt(np.maximum(share * (1.0 - share), 1e-12) / trials)
    deviations = [measured("", a, e, b) for a, e, b in zip(children.mean(axis=0), errors, wanted, strict=True)]
    worst = min(deviations, key=lambda one: one.p_value or 0.0)
    p_value = combine(np.array([one.p_value for one in deviations]))
    yield Finding("children of each replica", p_value, worst.observed, worst.expected, worst.error)
    yield close("log of the mean weight", found.log_mean, math.log(weights.mean()), 1e-9)


def dynamics(ctx: Context) -> Findings:
    """Two soft discs annealed with NVE dynamics: velocities belong to the new temperature after every step of it."""
    two = TwoParticles(potential=PairPotential("harmonic", 1.0, 2.0))
    replicas, temperatures = ctx.count(12_000, 60_000), (1.0, 0.8, 0.65)
    md = MolecularDynamics(two.system, timestep=0.01, thermostat="rescaling", relaxation_time=0.5, threads=ctx.threads)
    pa = PopulationAnnealing(
        two.system, temperatures=temperatures, explorer=md, sweeps_per_step=40, equilibration_sweeps=0, record_energy=False
    )
    result = pa.run(two.draw(replicas, temperatures[0], ctx.number("start"), ctx.number("chain")), device=ctx.device)
    after = result.ensemble.to("cpu")
    assert after.velocities is not None
    kinetic = 0.5 * (after.velocities**2).sum(axis=(1, 2))
    yield kinetic_energies("kinetic energies at the target", kinetic, 2, temperatures[-1])
    log_z = two.log_z(temperatures[-1]) - two.log_z(temperatures[0])
    yield measured("log Z", result.log_z[-1], result.log_z_error[-1], log_z)
    yield measured("mean energy", result.mean_energy[-1], result.mean_energy_error[-1], two.mean_energy(temperatures[-1]))


def without_steps(ctx: Context) -> Findings:
    """Equilibration at the start temperature from random starts, and the population there."""
    two, replicas = TwoParticles(), ctx.count(6_000, 40_000)
    mc = MonteCarlo(two.system, swap_probability=0.0, threads=ctx.threads)
    pa = PopulationAnnealing(
        two.system, temperatures=(1.0, 0.999), explorer=mc, sweeps_per_step=20, equilibration_sweeps=100, record_energy=True
    )
    result = pa.run(replicas, ctx.number("chain"), device=ctx.device)
    yield mean_of(two, 1.0, "energies at the start temperature", result.energy[0])
    replica: Ensemble = result.ensemble.to("cpu")
    yield cached(replica[:200])


def _cases() -> Iterator[Case]:
    for adaptive in (False, True):
        run = functools.partial(frozen_lattice, adaptive=adaptive)
        yield case("population annealing", f"frozen lattice, {'adaptive' if adaptive else 'fixed'} temperatures", run)
    yield case("population annealing", "many small populations", no_bias)
    yield Case("population annealing", "resampling", resampling)
    yield case("population annealing", "two soft discs, dynamics", dynamics)
    yield case("population annealing", "random starts", without_steps)


CASES = tuple(_cases())
