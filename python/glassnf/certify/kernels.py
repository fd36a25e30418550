"""Checks of energies, forces, virials, random numbers and instruction sets."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arrays import address, to_host
from ..energy import energy_and_forces, pressure, virial
from ..ensemble import Ensemble
from ..samplers.molecular_dynamics import MolecularDynamics
from ..samplers.monte_carlo import MonteCarlo
from ..systems import PairPotential, System
from . import reference
from .pairs import TwoParticles
from .plan import BOTH, Case, Context, Finding, close, counted, equal, replicated
from .systems import KIND_NAMES, cells_box, lattice_batch, mixture, potential

__all__ = ["CASES"]

Array = npt.NDArray[Any]
Findings = Iterator[Finding]

_LIMITS = {"float64": 1e-12, "mixed": 1e-5}
"""Relative, against the sum of the sizes of all terms, by precision: sums in another order, terms in single precision."""


def _system(kind: str, dimension: int, cells: float) -> System:
    pair = potential(kind, 2, different_cutoffs=kind not in ("wca", "harmonic"))
    box = cells_box(pair, (cells,) * dimension)
    return mixture(pair, min(150, max(24, round(0.9 * float(np.prod(box))))), box)


def energies(ctx: Context, kind: str, precision: str) -> Findings:
    """Energies, forces and virials of all pairs and through cells, in two and three dimensions, against NumPy."""
    worst = dict.fromkeys(("energies", "forces", "virials"), 0.0)
    for dimension, cells in ((2, 2.2), (2, 5.1), (3, 2.1), (3, 4.0)):
        system = _system(kind, dimension, cells)
        positions, species = lattice_batch(system, 4, ctx.number(dimension, cells) % 2**32)
        there: Any = positions, species
        if ctx.device != "cpu":
            from .. import cuda

            xp = cuda.find_device(ctx.device).xp
            there = xp.asarray(positions), xp.asarray(species)
        u, f = (to_host(x) for x in energy_and_forces(system, *there, threads=ctx.threads, precision=precision))
        w = to_host(virial(system, *there, threads=ctx.threads, precision=precision))
        arguments = reference.parameters(system)
        local = np.abs(reference.local_energies(positions, species, **arguments)).sum()
        force, tensor = (function(positions, species, **arguments) for function in (reference.forces, reference.virial))
        pairs = (u, reference.energy(positions, species, **arguments), local), (f, force, None), (w, tensor, None)
        for name, (found, exact, scale) in zip(worst, pairs, strict=True):
            size = float(np.abs(exact).max()) if scale is None else float(scale)
            worst[name] = float(np.maximum(worst[name], np.abs(found - exact).max() / max(size, 1e-30)))  # NaN stays NaN
    for name, error in worst.items():
        yield close(f"{name}, largest relative error", error, 0.0, _LIMITS[precision])


def derivative(ctx: Context) -> Findings:
    """Forces against central differences of the energies of the NumPy reference."""
    h, worst = 1e-5, 0.0
    for kind in KIND_NAMES:
        system = _system(kind, 2, 2.2)
        positions, species = lattice_batch(system, 1, ctx.number(kind) % 2**32)
        _, force = energy_and_forces(system, positions, species, threads=ctx.threads)
        shifts = h * np.eye(positions[0].size).reshape(-1, system.n, 2)
        kinds = np.repeat(species, len(shifts), axis=0)
        up, down = (reference.energy(positions + sign * shifts, kinds, **reference.parameters(system)) for sign in (1.0, -1.0))
        missed = np.abs((down - up) / (2.0 * h) - force.ravel()).max() / np.abs(force).max()
        worst = float(np.maximum(worst, missed))
    yield close("forces against differences of energies, relative to the largest", worst, 0.0, 1e-6)


def pressures(ctx: Context) -> Findings:
    """The pressure of exact samples of two particles that repel each other, with its error from their spread."""
    for dimension in (2, 3):
        two, temperature = TwoParticles(potential=PairPotential("wca", 1.0, 1.0), dimension=dimension), 0.8
        start = two.draw(ctx.count(20_000, 200_000), temperature, ctx.number(dimension))
        values = pressure(two.system, start.positions, start.species, temperature=temperature, threads=ctx.threads)
        yield replicated(f"pressure of two particles, {dimension}D", values, two.pressure(temperature))


def random_numbers(ctx: Context) -> Findings:
    """Known answers of Philox4x32-10, uniform numbers of all streams, Maxwell-Boltzmann velocities."""
    vectors = (
        ([0, 0, 0, 0], 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([2**32 - 1] * 4, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            0x299F31D0A4093822,
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    )  # of Salmon, Moraes, Dror, Shaw 2011, kat_vectors of Random123
    found = np.array([_core.philox(counter, key) for counter, key, _ in vectors])
    yield equal("known answers of Philox", found, np.array([answer for *_, answer in vectors]))
    size, seed = ctx.count(200_000, 2_000_000), ctx.number("uniform")
    numbers = np.empty(size)
    _core.uniform(seed, _core.Stream.PROPOSAL, 7, 3, size, address(numbers))
    cells = np.minimum((numbers * 64).astype(int), 63)
    yield counted("uniform numbers", np.bincount(cells, minlength=64), np.ones(64))
    pairs = np.bincount(cells[1::2] * 64 + cells[::2], minlength=4096)
    yield counted("uniform numbers and their successors", pairs, np.ones(4096))
    two, temperature = TwoParticles(dimension=3), 0.7
    moving = two.draw(ctx.count(20_000, 200_000), temperature, ctx.number("start"), ctx.number("velocities"))
    moving.draw_velocities()
    assert moving.velocities is not None
    kinetic = 0.5 * (moving.velocities**2).sum(axis=(1, 2)) / temperature
    yield close("momentum of velocities drawn", float(np.abs(moving.velocities.sum(axis=1)).max()), 0.0, 1e-9)
    yield replicated("kinetic energy of velocities drawn", kinetic, 1.5)  # three degrees of freedom are left
    yield replicated("its square", kinetic**2, 1.5 * 2.5)


def instruction_sets(ctx: Context) -> Findings:
    """Every instruction set of this machine gives the same bits: energies, Monte Carlo with swaps, molecular dynamics."""
    before = _core.instruction_set()
    results: dict[str, list[Array]] = {}
    try:
        for name in _core.instruction_sets():
            _core.use_instruction_set(name)
            results[name] = list(_trajectories(ctx))
    finally:
        _core.use_instruction_set(before)
    for name, arrays in results.items():
        same = [equal(name, a, b) for a, b in zip(arrays, results[before], strict=True)]
        total = math.fsum(finding.observed or 0.0 for finding in same)
        yield Finding(f"bits of {name} that are not those of {before}", observed=total, expected=0.0, limit=0.0)


def _trajectories(ctx: Context) -> Iterator[Array]:
    for kind, cells in (("lj_smooth", 2.2), ("lj_smooth", 5.1), ("inverse_power", 4.0)):
        system = _system(kind, 2, cells)
        positions, species = lattice_batch(system, 3, 5)
        yield from energy_and_forces(system, positions, species, threads=ctx.threads)
        ensemble = Ensemble.from_arrays(system, positions, species=species, temperature=0.6, seed=9, move_size=0.1)
        MonteCarlo(system, swap_probability=0.3, threads=ctx.threads).run(ensemble, 20)
        yield from (ensemble.positions, ensemble.species, ensemble.energy)
        ensemble = Ensemble.from_arrays(system, positions, species=species, temperature=0.6, seed=9)
        MolecularDynamics(system, timestep=0.001, threads=ctx.threads).run(ensemble, 20)
        assert ensemble.velocities is not None
        yield from (ensemble.positions, ensemble.velocities, ensemble.energy)


def _cases() -> Iterator[Case]:
    for kind in KIND_NAMES:
        yield Case("energies and forces", kind, functools.partial(energies, kind=kind, precision="float64"), devices=BOTH)
        run = functools.partial(energies, kind=kind, precision="mixed")
        yield Case("energies and forces", f"{kind}, mixed precision", run, devices=("cuda",), precision="mixed")
    yield Case("energies and forces", "differences", derivative)
    yield Case("pressure", "two particles", pressures)
    yield Case("random numbers", "streams", random_numbers)
    yield Case("instruction sets", "energies and trajectories", instruction_sets)


CASES = tuple(_cases())
