"""The comparison itself: reference, runs, errors, speed-ups, verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .algorithms import Algorithm, AlgorithmSpec, DiagnosedAlgorithm, Diagnosis, Trace, get_algorithm
from .analysis import ErrorCurve, Ratio, error_curve, speed_up
from .reference import (
    Reference,
    ReferenceOptions,
    cached_reference,
    make_reference,
    pooled_specific_heat,
    read_reference,
    reference_method,
)
from .settings import LEAST_BUDGETS, Plan, Settings, make_plan, record_interval
from .starts import derived_seed, hot_start
from .verdict import Verdict, judge

__all__ = ["AlgorithmResult", "Comparison", "Event", "Relaxation", "SpeedUp", "TemperatureResult", "compare"]

FloatArray = npt.NDArray[np.float64]

OBSERVABLES: Final = ("mean_energy", "specific_heat")
COSTS: Final = ("wall_time", "pair_evaluations")
_SLACK: Final = 1.3
_POINTS_PER_DECADE: Final = 8


@dataclass(frozen=True)
class Event:
    """A step of progress.

    Attributes
    ----------
    stage
        ``"calibration"``, ``"reference"``, or the name of an algorithm.
    label
        What to show.
    temperature
        In epsilon / k_B, or None.
    done, total
        Sweeps of one run, done and to do in this stage.
    info
        What the sampler tells beside.
    """

    stage: str
    label: str
    temperature: float | None
    done: int
    total: int
    info: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


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
    """

    algorithm: str
    baseline: str
    observable: str
    cost: str
    target: float
    at_end_of_baseline: bool
    ratio: Ratio


@dataclass(frozen=True)
class TemperatureResult:
    """All algorithms at one temperature."""

    temperature: float
    reference: Reference
    algorithms: tuple[AlgorithmResult, ...]
    speed_ups: tuple[SpeedUp, ...]


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
        When it began (UTC).
    seconds
        How long it took.
    """

    settings: Settings
    plan: Plan
    results: tuple[TemperatureResult, ...]
    notes: tuple[str, ...]
    started: datetime
    seconds: float


def compare(settings: Settings, listener: Listener | None = None) -> Comparison:
    """Run a comparison.

    Parameters
    ----------
    settings
        What to compare.
    listener
        Called with every step of progress.

    Raises
    ------
    ValueError
        If the file in ``settings.reference`` does not hold the reference values.
    OSError
        If it cannot be read.
    """
    tell = listener if listener is not None else _nobody
    started, begin = datetime.now(timezone.utc), time.perf_counter()
    if settings.reference is not None:
        for temperature in settings.temperatures:
            read_reference(settings.reference, settings.system, temperature)
    tell(Event("calibration", "timing this machine", None, 0, 1))
    plan = make_plan(settings)
    tell(Event("calibration", "timing this machine", None, 1, 1))
    notes: list[str] = []
    results = tuple(_at_temperature(settings, plan, temperature, tell, notes) for temperature in settings.temperatures)
    return Comparison(settings, plan, results, tuple(notes), started, time.perf_counter() - begin)


def _nobody(event: Event) -> None:
    """Listen to nothing."""


def _at_temperature(settings: Settings, plan: Plan, temperature: float, tell: Listener, notes: list[str]) -> TemperatureResult:
    reference = _reference(settings, plan, temperature, tell)
    if not reference.sound:
        notes.append(
            f"T = {temperature:g}: the reference fails its own checks (R-hat {reference.r_hat:.3f}, "
            f"drift {reference.drift_sigmas:.1f} sigma): it is too short, and errors against it mean little."
        )
    results = tuple(_run(settings, plan, temperature, name, reference, tell, notes) for name in settings.algorithms)
    speed_ups = tuple(
        _speed_up(result, results[0], observable, cost, target)
        for result in results[1:]
        for observable, asked in zip(OBSERVABLES, _targets(settings), strict=True)
        for target in (asked, None)
        for cost in COSTS
    )
    for observable, target, error in zip(OBSERVABLES, _targets(settings), _reference_errors(reference), strict=True):
        if target < 2.0 * error:
            notes.append(
                f"T = {temperature:g}: the target error {target:g} of {observable} is below twice the reference's own error "
                f"({error:.2g}), so that costs at this target are upper bounds."
            )
    return TemperatureResult(temperature, reference, results, speed_ups)


def _targets(settings: Settings) -> tuple[float, float]:
    return settings.target_energy_error, settings.target_heat_error


def _reference_errors(reference: Reference) -> tuple[float, float]:
    return reference.mean_energy_error, reference.specific_heat_error


def _reference(settings: Settings, plan: Plan, temperature: float, tell: Listener) -> Reference:
    if settings.reference is not None:
        return read_reference(settings.reference, settings.system, temperature)
    options = ReferenceOptions(
        replicas=settings.reference_replicas,
        sweeps=plan.reference_sweeps,
        seed=derived_seed(settings.seed, "reference", temperature),
        start_temperature=settings.hot,
        start_sweeps=settings.start_sweeps,
        record_every=record_interval(plan.reference_sweeps),
    )
    label = f"reference (long {reference_method(settings.system)})"
    make = cached_reference if settings.cache else make_reference

    def relay(done: int, total: int, info: Mapping[str, Any]) -> None:
        tell(Event("reference", label, temperature, done, total, info))

    reference = make(settings.system, temperature, options, threads=settings.threads, device=settings.device, progress=relay)
    tell(Event("reference", label, temperature, plan.reference_sweeps, plan.reference_sweeps))
    return reference


def _run(
    settings: Settings, plan: Plan, temperature: float, name: str, reference: Reference, tell: Listener, notes: list[str]
) -> AlgorithmResult:
    spec = get_algorithm(name)
    seed = derived_seed(settings.seed, "runs", name, temperature)
    options = plan.options[name]
    algorithm = spec.factory(settings.system, temperature, options)
    start = hot_start(
        settings.system,
        settings.runs,
        seed,
        temperature=settings.hot,
        sweeps=settings.start_sweeps,
        threads=settings.threads,
        device=settings.device,
    )
    algorithm.prepare(start)
    done, costs, estimates = _advance(algorithm, spec, plan, temperature, tell, notes)
    trace = algorithm.trace()
    late = None if trace is None else trace.energy[trace.sweeps > options.discard * done[-1]]
    diagnosis = algorithm.diagnosis() if isinstance(algorithm, DiagnosedAlgorithm) else Diagnosis()
    heats = estimates["specific_heat"][-1]
    if late is not None:
        heat = pooled_specific_heat(late, settings.system.n, temperature)
    else:
        heat = float(heats.mean()), float(heats.std(ddof=1)) / len(heats) ** 0.5
    return AlgorithmResult(
        spec=spec,
        sweeps=np.array(done, dtype=np.int64),
        costs=costs,
        estimates=estimates,
        curves=_curves(settings, reference, name, costs, estimates),
        verdict=judge(estimates["mean_energy"][-1], heat, reference.values(), late, diagnosis),
        relaxation=_after_budgets(done, costs, estimates) if trace is None else relaxation(trace, done, costs["wall_time"]),
        report=algorithm.report(),
        seed=seed,
    )


def _advance(
    algorithm: Algorithm, spec: AlgorithmSpec, plan: Plan, temperature: float, tell: Listener, notes: list[str]
) -> tuple[list[int], dict[str, FloatArray], dict[str, FloatArray]]:
    """Bring the runs from budget to budget, as far as the time allows."""
    done: list[int] = []
    costs: dict[str, list[float]] = {kind: [] for kind in COSTS}
    estimates: dict[str, list[FloatArray]] = {observable: [] for observable in OBSERVABLES}
    begin, budgets = time.perf_counter(), plan.budgets[spec.name]
    last = budgets[-1]

    def relay(sweeps: int, _: int, info: Mapping[str, Any]) -> None:
        tell(Event(spec.name, spec.label, temperature, sweeps, last, info))

    for budget in budgets:
        spent = time.perf_counter() - begin
        if spec.name in plan.seconds and len(done) >= LEAST_BUDGETS:
            expected = spent * budget / done[-1]
            if expected > _SLACK * plan.seconds[spec.name]:
                notes.append(
                    f"T = {temperature:g}: {spec.label} stops at {done[-1]} sweeps, because it is slower than it first was."
                )
                break
        estimate = algorithm.advance(budget, relay)
        done.append(budget)
        for kind, series in costs.items():
            series.append(float(getattr(algorithm.cost(), kind)))
        for observable, values in estimates.items():
            values.append(np.asarray(getattr(estimate, observable), dtype=np.float64))
    tell(Event(spec.name, spec.label, temperature, last, last))
    arrays = {kind: np.array(series) for kind, series in costs.items()}
    return done, arrays, {observable: np.array(values) for observable, values in estimates.items()}


def _curves(
    settings: Settings, reference: Reference, name: str, costs: dict[str, FloatArray], estimates: dict[str, FloatArray]
) -> dict[tuple[str, str], ErrorCurve]:
    curves = {}
    for observable, (value, error) in zip(OBSERVABLES, reference.values(), strict=True):
        seed = derived_seed(settings.seed, "bootstrap", name, reference.temperature, observable)
        for kind in COSTS:
            curves[observable, kind] = error_curve(costs[kind], estimates[observable], value, error, seed=seed)
    return curves


def _speed_up(result: AlgorithmResult, baseline: AlgorithmResult, observable: str, cost: str, target: float | None) -> SpeedUp:
    curve, ours = baseline.curves[observable, cost], result.curves[observable, cost]
    error = float(curve.error[-1]) if target is None else target
    names = result.spec.name, baseline.spec.name
    return SpeedUp(*names, observable, cost, error, target is None, speed_up(curve, ours, target))


def _after_budgets(done: list[int], costs: dict[str, FloatArray], estimates: dict[str, FloatArray]) -> Relaxation:
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
