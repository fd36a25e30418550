"""Checks of molecular dynamics: two particles by quadrature, kinetic energies, free particles, conservation laws."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..samplers.inherent_structures import inherent_structures
from ..samplers.molecular_dynamics import MolecularDynamics
from ..samplers.monte_carlo import MonteCarlo
from ..systems import PairPotential, custom
from ..systems.catalogue import ka2d
from . import reference
from .monte_carlo import cached, mean_of
from .pairs import TwoParticles
from .plan import Case, Context, Finding, case, close, counted, equal, replicated
from .statistics import gamma_tail
from .three import ThreeUnlike

__all__ = ["CASES", "kinetic_energies"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

SOFT = PairPotential("harmonic", 1.0, 2.0)
LENNARD_JONES = PairPotential("lj_smooth", 1.0, 1.0)


def kinetic_energies(quantity: str, kinetic: Array, degrees: int, temperature: float) -> Finding:
    """Compare kinetic energies (R,) with their gamma distribution, in 20 bins between its quantiles."""
    edges = [_quantile(0.5 * degrees, k / 20.0) * temperature for k in range(1, 20)]
    counts = np.bincount(np.searchsorted(edges, kinetic), minlength=20)
    return counted(quantity, counts, np.ones(20))


@functools.cache
def _quantile(shape: float, probability: float) -> float:
    """Return the quantile of the gamma distribution, by bisection."""
    low, high = 0.0, shape + 40.0 * math.sqrt(shape) + 40.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if 1.0 - gamma_tail(shape, middle) < probability else (low, middle)
    return 0.5 * (low + high)


def _kinetic(ensemble: Ensemble) -> Array:
    assert ensemble.velocities is not None
    return np.asarray(0.5 * (ensemble.velocities**2).sum(axis=(1, 2)))


def two_particles(ctx: Context, thermostat: str, potential: PairPotential, dimension: int) -> Findings:
    """Exact samples with velocities stay exact: distances, energies, kinetic energies. Without a thermostat, by Liouville."""
    two, temperature = TwoParticles(potential=potential, dimension=dimension), 0.7
    replicas = ctx.count(20_000, 100_000)
    ensemble = two.draw(replicas, temperature, ctx.number("start"), ctx.number("chain"))
    rng = ctx.rng("velocities")
    velocities = math.sqrt(temperature) * rng.standard_normal(ensemble.positions.shape)
    if thermostat != "langevin":
        velocities -= velocities.mean(axis=1, keepdims=True)
    ensemble.velocities = velocities
    ensemble = ctx.there(ensemble)
    md = MolecularDynamics(
        two.system, timestep=0.004, thermostat=thermostat, friction=1.0, relaxation_time=0.3, threads=ctx.threads
    )
    md.run(ensemble, ctx.count(250, 1_000))
    after = ensemble.to("cpu")
    edges, probabilities = two.bins(temperature)
    yield counted("distances", two.count(after.positions, edges), probabilities)
    yield mean_of(two, temperature, "mean energy", after.energy)
    degrees = dimension * (2 if thermostat == "langevin" else 1)
    yield kinetic_energies("kinetic energies", _kinetic(after), degrees, temperature)
    yield cached(after[:200])
    assert after.velocities is not None
    if thermostat != "langevin":
        momentum = float(np.abs(after.velocities.sum(axis=1)).max())
        yield close("momentum", momentum, 0.0, 1e-10)


def from_rest(ctx: Context, thermostat: str) -> Findings:
    """Velocities a tenth of what they should be: the thermostat brings the gamma distribution of kinetic energies about."""
    two, temperature = TwoParticles(potential=SOFT), 0.7
    ensemble = two.draw(ctx.count(20_000, 100_000), temperature, ctx.number("start"), ctx.number("chain"))
    ensemble.draw_velocities()
    assert ensemble.velocities is not None
    ensemble.velocities *= 0.1
    ensemble = ctx.there(ensemble)
    md = MolecularDynamics(
        two.system, timestep=0.01, thermostat=thermostat, friction=4.0, relaxation_time=0.15, threads=ctx.threads
    )
    md.run(ensemble, 500)
    after = ensemble.to("cpu")
    yield kinetic_energies("kinetic energies", _kinetic(after), 4 if thermostat == "langevin" else 2, temperature)
    edges, probabilities = two.bins(temperature)
    yield counted("distances", two.count(after.positions, edges), probabilities)


def free_particle(ctx: Context) -> Findings:
    """Langevin dynamics of a particle alone: velocities are correlated as exp(-friction t), whatever the time step."""
    temperature, friction, timestep, steps = 0.7, 2.0, 0.02, 20
    system = custom("one", potential=LENNARD_JONES, composition=(1,), box=[6.0, 6.0, 6.0])
    replicas = ctx.count(20_000, 200_000)
    rng = ctx.rng("start")
    positions = rng.uniform(0.0, 6.0, (replicas, 1, 3))
    ensemble = Ensemble.from_arrays(system, positions, temperature=temperature, seed=ctx.number("chain"))
    ensemble.velocities = math.sqrt(temperature) * rng.standard_normal(positions.shape)
    before = ensemble.velocities.copy()
    ensemble = ctx.there(ensemble)
    MolecularDynamics(system, timestep=timestep, friction=friction, threads=ctx.threads).run(ensemble, steps)
    after = ensemble.to("cpu")
    assert after.velocities is not None
    decay = math.exp(-friction * timestep * steps)
    yield replicated("correlation of velocities", (before * after.velocities).mean(axis=(1, 2)), temperature * decay)
    yield replicated("mean square velocity", (after.velocities**2).mean(axis=(1, 2)), temperature)
    # Each step moves by dt/2 times the velocities on both sides of the noise; the sum of correlations c^k of these is closed.
    walk = ((after.unwrapped() - positions) ** 2).mean(axis=(1, 2))
    yield replicated("mean square displacement", walk, _free_walk(temperature, friction * timestep, timestep, steps))


def _free_walk(temperature: float, damping: float, timestep: float, steps: int) -> float:
    """Return <dx^2> along an axis: dx = sum over steps of dt (v_k + v_(k+1)) / 2, with <v_j v_k> = T exp(-damping |j - k|)."""
    weights = np.ones(steps + 1)
    weights[[0, -1]] = 0.5
    lags = np.abs(np.subtract.outer(np.arange(steps + 1), np.arange(steps + 1)))
    return float(temperature * timestep**2 * (weights @ np.exp(-damping * lags) @ weights))


def conservation(ctx: Context) -> Findings:
    """NVE of a liquid: energy is conserved to the second order of the time step, and going back leads back."""
    system = ka2d(43)
    start = Ensemble.random(system, 8, 1.0, ctx.number("start"))
    MonteCarlo(system, threads=ctx.threads).equilibrate(start, 400)
    start.draw_velocities()
    drift = []
    for timestep in (0.004, 0.002):
        ensemble = ctx.there(start.copy())
        md = MolecularDynamics(system, timestep=timestep, thermostat=None, threads=ctx.threads)
        total = md.run(ensemble, round(1.0 / timestep), record_every=round(0.02 / timestep)).total_energy
        drift.append(float(total.std(axis=0).mean()))
    yield close("fluctuation of the energy at time steps 2 : 1", math.log2(drift[0] / drift[1]), 2.0, 0.4)
    yield close("fluctuation of the energy of 43 particles", drift[1], 0.0, 0.05)
    ensemble = ctx.there(start.copy())
    md = MolecularDynamics(system, timestep=0.002, thermostat=None, threads=ctx.threads)
    md.run(ensemble, 200)
    assert ensemble.velocities is not None
    ensemble.velocities *= -1.0
    md.run(ensemble, 200)
    after = ensemble.to("cpu")
    yield close(
        "distance from the start after the way back", float(np.abs(after.unwrapped() - start.unwrapped()).max()), 0.0, 1e-6
    )
    yield cached(after)


def hybrid(ctx: Context) -> Findings:
    """Langevin dynamics with swaps of three unlike particles, whose separations have densities by convolution."""
    three = ThreeUnlike.at(0.9)
    replicas = ctx.count(12_000, 60_000)
    ensemble = three.ensemble(replicas, ctx.number("chain"))
    MonteCarlo(three.system, swap_probability=0.0, threads=ctx.threads).run(ensemble, 60)
    shape = ensemble.positions.shape
    ensemble.velocities = math.sqrt(three.temperature) * ctx.rng("velocities").standard_normal(shape)
    ensemble = ctx.there(ensemble)
    md = MolecularDynamics(three.system, timestep=0.004, friction=1.0, swap_every=5, threads=ctx.threads)
    record = md.run(ensemble, ctx.count(200, 1_000))
    after = ensemble.to("cpu")
    for pair in three.pairs:
        yield counted(f"separations of {pair[0]} and {pair[1]}", three.count(after, *pair), three.probabilities(*pair))
    yield replicated("mean energy", after.energy, three.mean_energy)
    yield kinetic_energies("kinetic energies", _kinetic(after), 6, three.temperature)
    yield cached(after[:200])
    # Three particles and all three pairs of species alike: each sweep tries three swaps.
    tried = float(record.swap_attempts.sum()) / 2.0 / replicas / (ctx.count(200, 1_000) / 5)
    yield close("swaps tried in a sweep", tried, 3.0, 0.0)


def hybrid_energy(ctx: Context) -> Findings:
    """NVE between swaps: from one swap to the next the energy is conserved, so that no force is stale."""
    system = ka2d(43)
    ensemble = Ensemble.random(system, 8, 1.0, ctx.number("start"))
    MonteCarlo(system, threads=ctx.threads).equilibrate(ensemble, 400)
    ensemble.draw_velocities()
    ensemble = ctx.there(ensemble)
    md = MolecularDynamics(system, timestep=0.001, thermostat=None, swap_every=20, threads=ctx.threads)
    record = md.run(ensemble, 400, record_every=1)
    total = record.total_energy.reshape(20, 20, -1)
    yield close("change of the energy between swaps", float(np.abs(np.diff(total, axis=1)).max()), 0.0, 0.05)
    yield Finding("swaps accepted", observed=float(record.swap_accepts.sum() > 0), expected=1.0, limit=0.0)
    yield cached(ensemble.to("cpu"))


def minima(ctx: Context) -> Findings:
    """Inherent structures: no force is left by the NumPy reference, energies are those of the minima, the start stays."""
    system = ka2d(43)
    ensemble = Ensemble.random(system, 8, 0.6, ctx.number("start"))
    MonteCarlo(system, threads=ctx.threads).equilibrate(ensemble, 400)
    before = ensemble.copy()
    found = inherent_structures(ensemble, threads=ctx.threads)
    arguments = reference.parameters(system)
    force = reference.forces(found.ensemble.positions, found.ensemble.species, **arguments)
    yield equal("replicas that have not converged", found.converged, np.ones(8, dtype=bool))
    yield close("largest force at the minima", float(np.abs(force).max()), 0.0, 1.1e-6)
    yield cached(found.ensemble, "energies of the minima")
    higher = np.maximum(found.energy - before.energy, 0.0)
    yield close("rise of the energy", float(higher.max()), 0.0, 0.0)
    yield equal("replicas that were changed", ensemble.positions, before.positions)
    two = TwoParticles()
    pairs = two.draw(64, 0.3, ctx.number("pairs"))
    close_by = two.distance(pairs.positions) < 2.0
    lowest = inherent_structures(pairs, threads=ctx.threads)
    grid = np.linspace(1.0, 1.3, 300_001)
    r = two.distance(lowest.ensemble.positions)[close_by]
    yield close("distance of two particles at rest", float(np.abs(r - grid[np.argmin(two.energy(grid))]).max()), 0.0, 1e-5)


def _cases() -> Iterator[Case]:
    for thermostat in ("langevin", "rescaling", "nve"):
        name = {"langevin": "Langevin dynamics", "rescaling": "velocity rescaling", "nve": "molecular dynamics, NVE"}[
            thermostat
        ]
        for potential, d in ((SOFT, 2), (LENNARD_JONES, 2), (LENNARD_JONES, 3), (SOFT, 3)):
            run = functools.partial(two_particles, thermostat=thermostat, potential=potential, dimension=d)
            quick = (potential, d) in ((SOFT, 3), (LENNARD_JONES, 2))
            kind = "soft discs" if potential is SOFT else "Lennard-Jones"
            yield case(name, f"two particles, {kind}, {d}D", run, quick=quick)
        if thermostat != "nve":
            yield case(name, "two particles from rest", functools.partial(from_rest, thermostat=thermostat))
    yield case("Langevin dynamics", "a free particle", free_particle)
    yield case("molecular dynamics, NVE", "conservation in a liquid", conservation)
    yield case("dynamics with swaps", "three unlike particles", hybrid)
    yield case("dynamics with swaps", "conservation between swaps", hybrid_energy)
    yield Case("inherent structures", "a liquid, two particles", minima)


CASES = tuple(_cases())
