"""What a comparison is asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from .. import _check, cuda
from ..flows import shipped
from ..systems import System
from .algorithms import BLOCK, algorithm_names, default_algorithms, get_algorithm

if TYPE_CHECKING:
    from pathlib import Path

    from ..flows import Flow

__all__ = ["TUNING_SHARE", "Settings", "usual_algorithms"]

TUNING_SHARE: Final = 0.2
"""Of the time of each algorithm, for the choice of its settings."""


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
        Names of the algorithms, see `algorithm_names`; the first one is the baseline of the speed-ups. None for all that come
        with glassnf; but for swap moves where there is one species: they then have nothing to do, and asking for them is an
        error; and for flows where there is none.
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
        An earlier compare.json to take the references from. None for those that come with glassnf, where it has any for this
        system and temperature and `reference_sweeps` does not ask for another, or else to make them.
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
        A trained flow for the algorithm nf; None for the one that comes with glassnf, where it has one for this system. At
        temperatures out of its range nf is not run. Its training is no part of the cost of a run; it is shown apart.
    tuning
        Share of the time, or of `sweeps`, of each algorithm at each temperature that goes to the choice of its settings, before
        its runs; 0 for the settings that each has by itself.
    stop_when_failed
        Whether an algorithm that is not known to be in equilibrium at two temperatures in a row is not run at lower ones.
    profile
        Name of the set of parameters that these are, for the record.
    """

    system: System
    temperatures: tuple[float, ...]
    algorithms: tuple[str, ...] = cast("tuple[str, ...]", None)
    runs: int = 32
    seed: int = 1
    threads: int | None = None
    device: str = "cpu"
    seconds: float | None = 3600.0
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
    tuning: float = TUNING_SHARE
    stop_when_failed: bool = False
    profile: str | None = None

    def __post_init__(self) -> None:
        """Check every parameter; TypeError or ValueError name the first bad one."""
        if not isinstance(self.system, System):
            raise TypeError(f"system: expected a System, got {_check.describe(self.system)}")
        for name in ("temperatures", "algorithms"):
            given = getattr(self, name)
            if not isinstance(given, (tuple, list)) and not (name == "algorithms" and given is None):
                raise TypeError(f"{name}: expected a tuple, got {_check.describe(given)}")
        for name in ("cache", "stop_when_failed"):
            _check.boolean(name, getattr(self, name))
        if self.profile is not None:
            _check.string("profile", self.profile)
        if self.reference is not None:
            _check.path("reference", self.reference)
        if not self.temperatures:
            raise ValueError("temperatures: expected at least one, got none")
        for value in self.temperatures:
            _check.positive_float("temperatures", value)
        object.__setattr__(self, "temperatures", tuple(map(_plain, self.temperatures)))
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
        if not 0.0 <= _check.finite_float("tuning", self.tuning) <= 0.5:
            raise ValueError(f"tuning: expected a share from 0 to 0.5, got {self.tuning:g}")
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
        object.__setattr__(self, "start_temperature", _plain(self.start_temperature))
        if self.start_temperature < highest:
            raise ValueError(
                f"start_temperature: expected at least the highest temperature, {highest:g}, got {self.start_temperature:g}"
            )

    def _check_algorithms(self) -> None:
        given: object = self.algorithms
        for name in self.algorithms or ():
            _check.choice("algorithms", name, algorithm_names())
        if self.flow is None and (given is None or any(get_algorithm(name).needs_flow for name in self.algorithms)):
            object.__setattr__(self, "flow", shipped(self.system))
        if given is None:
            object.__setattr__(self, "algorithms", usual_algorithms(self.system, self.temperatures, self.flow))
        if not self.algorithms:
            raise ValueError(f"algorithms: expected at least one of {', '.join(algorithm_names())}, got none")
        if "swap" in self.algorithms and self.system.n_species == 1:
            raise ValueError(f"algorithms: expected no swap moves for {self.system.name}, which has one species, got swap")
        _unique("algorithms", self.algorithms)
        self._check_flow()

    def _check_flow(self) -> None:
        needed = [name for name in self.algorithms if get_algorithm(name).needs_flow]
        if self.flow is None:
            if needed:
                raise ValueError(f"flow: expected a trained flow for the algorithm {needed[0]}, got None")
            return
        from ..samplers._carry import check_flow

        flow = check_flow(self.system, self.flow)
        if math.isinf(flow.hot):
            raise ValueError("flow: expected one with a finite hot end, got one that begins at infinite temperature")
        for name in needed:
            obstacles = [self.obstacle(name, value) for value in self.temperatures]
            if all(obstacles):
                raise ValueError(f"temperatures: expected at least one that {name} can reach, got none: {obstacles[0]}")

    def obstacle(self, name: str, temperature: float) -> str | None:
        """Return why an algorithm cannot be run at a temperature, or None if it can."""
        return _obstacle(name, temperature, self.flow)

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


def _obstacle(name: str, temperature: float, flow: Flow | None) -> str | None:
    if flow is None or not get_algorithm(name).needs_flow or flow.cold <= temperature < flow.hot:
        return None
    return f"the flow goes from T = {flow.hot:g} to {flow.cold:g}, which does not hold {temperature:g}"


def _plain(number: float) -> float:
    """Return a number that has been checked as one that JSON knows."""
    return number if isinstance(number, (int, float)) else float(number)


def usual_algorithms(system: System, temperatures: tuple[float, ...], flow: Flow | None = None) -> tuple[str, ...]:
    """Return the algorithms that are compared where none are named: all that come with glassnf and can be run somewhere.

    Parameters
    ----------
    system
        What they are to sample.
    temperatures
        Where, in epsilon / k_B.
    flow
        A trained flow; None for the one that comes with glassnf, if it has one for this system.
    """
    flow = flow if flow is not None else shipped(system)
    names = default_algorithms(system, flow)
    return tuple(name for name in names if any(_obstacle(name, value, flow) is None for value in temperatures))


def _unique(name: str, values: tuple[object, ...]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{name}: expected distinct values, got {value} twice")


def _multiple(name: str, value: int | None, least: int) -> None:
    if value is None:
        return
    if _check.integer(name, value) < least or value % BLOCK:
        raise ValueError(f"{name}: expected a multiple of {BLOCK} of at least {least}, got {value}")
