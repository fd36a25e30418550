"""Checks of observables on configurations and series whose averages are known exactly."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import observables as obs
from .fluids import draw_pairs, fluid
from .pairs import TwoParticles
from .plan import Case, Context, Finding, close, measured, replicated
from .reference import minimum_image, reduced_energy
from .statistics import combine

__all__ = ["CASES"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]


def pair_correlation(ctx: Context, dimension: int) -> Findings:
    """g(r) of exact samples of two particles, exp(-V / T) up to a factor, in every bin."""
    two, temperature, bins = TwoParticles(dimension=dimension), 0.6, 12
    samples = ctx.count(4_000, 40_000)
    positions = two.draw(samples, temperature, ctx.number("start")).positions
    found = obs.radial_distribution(positions, two.system.box, bins=bins, r_max=0.99 * two.cutoff)
    volume = float(two.system.volume)
    z = math.exp(two.log_z(temperature))
    worst: list[Finding] = []
    for low, high, value in zip(found.edges[:-1], found.edges[1:], found.total, strict=True):
        r = np.linspace(low, high, 2001)
        shell = (2.0 * math.pi * r) if dimension == 2 else (4.0 * math.pi * r**2)
        weight = shell * np.exp(-two.energy(r) / temperature)
        inside = float((0.5 * (weight[1:] + weight[:-1]) * np.diff(r)).sum()) / z
        ball = math.pi * (high**2 - low**2) if dimension == 2 else 4.0 / 3.0 * math.pi * (high**3 - low**3)
        share = float(ball) / volume
        if samples * inside > 40.0:
            error = math.sqrt(inside * (1.0 - inside) / samples) / share
            worst.append(measured("", float(value), error, inside / share))
    last = min(worst, key=lambda one: one.p_value or 0.0)
    p_value = combine(np.array([one.p_value for one in worst]))
    yield Finding(f"g(r) in {len(worst)} bins", p_value, last.observed, last.expected, last.error)


def scattering(ctx: Context) -> Findings:
    """S(k) of exact samples of two particles, 1 + <cos k x>, at the three shortest wave vectors along an axis."""
    system, temperature, points = fluid(2), 0.6, 512
    side, samples = float(system.box[0]), ctx.count(20_000, 100_000)
    positions = draw_pairs(system, temperature, samples, ctx.rng("start"))
    along = minimum_image(side * np.arange(points) / points, np.array(side))
    r = np.maximum(np.hypot(along[:, None], along[None, :]), 0.3)
    weights = np.exp(-reduced_energy(system.potential, r) / temperature)
    for m in (1, 2, 3):
        k = 2.0 * math.pi * m / side
        exact = 1.0 + float((weights * np.cos(k * along)[:, None]).sum() / weights.sum())
        found = obs.structure_factor_at(positions, system.box, [[k, 0.0]])
        delta = positions[:, 1, 0] - positions[:, 0, 0]
        error = float(np.cos(k * delta).std(ddof=1)) / math.sqrt(samples)
        yield measured(f"S(k) at k = {m} times 2 pi / L", float(np.ravel(found)[0]), error, exact)


def walks(ctx: Context) -> Findings:
    """Mean square displacement and self-intermediate scattering of random walks of independent particles."""
    replicas, records, n, step = 64, 65, 20, 0.1
    moves = step * ctx.rng("walk").standard_normal((records - 1, replicas, n, 2))
    start = ctx.rng("start").uniform(0.0, 6.0, (1, replicas, n, 2))
    positions = np.concatenate([start, start + np.cumsum(moves, axis=0)])
    times = np.arange(records, dtype=np.float64)
    walk = obs.mean_square_displacement(positions, times)
    for lag in (1, 8, 32):
        yield replicated(f"mean square displacement after {lag} steps", walk.replicas[lag], 2.0 * step**2 * lag)
    k = 2.0 * math.pi / 6.0 * 4.0
    decay = obs.self_intermediate_scattering(positions, times, [6.0, 6.0], k, width=1e-6)
    for lag in (1, 8, 32):
        exact = math.exp(-0.5 * k**2 * step**2 * lag)
        yield replicated(f"self-intermediate scattering after {lag} steps", decay.replicas[lag], exact)


def fluctuations(ctx: Context) -> Findings:
    """A Gaussian density of states: C_v, reweighting, and the partition function, whose answers are closed formulas."""
    width, beta, new_beta, n = 2.0, 1.25, 1.5, 10
    records, replicas = ctx.count(400, 4_000), 64
    energy = -beta * width**2 + width * ctx.rng("energies").standard_normal((records, replicas))
    heat = obs.specific_heat(energy, 1.0 / beta, n, 2)
    yield measured("specific heat", heat.value, heat.error, (beta * width) ** 2 / n)
    mean = obs.mean_energy(energy, n)
    yield measured("mean energy", mean.value, width / n / math.sqrt(energy.size), -beta * width**2 / n)
    moved = obs.reweight(energy, beta, new_beta)
    yield measured("mean energy, reweighted", moved.mean.value, moved.mean.error, -new_beta * width**2)
    log_z = 0.5 * width**2 * (new_beta**2 - beta**2)
    yield measured("log Z, reweighted", moved.log_z_ratio.value, moved.log_z_ratio.error, log_z)
    forward = -(new_beta - beta) * energy.ravel()
    target = -new_beta * width**2 + width * ctx.rng("target").standard_normal(energy.size)
    value, error = obs.log_z_of_weights(forward)
    yield measured("log Z of weights", value, error, log_z)
    value, error = obs.bennett_log_z(forward, -(new_beta - beta) * target)
    yield measured("log Z by the acceptance ratio", value, error, log_z)
    weighted = obs.weighted_energy(energy.ravel(), forward, new_beta, n)
    yield measured("mean energy of weighted samples", weighted.mean, weighted.mean_error, -new_beta * width**2)
    exact = (new_beta * width) ** 2 / n
    yield measured("specific heat of weighted samples", weighted.specific_heat, weighted.specific_heat_error, exact)
    ess = math.exp(-((new_beta - beta) ** 2) * width**2)
    yield close("effective sample size", obs.weight_summary(forward).ess, ess, 0.05 * ess)


def correlated_series(ctx: Context) -> Findings:
    """Autoregressive series: the autocorrelation time, and errors that are those of means of independent series."""
    memory, records, series = 0.8, ctx.count(4_000, 20_000), 100
    noise = ctx.rng("noise").standard_normal((records + 100, series))
    x = np.empty_like(noise)
    x[0] = noise[0]
    for k in range(1, len(x)):
        x[k] = memory * x[k - 1] + math.sqrt(1.0 - memory**2) * noise[k]
    x = x[100:]
    exact = 0.5 * (1.0 + memory) / (1.0 - memory)
    found = obs.autocorrelation_time(x)
    yield close("autocorrelation time", float(found.value), exact, 0.1 * exact)  # its error is 1 %
    estimates = [obs.estimate_mean(x[:, k], method="gamma") for k in range(series)]
    size = math.sqrt(float(np.mean([one.error**2 for one in estimates])))
    yield close("error of a mean", size * math.sqrt(records / (2.0 * exact)), 1.0, 0.1)
    mean = obs.estimate_mean(x)
    yield measured("mean of all series", mean.value, math.sqrt(2.0 * exact / x.size), 0.0)


def crystal(ctx: Context) -> Findings:
    """The hexagonal order of a triangular lattice is 1, and that of an ideal gas far from it."""
    a, rows = 1.0, 8
    places = np.array([[a * (i + 0.5 * (j % 2)), a * j * math.sqrt(0.75)] for j in range(rows) for i in range(rows)])
    box = np.array([rows * a, rows * a * math.sqrt(0.75)])
    order = np.abs(obs.bond_order(places + 0.25, box))
    yield close("smallest hexagonal order of a triangular lattice", float(order.min()), 1.0, 1e-5)


def _cases() -> Iterator[Case]:
    for d in (2, 3):
        run = functools.partial(pair_correlation, dimension=d)
        yield Case("observables", f"pair correlation of two particles, {d}D", run, needs="freud")
    yield Case("observables", "structure factor of two particles", scattering)
    yield Case("observables", "random walks", walks)
    yield Case("observables", "a Gaussian density of states", fluctuations)
    yield Case("observables", "autoregressive series", correlated_series)
    yield Case("observables", "bond order of a crystal", crystal, needs="freud")


CASES = tuple(_cases())
