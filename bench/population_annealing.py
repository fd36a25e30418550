"""What population annealing costs beyond its explorer: the same sweeps of the same replicas, with and without it, one thread.

Measured: replica-sweeps per second of CPU time of an anneal of N = 43 from T = 1 (reweighting, search of the temperature step,
resampling, copies, statistics and all Python included), and of Monte Carlo alone, on the populations that this anneal had after
each resampling: with a call per temperature, and with one that is four times as long. CPU time, because other programs on the
machine would drown a difference of some per cent; the time of the anneal over that of its own sweeps is the steadiest of the
ratios. Before a number counts, trajectories must be the same, bit for bit.

    python bench/population_annealing.py -o bench/results/population_annealing.json
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

import common
import glassnf as gnf

START = 1.0
SWAPS = 0.2
LONG = 4
"""Times the sweeps of a temperature that the long call does."""


class TimedMonteCarlo(gnf.MonteCarlo):
    """Monte Carlo that knows the CPU time of its sweeps."""

    elapsed = 0.0

    def explore(self, ensemble: gnf.Ensemble, sweeps: int, counters: Any = None) -> int:
        start = time.process_time()
        try:
            return super().explore(ensemble, sweeps, counters)
        finally:
            self.elapsed += time.process_time() - start


class Annealing:
    """An anneal of a given population; each call repeats the same one, and is checked against the first."""

    def __init__(self, options: Any) -> None:
        self.system = gnf.systems.ka2d(n=43)
        self.explorer = TimedMonteCarlo(self.system, swap_probability=SWAPS, threads=1)
        self.within: list[float] = []
        warm = gnf.PopulationAnnealing(
            self.system,
            START,
            0.99 * START,
            self.explorer,
            sweeps_per_step=options.sweeps,
            equilibration_sweeps=options.equilibration,
        )
        self.start = warm.begin(options.population, seed=1).population
        self.explorer.equilibrate(self.start, options.equilibration)
        self.start.move_size[:] = self.start.move_size.mean()
        self.pa = gnf.PopulationAnnealing(
            self.system,
            START,
            options.target,
            self.explorer,
            sweeps_per_step=options.sweeps,
            culling_fraction=options.culling,
            equilibration_sweeps=0,
        )
        self.populations, self.result = self.follow()
        self.sweeps = options.sweeps * len(self.populations) * options.population

    def follow(self) -> tuple[list[gnf.Ensemble], gnf.PAResult]:
        """Anneal, and keep the population as it was before the sweeps of every temperature."""
        anneal, populations = self.pa.begin(self.start), []
        while not anneal.finished:
            populations.append(anneal.population.copy())
            self.pa.advance(anneal)
        return populations, self.pa.finish(anneal)

    def __call__(self) -> float:
        start, before = time.process_time(), self.explorer.elapsed
        result = self.pa.run(self.start)
        elapsed = time.process_time() - start
        self.within.append(elapsed / (self.explorer.elapsed - before))
        common.require(np.array_equal(result.energy, self.result.energy), "the anneal is not reproducible")
        return self.sweeps / elapsed


class Explorer:
    """The sweeps of an anneal without the anneal."""

    def __init__(self, anneal: Annealing, times: int) -> None:
        self.anneal, self.times = anneal, times

    def __call__(self) -> float:
        elapsed = 0.0
        for k, population in enumerate(self.anneal.populations):
            ensemble = population.copy()
            start = time.process_time()
            self.anneal.explorer.explore(ensemble, self.anneal.pa.sweeps_per_step * self.times)
            elapsed += time.process_time() - start
            if self.times == 1:
                same = np.array_equal(ensemble.energy, self.anneal.result.energy[k])
                common.require(same, "Monte Carlo alone did not do what it did in the anneal")
        return self.anneal.sweeps * self.times / elapsed


def measure(options: Any) -> dict[str, Any]:
    anneal = Annealing(options)
    cases = {"annealing": anneal, "same calls": Explorer(anneal, 1), "long calls": Explorer(anneal, LONG)}
    rates = common.interleave(cases, options.repetitions)
    own = {"median": common.median_of(anneal.within), "values": anneal.within}
    ratios: dict[str, Any] = {"annealing / its own sweeps": own}
    for name in ("same calls", "long calls"):
        ratios[f"explorer, {name} / annealing"] = common.ratio(rates, name, "annealing")
    result = anneal.result
    return {
        "settings": {
            "n": 43,
            "population": options.population,
            "sweeps_per_step": options.sweeps,
            "start": START,
            "target": options.target,
            "temperatures": int(result.temperatures.size),
            "culling_fraction": options.culling,
            "long_call": LONG,
            "repetitions": options.repetitions,
            "clock": "process_time",
        },
        "replica_sweeps_per_cpu_s": {
            name: {"median": common.median_of(values), "values": values} for name, values in rates.items()
        },
        "ratios": ratios,
        "overhead": {name: statistics.median(ratio["values"]) - 1.0 for name, ratio in ratios.items()},
        "log_z": float(result.log_z[-1]),
        "families": int(result.families[-1]),
    }


def main() -> None:
    parser = common.arguments(__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--population", type=int, default=500)
    parser.add_argument("--sweeps", type=int, default=100, help="per temperature")
    parser.add_argument("--target", type=float, default=0.6)
    parser.add_argument("--culling", type=float, default=0.1)
    parser.add_argument("--equilibration", type=int, default=500)
    options = parser.parse_args()
    cpu = common.pin(options.cpu)
    common.report("population_annealing", cpu, options.output, measure(options))


if __name__ == "__main__":
    main()
