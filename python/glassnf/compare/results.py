"""What a comparison finds: plain records, without the means by which they were found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .algorithms import AlgorithmSpec, Trace, Training
from .analysis import ErrorCurve, Ratio
from .planning import Plan
from .ranking import Rank
from .reference import Reference
from .settings import Settings
from .verdict import Verdict

__all__ = [
    "COSTS", "OBSERVABLES", "AlgorithmResult", "Comparison", "NotRun", "Relaxation", "SpeedUp", "TemperatureResult",
    "after_budgets", "relaxation",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]

OBSERVABLES: Final = ("mean_energy", "specific_heat")
COSTS: Final = ("wall_time", "pair_evaluations")
_POINTS_PER_DECADE: Final = 8


@dataclass(frozen=True)
class Relaxation:
    """Energy along the runs, in bins that widen geometrically; of algorithms without a trace, after each budget.

    Attributes
    ----------
    sweeps
        (P,) last sweep of each bin, of all replicas of a run; the start itself is at 0.
    wall_time
        (P,) what that cost a run, s.
    mean, error
        (P,) energy per particle in the bin, mean over the runs and its standard error, in epsilon.
    """

    sweeps: npt.NDArray[np.int64]
    wall_time: FloatArray
    mean: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class AlgorithmResult:
    """What one algorithm did at one temperature.

    Attributes
    ----------
    spec
        The algorithm.
    sweeps
        (B,) budgets reached, in sweeps of one run.
    costs
        (B,) cost of one run after each budget, by kind: ``"wall_time"`` (s), ``"pair_evaluations"``.
    estimates
        (B, K) estimates of the runs, by observable: ``"mean_energy"`` (epsilon), ``"specific_heat"`` (k_B), per particle.
    curves
        Error against cost, by (observable, kind of cost).
    verdict
        Whether the runs are in equilibrium.
    relaxation
        Energy along the runs.
    report
        Settings, adapted values and acceptances.
    seed
        Seed of the runs.
    tuning
        How the settings were chosen, see `glassnf.compare.tuning.Tuning`, in terms of JSON; None where there was no choice.
    training
        What learning has cost before all runs, or None.
    diagnostics
        What the algorithm tells for the figures, in terms of JSON, or None.
    """

    spec: AlgorithmSpec
    sweeps: npt.NDArray[np.int64]
    costs: dict[str, FloatArray]
    estimates: dict[str, FloatArray]
    curves: dict[tuple[str, str], ErrorCurve]
    verdict: Verdict
    relaxation: Relaxation
    report: dict[str, Any]
    seed: int
    tuning: dict[str, Any] | None = None
    training: Training | None = None
    diagnostics: dict[str, Any] | None = None

    @property
    def foreign(self) -> bool:
        """Whether the algorithm is a user's own."""
        return self.spec.foreign


@dataclass(frozen=True)
class SpeedUp:
    """How many times cheaper than the baseline an algorithm is.

    Attributes
    ----------
    algorithm, baseline
        Names.
    observable, cost
        What is known at equal error, and what is counted.
    target
        The error, in the unit of the observable.
    at_end_of_baseline
        Whether `target` is the error that the baseline ends with, and not one that was asked for.
    ratio
        Cost of the baseline over cost of the algorithm.
    amortised
        The same with the training of the algorithm, divided by the number of runs, added to its cost; None without training.
    break_even_runs
        Number of runs from which on the algorithm with all its training costs less than the baseline; infinite where it never
        does, NaN where the costs of a run are not known, None without training.
    """

    algorithm: str
    baseline: str
    observable: str
    cost: str
    target: float
    at_end_of_baseline: bool
    ratio: Ratio
    amortised: Ratio | None = None
    break_even_runs: float | None = None


@dataclass(frozen=True)
class NotRun:
    """An algorithm that has no result at a temperature.

    Attributes
    ----------
    name
        The algorithm.
    reason
        Why, as a sentence without a capital and a full stop.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class TemperatureResult:
    """All algorithms at one temperature.

    Attributes
    ----------
    temperature
        In epsilon / k_B.
    reference
        The equilibrium averages.
    algorithms
        Those that were run.
    speed_ups
        Over the baseline; empty where it was not run.
    ranking
        Algorithms by their error of <U>/N at equal wall time, best first.
    not_run
        The others.
    """

    temperature: float
    reference: Reference
    algorithms: tuple[AlgorithmResult, ...]
    speed_ups: tuple[SpeedUp, ...]
    ranking: tuple[Rank, ...] = ()
    not_run: tuple[NotRun, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Attributes
    ----------
    settings, plan
        What was asked for and what was planned.
    results
        One entry for each temperature.
    notes
        Sentences on what did not go as planned.
    started
        When it began (UTC); a resumed one, when it went on.
    seconds
        How long it took, before an interruption too.
    """

    settings: Settings
    plan: Plan
    results: tuple[TemperatureResult, ...]
    notes: tuple[str, ...]
    started: datetime
    seconds: float


def after_budgets(done: list[int], costs: dict[str, FloatArray], estimates: dict[str, FloatArray]) -> Relaxation:
    """Return the estimates of the energy after each budget as a relaxation."""
    energy = estimates["mean_energy"]
    error = energy.std(axis=1, ddof=1) / np.sqrt(energy.shape[1])
    return Relaxation(np.array(done, dtype=np.int64), costs["wall_time"], energy.mean(axis=1), error)


def relaxation(trace: Trace, budgets: list[int], wall_time: FloatArray) -> Relaxation:
    """Average the energies of a trace over bins of sweeps that widen geometrically, eight to a decade.

    Parameters
    ----------
    trace
        The energies.
    budgets, wall_time
        (B,) what some numbers of sweeps cost; between them costs are interpolated.
    """
    last = max(int(trace.sweeps[-1]), 1)
    first = max(int(trace.sweeps[trace.sweeps > 0][0]), 1) if (trace.sweeps > 0).any() else 1
    count = max(2, int(np.ceil(_POINTS_PER_DECADE * np.log10(max(last / first, 1.0)))) + 1)
    edges = np.unique(np.concatenate([[0], np.round(np.geomspace(first, last, count)).astype(np.int64)]))
    place = np.searchsorted(edges, trace.sweeps, side="left")
    points, means, errors = [], [], []
    for p in np.unique(place):
        per_run = trace.energy[place == p].mean(axis=0)
        points.append(int(edges[p]))
        means.append(float(per_run.mean()))
        errors.append(float(per_run.std(ddof=1)) / np.sqrt(per_run.size))
    cost = np.interp(points, [0, *budgets], [0.0, *wall_time])
    return Relaxation(np.array(points, dtype=np.int64), cost, np.array(means), np.array(errors))
