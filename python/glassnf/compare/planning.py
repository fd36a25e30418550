"""How much of a comparison fits into the time given, and with which budgets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .algorithms import BLOCK, AlgorithmSpec, RunOptions, get_algorithm
from .reference import RELAXATION_SHARE, shipped_reference
from .settings import Settings
from .starts import derived_seed, hot_start

__all__ = [
    "LEAST_BUDGETS",
    "Plan",
    "budgets_for",
    "geometric_budgets",
    "make_plan",
    "measure_rate",
    "one_more",
    "record_interval",
    "run_options",
]

REFERENCE_SHARE: Final = 0.35
OVERHEAD: Final = 5.0
LEAST_BUDGETS: Final = 3
COLDER: Final = 1.4
"""Time for a temperature over that for the next higher one: it takes longer to get there."""
_CALIBRATION_TIME: Final = 0.4
_SHARES: Final = (0.75, 0.7, 0.65, 0.6, 0.5)  # of the time, for the largest of budgets that are spent anew
_FIRST_BUDGET: Final = 200
_LEAST_SWEEPS: Final = 3200
_MOST_RECORDS: Final = 150_000


@dataclass(frozen=True)
class Plan:
    """The work of a comparison, as far as time decides on it.

    Attributes
    ----------
    seconds
        Time for one algorithm at each temperature, the choice of its settings included; empty where time decides nothing.
    reference_sweeps
        Sweeps of each replica of the reference at each temperature; 0 where there is one already.
    """

    seconds: dict[float, float]
    reference_sweeps: dict[float, int]


def make_plan(settings: Settings) -> Plan:
    """Share the time out: first to temperatures, then to references that have to be made, then to all algorithms alike.

    Each temperature gets 1.4 times as much as the next higher one.
    """
    ordered = sorted(settings.temperatures, reverse=True)
    weights = {temperature: COLDER**place for place, temperature in enumerate(ordered)}
    available = max((settings.seconds or 0.0) - OVERHEAD, 1.0)
    seconds, reference = {}, {}
    for temperature in settings.temperatures:
        share = available * weights[temperature] / sum(weights.values())
        if has_reference(settings, temperature):
            reference[temperature] = 0
        elif settings.reference_sweeps is not None:
            reference[temperature] = settings.reference_sweeps
        else:
            reference[temperature] = _reference_sweeps(settings, REFERENCE_SHARE * share, temperature)
            share *= 1.0 - REFERENCE_SHARE
        if settings.sweeps is None:
            running = [name for name in settings.algorithms if settings.obstacle(name, temperature) is None]
            seconds[temperature] = share / max(len(running), 1)
    return Plan(seconds, reference)


def has_reference(settings: Settings, temperature: float) -> bool:
    """Return whether the reference at a temperature need not be made."""
    if settings.reference is not None:
        return True
    return settings.reference_sweeps is None and shipped_reference(settings.system, temperature) is not None


def geometric_budgets(largest: int, smallest: int = _FIRST_BUDGET, ratio: int = 2) -> tuple[int, ...]:
    """Return budgets that grow by a ratio from `smallest`, or a quarter of `largest` if that is less, up to `largest`."""
    first = min(smallest, largest // 4 // (2 * BLOCK) * 2 * BLOCK)
    budgets = [first]
    while budgets[-1] * ratio < largest:
        budgets.append(budgets[-1] * ratio)
    if largest < 0.5 * (1 + ratio) * budgets[-1]:
        budgets.pop()
    return (*budgets, largest)


def budgets_for(settings: Settings, name: str, seconds: float, rate: float) -> tuple[int, ...]:
    """Return the budgets of an algorithm: as given, or as many sweeps as it does in a time.

    The largest is 3200, 4000, 4800, 5600, 6400, 8000, ... sweeps, four to a doubling, so that budgets depend on the machine's
    speed only in steps, and the smaller ones not at all: the same seed and settings give the same numbers at the same budgets
    everywhere.

    They double, but for algorithms that spend each of them anew: those have them quadruple where the time is given, so that
    more of it, two thirds to three quarters, is left for the largest.

    Parameters
    ----------
    settings
        What to compare.
    name
        The algorithm.
    seconds
        Time for its runs, where `settings` do not fix the sweeps.
    rate
        Sweeps per second of all its runs together.
    """
    spec, least = get_algorithm(name), settings.least_budget(name)
    smallest, wanted = max(spec.first_budget, least), seconds * rate
    if settings.sweeps is not None:
        largest = settings.sweeps[name] if isinstance(settings.sweeps, Mapping) else settings.sweeps
        return geometric_budgets(largest, smallest)
    if not spec.restarts:
        return geometric_budgets(_step_down(wanted, max(_LEAST_SWEEPS, 4 * least)), smallest)
    for share in _SHARES:
        budgets = geometric_budgets(_step_down(share * wanted, max(_LEAST_SWEEPS, 4 * least)), smallest, 4)
        if sum(budgets) <= wanted:
            break
    return budgets


def one_more(spec: AlgorithmSpec, last: int, pace: float, left: float) -> list[int]:
    """Return another budget in a list, where the time allows one of at least half as much again as the last, or nothing.

    Parameters
    ----------
    spec
        The algorithm.
    last
        Its largest budget so far.
    pace
        Seconds per sweep of that budget.
    left
        Time left, s.
    """
    sweeps = left / max(pace, 1e-12) + (0 if spec.restarts else last)
    budget = _step_down(min(sweeps, 4.0 * last), 0)
    return [budget] if budget >= 1.5 * last else []


def record_interval(sweeps: int) -> int:
    """Return the sweeps between records, 10 or, for runs so long that the records would fill the memory, more."""
    return next((interval for interval in (10, 20, 50, 100) if sweeps <= interval * _MOST_RECORDS), 250)


def run_options(settings: Settings, budgets: tuple[int, ...], chosen: Mapping[str, Any]) -> RunOptions:
    """Return what the algorithm is told about its runs."""
    return RunOptions(
        threads=settings.threads,
        adaptation=budgets[0] // 2 // BLOCK * BLOCK,
        record_every=record_interval(budgets[-1]),
        flow=settings.flow,
        settings=chosen,
    )


def _reference_sweeps(settings: Settings, seconds: float, temperature: float) -> int:
    """Return the length of a reference run that takes about this long."""
    per_replica = settings.runs / settings.reference_replicas / (1.0 + RELAXATION_SHARE)
    method = "swap" if settings.system.n_species > 1 else "mc"
    return _step_down(seconds * measure_rate(settings, method, temperature) * per_replica, _LEAST_SWEEPS)


def _step_down(sweeps: float, least: int) -> int:
    """Return the largest of 3200, 4000, 4800, 5600, 6400, 8000, ... that is at most `sweeps`, but at least `least`."""
    step = _LEAST_SWEEPS
    while 2 * step <= sweeps:
        step *= 2
    quarters = int(4.0 * min(max(sweeps / step - 1.0, 0.0), 0.75))
    return max(step + quarters * step // 4, least)


def measure_rate(settings: Settings, name: str, temperature: float, chosen: Mapping[str, Any] | None = None) -> float:
    """Return the sweeps per second in which all runs of an algorithm advance together, measured for half a second."""
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
    options = RunOptions(
        threads=settings.threads, adaptation=budget // 2, record_every=BLOCK, flow=settings.flow, settings=chosen or {}
    )
    algorithm = spec.factory(settings.system, temperature, options)
    algorithm.prepare(start)
    algorithm.advance(budget)
    while True:
        begin = time.perf_counter()
        algorithm.advance(2 * budget)
        spent = time.perf_counter() - begin
        if spent >= _CALIBRATION_TIME:
            return (2 * budget if spec.restarts else budget) / spent
        budget *= 2
