"""The native kernels of the flow fields on one core: against energies with forces, and against the same fields in eager torch.

Liquid configurations of ka2d, equilibrated at T = 0.5. Pair fields reach 0.49 of the box at N = 43, on 32 intervals, and 2.5
at the larger sizes; fields of messages reach 2.5 and 2.0, on 25 and 10. Radial functions are random: their values do not
matter for the time. Measured, in evaluations of one configuration per second: velocity with divergence; a trajectory of four
Runge-Kutta steps, which has sixteen of them; and the trajectory of the torch twin, `glassnf.flows.torch_twin`, one thread.
Before a number counts, native and torch trajectories must agree.

    python bench/flow_field.py -o bench/results/flow_field.json
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import common
import flow_tables
import glassnf as gnf
from glassnf.flows import torch_twin
from glassnf.flows._native import trajectory, velocity_and_divergence
from glassnf.flows.tables import RadialTables

TEMPERATURE = 0.5
STEPS = 4
BETA_STEP = 1e-3
EVALUATIONS = 4 * STEPS  # of the field in a trajectory
SIZES = (43, 172, 1290)
MOST_LAYERS = {43: 3, 172: 3, 1290: 1}
OF_TWIN = {0: 64, 1: 16, 2: 16}  # layers, and most configurations: the twin has matrices of (N d)^2 for each

# Floating-point operations per pair of the inner loop in two dimensions (FlowLanes::pairs in cpp/src/kernels/flow_lanes.hpp
# with locate and radial_at in cpp/include/glassnf/radial_table.hpp). Additions and multiplications count one, fused
# multiply-adds two; comparisons, masks, loads and stores nothing, nor does the one square root:
#   dx = x_i - x_j and its minimum image: subtraction, fused, subtraction, fused, per axis 6   12
#   r^2: one multiplication, one fused                                                          3
#   place in the table: fused, two additions, a subtraction, s: a subtraction and an addition   7
#   value: three fused; slope: two fused, 2 s, 3 s^2                                           13
#   divergence: an addition and a fused                                                         3
#   both sums, per axis a multiplication, an addition and a subtraction                         6
FLOPS_PER_PAIR = 44


def configurations(n: int, options: Any) -> gnf.Ensemble:
    """Return liquid configurations, the fewer the larger they are."""
    system = gnf.systems.ka2d(n=n)
    replicas = max(4, options.configurations * SIZES[0] // n // (1 if n == SIZES[0] else 2))
    ensemble = gnf.Ensemble.random(system, replicas=replicas, temperature=TEMPERATURE, seed=n)
    gnf.MonteCarlo(system, swap_probability=0.2, threads=1).equilibrate(ensemble, options.equilibration)
    return ensemble


class Torch:
    """A trajectory of the torch twin, of some of the configurations."""

    def __init__(self, ensemble: gnf.Ensemble, tables: RadialTables) -> None:
        count = min(ensemble.replicas, OF_TWIN[tables.layers])
        self.start = torch.from_numpy(np.array(ensemble.positions[:count]))
        species = torch.from_numpy(ensemble.species[:count].astype(np.int64))
        stages = [torch_twin.stage_tensors(tables, k) for k in range(tables.stages)]
        self.rate = torch_twin.table_rate(stages, species, torch.from_numpy(np.array(ensemble.system.box)))

    @torch.no_grad()
    def __call__(self) -> tuple[Any, Any]:
        return torch_twin.integrate(self.rate, self.start, 0.0, STEPS * BETA_STEP, STEPS)


def check(ensemble: gnf.Ensemble, tables: RadialTables, twin: Torch) -> None:
    """Refuse to measure unless both trajectories end in the same place, with the same Jacobian."""
    end, log_jacobian = twin()
    count = end.shape[0]
    found = trajectory(ensemble.system, ensemble.positions[:count], ensemble.species[:count], tables, BETA_STEP, threads=1)
    worst = float(np.abs(found.positions + found.images * ensemble.system.box - end.numpy()).max())
    common.require(worst < 1e-9, f"positions of native and torch trajectories differ by {worst}")
    worst = float(np.abs(found.log_jacobian - log_jacobian.numpy()).max())
    common.require(worst < 1e-8, f"log Jacobians of native and torch trajectories differ by {worst}")


def timed(evaluate: Callable[[], Any], evaluations: int, seconds: float) -> Callable[[], float]:
    """Return a function that measures evaluations per second over about `seconds`."""
    evaluate()
    start = time.perf_counter()
    evaluate()
    calls = max(1, int(seconds / (time.perf_counter() - start)))

    def rate() -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            evaluate()
        return calls * evaluations / (time.perf_counter() - begin)

    return rate


def cases_of(ensemble: gnf.Ensemble, seconds: float) -> dict[str, Callable[[], float]]:
    """Return what is measured at one size."""
    system, n, replicas = ensemble.system, ensemble.system.n, ensemble.replicas
    arrays = (system, ensemble.positions, ensemble.species)
    cases = {
        f"energies and forces, N={n}": timed(functools.partial(gnf.energy_and_forces, *arrays, threads=1), replicas, seconds)
    }
    for layers in range(MOST_LAYERS[n] + 1):
        tables, name = flow_tables.tables_of(system, layers, 2 * STEPS + 1), f"{flow_tables.name_of(layers)}, N={n}"
        field = functools.partial(velocity_and_divergence, *arrays, tables, threads=1)
        way = functools.partial(trajectory, *arrays, tables, BETA_STEP, threads=1)
        cases[name] = timed(field, replicas, seconds)
        cases[f"trajectory, {name}"] = timed(way, EVALUATIONS * replicas, seconds)
        if n == SIZES[0] and layers in OF_TWIN:
            twin = Torch(ensemble, tables)
            check(ensemble, tables, twin)
            cases[f"torch trajectory, {name}"] = timed(twin, EVALUATIONS * twin.start.shape[0], seconds)
    return cases


def measure(options: Any) -> dict[str, Any]:
    torch.set_num_threads(1)
    rates: dict[str, list[float]] = {}
    replicas: dict[str, int] = {}
    for n in SIZES:
        ensemble = configurations(n, options)
        replicas[f"N={n}"] = ensemble.replicas
        rates |= common.interleave(cases_of(ensemble, options.seconds), options.repetitions)
    ratios = {}
    for n in SIZES:
        for layers in range(MOST_LAYERS[n] + 1):
            name = f"{flow_tables.name_of(layers)}, N={n}"
            ratios[f"cost: {name} / energies and forces"] = common.ratio(rates, f"energies and forces, N={n}", name)
            if f"torch trajectory, {name}" in rates:
                ratios[f"trajectory: native / torch, {name}"] = common.ratio(
                    rates, f"trajectory, {name}", f"torch trajectory, {name}"
                )
    with common.build_folder() as folder:
        peak = common.machine_peak(folder, min(1.0, options.seconds))
    pairs = common.median_of(rates[f"trajectory, pair field, N={SIZES[0]}"]) * SIZES[0] * (SIZES[0] - 1) / 2
    return {
        "settings": {
            "temperature": TEMPERATURE,
            "steps": STEPS,
            "replicas": replicas,
            "replicas_of_torch": {flow_tables.name_of(layers): count for layers, count in OF_TWIN.items()},
            "seconds": options.seconds,
            "repetitions": options.repetitions,
            "torch": torch.__version__,
        },
        "evaluations_per_s": {name: {"median": common.median_of(values), "values": values} for name, values in rates.items()},
        "ratios": ratios,
        "peak": peak,
        "flops_per_pair": FLOPS_PER_PAIR,
        "limits": {"pairs_per_s": pairs, "fraction_of_flops": pairs * FLOPS_PER_PAIR / peak["flops_per_s"]},
    }


def main() -> None:
    parser = common.arguments((__doc__ or "").partition("\n")[0])
    parser.add_argument("--configurations", type=int, default=1024, help="of N = 43")
    parser.add_argument("--equilibration", type=int, default=200, help="sweeps")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of each measurement")
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    os.environ["GLASSNF_THREADS"] = "1"
    common.report("flow_field", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
