"""What population annealing found, and averages over independent runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import _check
from ..ensemble import Ensemble
from ..observables.estimate import format_uncertainty

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict

__all__ = ["PAResult", "PopulationCollapseWarning", "WeightedAverage", "weighted_average"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class PopulationCollapseWarning(UserWarning):
    """The population descends from few replicas of the start: its averages and errors cannot be trusted."""


@dataclass(frozen=True)
class PAResult:
    """What `PopulationAnnealing` found: NumPy arrays with one entry per temperature, from the start to the target.

    Attributes
    ----------
    ensemble : Ensemble
        The population at the target temperature: R equilibrium configurations, correlated within a family.
    temperatures : (steps,) float64, epsilon
        Falling.
    n, dimension, population : int
        Particles of a replica, dimensions, replicas R.
    mean_energy, mean_energy_error : (steps,) float64, epsilon
        <U> of a whole system after the sweeps of that temperature.
    specific_heat, specific_heat_error : (steps,) float64
        (<U^2> - <U>^2) / (N T^2), per particle, without the ideal part; corrected for the bias of a variance by the squared
        error of <U>. All errors are jackknife errors over families.
    log_z, log_z_error : (steps,) float64
        log Z(T) / Z(start), of configurational partition functions.
    ess : (steps,) float64
        Effective sample size of the reweighting from the temperature before, as a fraction of R; 1 at the start.
    culled : (steps,) float64
        Expected fraction of replicas that lost their place there; 0 at the start.
    families : (steps,) int64
        Number of families.
    rho_t : (steps,) float64
        R sum n_i^2, n_i being the family sizes as fractions: the mean square family size. The variance of an average is at most
        about rho_t / R times that of a single configuration. Must be far below R.
    rho_s : (steps,) float64
        R exp(sum n_i log n_i): the entropic family size.
    rho_f : (steps,) float64
        R var(log Z), the population at which the error of log Z would be 1. By definition a variance over independent runs, for
        which see `weighted_average`; here the jackknife over the families of this run, R `log_z_error`^2.
    acceptance : (steps,) float64
        Accepted fraction of the displacements; NaN where the explorer does not count.
    move_size : (steps,) float64, sigma
        Of the sweeps of that temperature, mean over the replicas.
    energy : (steps, R) float64, epsilon
        Potential energies after the sweeps of that temperature; (0, R) if they were not kept.
    pair_evaluations : int
        Distances evaluated in the whole run, equilibration included.
    wall_time : float, s
    flow_steps : (steps,) int64
        Steps of the integrator of the flow on the way from the temperature before; 0 without one.
    flow_error : (steps,) float64
        Largest error of a log weight of that way, found by halving the step size on 64 replicas; 0 without a flow.
    flow_time : float, s
        Part of `wall_time` that went into the flow and the search for temperatures with it.
    """

    ensemble: Ensemble = field(repr=False)
    temperatures: FloatArray = field(repr=False)
    n: int
    dimension: int
    population: int
    mean_energy: FloatArray = field(repr=False)
    mean_energy_error: FloatArray = field(repr=False)
    specific_heat: FloatArray = field(repr=False)
    specific_heat_error: FloatArray = field(repr=False)
    log_z: FloatArray = field(repr=False)
    log_z_error: FloatArray = field(repr=False)
    ess: FloatArray = field(repr=False)
    culled: FloatArray = field(repr=False)
    families: IntArray = field(repr=False)
    rho_t: FloatArray = field(repr=False)
    rho_s: FloatArray = field(repr=False)
    rho_f: FloatArray = field(repr=False)
    acceptance: FloatArray = field(repr=False)
    move_size: FloatArray = field(repr=False)
    energy: FloatArray = field(repr=False)
    pair_evaluations: int
    wall_time: float
    flow_steps: IntArray = field(repr=False)
    flow_error: FloatArray = field(repr=False)
    flow_time: float = 0.0

    def __str__(self) -> str:
        def number(name: str, scale: float = 1.0) -> str:
            value, error = (float(getattr(self, column)[-1]) * scale for column in (name, f"{name}_error"))
            return format_uncertainty(value, error)

        rows = [
            (
                "temperatures",
                f"{self.temperatures[0]:.6g} to {self.temperatures[-1]:.6g} in {self.temperatures.size - 1} steps",
            ),
            ("population", f"{self.population} replicas of {self.ensemble.system.name}, N = {self.n}"),
            ("energy/N", number("mean_energy", 1.0 / self.n)),
            ("specific heat", number("specific_heat")),
            ("log Z ratio", number("log_z")),
            ("families", f"{self.families[-1]}, rho_t {self.rho_t[-1]:.3g}, rho_f {self.rho_f[-1]:.3g}"),
            ("smallest ESS", f"{self.ess.min():.3g} of the population"),
            ("cost", f"{self.pair_evaluations:.4g} pair evaluations, {self.wall_time:.4g} s"),
        ]
        rows.append(("equilibrium", self.verdict.sentence))
        if self.flow_time > 0.0:
            rows.append(("flow", f"error of log weights {self.flow_error.max():.2g}, {self.flow_time:.4g} s of the time"))
        return "\n".join(["Population annealing", *(f"  {name:<13} {value}" for name, value in rows)])

    @property
    def collapsed(self) -> bool:
        """Whether rho_t exceeded a tenth of the population, so that few families carry the averages."""
        return bool((self.rho_t > 0.1 * self.population).any())

    @property
    def verdict(self) -> Verdict:
        """Whether the population was large enough, by its families and the variance of log Z."""
        from .verdicts import of_anneal

        return of_anneal(self)


@dataclass(frozen=True)
class WeightedAverage:
    """Averages over independent runs at their common target temperature.

    Attributes
    ----------
    temperature : float, epsilon
    mean_energy, mean_energy_error : float, epsilon
        Of a whole system.
    specific_heat, specific_heat_error : float
        Per particle, without the ideal part, from the pooled moments.
    log_z, log_z_error : float
        log Z(target) / Z(start): the log of the mean of the runs' estimates of Z, which has no bias.
    weights : (runs,) float64
        R exp(log Z) of each run, normalised to sum 1.
    ess : float
        1 / sum weights^2: how many runs the average really has.
    rho_f : float
        R var(log Z) over the runs (Wang, Machta, Katzgraber 2015). The weights mean something while rho_f is below about R / 2
        ... R / 10: beyond, one run decides, and the bias of a single run, of order rho_f / R, is large.
    runs : int
    verdict : observables.Verdict
        Whether the average is one of equilibrium: by families of all runs, variance of log Z, and the verdict on each run.
    """

    temperature: float
    mean_energy: float
    mean_energy_error: float
    specific_heat: float
    specific_heat_error: float
    log_z: float
    log_z_error: float
    weights: FloatArray
    ess: float
    rho_f: float
    runs: int
    verdict: Verdict = field(repr=False)


def weighted_average(results: Sequence[PAResult]) -> WeightedAverage:
    """Average independent runs with weights R Z, which removes the bias of a single run (Machta, PRE 82, 026704, 2010).

    Population annealing estimates Z, and Z times an average, without bias where the schedule is fixed beforehand; an average of
    one run is a ratio of the two and has a bias of order 1/R. The ratio of sums over many runs has it no more. Errors are from
    a jackknife over runs. For the specific heat the moments <U> and <U^2> are averaged (Ebert, Gessert, Weigel, PRE 106,
    045303, 2022).

    Parameters
    ----------
    results : sequence of PAResult
        At least two, of one system, with the same start and target and different seeds.

    Raises
    ------
    TypeError, ValueError
        If they are not.
    """
    from .verdicts import of_runs

    runs = _checked(results)
    temperature = float(runs[0].temperatures[-1])
    beta = 1.0 / temperature
    sizes = np.array([run.population for run in runs], dtype=np.float64)
    log_z = np.array([run.log_z[-1] for run in runs])
    first = np.array([run.mean_energy[-1] for run in runs])
    # The moments themselves have no bias after weighting: what a single run's specific heat was corrected by comes off again.
    correction = np.nan_to_num(np.array([run.mean_energy_error[-1] for run in runs])) ** 2
    variance = np.array([run.specific_heat[-1] for run in runs]) * runs[0].n / beta**2 - correction
    centre = float(first.mean())
    second = variance + (first - centre) ** 2
    largest = float(log_z.max())
    z = sizes * np.exp(log_z - largest)

    def mean_of(keep: npt.NDArray[np.bool_]) -> float:
        return float((z * first)[keep].sum() / z[keep].sum())

    def heat_of(keep: npt.NDArray[np.bool_]) -> float:
        shift = mean_of(keep) - centre
        return float(beta**2 * ((z * second)[keep].sum() / z[keep].sum() - shift**2) / runs[0].n)

    def log_z_of(keep: npt.NDArray[np.bool_]) -> float:
        return largest + math.log(float(z[keep].sum() / sizes[keep].sum()))

    mean_energy, heat, log_mean_z = (_jackknife(f, len(runs)) for f in (mean_of, heat_of, log_z_of))
    weights = z / z.sum()
    centred = log_z - float((sizes * log_z).sum() / sizes.sum())
    return WeightedAverage(
        temperature,
        *mean_energy,
        *heat,
        *log_mean_z,
        weights=weights,
        ess=float(1.0 / (weights**2).sum()),
        rho_f=float((sizes * centred**2).sum() / (len(runs) - 1)),
        runs=len(runs),
        verdict=of_runs(runs, log_z, sizes),
    )


def _jackknife(statistic: Callable[[npt.NDArray[np.bool_]], float], runs: int) -> tuple[float, float]:
    """Return a statistic of all runs, and its standard error from leaving out one at a time."""
    left_out = np.array([statistic(np.arange(runs) != k) for k in range(runs)])
    error = math.sqrt((runs - 1) / runs * float(((left_out - left_out.mean()) ** 2).sum()))
    return statistic(np.ones(runs, dtype=bool)), error


def _checked(results: Sequence[PAResult]) -> list[PAResult]:
    if not isinstance(results, (list, tuple)):
        raise TypeError(f"results: expected a list of results, got {_check.describe(results)}")
    runs = list(results)
    for place, run in enumerate(runs):
        if not isinstance(run, PAResult):
            raise TypeError(f"results[{place}]: expected a PAResult, got {type(run).__name__}")
    if len(runs) < 2:
        raise ValueError(f"results: expected at least 2 independent runs, got {len(runs)}")
    first = runs[0]
    for place, run in enumerate(runs):
        if run.ensemble.system != first.ensemble.system:
            raise ValueError(f"results[{place}]: expected a run of {first.ensemble.system!r}, got {run.ensemble.system!r}")
        for end, what in ((0, "start"), (-1, "target")):
            if run.temperatures[end] != first.temperatures[end]:
                found = f"got {run.temperatures[end]:.6g}"
                raise ValueError(
                    f"results[{place}]: expected the {what} {first.temperatures[end]:.6g} of the first run, {found}"
                )
    if len({run.ensemble.seed for run in runs}) < len(runs):
        raise ValueError("results: expected runs with different seeds, got one more than once")
    return runs
