"""Population annealing in a comparison: each budget is an anneal of its own of every run, with the whole population."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from .algorithms import Cost, Diagnosis, Estimate, Progress, RunOptions, settings_of
from .starts import derived_seed
from .tempering import copies

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..samplers import PAResult
    from ..systems import System

__all__ = ["PopulationAnnealingAlgorithm", "candidates", "shape_of"]

LEAST_POPULATION: Final = 16
EQUILIBRATION_SHARE: Final = 0.2
MOST_EQUILIBRATION: Final = 400


def shape_of(budget: int, steps: int, width: float) -> tuple[int, int, int]:
    """Return population, sweeps of each replica at a temperature, and sweeps of equilibration, for a budget of all sweeps.

    Population and sweeps grow alike with the budget, as its square root: the first is needed for averages and weights, the
    second for equilibrium (Weigel, Barash, Shchur, Janke, Phys. Rev. E 103, 053301, 2021). The width is the population over the
    square root of the sweeps that a temperature step may cost.
    """
    share = (1.0 - EQUILIBRATION_SHARE) * budget / (steps + 1)
    population = max(LEAST_POPULATION, round(width * math.sqrt(share)))
    equilibration = min(MOST_EQUILIBRATION, max(1, round(EQUILIBRATION_SHARE * budget / population)))
    sweeps = max(1, round((budget / population - equilibration) / (steps + 1)))
    return population, sweeps, equilibration


def candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return small and large steps of the temperature, with populations against sweeps."""
    pairs = ((0.1, 2.5), (0.1, 1.0), (0.1, 6.0), (0.2, 2.5), (0.2, 1.0), (0.2, 6.0), (0.05, 2.5), (0.3, 2.5))
    return tuple({"culling_fraction": culling, "width": width, "target_acceptance": 0.3} for culling, width in pairs)


class PopulationAnnealingAlgorithm:
    """K independent anneals from the temperature of the starts; the explorer is local Monte Carlo.

    The population of a run is made of copies of its one configuration, which swap moves at the high temperature part before the
    anneal: an anneal needs independent configurations to choose from. That is part of its cost.

    Settings: the fraction that a temperature step culls, the width of the population (see `shape_of`), and the acceptance to
    which the move size adapts.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature at the end, in epsilon / k_B.
    options
        Threads.
    """

    EXPLORER: Final = "mc"
    DEFAULTS: ClassVar[Mapping[str, Any]] = {"culling_fraction": 0.1, "width": 2.5, "target_acceptance": 0.3}

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        self._system = system
        self._temperature = temperature
        self._options = options
        self._settings = settings_of(options, self.DEFAULTS)
        self._start: Ensemble | None = None
        self._cost = Cost(0.0, 0.0)
        self._pairs = 0
        self._report: dict[str, Any] = {}

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations."""
        self._start = ensemble.copy()

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Anneal all runs anew within about `budget` sweeps each, and return the averages of their final populations."""
        from ..samplers.guesses import expected_steps

        if self._start is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        runs, hot = len(self._start), self._hot
        steps = expected_steps(self._system.n, hot, self._temperature, self._settings["culling_fraction"])
        shape = shape_of(budget, steps, self._settings["width"])
        begin, self._pairs = time.perf_counter(), 0
        results = [self._anneal(run, shape, budget, progress) for run in range(runs)]
        self._cost = Cost((time.perf_counter() - begin) / runs, self._pairs / runs)
        self._describe(shape, results)
        return Estimate(
            mean_energy=np.array([result.mean_energy[-1] for result in results]) / self._system.n,
            specific_heat=np.array([result.specific_heat[-1] for result in results]),
        )

    @property
    def _hot(self) -> float:
        """The temperature of the starts, or a little above the target where they are as cold."""
        hot = 1.0 / float(self._start.beta[0]) if self._start is not None else 1.0
        return max(hot, 1.25 * self._temperature)

    def _anneal(self, run: int, shape: tuple[int, int, int], budget: int, progress: Progress | None) -> PAResult:
        from ..samplers import MonteCarlo, PopulationAnnealing, PopulationCollapseWarning

        start: Any = self._start
        population, sweeps, equilibration = shape
        sampler = PopulationAnnealing(
            self._system,
            start=self._hot,
            target=self._temperature,
            explorer=MonteCarlo(
                self._system,
                swap_probability=0.0,
                target_acceptance=self._settings["target_acceptance"],
                threads=self._options.threads,
            ),
            sweeps_per_step=sweeps,
            culling_fraction=self._settings["culling_fraction"],
            equilibration_sweeps=0,
            record_energy=False,
        )
        seed = derived_seed(int(start.seed), "anneal", budget, run)
        swap_probability = 0.2 if self._system.n_species > 1 else 0.0
        parting = MonteCarlo(self._system, swap_probability=swap_probability, threads=self._options.threads)
        index = np.full(population, run, dtype=np.int64)
        runs = len(start)

        def tell(done: int, total: int, info: Mapping[str, Any]) -> None:
            if progress is not None:
                progress(int(budget * (run + done / total) / runs), budget, info)

        members = copies(start, index, self._hot, seed)
        self._pairs += parting.equilibrate(members, sweeps=equilibration).pair_evaluations
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PopulationCollapseWarning)  # the diagnosis says so
            result = sampler.run(members, device=start.device, progress=tell)
        self._pairs += result.pair_evaluations
        return result

    def _describe(self, shape: tuple[int, int, int], results: list[PAResult]) -> None:
        log_z = np.array([result.log_z[-1] for result in results])
        self._report = {
            "explorer": self.EXPLORER,
            **self._settings,
            "population": shape[0],
            "sweeps_per_step": shape[1],
            "equilibration_sweeps": shape[2],
            "temperature_steps": float(np.mean([len(result.temperatures) - 1 for result in results])),
            "families": float(np.mean([result.families[-1] for result in results])),
            "rho_t": float(np.mean([result.rho_t[-1] for result in results])),
            "collapsed_runs": sum(result.collapsed for result in results),
            "log_z": {"mean": float(log_z.mean()), "standard_deviation": float(log_z.std(ddof=1))},
            "diagnostics": {
                "temperatures": results[0].temperatures,
                "rho_t": results[0].rho_t,
                "families": results[0].families,
                "ess": results[0].ess,
                "population": shape[0],
            },
        }

    def cost(self) -> Cost:
        """Return what one anneal of the latest budget has cost."""
        return self._cost

    def trace(self) -> None:
        """Return nothing: energies on the way belong to other temperatures."""
        return

    def report(self) -> dict[str, Any]:
        """Return settings and families of the anneals of the latest budget."""
        return self._report

    def diagnosis(self) -> Diagnosis:
        """Return how many families are left, and whether they are too few (rho_t above a tenth of the population)."""
        population, rho_t = self._report["population"], self._report["rho_t"]
        said = f"rho_t {rho_t:.3g} of {population} replicas, {self._report['families']:.3g} families a run"
        return Diagnosis(faults=(said,)) if rho_t > 0.1 * population else Diagnosis(remarks=(said,))
