"""All samplers against each other on a glass-forming liquid: ka2d with 43 particles at T = 0.7.

Each sampler has starts and random numbers of its own. Averages over time are one value for each replica, or ladder, and these
are independent, so that Welch's test compares them whatever the autocorrelation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..flows.transport import IdentityFlow
from ..samplers.flow_metropolis import FlowMetropolis
from ..samplers.flow_sampler import FlowSampler
from ..samplers.molecular_dynamics import MolecularDynamics
from ..samplers.monte_carlo import MonteCarlo
from ..samplers.parallel_tempering import ParallelTempering
from ..samplers.population_annealing import PopulationAnnealing
from ..systems.catalogue import ka2d
from .flows import native_flow
from .monte_carlo import cached
from .plan import Context, Finding, case, replicated
from .reference import minimum_image
from .statistics import combine, slope_between_temperatures, student_p

__all__ = ["CASES"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

N, TEMPERATURE, NEAR, HOT = 43, 0.7, 0.74, 0.8
_EDGES = np.array([0.0, 0.85, 0.95, 1.1, 1.4, 1.8, 2.2, 2.6])
_GROUPS = 16


@dataclass(frozen=True)
class Sampled:
    """Energies (records, R), and configurations of the last records."""

    energy: Array
    positions: Array
    species: Array


def _replicas(ctx: Context) -> int:
    return ctx.count(48, 128)


def _start(ctx: Context, label: object, temperature: float = TEMPERATURE, replicas: int | None = None) -> Ensemble:
    """Return replicas in equilibrium, from random starts of their own.

    After 600 sweeps the energy is still above that of equilibrium by 0.004 per particle, which a full certificate would see.
    """
    system = ka2d(N)
    ensemble = Ensemble.random(system, replicas or _replicas(ctx), temperature, ctx.number("start", label))
    MonteCarlo(system, threads=ctx.threads).equilibrate(ensemble, ctx.count(600, 2_400))
    return ensemble


def _monte_carlo(ctx: Context, label: str, temperature: float = TEMPERATURE, **options: Any) -> Sampled:
    ensemble = ctx.there(_start(ctx, label, temperature))
    mc = MonteCarlo(ensemble.system, threads=ctx.threads, **options)
    sweeps = ctx.count(800, 8_000)
    record = mc.run(ensemble, sweeps, record_every=sweeps // 80, record_positions=True)
    assert record.positions is not None
    assert record.species is not None
    return Sampled(record.energy, record.positions[::8], record.species[::8])


@functools.lru_cache(maxsize=8)
def _reference(seed: int, quick: bool, device: str, temperature: float) -> Sampled:
    """Return swap Monte Carlo, of which all cases of a certificate compare with the same run."""
    ctx = Context(seed, f"reference of the liquid/{device}", quick, device)
    return _monte_carlo(ctx, f"swap at T = {temperature}", temperature)


def _dynamics(ctx: Context, steps: int = 5_000, **options: Any) -> Sampled:
    ensemble = _start(ctx, "dynamics")
    md = MolecularDynamics(ensemble.system, timestep=0.002, threads=ctx.threads, **options)
    if options.get("thermostat") == "nve":
        ensemble.draw_velocities()
    ensemble = ctx.there(ensemble)
    steps = ctx.count(steps, 8 * steps)
    md.run(ensemble, steps // 10)
    record = md.run(ensemble, steps, record_every=steps // 50, record_positions=True)
    assert record.positions is not None
    species = (
        record.species
        if record.species is not None
        else np.broadcast_to(ensemble.to("cpu").species, record.positions.shape[:3])
    )
    return Sampled(record.energy, record.positions[::5], species[::5])


def _tempering(ctx: Context, flow: bool) -> Sampled:
    system, ladder = ka2d(N), np.array([HOT, TEMPERATURE])
    ladders = _replicas(ctx)
    assistant = native_flow(system, 0, 0.002, hot=HOT, cold=TEMPERATURE, steps=4) if flow else None
    mc = MonteCarlo(system, swap_probability=0.1, threads=ctx.threads)
    pt = ParallelTempering(system, ladder, mc, ladders, 20 if flow else 5, flow=assistant)
    ensemble = ctx.there(pt.start(_start(ctx, "tempering", TEMPERATURE, pt.replicas)))
    sweeps = ctx.count(400, 4_000)
    pt.run(ensemble, 100)
    record = pt.run(ensemble, sweeps, record_every=sweeps // 40)
    cold = ensemble.to("cpu")
    here = np.isclose(cold.temperature, TEMPERATURE)
    energy = np.asarray(record.energy_at(TEMPERATURE))
    return Sampled(energy, cold.positions[here][None], cold.species[here][None])


def _flow_metropolis(ctx: Context) -> Sampled:
    system = ka2d(N)
    flow = native_flow(system, 0, 0.002, hot=HOT, cold=TEMPERATURE, steps=4)
    mc = MonteCarlo(system, threads=ctx.threads)
    sampler = FlowMetropolis(system, flow, mc, base_sweeps=20, sweeps=10, device=ctx.device, threads=ctx.threads)
    chains = sampler.begin_from(_start(ctx, "cold"), _start(ctx, "hot", HOT))
    record = sampler.run(chains, ctx.count(20, 200), record_positions=True)
    assert record.positions is not None
    assert record.species is not None
    return Sampled(record.energy, record.positions[::4], record.species[::4])


SAMPLERS: dict[str, Callable[[Context], Sampled]] = {
    "local Monte Carlo": functools.partial(_monte_carlo, label="local", swap_probability=0.0),
    "swap Monte Carlo": functools.partial(
        _monte_carlo, label="weights", swap_probability=0.7, swap_weights=[[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]]
    ),
    "Langevin dynamics": functools.partial(_dynamics, thermostat="langevin"),
    "velocity rescaling": functools.partial(_dynamics, thermostat="rescaling"),
    "molecular dynamics, NVE": functools.partial(_dynamics, thermostat="nve"),
    "dynamics with swaps": functools.partial(_dynamics, thermostat="langevin", swap_every=20),
    "parallel tempering": functools.partial(_tempering, flow=False),
    "flow-assisted tempering": functools.partial(_tempering, flow=True),
    "flow Metropolis": _flow_metropolis,
}


def _near(sample: Sampled) -> Array:
    """Return the mean number of pairs in bins of the distance, a row for each replica: g(r) up to constant factors."""
    box = np.asarray(ka2d(N).box)
    upper = np.triu_indices(N, k=1)
    found = []
    for r in range(sample.positions.shape[1]):
        x = sample.positions[:, r]
        delta = minimum_image(x[:, upper[0]] - x[:, upper[1]], box)
        found.append(np.histogram(np.linalg.norm(delta, axis=-1), _EDGES)[0] / len(x))
    return np.array(found)


def _heat(energy: Array) -> tuple[float, float]:
    """Return the specific heat and its jackknife error over replicas."""
    scale = 1.0 / (N * TEMPERATURE**2)
    left_out = np.array([np.delete(energy, k, axis=1).var() for k in range(energy.shape[1])]) * scale
    count = left_out.size
    return float(energy.var()) * scale, math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))


def against_swaps(ctx: Context, name: str) -> Findings:
    """Mean energy, specific heat and g(r) of a sampler and of swap Monte Carlo."""
    sample = SAMPLERS[name](ctx)
    wanted = _reference(ctx.seed, ctx.quick, ctx.device, TEMPERATURE)
    yield replicated("energy per particle", sample.energy.mean(axis=0) / N, wanted.energy.mean(axis=0) / N)
    (heat, error), (expected, its) = _heat(sample.energy), _heat(wanted.energy)
    both = math.hypot(error, its)
    p_value = student_p((heat - expected) / both, min(sample.energy.shape[1], wanted.energy.shape[1]) - 1.0)
    yield Finding("specific heat", p_value, heat, expected, both)
    ours, theirs = _near(sample), _near(wanted)
    bins = [replicated("", ours[:, k], theirs[:, k]) for k in range(_EDGES.size - 1)]
    worst = min(bins, key=lambda one: one.p_value or 0.0)
    p_value = combine(np.array([one.p_value for one in bins]))
    yield Finding("g(r) in 7 bins", p_value, worst.observed, worst.expected, worst.error)


def two_temperatures(ctx: Context) -> Findings:
    """Swap Monte Carlo at two temperatures: the ratio of the energy histograms, with a jackknife over groups of replicas."""
    hot, cold = (_reference(ctx.seed, ctx.quick, ctx.device, t).energy for t in (HOT, TEMPERATURE))
    slope, _ = slope_between_temperatures(hot.ravel(), cold.ravel())
    groups = np.arange(hot.shape[1]) % _GROUPS
    left_out = [
        slope_between_temperatures(hot[:, groups != k].ravel(), cold[:, groups != k].ravel())[0] for k in range(_GROUPS)
    ]
    error = math.sqrt((_GROUPS - 1) * float(np.var(left_out)))
    exact = 1.0 / HOT - 1.0 / TEMPERATURE
    yield Finding("energy histograms", student_p((slope - exact) / error, _GROUPS - 1.0), slope, exact, error)


def annealed(ctx: Context) -> Findings:
    """Population annealing from T = 0.8 against swap Monte Carlo: one value from each of 16 populations."""
    system = ka2d(N)
    mc = MonteCarlo(system, threads=ctx.threads)
    size = ctx.count(24, 256)
    start = _start(ctx, "populations", HOT, _GROUPS * size)
    values = []
    for k in range(_GROUPS):
        pa = PopulationAnnealing(
            system, HOT, TEMPERATURE, mc, ctx.count(40, 80), equilibration_sweeps=0, adapt_move_size=False, record_energy=False
        )
        values.append(pa.run(start[k * size : (k + 1) * size], ctx.number("anneal", k), device=ctx.device).mean_energy[-1] / N)
    wanted = _reference(ctx.seed, ctx.quick, ctx.device, TEMPERATURE).energy.mean(axis=0) / N
    yield replicated("energy per particle", np.array(values), wanted)


def weighted(ctx: Context, flow: bool) -> Findings:
    """Weighted samples from T = 0.74, by a flow or without one, against swap Monte Carlo: one value from each of 16 blocks.

    Weights are even enough for averages of a block to have hardly a bias, and Student's t knows how few blocks there are.
    """
    system = ka2d(N)
    assistant = native_flow(system, 1, 0.002, hot=NEAR, cold=TEMPERATURE, steps=4) if flow else IdentityFlow(system)
    sampler = FlowSampler(system, assistant, hot=NEAR, cold=TEMPERATURE, threads=ctx.threads)
    result = sampler.run_from(_start(ctx, "base", NEAR, _GROUPS * ctx.count(20, 256)))
    block = np.arange(result.samples) % _GROUPS
    w = np.exp(result.log_weights - result.log_weights.max())
    means = np.bincount(block, weights=w * result.energy_after) / np.bincount(block, weights=w) / N
    wanted = _reference(ctx.seed, ctx.quick, ctx.device, TEMPERATURE).energy.mean(axis=0) / N
    yield replicated("energy per particle", means, wanted)
    yield cached(result.ensemble[:8], "energies of the samples")


def _cases() -> Iterator[Any]:
    for name in SAMPLERS:
        yield case(name, f"ka2d, N = {N}, against swaps", functools.partial(against_swaps, name=name))
    yield case("swap Monte Carlo", f"ka2d, N = {N}, two temperatures", two_temperatures)
    yield case("population annealing", f"ka2d, N = {N}, against swaps", annealed)
    for flow in (False, True):
        name = "flow sampler" if flow else "flow sampler, identity"
        yield case(name, f"ka2d, N = {N}, against swaps", functools.partial(weighted, flow=flow))


CASES = tuple(_cases())
