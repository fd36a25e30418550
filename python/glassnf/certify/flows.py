"""Checks of flows: Jacobians of the maps, partition functions by quadrature, and every sampler that uses a flow."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import flows as glassnf_flows
from ..energy import energy
from ..ensemble import Ensemble
from ..flows.transport import Flow, IdentityFlow
from ..samplers.flow_metropolis import FlowMetropolis
from ..samplers.flow_sampler import FlowSampler
from ..samplers.monte_carlo import MonteCarlo
from ..samplers.parallel_tempering import ParallelTempering
from ..samplers.population_annealing import PopulationAnnealing
from ..systems import PairPotential, System
from . import reference
from .fluids import RadialFlow as QuantileFlow
from .fluids import Still
from .monte_carlo import cached
from .pairs import TwoParticles
from .plan import Case, Context, Finding, case, close, counted, measured, replicated
from .statistics import combine
from .systems import cells_box, lattice_batch, mixture, potential
from .tempering import at_temperatures

__all__ = ["CASES", "native_flow", "soft_pair"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

HOT, COLD = 1.0, 0.4
LADDER = np.array([HOT, 0.6, COLD])


def soft_pair() -> TwoParticles:
    """Return two soft discs: their energy is at most 3, so that no weight can be large."""
    return TwoParticles(potential=PairPotential("harmonic", 1.0, 6.0))


def native_flow(system: System, layers: int, size: float, *, hot: float = HOT, cold: float = COLD, steps: int = 8) -> Any:
    """Return a flow of the native kernels with random coefficients, the same at every call."""
    rng = np.random.default_rng(10 + layers)
    outer = 0.47 * float(min(system.box))
    pair, message = glassnf_flows.RadialBasis(0.2, outer, 8), glassnf_flows.RadialBasis(0.2, 0.9 * outer, 7)
    pairs = system.n_species * (system.n_species + 1) // 2
    coefficients = size * rng.normal(size=(layers + 1, 2, pairs, pair.size))
    messages = size * rng.normal(size=(layers, 2, 2, pairs, message.size))
    terms = glassnf_flows.TemperatureBasis(1.0 / hot, 1.0 / cold, 2)
    field = glassnf_flows.MessageField(system.n_species, pair, message, terms, coefficients, messages)
    return glassnf_flows.RadialFlow(system, field, hot=hot, cold=cold, steps=steps)


# ---- maps --------------------------------------------------------------------------------------------------------------------


def jacobian(ctx: Context, layers: int, dimension: int) -> Findings:
    """The log Jacobian against the determinant of central differences of the whole map, and the way back."""
    kind = potential("inverse_power", 2)
    n = 9 if dimension == 2 else 6
    system = mixture(kind, n, cells_box(kind, (2.1,) * dimension))
    flow = native_flow(system, layers, 0.12 if dimension == 2 else 0.08, hot=1.0, cold=0.5, steps=24)
    positions, species = lattice_batch(system, 1, ctx.number("start") % 2**32)
    h, size, box = 1e-5, n * dimension, np.asarray(system.box)
    shifted = positions + np.concatenate([h * np.eye(size), -h * np.eye(size)]).reshape(-1, n, dimension)
    moved = flow.transport(np.mod(shifted, box), np.repeat(species, 2 * size, axis=0), 1.0, 2.0, threads=ctx.threads)
    unwrapped = moved.positions + moved.images * box + (shifted - np.mod(shifted, box))
    differences = (unwrapped[:size] - unwrapped[size:]).reshape(size, size) / (2.0 * h)
    sign, exact = np.linalg.slogdet(differences)
    there = flow.transport(positions, species, 1.0, 2.0, threads=ctx.threads)
    back = flow.transport(there.positions, species, 2.0, 1.0, threads=ctx.threads)
    yield close("log Jacobian", float(there.log_jacobian[0]), float(exact), 1e-3 * max(1.0, abs(exact)))
    yield Finding("sign of the determinant", observed=float(sign), expected=1.0, limit=0.0)
    yield Finding("log Jacobian is not 0", observed=float(abs(exact) > 0.05), expected=1.0, limit=0.0)
    yield close("log Jacobian of the way back", float(back.log_jacobian[0] + there.log_jacobian[0]), 0.0, 1e-3)
    missed = np.abs(reference.minimum_image(back.positions - positions, box)).max()
    yield close("distance from the start after the way back", float(missed), 0.0, 1e-4)


def partition_function(ctx: Context, layers: int) -> Findings:
    """The integral of exp(-beta U) w over all configurations is Z at the other end: no sampling, no random number."""
    two = soft_pair()
    flow, side, grid = native_flow(two.system, layers, 0.08), float(two.system.box[0]), 200
    axis = side * ((np.arange(grid) + 0.5) / grid - 0.5)
    delta = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    positions = np.mod(np.stack([np.zeros_like(delta), delta], axis=1), side)
    species = np.zeros(positions.shape[:2], dtype=np.int32)
    before = two.energy(np.linalg.norm(delta, axis=1))
    for start, end in ((HOT, COLD), (COLD, HOT)):
        moved = flow.transport(positions, species, 1.0 / start, 1.0 / end, threads=ctx.threads)
        after = np.asarray(energy(two.system, moved.positions, species, threads=ctx.threads))
        z = float(np.exp(-after / end + moved.log_jacobian).mean()) * side**2
        yield close(f"log Z at T = {end} from T = {start}", math.log(z), two.log_z(end), 1e-3)
        plain = float(np.exp(-before / start).mean()) * side**2
        yield close(f"log Z at T = {start} by the same grid", math.log(plain), two.log_z(start), 1e-3)


def torch_twin(ctx: Context) -> Findings:
    """The same field as a torch module: positions and log Jacobians of both are the same."""
    kind = potential("inverse_power", 2)
    system = mixture(kind, 9, cells_box(kind, (2.1, 2.1)))
    flow = native_flow(system, 1, 0.12, hot=1.0, cold=0.5)
    twin = glassnf_flows.TorchFlow(system, glassnf_flows.TableField(system, flow.field), 1.0, 0.5, steps=flow.steps)
    positions, species = lattice_batch(system, 3, ctx.number("start") % 2**32)
    a, b = (one.transport(positions, species, 1.0, 2.0) for one in (flow, twin))
    missed = np.abs(reference.minimum_image(a.positions - b.positions, np.asarray(system.box))).max()
    yield close("distance of positions", float(missed), 0.0, 1e-6)
    yield close("difference of log Jacobians", float(np.abs(a.log_jacobian - b.log_jacobian).max()), 0.0, 1e-5)


# ---- samplers ----------------------------------------------------------------------------------------------------------------


def _flow(name: str, two: TwoParticles) -> Flow:
    if name == "identity":
        return IdentityFlow(two.system, HOT, COLD)
    return native_flow(two.system, 1 if name == "messages" else 0, 0.08)  # type: ignore[no-any-return]


def weights(ctx: Context, name: str) -> Findings:
    """`FlowSampler` from exact samples: <U>, C_v, log Z, and both ways together by the acceptance ratio."""
    two = soft_pair()
    samples = ctx.count(20_000, 100_000)
    sampler = FlowSampler(two.system, _flow(name, two), hot=HOT, cold=COLD, threads=ctx.threads)
    hot = two.draw(samples, HOT, ctx.number("hot"))
    result = sampler.run_from(hot, reference=two.draw(samples, COLD, ctx.number("cold")))
    exact = two.log_z(COLD) - two.log_z(HOT)
    yield measured("log Z", result.log_z_ratio, result.log_z_ratio_error, exact)
    yield measured("mean energy", result.mean_energy, result.mean_energy_error, two.mean_energy(COLD))
    yield measured("specific heat", result.specific_heat, result.specific_heat_error, two.specific_heat(COLD))
    assert result.check is not None
    yield measured("log Z, backward", result.check.log_z_reverse, result.check.log_z_reverse_error, exact)
    yield measured("log Z, both ways", result.check.log_z_bar, result.check.log_z_bar_error, exact)
    yield cached(result.ensemble[:200], "energies of the samples")


def stops(ctx: Context) -> Findings:
    """`FlowSampler` with a stop, where samples are resampled and relaxed; base samples of its own."""
    two = soft_pair()
    mc = MonteCarlo(two.system, swap_probability=0.0, threads=ctx.threads)
    samples = ctx.count(8_000, 60_000)
    sampler = FlowSampler(
        two.system,
        _flow("pair", two),
        mc,
        temperatures=[HOT, 0.6, COLD],
        sweeps_per_stop=3,
        replicas=samples,
        spacing=1,
        equilibration_sweeps=60,
        threads=ctx.threads,
    )
    result = sampler.run(samples, ctx.number("chain"), device=ctx.device)
    yield measured("log Z", result.log_z_ratio, result.log_z_ratio_error, two.log_z(COLD) - two.log_z(HOT))
    yield measured("mean energy", result.mean_energy, result.mean_energy_error, two.mean_energy(COLD))
    yield cached(result.ensemble[:200], "energies of the samples")


def metropolis(ctx: Context, name: str) -> Findings:
    """Independence Metropolis from exact samples of both ends: both stay exact, though the base moves by a sweep only."""
    two = TwoParticles() if name == "identity" else soft_pair()
    chains = ctx.count(8_000, 40_000)
    sampler = FlowMetropolis(
        two.system,
        _flow(name, two),
        MonteCarlo(two.system, swap_probability=0.0, threads=ctx.threads),
        base_sweeps=1,
        sweeps=0,
        device=ctx.device,
        threads=ctx.threads,
    )
    state = sampler.begin_from(two.draw(chains, COLD, ctx.number("cold")), two.draw(chains, HOT, ctx.number("hot")))
    sampler.run(state, 6)
    for ensemble, temperature in ((state.cold, COLD), (state.hot, HOT)):
        edges, p = two.bins(temperature)
        yield counted(f"distances at T = {temperature}", two.count(ensemble.positions, edges), p)
        yield replicated(f"mean energy at T = {temperature}", ensemble.energy, two.mean_energy(temperature))
        yield cached(ensemble[:200], f"energies kept at T = {temperature}")


def tempering(ctx: Context, name: str) -> Findings:
    """Exact samples and assisted exchanges alone: every temperature keeps its distribution, neighbours stay independent."""
    two = TwoParticles() if name == "quantiles" else soft_pair()
    flow: Flow = QuantileFlow(HOT, COLD) if name == "quantiles" else _flow(name, two)
    ladders = ctx.count(8_000, 40_000)
    draws = [two.draw(ladders, t, ctx.number(t)) for t in LADDER]
    positions = np.stack([draw.positions for draw in draws], axis=1).reshape(-1, 2, 2)
    ensemble = Ensemble.from_arrays(
        flow.system, positions, temperature=np.tile(LADDER, ladders), seed=ctx.number("chain"), ids=np.arange(3 * ladders)
    )
    ensemble = ctx.there(ensemble)
    ParallelTempering(flow.system, LADDER, Still(flow.system), ladders, 1, flow=flow).run(ensemble, 6)
    after = ensemble.to("cpu")
    bins = []
    for t, r in zip(LADDER.tolist(), at_temperatures(after, two.distance(after.positions), LADDER), strict=True):
        edges, p = two.bins(t, 12)
        place = np.searchsorted(edges, r, side="right")
        bins.append((place, p))
        yield counted(f"distances at T = {t}", np.bincount(place, minlength=p.size), p)
    for k in range(2):
        (a, p), (b, q) = bins[k : k + 2]
        joint = np.bincount(a * q.size + b, minlength=p.size * q.size)
        yield counted(f"neighbours {k} and {k + 1} together", joint, np.outer(p, q).ravel())
    yield cached(after[:200])


def annealing(ctx: Context, name: str) -> Findings:
    """Transport, weights and resampling of exact samples: <U> and log Z at every temperature."""
    two = TwoParticles() if name == "quantiles" else soft_pair()
    flow: Flow = QuantileFlow(HOT, COLD) if name == "quantiles" else _flow(name, two)
    replicas = ctx.count(12_000, 60_000)
    pa = PopulationAnnealing(
        flow.system,
        temperatures=LADDER.tolist(),
        explorer=Still(flow.system),
        sweeps_per_step=1,
        equilibration_sweeps=0,
        adapt_move_size=False,
        flow=flow,
    )
    start = two.draw(replicas, HOT, ctx.number("start"), ctx.number("chain"))
    start = Ensemble.from_arrays(flow.system, start.positions, temperature=HOT, seed=ctx.number("chain"))
    result = pa.run(start, device=ctx.device)
    energies, partition = [], []
    for k, t in enumerate(LADDER.tolist()):
        energies.append(measured("", result.mean_energy[k], result.mean_energy_error[k], two.mean_energy(t)))
        if k:
            exact = two.log_z(t) - two.log_z(HOT)
            partition.append(measured("", result.log_z[k], result.log_z_error[k], exact))
    for quantity, found in (("mean energy", energies), ("log Z", partition)):
        p_value, last = combine(np.array([one.p_value for one in found])), found[-1]
        yield Finding(f"{quantity} at all temperatures", p_value, last.observed, last.expected, last.error)
    yield cached(result.ensemble.to("cpu")[:200])


def _cases() -> Iterator[Case]:
    for layers, d in ((0, 2), (1, 2), (2, 2), (3, 2), (0, 3), (1, 3), (2, 3)):
        run = functools.partial(jacobian, layers=layers, dimension=d)
        yield Case("flow maps", f"Jacobian with {layers} layers of messages, {d}D", run)
    for layers in (0, 1):
        run = functools.partial(partition_function, layers=layers)
        yield Case("flow maps", f"partition function by quadrature, {layers} layers", run)
    yield Case("flow maps", "torch", torch_twin, needs="torch")
    for name in ("identity", "pair", "messages"):
        run = functools.partial(weights, name=name)
        yield Case("flow sampler", f"two soft discs, {name}", run, quick=name != "messages")
    yield case("flow sampler", "two soft discs, with a stop", stops)
    for name in ("identity", "pair"):
        yield case("flow Metropolis", f"two particles, {name}", functools.partial(metropolis, name=name))
    for name in ("pair", "quantiles", "messages"):
        quick = name != "messages"
        yield case("flow-assisted tempering", f"two particles, {name}", functools.partial(tempering, name=name), quick=quick)
        yield case("flow-assisted annealing", f"two particles, {name}", functools.partial(annealing, name=name), quick=quick)


CASES = tuple(_cases())
