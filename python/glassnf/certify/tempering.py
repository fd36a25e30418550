"""Checks of parallel tempering: species on a frozen lattice, two particles with dynamics, exchanges one by one, its records."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..samplers.explorer import Explorer
from ..samplers.molecular_dynamics import MolecularDynamics
from ..samplers.monte_carlo import MonteCarlo
from ..samplers.parallel_tempering import ParallelTempering
from ..systems import PairPotential
from .dynamics import kinetic_energies
from .fluids import Still, fluid
from .frozen import Frozen
from .monte_carlo import cached, mean_of
from .pairs import TwoParticles
from .plan import Case, Context, Finding, case, close, counted, equal, measured, replicated

__all__ = ["CASES", "at_temperatures"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

TEMPERATURES = np.array([0.9, 0.55, 0.35])


class AnyExplorer:
    """Monte Carlo under another type, so that the loop over exchanges is the general one and not the native one."""

    def __init__(self, mc: MonteCarlo) -> None:
        self.system, self._mc = mc.system, mc

    def prepare(self, ensemble: Ensemble, sweeps: int) -> int:
        """Check the ensemble."""
        return self._mc.prepare(ensemble, sweeps)

    def explore(self, ensemble: Ensemble, sweeps: int) -> int:
        """Advance."""
        return self._mc.explore(ensemble, sweeps)

    def adapt(self, ensemble: Ensemble, sweeps: int) -> int:
        """Advance and adapt."""
        return self._mc.adapt(ensemble, sweeps)

    def describe(self) -> dict[str, Any]:
        """Return the settings."""
        return self._mc.describe()


def at_temperatures(ensemble: Ensemble, values: Array, temperatures: Array) -> list[Array]:
    """Return values (R,) in one array (ladders,) for each temperature; in each ladder every temperature occurs once."""
    beta = ensemble.beta.reshape(-1, temperatures.size)
    by_ladder = values.reshape(beta.shape)
    masks = [np.isclose(beta, 1.0 / t, rtol=1e-12) for t in temperatures]
    if not all((mask.sum(axis=1) == 1).all() for mask in masks):
        raise ValueError("beta: expected every temperature once in each ladder")
    return [by_ladder[mask] for mask in masks]


def frozen_lattice(ctx: Context, native: bool) -> Findings:
    """From exact samples: every temperature keeps its distribution, neighbours stay independent, acceptances are exact."""
    ladders = ctx.count(12_000, 60_000)
    frozen = Frozen((3, 3), temperature=0.35)
    mc = MonteCarlo(frozen.system, swap_probability=1.0, threads=ctx.threads)
    explorer: Explorer = mc if native else AnyExplorer(mc)
    pt = ParallelTempering(frozen.system, TEMPERATURES, explorer, ladders, 1)
    rng, kinds = ctx.rng("start"), len(frozen.states)
    exact = [frozen.probabilities_at(t) for t in TEMPERATURES]
    states = [rng.choice(kinds, ladders, p=p) for p in exact]
    species = np.array(frozen.states)[np.stack(states, axis=1).ravel()]
    ensemble = pt.start(frozen.ensemble(species, ctx.number("chain")))
    ensemble.move_size[:] = np.tile(TEMPERATURES, ladders)
    ensemble = ctx.there(ensemble)
    record = pt.run(ensemble, 6, record_every=1)
    after = ensemble.to("cpu")
    u = frozen.energy
    for k in range(2):
        ratio = np.exp(np.minimum(0.0, (1 / TEMPERATURES[k] - 1 / TEMPERATURES[k + 1]) * (u[:, None] - u[None, :])))
        rate = float(exact[k] @ ratio @ exact[k + 1])
        # Rounds of a ladder are nearly independent of each other; by ladder they are, exactly.
        accepted, tried = record.accepts[k], record.attempts[k]
        yield replicated(f"acceptance of pair {k}", accepted / tried, rate)
    found = at_temperatures(after, frozen.state_of(after.species), TEMPERATURES)
    for t, state, p in zip(TEMPERATURES, found, exact, strict=True):
        yield counted(f"assignments at T = {t}", np.bincount(state, minlength=kinds), p)
        yield replicated(f"recorded energies at T = {t}", record.energy_at(t).mean(axis=0), float(p @ u))
    for k in range(2):
        joint = np.bincount(found[k] * kinds + found[k + 1], minlength=kinds**2)
        yield counted(f"neighbours {k} and {k + 1} together", joint, np.outer(exact[k], exact[k + 1]).ravel())
    yield close(
        "move sizes that belong to their temperatures", float(np.abs(after.move_size - after.temperature).max()), 0.0, 1e-12
    )
    yield cached(after[:200])


def exchanges_alone(ctx: Context) -> Findings:
    """Exact samples of two particles that rest between exchanges: distributions, and acceptances by quadrature."""
    two, temperatures = TwoParticles(), np.array([1.0, 0.6, 0.4])
    ladders = ctx.count(20_000, 100_000)
    draws = [two.draw(ladders, t, ctx.number(t)) for t in temperatures]
    positions = np.stack([draw.positions for draw in draws], axis=1).reshape(-1, 2, 2)
    system = fluid(2)
    ensemble = Ensemble.from_arrays(
        system, positions, temperature=np.tile(temperatures, ladders), seed=ctx.number("chain"), ids=np.arange(3 * ladders)
    )
    pt = ParallelTempering(system, temperatures, Still(system), ladders, 1)
    record = pt.run(ctx.there(ensemble), 2)
    u = np.append(two.u, 0.0)
    for k in range(2):
        beta = 1.0 / temperatures[k], 1.0 / temperatures[k + 1]
        weights = [np.append(two.shell * two.dr, two.beyond) * np.exp(-b * u) for b in beta]
        ratio = np.exp(np.minimum(0.0, (beta[0] - beta[1]) * (u[:, None] - u[None, :])))
        p = float(weights[0] @ ratio @ weights[1] / (weights[0].sum() * weights[1].sum()))
        yield measured(f"acceptance of pair {k}", float(record.accepts[k].mean()), math.sqrt(p * (1.0 - p) / ladders), p)
    yield equal("rounds of each pair", record.attempts, np.ones_like(record.attempts))


def dynamics(ctx: Context, thermostat: str | None) -> Findings:
    """Two particles moved by dynamics: distances, and kinetic energies that belong to the temperature after an exchange."""
    two = TwoParticles(potential=PairPotential("harmonic", 1.0, 2.0))
    temperatures, ladders = np.array([1.2, 0.6, 0.3]), ctx.count(6_000, 40_000)
    draws = [two.draw(ladders, t, ctx.number(t)) for t in temperatures]
    positions = np.stack([draw.positions for draw in draws], axis=1).reshape(-1, 2, 2)
    md = MolecularDynamics(two.system, timestep=0.01, thermostat=thermostat, friction=0.5, threads=ctx.threads)
    pt = ParallelTempering(two.system, temperatures, md, ladders, 10)
    ensemble = Ensemble.from_arrays(
        two.system, positions, temperature=np.tile(temperatures, ladders), seed=ctx.number("chain"), ids=np.arange(3 * ladders)
    )
    velocities = ctx.rng("velocities").standard_normal(positions.shape) * np.sqrt(ensemble.temperature)[:, None, None]
    ensemble.velocities = velocities
    if thermostat != "langevin":
        ensemble.velocities = velocities - velocities.mean(axis=1, keepdims=True)
    ensemble = ctx.there(ensemble)
    record = pt.run(ensemble, 80)
    after = ensemble.to("cpu")
    assert after.velocities is not None
    kinetic = 0.5 * (after.velocities**2).sum(axis=(1, 2))
    distances = at_temperatures(after, two.distance(after.positions), temperatures)
    degrees = 4 if thermostat == "langevin" else 2
    for t, r, k, u in zip(
        temperatures,
        distances,
        at_temperatures(after, kinetic, temperatures),
        at_temperatures(after, after.energy, temperatures),
        strict=True,
    ):
        edges, p = two.bins(float(t), 12)
        yield counted(f"distances at T = {t}", np.bincount(np.searchsorted(edges, r, side="right"), minlength=13), p)
        yield kinetic_energies(f"kinetic energies at T = {t}", k, degrees, float(t))
        yield mean_of(two, float(t), f"mean energy at T = {t}", u)
    yield Finding("exchanges accepted", observed=float((record.accepts.sum(axis=1) > 0).all()), expected=1.0, limit=0.0)


def frozen_in_runs(ctx: Context) -> Findings:
    """Ladder and move sizes adapt in `equilibrate`, and not in `run`: the same values, at the same temperatures."""
    two = TwoParticles()
    pt = ParallelTempering(two.system, [1.0, 0.7, 0.5, 0.35], MonteCarlo(two.system, swap_probability=0.0), 8, 5)
    ensemble = ctx.there(pt.random(ctx.number("start")))
    pt.equilibrate(ensemble, 2_000)
    ladder = pt.temperatures.copy()
    host = ensemble.to("cpu")
    before = np.sort(host.move_size)
    pt.run(ensemble, 200)
    yield equal("temperatures that a run has changed", pt.temperatures, ladder)
    yield equal("move sizes that a run has changed", np.sort(ensemble.to("cpu").move_size), before)


def _cases() -> Iterator[Case]:
    for native in (True, False):
        run = functools.partial(frozen_lattice, native=native)
        name = "parallel tempering" if native else "parallel tempering, any explorer"
        yield case(name, "frozen lattice of 3 + 3", run)
    yield case("parallel tempering, any explorer", "two particles at rest", exchanges_alone)
    yield case("parallel tempering", "adaptation", frozen_in_runs)
    for thermostat in ("langevin", "nve"):
        name = "Langevin dynamics" if thermostat == "langevin" else "NVE"
        yield case("parallel tempering", f"two soft discs, {name}", functools.partial(dynamics, thermostat=thermostat))


CASES = tuple(_cases())
