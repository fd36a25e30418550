"""Checks of Monte Carlo: two particles by quadrature, species on a frozen lattice by enumeration, one free particle."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ensemble import Ensemble
from ..samplers.monte_carlo import MonteCarlo
from ..systems import PairPotential, custom
from . import reference
from .frozen import Frozen
from .pairs import TwoParticles
from .plan import Context, Finding, case, close, counted, equal, measured, replicated, reversible
from .statistics import slope_between_temperatures
from .three import ThreeUnlike

__all__ = ["CASES"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

UNEVEN = [[0.0, 1.0, 5.0], [1.0, 0.0, 0.3], [5.0, 0.3, 0.0]]
CHAIN = [[7.0, 1.0, 0.0], [1.0, 7.0, 2.0], [0.0, 2.0, 7.0]]

_CACHED = 1e-9
"""Absolute in epsilon: energies that Monte Carlo keeps by differences, against energies computed anew."""

POTENTIALS = {
    "Lennard-Jones": PairPotential("lj_smooth", 1.0, 1.0),
    "shifted Lennard-Jones": PairPotential("lj_shifted", 0.9, 0.8),
    "WCA": PairPotential("wca", 1.0, 1.0),
    "inverse power": PairPotential("inverse_power", 1.0, 1.0, 1.5, 7),
    "harmonic": PairPotential("harmonic", 1.0, 2.0),
}


def mean_of(two: TwoParticles, temperature: float, quantity: str, energy: Array) -> Finding:
    """Compare the mean of independent energies with the exact one, by the exact variance."""
    error = math.sqrt(2.0 * two.specific_heat(temperature)) * temperature / math.sqrt(energy.size)
    return measured(quantity, float(energy.mean()), error, two.mean_energy(temperature))


def cached(ensemble: Ensemble, quantity: str = "energies kept by the sampler") -> Finding:
    """Compare the energies of an ensemble with the NumPy reference."""
    exact = reference.energy(ensemble.positions, ensemble.species, **reference.parameters(ensemble.system))
    return close(quantity, float(np.abs(ensemble.energy - exact).max()), 0.0, _CACHED)


def two_particles(ctx: Context, kind: str, dimension: int) -> Findings:
    """Exact samples, a sweep, more sweeps: the same distribution, and every transition as often as its reverse."""
    two = TwoParticles(potential=POTENTIALS[kind], dimension=dimension)
    replicas, temperature = ctx.count(20_000, 200_000), 0.5
    start = two.draw(replicas, temperature, ctx.number("start"), ctx.number("chain"))
    mc = MonteCarlo(two.system, swap_probability=0.0, threads=ctx.threads)
    ensemble = ctx.there(start)
    edges, probabilities = two.bins(temperature)
    coarse = np.concatenate([edges[1:12:2], edges[12::3]])

    def bins(positions: Array) -> Array:
        return np.asarray(np.searchsorted(coarse, two.distance(positions), side="right"))

    before = bins(start.positions)
    mc.run(ensemble, 1)
    yield reversible("detailed balance of a sweep", before, bins(ensemble.to("cpu").positions), coarse.size + 1)
    mc.run(ensemble, 30)
    after = ensemble.to("cpu")
    yield counted("distances", two.count(after.positions, edges), probabilities)
    yield mean_of(two, temperature, "mean energy", after.energy)
    cells = np.floor(after.positions[:, 0] / np.asarray(two.system.box) * 4).astype(int) % 4
    index = np.ravel_multi_index(tuple(cells.T), (4,) * dimension)
    yield counted("places", np.bincount(index, minlength=4**dimension), np.ones(4**dimension))
    yield cached(after[:200])


def two_temperatures(ctx: Context) -> Findings:
    """From a fixed start, at two temperatures: the ratio of the histograms of U is exp[(beta_1 - beta_2) U] up to a factor."""
    two = TwoParticles()
    replicas, temperatures = ctx.count(20_000, 200_000), (0.6, 0.45)
    energies = []
    for temperature in temperatures:
        start = np.zeros((replicas, 2, 2))
        start[:, 1] = 0.5 * np.asarray(two.system.box)
        ensemble = Ensemble.from_arrays(
            two.system, start, temperature=temperature, seed=ctx.number(temperature), move_size=0.3 * two.system.box[0]
        )
        ensemble = ctx.there(ensemble)
        MonteCarlo(two.system, swap_probability=0.0, threads=ctx.threads).run(ensemble, 60)
        energies.append(ensemble.to("cpu").energy)
        yield mean_of(two, temperature, f"mean energy at T = {temperature}", energies[-1])
    slope, error = slope_between_temperatures(*energies)
    yield measured("energy histograms of two temperatures", slope, error, 1.0 / temperatures[0] - 1.0 / temperatures[1])


def frozen_lattice(ctx: Context, composition: tuple[int, ...], weights: Any) -> Findings:
    """Swaps alone, from one state, or from exact samples where they are slow; and how often each pair of species is tried."""
    frozen = Frozen(composition, temperature=0.35)
    replicas, states = ctx.count(20_000, 100_000), len(frozen.states)
    mc = MonteCarlo(frozen.system, swap_probability=1.0, swap_weights=weights, threads=ctx.threads)
    exact = weights is CHAIN
    start = frozen.draw(replicas, ctx.number("start")) if exact else np.tile(frozen.states[0], (replicas, 1))
    ensemble = ctx.there(frozen.ensemble(start, ctx.number("chain")))
    record = mc.run(ensemble, 10 if exact else 60)
    after = ensemble.to("cpu")
    counts = np.bincount(frozen.state_of(after.species), minlength=states)
    yield counted("assignments stay exact" if exact else "assignments from one of them", counts, frozen.probabilities)
    yield equal("particles that have moved", after.positions, np.tile(frozen.positions, (replicas, 1, 1)))
    yield cached(after[:200])
    upper = np.triu_indices(len(composition), k=1)
    if len(composition) > 2:
        wanted = np.array(np.outer(composition, composition) if weights is None else weights, dtype=float)[upper]
        yield counted("pairs of species tried", record.swap_attempts.sum(axis=0)[upper], wanted)


def swap_transitions(ctx: Context, composition: tuple[int, ...], weights: Any) -> Findings:
    """One sweep from exact samples: every transition as often as the matrix of the algorithm says, and as its reverse."""
    frozen = Frozen(composition, temperature=0.4)
    replicas, states = ctx.count(40_000, 200_000), len(frozen.states)
    matrix = np.linalg.matrix_power(frozen.transition_matrix(weights), frozen.system.n)
    start = frozen.draw(replicas, ctx.number("start"))
    before = frozen.state_of(start)
    ensemble = ctx.there(frozen.ensemble(start, ctx.number("chain")))
    MonteCarlo(frozen.system, swap_probability=1.0, swap_weights=weights, threads=ctx.threads).run(ensemble, 1)
    after = frozen.state_of(ensemble.to("cpu").species)
    counts = np.bincount(before * states + after, minlength=states**2)
    yield counted("transitions of a sweep", counts, (frozen.probabilities[:, None] * matrix).ravel())
    yield reversible("detailed balance of a sweep", before, after, states)
    yield counted("assignments stay exact", np.bincount(after, minlength=states), frozen.probabilities)


def through_cells(ctx: Context) -> Findings:
    """Swaps of 30 particles in a box that is searched by cells; 435 assignments."""
    frozen = Frozen((28, 2), temperature=0.3, cells=(4.1, 4.3))
    replicas = ctx.count(10_000, 60_000)
    ensemble = ctx.there(frozen.ensemble(frozen.draw(replicas, ctx.number("start")), ctx.number("chain")))
    MonteCarlo(frozen.system, swap_probability=1.0, threads=ctx.threads).run(ensemble, 4)
    after = ensemble.to("cpu")
    yield counted("assignments stay exact", np.bincount(frozen.state_of(after.species), minlength=435), frozen.probabilities)
    yield cached(after[:50])


def three_unlike(ctx: Context) -> Findings:
    """Displacements and swaps of three unlike particles, whose separations have densities by convolution."""
    three = ThreeUnlike.at(0.6)
    replicas = ctx.count(20_000, 100_000)
    ensemble = ctx.there(three.ensemble(replicas, ctx.number("chain")))
    MonteCarlo(three.system, swap_probability=0.3, threads=ctx.threads).run(ensemble, 60)
    after = ensemble.to("cpu")
    for pair in three.pairs:
        yield counted(f"separations of {pair[0]} and {pair[1]}", three.count(after, *pair), three.probabilities(*pair))
    yield replicated("mean energy", after.energy, three.mean_energy)
    yield cached(after[:200])


def checkerboard(ctx: Context) -> Findings:
    """Two soft discs in a box of four cutoffs, from exact samples, in the order of a checkerboard."""
    side, temperature, replicas = 4.2, 0.25, ctx.count(8_000, 60_000)
    pair = PairPotential("harmonic", 1.0, 2.0)
    system = custom("discs", potential=pair, composition=(2,), box=[side, side])
    axis = (np.arange(1500) + 0.5) * (side / 2) / 1500
    r = np.hypot(axis[:, None], axis[None, :]).ravel()
    weight = np.exp(-reference.reduced_energy(pair, r) / temperature)
    order = np.argsort(r)
    cumulative = np.cumsum(weight[order]) / weight.sum()
    edges = r[order][np.searchsorted(cumulative, np.arange(1, 16) / 16)]
    probabilities = np.diff(np.interp(edges, r[order], cumulative), prepend=0.0, append=1.0)
    rng = ctx.rng("start")
    delta = rng.uniform(-0.5 * side, 0.5 * side, (3 * replicas, 2))
    kept = rng.random(len(delta)) < np.exp(-reference.reduced_energy(pair, np.linalg.norm(delta, axis=1)) / temperature)
    delta = delta[kept][:replicas]
    first = rng.uniform(0.0, side, (len(delta), 2))
    positions = np.mod(np.stack([first, first + delta], axis=1), side)
    ensemble = Ensemble.from_arrays(system, positions, temperature=temperature, seed=ctx.number("chain"), move_size=0.8)
    ensemble = ctx.there(ensemble)
    mc = MonteCarlo(system, swap_probability=0.0, checkerboard=True, threads=ctx.threads)

    def bins() -> Array:
        moved = ensemble.to("cpu").positions
        distance = np.linalg.norm(reference.minimum_image(moved[:, 1] - moved[:, 0], np.asarray(system.box)), axis=1)
        return np.asarray(np.searchsorted(edges, distance))

    mc.run(ensemble, 20)
    yield counted("distances", np.bincount(bins(), minlength=16), probabilities)
    yield cached(ensemble.to("cpu")[:200])


def checkerboard_swaps(ctx: Context) -> Findings:
    """Swaps on a frozen lattice in the order of a checkerboard."""
    frozen = Frozen((28, 2), temperature=0.3, cells=(4.1, 4.3))
    replicas = ctx.count(6_000, 60_000)
    ensemble = ctx.there(frozen.ensemble(frozen.draw(replicas, ctx.number("start")), ctx.number("chain")))
    MonteCarlo(frozen.system, swap_probability=1.0, checkerboard=True, threads=ctx.threads).run(ensemble, 4)
    after = ensemble.to("cpu")
    yield counted("assignments stay exact", np.bincount(frozen.state_of(after.species), minlength=435), frozen.probabilities)


def free_particle(ctx: Context, dimension: int) -> Findings:
    """A walk of 40 steps, each uniform in a cube: its variance, and that it is as long in all directions."""
    replicas, sweeps, move = ctx.count(20_000, 200_000), 40, 0.5
    pair = PairPotential("lj_smooth", 1.0, 1.0)
    system = custom("one", potential=pair, composition=(1,), box=[5.0, 6.0, 5.5][:dimension])
    start = np.tile(0.3 * np.asarray(system.box), (replicas, 1, 1))
    ensemble = ctx.there(Ensemble.from_arrays(system, start, temperature=1.0, seed=ctx.number(), move_size=move))
    record = MonteCarlo(system, swap_probability=0.0, threads=ctx.threads).run(ensemble, sweeps)
    yield equal("moves that were not accepted", record.displacement_accepts, np.full(replicas, sweeps))
    walk = ensemble.to("cpu").unwrapped()[:, 0] - start[:, 0]
    for axis in range(dimension):
        yield replicated(f"mean square walk along {'xyz'[axis]}", walk[:, axis] ** 2, sweeps * move**2 / 3.0)
        yield replicated(f"mean walk along {'xyz'[axis]}", walk[:, axis], 0.0)


def frozen_move_size(ctx: Context) -> Findings:
    """The move size adapts to the target acceptance in `equilibrate`, and not in `run`."""
    two = TwoParticles(potential=POTENTIALS["WCA"])
    ensemble = ctx.there(two.draw(64, 0.5, ctx.number("start"), ctx.number("chain")))
    mc = MonteCarlo(two.system, swap_probability=0.0, target_acceptance=0.8, threads=ctx.threads)
    adapted = mc.equilibrate(ensemble, 4_000)
    size = ensemble.to("cpu").move_size.copy()
    mc.run(ensemble, 200)
    yield equal("move sizes that have changed in a run", ensemble.to("cpu").move_size, size)
    # Blocks of 20 sweeps of 2 trials are noisy: an error of 0.05 in the mean over 64 replicas would be seven sigma.
    yield close("acceptance after adaptation", float(np.mean(adapted.displacement_acceptance)), 0.8, 0.08)


def _cases() -> Iterator[Any]:
    quick = {("Lennard-Jones", 2), ("inverse power", 3), ("harmonic", 2), ("shifted Lennard-Jones", 3)}
    for kind in POTENTIALS:
        for d in (2, 3):
            run: Callable[[Context], Findings] = functools.partial(two_particles, kind=kind, dimension=d)
            yield case("local Monte Carlo", f"two particles, {kind}, {d}D", run, quick=(kind, d) in quick)
    yield case("local Monte Carlo", "two particles, two temperatures", two_temperatures)
    for d in (2, 3):
        yield case("local Monte Carlo", f"a free particle, {d}D", functools.partial(free_particle, dimension=d), quick=d == 3)
    yield case("local Monte Carlo", "adaptation of the move size", frozen_move_size)
    for composition, weights, name in (
        ((3, 3), None, "3 + 3"),
        ((2, 2, 2), UNEVEN, "2 + 2 + 2, weighted pairs"),
        ((3, 1, 2), CHAIN, "3 + 1 + 2, a pair left out"),
    ):
        run = functools.partial(frozen_lattice, composition=composition, weights=weights)
        yield case("swap Monte Carlo", f"frozen lattice of {name}", run)
    for composition, weights, name in (((2, 2), None, "2 + 2"), ((2, 1, 1), UNEVEN, "2 + 1 + 1, weighted pairs")):
        run = functools.partial(swap_transitions, composition=composition, weights=weights)
        yield case("swap Monte Carlo", f"transitions on a frozen lattice of {name}", run)
    yield case("swap Monte Carlo", "frozen lattice of 28 + 2, through cells", through_cells)
    yield case("swap Monte Carlo", "three unlike particles", three_unlike)
    yield case("checkerboard Monte Carlo", "two soft discs", checkerboard)
    yield case("checkerboard Monte Carlo", "frozen lattice of 28 + 2", checkerboard_swaps)


CASES = tuple(_cases())
