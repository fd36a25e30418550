"""The algorithms that a comparison knows, and the protocol they share.

A comparison hands an algorithm K independent configurations of the liquid at a high temperature and asks it to bring all K
runs to one budget after another. A budget counts sweeps of one run, those of all its replicas together, one sweep being N trial
moves, or one time step of molecular dynamics. So a run of parallel tempering with ten temperatures does a tenth of the budget
at each, and the population of a run of population annealing shares it. A sweep does not cost the same for all: budgets are
chosen by time, and costs are measured. The K runs advance as one batch, which is how the machine is used well. The cost of one
run is its share, the cost of all divided by K.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .. import _check

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..flows import Flow
    from ..systems import System

__all__ = [
    "Algorithm",
    "AlgorithmSpec",
    "Cost",
    "DiagnosedAlgorithm",
    "Diagnosis",
    "Estimate",
    "LearningAlgorithm",
    "RunOptions",
    "Trace",
    "TrainedAlgorithm",
    "Training",
    "algorithm_names",
    "default_algorithms",
    "get_algorithm",
    "register_algorithm",
    "settings_of",
]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int, Mapping[str, Any]], None]

BLOCK: Final = 20
"""Sweeps between two adaptations of the move size; chunks of an equilibration are multiples of it."""


@dataclass(frozen=True)
class Cost:
    """What one run has cost so far, its share of what all have cost.

    Attributes
    ----------
    wall_time
        Seconds, on the whole device that the runs had.
    pair_evaluations
        Number of pair distances looked at.
    """

    wall_time: float
    pair_evaluations: float


@dataclass(frozen=True)
class Estimate:
    """What each run says after a budget.

    Attributes
    ----------
    mean_energy
        (K,) potential energy per particle, in epsilon.
    specific_heat
        (K,) configurational specific heat per particle, in k_B.
    """

    mean_energy: FloatArray
    specific_heat: FloatArray


@dataclass(frozen=True)
class Trace:
    """Energies along the runs.

    Attributes
    ----------
    sweeps
        (records,) sweeps done, from 0 at the start.
    energy
        (records, K) potential energy per particle, in epsilon.
    """

    sweeps: npt.NDArray[np.int64]
    energy: FloatArray


@dataclass(frozen=True)
class Diagnosis:
    """What an algorithm knows of its runs besides their energies.

    Attributes
    ----------
    faults
        Why they cannot be in equilibrium; empty where nothing speaks against it. Parts of a sentence.
    remarks
        What is worth knowing in any case, likewise.
    doubts
        Why nothing can be told, likewise.
    """

    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunOptions:
    """What a comparison tells every algorithm.

    Attributes
    ----------
    threads
        Number of threads, or None for all.
    adaptation
        Part of the first budget, in sweeps, in which settings may adapt; part of the cost, never part of an estimate.
    record_every
        Sweeps between two records of the energy; divides the smallest budget.
    discard
        Share of each budget, from the start, that an estimate leaves out.
    flow
        Trained flow of algorithms that use one, or None.
    settings
        Settings of the algorithm that tuning has chosen, one of its candidates (see `AlgorithmSpec`); empty for its own.
    """

    threads: int | None = None
    adaptation: int = 500
    record_every: int = 10
    discard: float = 0.5
    flow: Flow | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """What was spent once, before any run, on the parameters of an algorithm; shown apart, and amortised over runs.

    Attributes
    ----------
    wall_time
        Seconds, on the machine that did it.
    pair_evaluations
        Number of pair distances looked at; NaN where nobody counted.
    source
        What was trained, on what.
    """

    wall_time: float
    pair_evaluations: float = math.nan
    source: str = ""


@runtime_checkable
class Algorithm(Protocol):
    """A way to sample one system at one temperature by K independent runs."""

    def prepare(self, ensemble: Ensemble) -> None:
        """Take K independent configurations at a high temperature, one for each run; their making is not charged.

        They are on the device of the comparison; an algorithm that cannot use it says so or moves them, at its own cost.
        """

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Bring every run to `budget` sweeps in total and return the estimates; `progress` hears (done, budget, info)."""

    def cost(self) -> Cost:
        """Return what one run has cost so far."""

    def trace(self) -> Trace | None:
        """Return the energies along the runs, or None where the algorithm has no such thing."""

    def report(self) -> dict[str, Any]:
        """Return settings, adapted values and acceptances, for the record."""


@runtime_checkable
class DiagnosedAlgorithm(Algorithm, Protocol):
    """An algorithm that can say more about its runs than energies do."""

    def diagnosis(self) -> Diagnosis:
        """Return what the algorithm itself tells of its runs."""


@runtime_checkable
class TrainedAlgorithm(Algorithm, Protocol):
    """An algorithm with parameters that were learnt before the runs."""

    def training(self) -> Training | None:
        """Return what the learning has cost, or None where nothing was learnt."""


@runtime_checkable
class LearningAlgorithm(Algorithm, Protocol):
    """An algorithm that finds settings on the way, which its runs need not find again if they are told."""

    def learnt(self) -> Mapping[str, Any]:
        """Return settings that have adapted, such as a ladder of temperatures; tuning adds them to those that it chose."""


Factory = Callable[["System", float, RunOptions], Algorithm]
Candidates = Callable[["System", float, float, RunOptions], Sequence[Mapping[str, Any]]]
LeastBudget = Callable[["System", float, float], int]


@dataclass(frozen=True)
class AlgorithmSpec:
    """An entry of the register.

    Attributes
    ----------
    name
        What the user types.
    label
        What tables and figures say.
    colour
        Hexadecimal, from the Okabe-Ito palette, which colour-blind readers can tell apart.
    marker
        matplotlib marker.
    factory
        Called as ``factory(system, temperature, options)``.
    first_budget
        The smallest budget that makes sense, a multiple of 40; smaller ones are used only where the largest leaves no choice.
    restarts
        Whether each budget is spent anew, on runs of their own, rather than on the way to the next one.
    least_budget
        Called as ``least_budget(system, temperature, start_temperature)``: the smallest budget with which the algorithm can do
        anything, such as a few sweeps at every temperature of a ladder. None where any will do.
    needs_flow
        Whether it is an error to use it without a flow.
    candidates
        Called as ``candidates(system, temperature, start_temperature, options)``: the settings that tuning chooses from, the
        first of them what the algorithm does untold. None where there is nothing to choose.
    foreign
        Whether it is a user's own.
    """

    name: str
    label: str
    colour: str
    marker: str
    factory: Factory
    first_budget: int = 200
    restarts: bool = False
    least_budget: LeastBudget | None = None
    needs_flow: bool = False
    candidates: Candidates | None = None
    foreign: bool = False


def _molecular_dynamics(system: System, temperature: float, options: RunOptions) -> Algorithm:
    from .chains import MolecularDynamicsAlgorithm

    return MolecularDynamicsAlgorithm(system, temperature, options)


def _local(system: System, temperature: float, options: RunOptions) -> Algorithm:
    from .chains import MonteCarloAlgorithm

    return MonteCarloAlgorithm(system, temperature, options)


def _swap(system: System, temperature: float, options: RunOptions) -> Algorithm:
    from .chains import SwapMonteCarloAlgorithm

    return SwapMonteCarloAlgorithm(system, temperature, options)


def _parallel_tempering(system: System, temperature: float, options: RunOptions) -> Algorithm:
    from .tempering import ParallelTemperingAlgorithm

    return ParallelTemperingAlgorithm(system, temperature, options)


def _least_of_tempering(system: System, temperature: float, start_temperature: float) -> int:
    from .tempering import least_budget

    return least_budget(system, temperature, start_temperature)


def _population_annealing(system: System, temperature: float, options: RunOptions) -> Algorithm:
    from .annealing import PopulationAnnealingAlgorithm

    return PopulationAnnealingAlgorithm(system, temperature, options)


def _flow(system: System, temperature: float, options: RunOptions) -> Algorithm:
    from .flows import FlowAlgorithm

    return FlowAlgorithm(system, temperature, options)


def _molecular_dynamics_candidates(*arguments: Any) -> Sequence[Mapping[str, Any]]:
    from .chains import molecular_dynamics_candidates

    return molecular_dynamics_candidates(*arguments)


def _local_candidates(*arguments: Any) -> Sequence[Mapping[str, Any]]:
    from .chains import local_candidates

    return local_candidates(*arguments)


def _swap_candidates(*arguments: Any) -> Sequence[Mapping[str, Any]]:
    from .chains import swap_candidates

    return swap_candidates(*arguments)


def _tempering_candidates(*arguments: Any) -> Sequence[Mapping[str, Any]]:
    from .tempering import candidates

    return candidates(*arguments)


def _annealing_candidates(*arguments: Any) -> Sequence[Mapping[str, Any]]:
    from .annealing import candidates

    return candidates(*arguments)


def _flow_candidates(*arguments: Any) -> Sequence[Mapping[str, Any]]:
    from .flows import candidates

    return candidates(*arguments)


_register: dict[str, AlgorithmSpec] = {
    "md": AlgorithmSpec("md", "MD", "#CC79A7", "D", _molecular_dynamics, candidates=_molecular_dynamics_candidates),
    "mc": AlgorithmSpec("mc", "local MC", "#D55E00", "o", _local, candidates=_local_candidates),
    "swap": AlgorithmSpec("swap", "swap MC", "#0072B2", "s", _swap, candidates=_swap_candidates),
    "pt": AlgorithmSpec(
        "pt",
        "PT",
        "#009E73",
        "^",
        _parallel_tempering,
        first_budget=3200,
        least_budget=_least_of_tempering,
        candidates=_tempering_candidates,
    ),
    "pa": AlgorithmSpec(
        "pa", "PA", "#E69F00", "v", _population_annealing, first_budget=3200, restarts=True, candidates=_annealing_candidates
    ),
    "nf": AlgorithmSpec("nf", "NF", "#56B4E9", "P", _flow, first_budget=12_800, needs_flow=True, candidates=_flow_candidates),
}


def settings_of(options: RunOptions, defaults: Mapping[str, Any], further: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of an algorithm: its defaults, and in their place what it is told.

    Parameters
    ----------
    options
        What the algorithm is told.
    defaults
        Its settings untold.
    further
        Names of settings that it can be told, but has not untold.

    Raises
    ------
    ValueError
        If it is told a setting that it does not have.
    """
    return {**defaults, **_check.keys("settings", options.settings, (), (*defaults, *further))}


def register_algorithm(spec: AlgorithmSpec) -> None:
    """Add an algorithm to those that a comparison knows.

    Raises
    ------
    ValueError
        If the name is taken by another algorithm.
    """
    if not isinstance(spec, AlgorithmSpec):
        raise TypeError(f"spec: expected an AlgorithmSpec, got {_check.describe(spec)}")
    name = _check.string("name", spec.name)
    if _register.setdefault(name, spec) != spec:
        raise ValueError(f"name: expected a name that is not taken, got {name!r}")


def algorithm_names() -> tuple[str, ...]:
    """Return the names of all known algorithms."""
    return tuple(_register)


def default_algorithms(system: System, flow: Flow | None = None) -> tuple[str, ...]:
    """Return the names of the algorithms that come with glassnf.

    Those with swap moves where there are species to swap, and those with a flow where there is one.
    """
    names = ("md", "mc", "swap", "pt", "pa", *(("nf",) if flow is not None else ()))
    return tuple(name for name in names if name != "swap" or system.n_species > 1)


def get_algorithm(name: str) -> AlgorithmSpec:
    """Return the algorithm of this name; ValueError, naming the nearest, where there is none."""
    return _register[_check.choice("algorithm", name, algorithm_names())]
