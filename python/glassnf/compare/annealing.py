"""Population annealing in a comparison: each budget is an anneal of its own of every run, with the whole population."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from .algorithms import Cost, Diagnosis, Estimate, Progress, RunOptions, settings_of
from .explorers import explorer_of, import_early
from .starts import derived_seed
from .tempering import copies

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System
    from .anneals import Anneals

__all__ = ["PopulationAnnealingAlgorithm", "candidates", "shape_of"]

LEAST_POPULATION: Final = 16
EQUILIBRATION_SHARE: Final = 0.2
MOST_EQUILIBRATION: Final = 400


def shape_of(budget: int, steps: int, width: float, last: float) -> tuple[int, int, int, int]:
    """Return population and sweeps of each replica: at a temperature, at the target, and in equilibration, for a budget.

    Population and sweeps grow alike with the budget, as its square root: the first is needed for averages and weights, the
    second for equilibrium (Weigel, Barash, Shchur, Janke, Phys. Rev. E 103, 053301, 2021).

    Parameters
    ----------
    budget
        Sweeps of all replicas.
    steps
        Of the temperature.
    width
        Population over the square root of the sweeps that a temperature may cost.
    last
        Sweeps at the target over those at other temperatures.
    """
    share = (1.0 - EQUILIBRATION_SHARE) * budget / (steps + last)
    population = max(LEAST_POPULATION, round(width * math.sqrt(share)))
    equilibration = min(MOST_EQUILIBRATION, max(1, round(EQUILIBRATION_SHARE * budget / population)))
    each = budget / population - equilibration
    sweeps = max(1, round(each / (steps + last)))
    return population, sweeps, max(1, round(each - steps * sweeps), round(last * sweeps)), equilibration


def candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return small and large steps of the temperature, populations against sweeps, and sweeps at the target."""
    shapes = (
        (0.2, 1.0, 1, "md"),
        (0.2, 0.3, 8, "md"),
        (0.1, 1.0, 1, "md"),
        (0.2, 0.3, 1, "md"),
        (0.2, 1.0, 8, "md"),
        (0.1, 1.0, 1, "mc"),
    )
    return tuple(
        {"culling_fraction": culling, "width": width, "last": last, "explorer": explorer}
        for culling, width, last, explorer in shapes
    )


class PopulationAnnealingAlgorithm:
    """K anneals from the temperature of the starts, as one batch (see `anneal_together`).

    The population of a run is made of copies of its one configuration, which swap moves at the high temperature part before the
    anneal: an anneal needs independent configurations to choose from. That is part of its cost.

    Settings: the fraction that a temperature step culls, the width of the population and the sweeps at the target (see
    `shape_of`), the explorer, and the acceptance to which its move size adapts.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature at the end, in epsilon / k_B.
    options
        Threads, settings.
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "culling_fraction": 0.2,
        "width": 1.0,
        "last": 1,
        "explorer": "md",
        "target_acceptance": 0.3,
    }

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        self._system = system
        self._temperature = temperature
        self._options = options
        self._settings = settings_of(options, self.DEFAULTS)
        self._start: Ensemble | None = None
        self._cost = Cost(0.0, 0.0)
        self._report: dict[str, Any] = {}

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations, and import what anneals need before the clock runs."""
        from ..samplers import _families, _population, guesses  # noqa: F401
        from . import anneals  # noqa: F401

        import_early()
        self._start = ensemble.copy()

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Anneal all runs anew within about `budget` sweeps each, and return the averages at the target."""
        from ..samplers.guesses import expected_steps

        if self._start is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        # The temperature of the starts, or a little above the target where they are as cold.
        hot = max(1.0 / float(self._start.beta[0]), 1.25 * self._temperature)
        steps = expected_steps(self._system.n, hot, self._temperature, self._settings["culling_fraction"])
        shape = shape_of(budget, steps, self._settings["width"], self._settings["last"])
        begin, runs = time.perf_counter(), len(self._start)
        anneals, parting_pairs = self._anneal(self._start, hot, shape, budget, progress)
        self._cost = Cost((time.perf_counter() - begin) / runs, (anneals.pair_evaluations + parting_pairs) / runs)
        self._describe(shape, anneals)
        return Estimate(mean_energy=anneals.mean_energy, specific_heat=anneals.specific_heat)

    def _anneal(
        self, start: Ensemble, hot: float, shape: tuple[int, int, int, int], budget: int, progress: Progress | None
    ) -> tuple[Anneals, int]:
        """Return the anneals, and the pair evaluations of what came before them."""
        from ..samplers import MonteCarlo
        from .anneals import anneal_together

        population, sweeps, last_sweeps, equilibration = shape
        threads, runs = self._options.threads, len(start)

        def tell(part: float, info: Mapping[str, Any]) -> None:
            if progress is not None:
                progress(int(budget * part), budget, info)

        index = np.repeat(np.arange(runs, dtype=np.int64), population)
        members = copies(start, index, hot, derived_seed(int(start.seed), "anneal", budget))
        parting = MonteCarlo(self._system, swap_probability=0.2 if self._system.n_species > 1 else 0.0, threads=threads)
        pairs = parting.equilibrate(members, sweeps=equilibration).pair_evaluations
        anneals = anneal_together(
            members,
            lambda temperature: explorer_of(self._system, self._settings, temperature, threads),
            self._temperature,
            seeds=[derived_seed(int(start.seed), "anneal", budget, run) for run in range(runs)],
            sweeps=sweeps,
            last_sweeps=last_sweeps,
            culling_fraction=self._settings["culling_fraction"],
            progress=tell,
        )
        return anneals, pairs

    def _describe(self, shape: tuple[int, int, int, int], anneals: Anneals) -> None:
        self._report = {
            **self._settings,
            "population": shape[0],
            "sweeps_per_step": shape[1],
            "sweeps_at_target": shape[2],
            "equilibration_sweeps": shape[3],
            "temperature_steps": len(anneals.temperatures) - 1,
            "families": float(anneals.families[-1].mean()),
            "rho_t": float(anneals.rho_t[-1].mean()),
            "collapsed_runs": int((anneals.rho_t[-1] > 0.1 * shape[0]).sum()),
            "log_z": {"mean": float(anneals.log_z.mean()), "standard_deviation": float(anneals.log_z.std(ddof=1))},
            "diagnostics": {
                "temperatures": anneals.temperatures,
                "rho_t": anneals.rho_t[:, 0],
                "families": anneals.families[:, 0],
                "ess": anneals.ess[:, 0],
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
