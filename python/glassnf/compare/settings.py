"""What a comparison is asked to do, and how much of it fits into the time given."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from .. import _check, cuda
from .algorithms import BLOCK, RunOptions, algorithm_names, default_algorithms, get_algorithm
from .reference import RELAXATION_SHARE
from .starts import derived_seed, hot_start

if TYPE_CHECKING:
    from pathlib import Path

    from ..flows import Flow
    from ..systems import System

__all__ = ["Plan", "Settings", "geometric_budgets", "make_plan"]

REFERENCE_SHARE: Final = 0.35
OVERHEAD: Final = 5.0
LEAST_BUDGETS: Final = 3
_CALIBRATION_TIME: Final = 0.4
_FIRST_BUDGET: Final = 200
_LEAST_SWEEPS: Final = 3200
_MOST_RECORDS: Final = 150_000


@dataclass(frozen=True)
class Settings:
    """The parameters of a comparison.

    Attributes
    ----------
    system
        The system to sample.
    temperatures
        Temperatures, in epsilon / k_B.
    algorithms
        Names of the algorithms, see `algorithm_names`; the first one is the baseline of the speed-ups. None for all that need
        no flow, and with a flow for all; but for swap moves where there is one species: they then have nothing to do, and
        asking for them is an error.
    runs
        Number K of independent runs of each algorithm, at least 4.
    seed
        Seed of the whole; every part derives its own from it.
    threads
        Number of threads, or None for all.
    device
        Where the runs and the reference take place: ``"cpu"``, ``"cuda"`` or ``"cuda:K"``.
    seconds
        Time to aim at, for all together, where `sweeps` or `reference_sweeps` do not fix the work; None with both given.
    sweeps
        Largest budget of one run, in sweeps of all its replicas, a multiple of 20 of at least 160: one for all algorithms, or
        one for each by name. Parallel tempering needs more, some sweeps for each temperature of its ladder. Or None to choose
        them by `seconds`, so that all algorithms take about as long.
    reference_sweeps
        Sweeps of each replica of the reference, a multiple of 20 of at least 80, or None to choose it by `seconds`.
    reference_replicas
        Replicas of the reference, at least 8.
    reference
        An earlier compare.json to take the reference from, or None to make it.
    cache
        Whether to keep references in the user's cache folder and take them from there.
    start_temperature
        Temperature of the starting configurations; None for the larger of 1 and twice the highest of `temperatures`.
    start_sweeps
        Length of the runs that relax the starting configurations.
    target_energy_error, target_heat_error
        The errors of <U>/N (epsilon) and C_v/N (k_B) at which costs are compared, besides the errors that the baseline ends
        with.
    flow
        A trained flow for the algorithm nf, with all temperatures in its range. Its training is no part of any cost.
    """

    system: System
    temperatures: tuple[float, ...]
    algorithms: tuple[str, ...] = cast("tuple[str, ...]", None)
    runs: int = 32
    seed: int = 1
    threads: int | None = None
    device: str = "cpu"
    seconds: float | None = 900.0
    sweeps: int | Mapping[str, int] | None = None
    reference_sweeps: int | None = None
    reference_replicas: int = 64
    reference: Path | None = None
    cache: bool = True
    start_temperature: float | None = None
    start_sweeps: int = 400
    target_energy_error: float = 0.02
    target_heat_error: float = 0.2
    flow: Flow | None = None

    def __post_init__(self) -> None:
        """Check every parameter; TypeError or ValueError name the first bad one."""
        if not self.temperatures:
            raise ValueError("temperatures: expected at least one, got none")
        for value in self.temperatures:
            _check.positive_float("temperatures", value)
        _unique("temperatures", self.temperatures)
        self._check_range()
        self._check_algorithms()
        _check.integer("runs", self.runs, low=4)
        _check.integer("seed", self.seed, low=0)
        _check.integer("reference_replicas", self.reference_replicas, low=8)
        _check.integer("start_sweeps", self.start_sweeps, low=0)
        if self.threads is not None:
            _check.positive_int("threads", self.threads)
        cuda.find_device(self.device)
        self._check_sweeps()
        _multiple("reference_sweeps", self.reference_sweeps, 4 * BLOCK)
        _multiple("start_sweeps", self.start_sweeps, 0)
        _check.positive_float("target_energy_error", self.target_energy_error)
        _check.positive_float("target_heat_error", self.target_heat_error)
        if self.seconds is not None:
            _check.positive_float("seconds", self.seconds)
        elif self.sweeps is None or (self.reference_sweeps is None and self.reference is None):
            raise ValueError("seconds: expected a time, because sweeps or reference_sweeps are left open, got None")

    def _check_range(self) -> None:
        highest, lowest = max(self.temperatures), min(self.temperatures)
        if math.isinf(2.0 * highest):
            raise ValueError(f"temperatures: expected numbers whose double is finite, got {highest:g}")
        if math.isinf(1.0 / lowest):
            raise ValueError(f"temperatures: expected numbers with a finite inverse, got {lowest:g}")
        if self.start_temperature is None:
            return
        _check.positive_float("start_temperature", self.start_temperature)
        if self.start_temperature < highest:
            raise ValueError(
                f"start_temperature: expected at least the highest temperature, {highest:g}, got {self.start_temperature:g}"
            )

    def _check_algorithms(self) -> None:
        given: object = self.algorithms
        if given is None:
            object.__setattr__(self, "algorithms", default_algorithms(self.system, self.flow))
        if not self.algorithms:
            raise ValueError(f"algorithms: expected at least one of {', '.join(algorithm_names())}, got none")
        for name in self.algorithms:
            _check.choice("algorithms", name, algorithm_names())
            if name == "swap" and self.system.n_species == 1:
                raise ValueError(f"algorithms: expected no swap moves for {self.system.name}, which has one species, got swap")
        _unique("algorithms", self.algorithms)
        self._check_flow()

    def _check_flow(self) -> None:
        if self.flow is None:
            for name in self.algorithms:
                if get_algorithm(name).needs_flow:
                    raise ValueError(f"flow: expected a trained flow for the algorithm {name}, got None")
            return
        from ..samplers._carry import check_flow, check_temperature

        flow = check_flow(self.system, self.flow)
        for temperature in self.temperatures:
            check_temperature("temperatures", temperature, flow)
            if not temperature < flow.hot < math.inf:
                raise ValueError(
                    f"temperatures: expected numbers below the hot end of the flow, {flow.hot:g}, a finite one, got "
                    f"{temperature:g}"
                )

    def _check_sweeps(self) -> None:
        if not isinstance(self.sweeps, Mapping):
            _multiple("sweeps", self.sweeps, 8 * BLOCK)
            if self.sweeps is not None:
                for name in self.algorithms:
                    self._check_least("sweeps", self.sweeps, name)
            return
        for name in (*self.sweeps, *self.algorithms):
            if name not in self.algorithms or name not in self.sweeps:
                expected = ", ".join(self.algorithms)
                raise ValueError(f"sweeps: expected a budget for each of {expected}, got {', '.join(self.sweeps) or 'none'}")
            _multiple(f"sweeps[{name!r}]", self.sweeps[name], 8 * BLOCK)
            self._check_least(f"sweeps[{name!r}]", self.sweeps[name], name)

    def _check_least(self, where: str, sweeps: int, name: str) -> None:
        least = self.least_budget(name)
        if sweeps < 4 * least:
            raise ValueError(
                f"{where}: expected at least {4 * least} for {name}, whose first budget is a quarter and has to be at least "
                f"{least} with this system at these temperatures, got {sweeps}"
            )

    def least_budget(self, name: str) -> int:
        """Return the smallest budget with which an algorithm can do anything at all temperatures, a multiple of 40, or 0."""
        least = get_algorithm(name).least_budget
        if least is None:
            return 0
        needed = max(least(self.system, temperature, self.hot) for temperature in self.temperatures)
        return -(-needed // (2 * BLOCK)) * 2 * BLOCK

    @property
    def hot(self) -> float:
        """The temperature of the starting configurations."""
        return self.start_temperature if self.start_temperature is not None else max(1.0, 2.0 * max(self.temperatures))


@dataclass(frozen=True)
class Plan:
    """The work of a comparison, as far as time decides on it.

    Attributes
    ----------
    budgets
        Budgets of each algorithm, by name, in sweeps of one run, ascending, each about twice the one before.
    reference_sweeps
        Sweeps of each replica of the reference; 0 where it is read from a file.
    options
        What each algorithm is told, by name.
    seconds
        Expected time of the runs of one algorithm at one temperature, by name; empty where time decides nothing.
    """

    budgets: dict[str, tuple[int, ...]]
    reference_sweeps: int
    options: dict[str, RunOptions]
    seconds: dict[str, float]


def _unique(name: str, values: tuple[object, ...]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{name}: expected distinct values, got {value} twice")


def _multiple(name: str, value: int | None, least: int) -> None:
    if value is None:
        return
    if _check.integer(name, value) < least or value % BLOCK:
        raise ValueError(f"{name}: expected a multiple of {BLOCK} of at least {least}, got {value}")


def geometric_budgets(largest: int, smallest: int = _FIRST_BUDGET) -> tuple[int, ...]:
    """Return budgets that double from `smallest`, or from a quarter of `largest` if that is less, and end with `largest`."""
    first = min(smallest, largest // 4 // (2 * BLOCK) * 2 * BLOCK)
    budgets = [first]
    while budgets[-1] * 2 < largest:
        budgets.append(budgets[-1] * 2)
    if largest < 1.5 * budgets[-1]:
        budgets.pop()
    return (*budgets, largest)


def record_interval(sweeps: int) -> int:
    """Return the sweeps between records, 10 or, for runs so long that the records would fill the memory, more."""
    return next((interval for interval in (10, 20, 50, 100) if sweeps <= interval * _MOST_RECORDS), 250)


def make_plan(settings: Settings) -> Plan:
    """Decide on budgets and length of the reference: as given, or by timing each algorithm for a moment on this machine.

    By time, every algorithm gets an equal share of it, whatever its sweeps cost. The lengths chosen are 200, 300, 400, 600, ...
    sweeps, two to a doubling, so that they depend on the machine's speed only in steps, and the smaller budgets not at all: the
    same seed gives the same numbers at the same budgets everywhere.
    """
    reference_sweeps = 0 if settings.reference is not None else settings.reference_sweeps
    largest: dict[str, int] = {}
    seconds: dict[str, float] = {}
    if settings.sweeps is not None:
        given = settings.sweeps
        largest = {name: given[name] if isinstance(given, Mapping) else given for name in settings.algorithms}
    if not largest or reference_sweeps is None:
        available = max(((settings.seconds or 0.0) - OVERHEAD) / len(settings.temperatures), 1.0)
        if reference_sweeps is None:
            reference_sweeps = _reference_sweeps(settings, REFERENCE_SHARE * available)
            available *= 1.0 - REFERENCE_SHARE
        if not largest:
            share = available / len(settings.algorithms)
            rates = {name: _rate(settings, name) for name in settings.algorithms}
            wanted = {name: share * rate / (2.0 if get_algorithm(name).restarts else 1.0) for name, rate in rates.items()}
            largest = {
                name: _step_down(sweeps, max(_LEAST_SWEEPS, 4 * settings.least_budget(name))) for name, sweeps in wanted.items()
            }
            seconds = {name: share * largest[name] / wanted[name] for name in largest}
    budgets = {
        name: geometric_budgets(sweeps, max(get_algorithm(name).first_budget, settings.least_budget(name)))
        for name, sweeps in largest.items()
    }
    return Plan(budgets, reference_sweeps, {name: _options(settings, series) for name, series in budgets.items()}, seconds)


def _options(settings: Settings, budgets: tuple[int, ...]) -> RunOptions:
    return RunOptions(
        threads=settings.threads,
        adaptation=budgets[0] // 2 // BLOCK * BLOCK,
        record_every=record_interval(budgets[-1]),
        flow=settings.flow,
    )


def _reference_sweeps(settings: Settings, seconds: float) -> int:
    """Return the length of a reference run that takes about this long."""
    per_replica = settings.runs / settings.reference_replicas / (1.0 + RELAXATION_SHARE)
    method = "swap" if settings.system.n_species > 1 else "mc"
    return _step_down(seconds * _rate(settings, method) * per_replica, _LEAST_SWEEPS)


def _step_down(sweeps: float, least: int) -> int:
    """Return the largest of 200, 300, 400, 600, ... that is at most `sweeps`, but at least `least`."""
    step = _FIRST_BUDGET
    while 2 * step <= sweeps:
        step *= 2
    if 3 * step // 2 <= sweeps:
        step = 3 * step // 2
    return max(step, least)


def _rate(settings: Settings, name: str) -> float:
    """Return the sweeps per second in which all runs of an algorithm advance together, at the lowest temperature."""
    seed = derived_seed(settings.seed, "calibration", name)
    start = hot_start(
        settings.system,
        settings.runs,
        seed,
        temperature=settings.hot,
        sweeps=2 * BLOCK,
        threads=settings.threads,
        device=settings.device,
    )
    spec = get_algorithm(name)
    budget, spent = max(2 * BLOCK, spec.first_budget // 4, settings.least_budget(name)), 0.0
    algorithm = spec.factory(
        settings.system,
        min(settings.temperatures),
        RunOptions(threads=settings.threads, adaptation=budget // 2, record_every=BLOCK, flow=settings.flow),
    )
    algorithm.prepare(start)
    algorithm.advance(budget)
    while True:
        begin = time.perf_counter()
        algorithm.advance(2 * budget)
        spent = time.perf_counter() - begin
        if spent >= _CALIBRATION_TIME:
            return (2 * budget if spec.restarts else budget) / spent
        budget *= 2
