"""The CPU kernels with every instruction set of this machine, one thread: the light twin of bench/cpp, without other libraries.

python bench/kernels.py -o bench/results/kernels.json
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import common
import glassnf as gnf
from glassnf import _core

TEMPERATURE = 0.5
MOVE_SIZE = 0.12


def liquid(n: int, equilibration: int) -> gnf.Ensemble:
    """One replica (64 of a small system), equilibrated as far as speed depends on it."""
    system = gnf.systems.ka2d(n=n)
    ensemble = gnf.Ensemble.random(system, replicas=64 if n < 1000 else 1, temperature=TEMPERATURE, seed=1)
    gnf.MonteCarlo(system, swap_probability=0.2, threads=1).equilibrate(ensemble, equilibration)
    ensemble.move_size[:] = MOVE_SIZE
    return ensemble


def pairs_of_energy(system: gnf.systems.System) -> float:
    """Pairs that an energy has to look at: all, or those of a cell with itself and its neighbours, once."""
    cells = float(np.prod(np.floor(system.box / system.cutoff_distance)))
    near = 9.0 * system.n / cells if cells > 9 else float(system.n)
    return 0.5 * system.n * (near - 1.0)


def repeated(function: Callable[[], Any], seconds: float) -> float:
    """Call for about `seconds`; return the shortest time of a call."""
    function()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - before)
    return best


def measure_one(ensemble: gnf.Ensemble, seconds: float) -> dict[str, dict[str, float]]:
    system, x, s = ensemble.system, ensemble.positions, ensemble.species
    calls = {
        "energy": lambda: gnf.energy(system, x, s, threads=1),
        "forces": lambda: gnf.energy_and_forces(system, x, s, threads=1),
    }
    found = {}
    for name, call in calls.items():
        rate = ensemble.replicas / repeated(call, seconds)
        found[name] = {"configurations_per_s": rate, "pairs_per_s": rate * pairs_of_energy(system)}
    for name, swaps in (("displacements", 0.0), ("20 % swaps", 0.2)):
        sampler = gnf.MonteCarlo(system, swap_probability=swaps, threads=1)
        moving = ensemble.copy()
        sweeps = max(10, 400_000 // (system.n * ensemble.replicas))
        sampler.run(moving, sweeps)
        moves, pairs, start = 0, 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            record = sampler.run(moving, sweeps)
            moves += sweeps * system.n * moving.replicas
            pairs += record.pair_evaluations
        elapsed = time.perf_counter() - start
        found[name] = {"moves_per_s": moves / elapsed, "pairs_per_s": pairs / elapsed}
    return found


def measure(options: Any) -> dict[str, Any]:
    kernels: dict[str, dict[str, Any]] = {name: {} for name in _core.instruction_sets()}
    chosen, reference = _core.instruction_set(), {}
    for n in options.sizes:
        _core.use_instruction_set(chosen)
        ensemble = liquid(n, max(2, min(options.equilibration, 50_000_000 // n // 64)))
        reference[n] = gnf.energy(ensemble.system, ensemble.positions, ensemble.species, threads=1)
        for name in kernels:
            _core.use_instruction_set(name)
            energy = gnf.energy(ensemble.system, ensemble.positions, ensemble.species, threads=1)
            common.require(bool((energy == reference[n]).all()), f"N={n}: energies with {name} and {chosen} differ")
            kernels[name][f"N={n}"] = measure_one(ensemble, options.seconds)
    _core.use_instruction_set(chosen)
    return {"settings": {"temperature": TEMPERATURE, "move_size": MOVE_SIZE, "seconds": options.seconds}, "kernels": kernels}


def main() -> None:
    parser = common.arguments((__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="length of each measurement")
    parser.add_argument("--sizes", type=int, nargs="+", default=[43, 1290, 100_000], help="numbers of particles")
    parser.add_argument("--equilibration", type=int, default=2000, help="sweeps before (fewer for large N)")
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    common.report("kernels", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
