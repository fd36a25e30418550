"""The comparison itself: reference, choice of settings, runs, errors, speed-ups, verdicts."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .. import _check
from .algorithms import Algorithm, AlgorithmSpec, DiagnosedAlgorithm, Diagnosis, RunOptions, TrainedAlgorithm, get_algorithm
from .analysis import ErrorCurve, amortised_speed_up, break_even_runs, error_curve, speed_up
from .jsonable import jsonable
from .parts import Parts, result_from_dict, result_to_dict
from .planning import LEAST_BUDGETS, budgets_for, make_plan, measure_rate, one_more, record_interval, run_options
from .plugin import digest_of
from .ranking import rank
from .reference import (
    Reference,
    ReferenceOptions,
    cached_reference,
    make_reference,
    pooled_specific_heat,
    read_reference,
    reference_from_dict,
    reference_method,
    shipped_reference,
)
from .results import (
    COSTS,
    OBSERVABLES,
    AlgorithmResult,
    Comparison,
    NotRun,
    SpeedUp,
    TemperatureResult,
    after_budgets,
    relaxation,
)
from .settings import Settings
from .starts import derived_seed, hot_start
from .tuning import tune
from .verdict import judge

if TYPE_CHECKING:
    from ..ensemble import Ensemble

__all__ = ["Event", "compare"]

FloatArray = npt.NDArray[np.float64]

_SLACK: Final = 1.3


@dataclass(frozen=True)
class Event:
    """A step of progress.

    Attributes
    ----------
    stage
        ``"reference"``, or the name of an algorithm.
    label
        What to show.
    temperature
        In epsilon / k_B.
    done, total
        Parts of this stage, done and to do: sweeps of one run, or trials of settings.
    info
        What the sampler tells beside; ``"tuning": True`` while settings are chosen.
    finished
        With the last event of an algorithm at a temperature, a line on what came out.
    """

    stage: str
    label: str
    temperature: float
    done: float
    total: float
    info: Mapping[str, Any] = field(default_factory=dict)
    finished: str | None = None


Listener = Callable[[Event], None]


def compare(
    settings: Settings, listener: Listener | None = None, *, folder: Path | None = None, resume: bool = False
) -> Comparison:
    """Run a comparison.

    Parameters
    ----------
    settings
        What to compare.
    listener
        Called with every step of progress.
    folder
        Where to keep the pieces that are done, in a folder ``parts`` of it; None for nowhere. They stay until `write_files` has
        written the report into that folder.
    resume
        Go on with the pieces in `folder`.

    Raises
    ------
    ValueError
        If the file in ``settings.reference`` does not hold the reference values, what there is to resume has other settings, or
        another comparison is using the folder.
    OSError
        If a file cannot be read or written.
    """
    if not isinstance(settings, Settings):
        raise TypeError(f"settings: expected Settings, got {_check.describe(settings)}")
    _check.callback("listener", listener)
    check_reference(settings)
    if folder is None:
        if resume:
            raise ValueError("folder: expected the folder of an interrupted comparison, got None")
        return compare_in_parts(settings, listener, None)
    parts = Parts(folder)
    parts.begin(settings, resume=resume)
    try:
        return compare_in_parts(settings, listener, parts)
    finally:
        parts.release()


def compare_in_parts(settings: Settings, listener: Listener | None, parts: Parts | None) -> Comparison:
    """Run a comparison with pieces that have been begun; see `compare`."""
    return _Run(settings, listener or _nobody, parts).run()


def check_reference(settings: Settings) -> None:
    """Check that the file in ``settings.reference`` has what is needed; ValueError or OSError say what is wrong."""
    if settings.reference is not None:
        for temperature in settings.temperatures:
            read_reference(settings.reference, settings.system, temperature)


def _nobody(event: Event) -> None:
    """Listen to nothing."""


def _line(temperature: float, outcome: AlgorithmResult | NotRun) -> str:
    """Return what came out in a line."""
    label = get_algorithm(outcome.name if isinstance(outcome, NotRun) else outcome.spec.name).label
    if isinstance(outcome, NotRun):
        return f"T = {temperature:g}  {label:9s} not run: {outcome.reason}"
    curve = outcome.curves["mean_energy", "wall_time"]
    state = outcome.verdict.status
    return f"T = {temperature:g}  {label:9s} error of <U>/N {curve.error[-1]:.2g} at {curve.cost[-1]:.2g} s per run, {state}"


class _Run:
    """One comparison under way."""

    def __init__(self, settings: Settings, tell: Listener, parts: Parts | None) -> None:
        self._settings = settings
        self._tell = tell
        self._parts = parts
        self._notes: list[str] = []
        self._earlier = 0.0
        self._failures: dict[str, list[float]] = {}

    def run(self) -> Comparison:
        started, begin = datetime.now(timezone.utc), time.perf_counter()
        self._plan = make_plan(self._settings)
        results = {value: self._at(value) for value in sorted(self._settings.temperatures, reverse=True)}
        seconds = time.perf_counter() - begin + self._earlier
        ordered = tuple(results[value] for value in self._settings.temperatures)
        made = {
            value: results[value].reference.sweeps if sweeps else 0 for value, sweeps in self._plan.reference_sweeps.items()
        }
        plan = replace(self._plan, reference_sweeps=made)
        return Comparison(self._settings, plan, ordered, tuple(self._notes), started, seconds)

    def _at(self, temperature: float) -> TemperatureResult:
        settings = self._settings
        reference = self._reference(temperature)
        self._remark_on(reference)
        results: list[AlgorithmResult] = []
        not_run: list[NotRun] = []
        for name in settings.algorithms:
            reason = settings.obstacle(name, temperature) or self._failed(name)
            outcome = NotRun(name, reason) if reason is not None else self._algorithm(temperature, name, reference)
            self._tell(Event(name, get_algorithm(name).label, temperature, 1, 1, finished=_line(temperature, outcome)))
            if isinstance(outcome, NotRun):
                not_run.append(outcome)
                continue
            results.append(outcome)
            self._failures[name] = [] if outcome.verdict.equilibrated else [*self._failures.get(name, []), temperature]
        curves = {result.spec.name: result.curves["mean_energy", "wall_time"] for result in results}
        ranking = rank(curves) if curves else ()
        return TemperatureResult(temperature, reference, tuple(results), self._speed_ups(results), ranking, tuple(not_run))

    def _failed(self, name: str) -> str | None:
        """Return why an algorithm is given up, or None. The baseline never is: bounds need what it has cost."""
        failures = self._failures.get(name, [])
        if not self._settings.stop_when_failed or len(failures) < 2 or name == self._settings.algorithms[0]:
            return None
        return f"it was not known to be in equilibrium at T = {failures[-2]:g} and {failures[-1]:g} already"

    def _remark_on(self, reference: Reference) -> None:
        settings, where = self._settings, f"T = {reference.temperature:g}"
        if not reference.sound:
            self._notes.append(
                f"{where}: the reference fails its own checks (R-hat {reference.r_hat:.3f}, "
                f"drift {reference.drift_sigmas:.1f} sigma): it is too short, and errors against it mean little."
            )
        targets = settings.target_energy_error, settings.target_heat_error
        for observable, target, (_, error) in zip(OBSERVABLES, targets, reference.values(), strict=True):
            if target < 2.0 * error:
                self._notes.append(
                    f"{where}: the target error {target:g} of {observable} is below twice the reference's own error "
                    f"({error:.2g}), so that costs at this target are upper bounds."
                )

    def _reference(self, temperature: float) -> Reference:
        settings = self._settings
        if settings.reference is not None:
            return read_reference(settings.reference, settings.system, temperature)
        sweeps = self._plan.reference_sweeps[temperature]
        shipped = shipped_reference(settings.system, temperature) if sweeps == 0 else None
        if shipped is not None:
            return shipped
        kept = None if self._parts is None else self._parts.get(temperature, "reference")
        if kept is not None:
            with contextlib.suppress(KeyError, TypeError, ValueError):  # a damaged one is made anew
                return reference_from_dict(kept)
        reference = self._make_reference(temperature, sweeps)
        self._keep(temperature, "reference", jsonable(reference))
        return reference

    def _make_reference(self, temperature: float, sweeps: int) -> Reference:
        settings = self._settings
        options = ReferenceOptions(
            replicas=settings.reference_replicas,
            sweeps=sweeps,
            seed=derived_seed(settings.seed, "reference", temperature),
            start_temperature=settings.hot,
            start_sweeps=settings.start_sweeps,
            record_every=record_interval(sweeps),
        )
        label = f"reference (long {reference_method(settings.system)})"
        make = cached_reference if settings.cache else make_reference

        def relay(done: int, total: int, info: Mapping[str, Any]) -> None:
            self._tell(Event("reference", label, temperature, done, total, info))

        reference = make(
            settings.system, temperature, options, threads=settings.threads, device=settings.device, progress=relay
        )
        self._tell(Event("reference", label, temperature, sweeps, sweeps))
        return reference

    def _algorithm(self, temperature: float, name: str, reference: Reference) -> AlgorithmResult | NotRun:
        """Return the result of one algorithm, from the pieces or new; where it fails, the others are not to suffer."""
        spec = get_algorithm(name)
        found = self._kept(temperature, name, reference)
        if found is not None:
            return found
        before, begin = len(self._notes), time.perf_counter()
        outcome: AlgorithmResult | NotRun
        try:
            outcome = self._run_algorithm(temperature, spec, reference)
            piece: dict[str, Any] = {"result": result_to_dict(outcome)}
        except RuntimeError as error:  # a PluginError, a flow that cannot be integrated, dynamics that blow up
            reason = " ".join(str(error).split()) or type(error).__name__
            outcome = NotRun(name, f"it has failed: {reason}")
            self._notes.append(f"T = {temperature:g}: {spec.label} has failed: {reason}")
            piece = {"failed": reason}
        more = {"notes": self._notes[before:], "seconds": time.perf_counter() - begin, "source": digest_of(spec)}
        self._keep(temperature, name, {**piece, **more})
        return outcome

    def _keep(self, temperature: float, name: str, piece: Mapping[str, Any]) -> None:
        """Keep a piece; that it cannot be kept is no reason to lose it."""
        if self._parts is None:
            return
        try:
            self._parts.put(temperature, name, piece)
        except OSError as error:
            self._notes.append(
                f"T = {temperature:g}: the piece {name} could not be kept for --resume: {error.strerror or error}."
            )

    def _kept(self, temperature: float, name: str, reference: Reference) -> AlgorithmResult | None:
        """Return what an interrupted comparison has left of an algorithm, or None where there is nothing that can be used.

        An algorithm that has failed, or a sampler of the user's own that has been edited since, runs again.
        """
        piece = None if self._parts is None else self._parts.get(temperature, name)
        if piece is None or "failed" in piece or piece.get("source") != digest_of(get_algorithm(name)):
            return None
        try:
            notes, seconds = [str(note) for note in piece["notes"]], float(piece["seconds"])
            found = result_from_dict(piece["result"], self._curves(reference, name, piece["result"]))
        except (KeyError, TypeError, ValueError, IndexError):
            return None
        self._notes += notes
        self._earlier += seconds
        return found

    def _run_algorithm(self, temperature: float, spec: AlgorithmSpec, reference: Reference) -> AlgorithmResult:
        settings, name = self._settings, spec.name
        seconds = self._plan.seconds.get(temperature)
        tuning = self._tune(temperature, spec, reference)
        chosen = {} if tuning is None else tuning.settings
        rate = 0.0
        if seconds is not None:
            rate = (
                tuning.rate if tuning is not None and tuning.rate > 0.0 else measure_rate(settings, name, temperature, chosen)
            )
        budgets = budgets_for(settings, name, (seconds or 0.0) * (1.0 - settings.tuning), rate)
        options = run_options(settings, budgets, chosen)
        seed = derived_seed(settings.seed, "runs", name, temperature)
        algorithm = spec.factory(settings.system, temperature, options)
        algorithm.prepare(self._start(seed))
        done, costs, estimates = self._advance(algorithm, spec, budgets, temperature, seconds)
        report = algorithm.report()
        diagnostics = report.pop("diagnostics", None)
        made = {"costs": costs, "estimates": estimates}
        trace = algorithm.trace()
        return AlgorithmResult(
            spec=spec,
            sweeps=np.array(done, dtype=np.int64),
            costs=costs,
            estimates=estimates,
            curves=self._curves(reference, name, made),
            verdict=self._judge(algorithm, options, done[-1], estimates, reference),
            relaxation=after_budgets(done, costs, estimates) if trace is None else relaxation(trace, done, costs["wall_time"]),
            report=report,
            seed=seed,
            tuning=None if tuning is None else jsonable(tuning),
            training=algorithm.training() if isinstance(algorithm, TrainedAlgorithm) else None,
            diagnostics=jsonable(diagnostics),
        )

    def _start(self, seed: int) -> Ensemble:
        settings = self._settings
        return hot_start(
            settings.system,
            settings.runs,
            seed,
            temperature=settings.hot,
            sweeps=settings.start_sweeps,
            threads=settings.threads,
            device=settings.device,
        )

    def _tune(self, temperature: float, spec: AlgorithmSpec, reference: Reference) -> Any:
        """Choose the settings of an algorithm, with runs of their own; None where there is no choice or no time for one."""
        settings = self._settings
        if spec.candidates is None or settings.tuning == 0.0:
            return None
        seconds, sweeps = self._plan.seconds.get(temperature), None
        if seconds is not None:
            seconds *= settings.tuning
        elif settings.sweeps is not None:
            largest = settings.sweeps[spec.name] if isinstance(settings.sweeps, Mapping) else settings.sweeps
            sweeps = int(largest * settings.tuning)

        def relay(done: float, total: float, info: Mapping[str, Any]) -> None:
            self._tell(Event(spec.name, f"{spec.label}, settings", temperature, done, total, {**info, "tuning": True}))

        options = RunOptions(threads=settings.threads, flow=settings.flow)
        return tune(
            spec,
            settings.system,
            temperature,
            self._start,
            reference,
            options,
            runs=settings.runs,
            seed=derived_seed(settings.seed, "tuning", spec.name, temperature),
            seconds=seconds,
            sweeps=sweeps,
            progress=relay,
        )

    def _judge(
        self, algorithm: Algorithm, options: RunOptions, last: int, estimates: dict[str, FloatArray], reference: Reference
    ) -> Any:
        trace = algorithm.trace()
        late = None if trace is None else trace.energy[trace.sweeps > options.discard * last]
        diagnosis = algorithm.diagnosis() if isinstance(algorithm, DiagnosedAlgorithm) else Diagnosis()
        heats = estimates["specific_heat"][-1]
        if late is not None:
            heat = pooled_specific_heat(late, self._settings.system.n, reference.temperature)
        else:
            heat = float(heats.mean()), float(heats.std(ddof=1)) / len(heats) ** 0.5
        variance = reference.specific_heat * reference.temperature**2 / self._settings.system.n
        fluctuation = math.sqrt(max(variance, 0.0))
        return judge(estimates["mean_energy"][-1], heat, reference.values(), late, diagnosis, fluctuation)

    def _advance(
        self, algorithm: Algorithm, spec: AlgorithmSpec, budgets: tuple[int, ...], temperature: float, seconds: float | None
    ) -> tuple[list[int], dict[str, FloatArray], dict[str, FloatArray]]:
        """Bring the runs from budget to budget as far as the time allows, and on where it allows more than was foreseen."""
        done: list[int] = []
        costs: dict[str, list[float]] = {kind: [] for kind in COSTS}
        estimates: dict[str, list[FloatArray]] = {observable: [] for observable in OBSERVABLES}
        begin, last, waiting = time.perf_counter(), budgets[-1], list(budgets)

        def relay(sweeps: int, _: int, info: Mapping[str, Any]) -> None:
            self._tell(Event(spec.name, spec.label, temperature, min(sweeps, last), last, info))

        while waiting:
            budget, spent = waiting.pop(0), time.perf_counter() - begin
            if seconds is not None and len(done) >= LEAST_BUDGETS and spent * budget / done[-1] > _SLACK * seconds:
                self._notes.append(
                    f"T = {temperature:g}: {spec.label} stops at {done[-1]} sweeps, because it is slower than it first was."
                )
                break
            clock = time.perf_counter()
            estimate = algorithm.advance(budget, relay)
            pace = (time.perf_counter() - clock) / (budget - (0 if spec.restarts or not done else done[-1]))
            done.append(budget)
            for kind, series in costs.items():
                series.append(float(getattr(algorithm.cost(), kind)))
            for observable, values in estimates.items():
                values.append(np.asarray(getattr(estimate, observable), dtype=np.float64))
            if seconds is not None and not waiting:
                waiting = one_more(spec, budget, pace, seconds * (1.0 - self._settings.tuning) - (time.perf_counter() - begin))
        self._tell(Event(spec.name, spec.label, temperature, last, last))
        arrays = {kind: np.array(series) for kind, series in costs.items()}
        return done, arrays, {observable: np.array(values) for observable, values in estimates.items()}

    def _curves(self, reference: Reference, name: str, made: Mapping[str, Any]) -> dict[tuple[str, str], ErrorCurve]:
        """Return error against cost of estimates and costs that are arrays or lists."""
        curves = {}
        for observable, (value, error) in zip(OBSERVABLES, reference.values(), strict=True):
            seed = derived_seed(self._settings.seed, "bootstrap", name, reference.temperature, observable)
            shared = derived_seed(self._settings.seed, "bootstrap", reference.temperature, observable)
            estimates = np.asarray(made["estimates"][observable], dtype=np.float64)
            for kind in COSTS:
                cost = np.asarray(made["costs"][kind], dtype=np.float64)
                curves[observable, kind] = error_curve(cost, estimates, value, error, seed=seed, reference_seed=shared)
        return curves

    def _speed_ups(self, results: list[AlgorithmResult]) -> tuple[SpeedUp, ...]:
        """Compare with the first of the algorithms, if it is among the results."""
        settings = self._settings
        if not results or results[0].spec.name != settings.algorithms[0]:
            return ()
        targets = settings.target_energy_error, settings.target_heat_error
        return tuple(
            self._speed_up(result, results[0], observable, cost, target)
            for result in results[1:]
            for observable, asked in zip(OBSERVABLES, targets, strict=True)
            for target in (asked, None)
            for cost in COSTS
        )

    def _speed_up(
        self, result: AlgorithmResult, baseline: AlgorithmResult, observable: str, cost: str, target: float | None
    ) -> SpeedUp:
        curve, ours = baseline.curves[observable, cost], result.curves[observable, cost]
        error = float(curve.error[-1]) if target is None else target
        names = result.spec.name, baseline.spec.name
        ratio = speed_up(curve, ours, target)
        spent = None if result.training is None else float(getattr(result.training, cost))
        if spent is None or not np.isfinite(spent):
            return SpeedUp(*names, observable, cost, error, target is None, ratio)
        amortised = amortised_speed_up(curve, ours, target, spent, self._settings.runs)
        runs = break_even_runs(curve, ours, target, spent)
        return SpeedUp(*names, observable, cost, error, target is None, ratio, amortised, runs)
