"""Energies and forces of 1024 configurations of N = 43: glassnf against torch.compile of the all-pairs formula, on one core.

The opponent is the formula as one writes it in torch, vectorised over configurations and all pairs, compiled by torch.compile
(Inductor, which by itself uses the machine's own instruction set), one thread. Four variants are compiled: the full pair
matrix, or every pair once through index lists; forces by autograd, or by the analytic formula. Pair coefficients are prepared
beforehand. The fastest variant is the opponent. glassnf is timed through its public function, checks included.

    python bench/energy.py -o bench/results/energy.json
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import common
import glassnf as gnf

Evaluate = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

# Floating-point operations per pair of the force kernel in two dimensions (cpp/src/kernels/energy_kernel.cpp with
# LennardJones::reduced_and_slope in cpp/include/glassnf/potentials.hpp), counted as in bench/monte_carlo.py. Every pair once:
#   x_i - x_j and the two corrections of the minimum image, per axis 3                         6
#   r^2, q = r^2 / sigma^2                                                                     4
#   1 / q, q^-3, q^-3 - 1, polynomial, V / prefactor                                          10
#   slope: q^-4, 3 - 6 q^-3, 2 c4 q + c2, fused                                                8
#   energy: times prefactor, sum                                                               2
#   force factor: -2 / sigma^2 * prefactor * slope                                             3
#   force on i and on j, per axis one product, two additions                                   6
FLOPS_PER_PAIR = 39


class AllPairs:
    """The opponent: energies (R,) and forces (R, N, 2) of a batch with fixed species, in torch."""

    def __init__(self, system: gnf.systems.System, *, once: bool, analytic: bool) -> None:
        n = system.n
        table = torch.from_numpy(np.array(system.potential.coefficients()))
        kind = torch.from_numpy(system.species.astype(np.int64))
        self.i, self.j = torch.triu_indices(n, n, 1) if once else torch.ones(n, n).nonzero().T
        self.once, self.analytic, self.n = once, analytic, n
        self.box = torch.from_numpy(np.array(system.box))
        pair = table[kind[self.i], kind[self.j]]
        shape = (-1,) if once else (n, n)
        self.inverse_sigma2, self.prefactor = pair[:, 0].reshape(shape), pair[:, 1].reshape(shape)
        self.q_cut, self.c4, self.c2, self.c0 = (float(c) for c in table[0, 0, 2:])
        self.other = torch.ones(n * (n - 1) // 2, dtype=torch.bool) if once else ~torch.eye(n, dtype=torch.bool)

    def displacements(self, x: torch.Tensor) -> torch.Tensor:
        dx = x[:, self.i] - x[:, self.j] if self.once else x[:, :, None] - x[:, None]
        return dx - self.box * torch.round(dx / self.box)

    def energies(self, q: torch.Tensor) -> torch.Tensor:
        inside = self.other & (q < self.q_cut)
        i3 = torch.where(inside, q, 1.0) ** -3
        v = self.prefactor * (i3 * i3 - i3 + (self.c4 * q + self.c2) * q + self.c0)
        u = torch.where(inside, v, 0.0).flatten(1).sum(1)
        return u if self.once else 0.5 * u

    def by_formula(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        dx = self.displacements(x)
        q = dx.square().sum(-1) * self.inverse_sigma2
        inside = self.other & (q < self.q_cut)
        i1 = torch.where(inside, q, 1.0).reciprocal()
        i3 = i1 * i1 * i1
        slope = i1 * i3 * (3.0 - 6.0 * i3) + 2.0 * self.c4 * q + self.c2
        factor = torch.where(inside, -2.0 * self.prefactor * self.inverse_sigma2 * slope, 0.0)
        pairs = factor[..., None] * dx
        if self.once:
            forces = torch.zeros_like(x).index_add(1, self.i, pairs).index_add(1, self.j, -pairs)
        else:
            forces = pairs.sum(2)
        return self.energies(q), forces

    def from_displacements(self, x: torch.Tensor) -> torch.Tensor:
        return self.energies(self.displacements(x).square().sum(-1) * self.inverse_sigma2)

    def by_autograd(
        self, energies: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.detach().requires_grad_()
        u = energies(x)
        return u.detach(), -torch.autograd.grad(u.sum(), x)[0]

    def eager(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.by_formula(x) if self.analytic else self.by_autograd(self.from_displacements, x)

    def compiled(self) -> Evaluate:
        """Compile the variant; by autograd, the energies and the backward pass that torch derives from them."""
        if self.analytic:
            formula: Evaluate = torch.compile(self.by_formula, fullgraph=True, dynamic=False)
            return formula
        return functools.partial(self.by_autograd, torch.compile(self.from_displacements, fullgraph=True, dynamic=False))


def configurations(system: gnf.systems.System, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Equilibrium configurations at T = 0.5, particles sorted by species."""
    ensemble = gnf.Ensemble.random(system, replicas=count, temperature=0.5, seed=1)
    gnf.MonteCarlo(system, swap_probability=0.2, threads=1).equilibrate(ensemble, 200)
    order = np.argsort(ensemble.species, axis=1, kind="stable")
    positions = np.take_along_axis(ensemble.positions, order[:, :, None], axis=1)
    species = np.take_along_axis(ensemble.species, order, axis=1)
    common.require(bool((species == system.species).all()), "species are not those of the system")
    return torch.from_numpy(np.ascontiguousarray(positions)), torch.from_numpy(species)


def timed(evaluate: Callable[[], Any], seconds: float) -> Callable[[], float]:
    """Return a function that measures calls per second over about `seconds`."""
    evaluate()
    start = time.perf_counter()
    evaluate()
    calls = max(1, int(seconds / (time.perf_counter() - start)))

    def rate() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            evaluate()
        return calls / (time.perf_counter() - start)

    return rate


def check(name: str, found: tuple[torch.Tensor, torch.Tensor], expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    for what, a, b in zip(("energies", "forces"), found, expected, strict=True):
        error = float((a - b).abs().max() / b.abs().max())
        common.require(error < 1e-12, f"{what} of {name} are off by {error}, relative to the largest")


def measure(options: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    system = gnf.systems.ka2d(n=43)
    x, species = configurations(system, options.configurations)

    def glassnf() -> tuple[torch.Tensor, torch.Tensor]:
        u, f = gnf.energy_and_forces(system, x, species, threads=1)
        return u, f

    def operator() -> tuple[torch.Tensor, torch.Tensor]:
        y = x.detach().requires_grad_()
        u = gnf.energy(system, y, species)
        return u.detach(), -torch.autograd.grad(u.sum(), y)[0]

    variants = {
        f"torch.compile, {'every pair once' if once else 'pair matrix'}, {'formula' if analytic else 'autograd'}": AllPairs(
            system, once=once, analytic=analytic
        )
        for once in (False, True)
        for analytic in (False, True)
    }
    evaluate = {name: variant.eager if options.eager else variant.compiled() for name, variant in variants.items()}
    expected = glassnf()
    check("the torch operator", operator(), expected)
    for name, function in evaluate.items():
        check(name, function(x), expected)
    cases = {
        "glassnf": timed(glassnf, options.seconds),
        "glassnf, torch operator and autograd": timed(operator, options.seconds),
    }
    cases |= {name: timed(functools.partial(function, x), options.seconds) for name, function in evaluate.items()}
    rates = common.interleave(cases, options.repetitions)
    opponent = max(evaluate, key=lambda name: common.median_of(rates[name]))
    matrix = max((name for name in evaluate if not variants[name].once), key=lambda name: common.median_of(rates[name]))
    with common.build_folder() as folder:
        peak = common.machine_peak(folder, min(1.0, options.seconds))
    per_second = {name: [rate * options.configurations for rate in values] for name, values in rates.items()}
    pairs = common.median_of(per_second["glassnf"]) * system.n * (system.n - 1) / 2
    return {
        "settings": {
            "n": system.n,
            "configurations": options.configurations,
            "seconds": options.seconds,
            "repetitions": options.repetitions,
            "opponent": opponent,
            "compiled": not options.eager,
            "torch": torch.__version__,
        },
        "configurations_per_s": {n: {"median": common.median_of(v), "values": v} for n, v in per_second.items()},
        "ratios": {
            "energy and forces: glassnf / torch.compile": common.ratio(rates, "glassnf", opponent),
            "energy and forces: glassnf / torch.compile of the pair matrix": common.ratio(rates, "glassnf", matrix),
            "energy and gradient in torch: glassnf / torch.compile": common.ratio(
                rates, "glassnf, torch operator and autograd", opponent
            ),
        },
        "peak": peak,
        "flops_per_pair": FLOPS_PER_PAIR,
        "limits": {"pairs_per_s": pairs, "fraction_of_flops": pairs * FLOPS_PER_PAIR / peak["flops_per_s"]},
    }


def main() -> None:
    parser = common.arguments((__doc__ or "").partition("\n")[0])
    parser.add_argument("--configurations", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    parser.add_argument("--eager", action="store_true", help="do not compile (to test the script itself)")
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    os.environ["GLASSNF_THREADS"] = "1"
    common.report("energy", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
