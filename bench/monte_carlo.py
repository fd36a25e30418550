"""Monte Carlo of glassnf against the brute-force program, one thread each, side by side on one core.

Measured: displacement moves per second at N = 43, T = 0.5 with the same move size in both programs; the same with 20 % swap
trials; glassnf at N = 1290 and N = 100,000. Reported: medians, ratios, and the fraction of the machine's floating-point limit.
Before a number counts, both programs must agree: mean energies, acceptances, and cached against recomputed energies.

    python bench/monte_carlo.py -o bench/results/monte_carlo.json
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import common
import glassnf as gnf

TEMPERATURE = 0.5
MOVE_SIZE = 0.12
SWAPS = 0.2
SIZES = {"N=1290": 1290, "N=100000": 100_000}

# Floating-point operations per pair of the inner loop of the Monte Carlo kernel in two dimensions (block_energies in
# cpp/src/kernels/local_energy.hpp with quantised_pair_energy and LennardJones::reduced in cpp/include/glassnf/potentials.hpp).
# Additions, multiplications and divisions count one, fused multiply-adds two; minima, absolute values, masks, loads and stores
# count nothing:
#   dx = x_j - x_i and L - |dx|, per axis 2                                                    4
#   r^2 = dx dx + dy dy: one multiplication, one fused                                         3
#   q = r^2 / sigma^2                                                                          1
#   1 / q                                                                                      1
#   q^-3                                                                                       2
#   q^-3 - 1                                                                                   1
#   (c4 q + c2) q + c0                                                                         4
#   q^-3 (q^-3 - 1) + polynomial                                                               2
#   prefactor * reduced, rounded to the energy quantum: one fused, one subtraction             3
#   sum                                                                                        1
FLOPS_PER_PAIR = 22
DIVISIONS_PER_PAIR = 1


class BruteForce:
    """The brute-force program at N = 43; each call is a run of its own with another seed."""

    def __init__(self, program: Path, system: Any, swap_probability: float, seconds: float, equilibration: int) -> None:
        self.program, self.system, self.swap_probability = program, system, swap_probability
        self.seed, self.sweeps, self.equilibration = 0, 1000, equilibration
        self.energies: list[float] = []
        self.acceptances: list[float] = []
        self.sweeps = max(1000, int(seconds * self() / system.n))
        self.energies, self.acceptances = [], []

    def __call__(self) -> float:
        self.seed += 1
        words = common.output_of(
            self.program,
            *self.system.composition,
            repr(float(self.system.box[0])),
            TEMPERATURE,
            self.sweeps,
            self.equilibration,
            self.swap_probability,
            MOVE_SIZE,
            self.seed,
        )
        drift = float(words[9])
        common.require(drift < 1e-6, f"energy of the brute-force program drifted by {drift}")
        self.energies.append(float(words[1]))
        self.acceptances.append(float(words[4]))
        return float(words[7])


class Glassnf:
    """One replica of glassnf, equilibrated; each call goes on with the same replica."""

    def __init__(self, n: int, swap_probability: float, seconds: float, equilibration: int) -> None:
        self.system = gnf.systems.ka2d(n=n)
        self.ensemble = gnf.Ensemble.random(self.system, replicas=1, temperature=TEMPERATURE, seed=n)
        self.sampler = gnf.MonteCarlo(self.system, swap_probability=swap_probability, threads=1)
        # Swaps equilibrate fast; the run itself may do without.
        gnf.MonteCarlo(self.system, swap_probability=SWAPS, threads=1).equilibrate(self.ensemble, equilibration)
        self.ensemble.move_size[:] = MOVE_SIZE
        self.seconds, self.sweeps, self.pairs_per_move = seconds, max(1, 20_000 // n), 0.0
        self.energies: list[float] = []
        self.acceptances: list[float] = []
        self.sweeps = max(1, int(seconds * self() / n))
        self.energies, self.acceptances = [], []

    def __call__(self) -> float:
        start = time.perf_counter()
        record = self.sampler.run(self.ensemble, self.sweeps, record_every=1)
        elapsed = time.perf_counter() - start
        self.energies.append(float(record.energy.mean()) / self.system.n)
        self.acceptances.append(float(record.displacement_acceptance[0]))
        self.pairs_per_move = record.pair_evaluations / (self.sweeps * self.system.n)
        return self.sweeps * self.system.n / elapsed

    def check(self) -> None:
        """Cached against recomputed energy; the move size of the run was that of the opponent."""
        cached, positions = float(self.ensemble.energy[0]), self.ensemble.positions
        recomputed = float(gnf.energy(self.system, positions, self.ensemble.species, threads=1)[0])
        allowed = 1e-9 * max(1.0, self.system.n / 43)
        common.require(abs(cached - recomputed) < allowed, f"cached energy {cached}, recomputed {recomputed}")
        common.require(bool((self.ensemble.move_size == MOVE_SIZE).all()), "the move size changed in a run")


def disagreement(a: list[float], b: list[float], floor: float) -> float:
    """Difference of two means in standard errors, estimated from the few repetitions and not taken below `floor`."""

    def squared_error(values: list[float]) -> float:
        spread = statistics.variance(values) / len(values) if len(values) > 1 else 0.0
        return max(spread, floor**2)

    return abs(statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(squared_error(a) + squared_error(b))


def agreement(glassnf: Glassnf, brute: BruteForce) -> dict[str, Any]:
    """Mean energies and acceptances of both programs."""
    return {
        "energy_per_particle": {"glassnf": statistics.fmean(glassnf.energies), "brute_force": statistics.fmean(brute.energies)},
        "acceptance": {"glassnf": statistics.fmean(glassnf.acceptances), "brute_force": statistics.fmean(brute.acceptances)},
    }


def check_agreement(glassnf: Glassnf, brute: BruteForce, *, swaps: bool) -> dict[str, Any]:
    """Check that both programs do the same moves of the same liquid, and say how far apart they are.

    Without swaps the energy of N = 43 takes thousands of sweeps to forget its start, so that a few short runs cannot be
    compared by it; their acceptances can.
    """
    found = agreement(glassnf, brute)
    accepted = found["acceptance"]
    common.require(abs(accepted["glassnf"] - accepted["brute_force"]) < 0.03, f"acceptances disagree: {accepted}")
    if swaps:
        found["standard_errors_apart"] = disagreement(glassnf.energies, brute.energies, floor=0.015)
        common.require(found["standard_errors_apart"] < 6.0, f"energies disagree: {glassnf.energies}, {brute.energies}")
    return found


def limits(case: Glassnf, rate: float, peak: dict[str, float]) -> dict[str, float]:
    """How close a run comes to the floating-point limits of the machine."""
    pairs = rate * case.pairs_per_move
    return {
        "pairs_per_move": case.pairs_per_move,
        "pairs_per_s": pairs,
        "fraction_of_flops": pairs * FLOPS_PER_PAIR / peak["flops_per_s"],
        "fraction_of_divisions": pairs * DIVISIONS_PER_PAIR / peak["divisions_per_s"],
    }


def measure(options: Any, folder: Path) -> dict[str, Any]:
    program = common.build(options.source, folder)
    seconds = options.seconds
    small = Glassnf(43, 0.0, seconds, options.equilibration)
    small_swap = Glassnf(43, SWAPS, seconds, options.equilibration)
    brute = BruteForce(program, small.system, 0.0, seconds, options.equilibration)
    brute_swap = BruteForce(program, small.system, SWAPS, seconds, options.equilibration)
    large = {
        name: Glassnf(n, 0.0, seconds, min(options.equilibration, max(2, int(options.equilibration * 10_000 / n))))
        for name, n in SIZES.items()
        if n <= options.largest
    }
    cases: dict[str, Callable[[], float]] = {"brute force": brute, "N=43": small, **large}
    cases |= {"brute force, swap": brute_swap, "N=43, swap": small_swap}
    rates = common.interleave(cases, options.repetitions)
    peak = common.machine_peak(folder, min(1.0, seconds))
    for case in (small, small_swap, *large.values()):
        case.check()
    agreements = {
        "local": check_agreement(small, brute, swaps=False),
        "swap": check_agreement(small_swap, brute_swap, swaps=True),
    }
    energies = {name: float(np.mean(case.energies)) for name, case in large.items()}
    expected = statistics.fmean(small_swap.energies)
    for name, energy in energies.items():
        common.require(abs(energy - expected) < 0.1, f"{name}: energy per particle {energy}, far from {expected} of N=43")
    ratios = {
        "displacements: glassnf / brute force": common.ratio(rates, "N=43", "brute force"),
        "20 % swaps: glassnf / brute force": common.ratio(rates, "N=43, swap", "brute force, swap"),
        **{f"glassnf: {name} / N=43": common.ratio(rates, name, "N=43") for name in large},
    }
    glassnf = {"N=43": small, **large}
    return {
        "settings": {
            "temperature": TEMPERATURE,
            "move_size": MOVE_SIZE,
            "seconds": seconds,
            "repetitions": options.repetitions,
            "opponent": options.source.name,
        },
        "moves_per_s": {name: {"median": common.median_of(values), "values": values} for name, values in rates.items()},
        "ratios": ratios,
        "agreement": agreements,
        "energies_per_particle": energies,
        "peak": peak,
        "flops_per_pair": FLOPS_PER_PAIR,
        "limits": {name: limits(case, common.median_of(rates[name]), peak) for name, case in glassnf.items()},
    }


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--source", type=Path, default=common.FOLDER / "brute_force.c", help="C file of the opponent")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each measurement")
    parser.add_argument("--equilibration", type=int, default=10_000, help="sweeps at N = 43 (fewer for large N)")
    parser.add_argument("--largest", type=int, default=100_000, help="leave out larger systems")
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    with common.build_folder() as folder:
        results = measure(options, folder)
    common.report("monte_carlo", cpu, options.output, results)


if __name__ == "__main__":
    main()
