"""The algorithms that a comparison knows, and the protocol they share.

A comparison hands an algorithm K independent configurations of the liquid at a high temperature and asks it to bring all K
runs to one budget after another. A budget counts sweeps of one run, one sweep being the work of N trial moves. The K runs
advance as one batch, because that is how the machine is used well; the cost of one run is its share, the cost of the batch
divided by K.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .. import _check
from .._arrays import to_host

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System

__all__ = [
    "Algorithm",
    "AlgorithmSpec",
    "Cost",
    "Estimate",
    "MonteCarloAlgorithm",
    "RunOptions",
    "Trace",
    "algorithm_names",
    "get_algorithm",
    "register_algorithm",
]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int, Mapping[str, Any]], None]

BLOCK: Final = 20
"""Sweeps between two adaptations of the move size; chunks of an equilibration are multiples of it."""


@dataclass(frozen=True)
class Cost:
    """What one run has cost so far, its share of the batch.

    Attributes
    ----------
    wall_time
        Seconds, on the whole device that the batch ran on.
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
class RunOptions:
    """What a comparison tells every algorithm.

    Attributes
    ----------
    threads
        Number of threads, or None for all.
    adaptation
        Sweeps at the start of each run in which settings may adapt; part of the cost, never part of an estimate.
    record_every
        Sweeps between two records of the energy; divides the smallest budget.
    discard
        Share of each budget, from the start, that an estimate leaves out.
    """

    threads: int | None = None
    adaptation: int = 500
    record_every: int = 10
    discard: float = 0.5


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


Factory = Callable[["System", float, RunOptions], Algorithm]


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
    """

    name: str
    label: str
    colour: str
    marker: str
    factory: Factory


class MonteCarloAlgorithm:
    """Metropolis Monte Carlo, with or without swap moves, in the form a comparison wants.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature of the runs, in epsilon / k_B.
    options
        Threads, adaptation, records, burn-in.
    swap_probability
        Share of the trial moves that are swaps; 0 for local Monte Carlo.
    """

    def __init__(self, system: System, temperature: float, options: RunOptions, *, swap_probability: float) -> None:
        from ..samplers import MonteCarlo

        self._sampler = MonteCarlo(system, swap_probability=swap_probability, threads=options.threads)
        self._system = system
        self._temperature = temperature
        self._options = options
        self._swap_probability = swap_probability
        self._ensemble: Ensemble | None = None
        self._start = 0
        self._sweeps: list[npt.NDArray[np.int64]] = []
        self._energy: list[FloatArray] = []
        self._wall_time = 0.0
        self._pair_evaluations = 0
        self._acceptance: dict[str, Any] = {}

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations and set the temperature of the runs."""
        self._ensemble = ensemble.copy()
        self._ensemble.beta[:] = 1.0 / self._temperature
        self._start = int(self._ensemble.step)
        self._append(np.zeros(1, dtype=np.int64), np.array(to_host(self._ensemble.energy))[None, :])

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Bring every run to `budget` sweeps and return means and fluctuations over the part that is not discarded."""
        ensemble = self._require_ensemble()
        done = int(ensemble.step) - self._start
        if budget <= done:
            raise ValueError(f"budget: expected more than the {done} sweeps already done, got {budget}")
        while done < min(budget, self._options.adaptation):
            done = self._adapt(min(BLOCK, budget - done))
            if progress is not None:
                progress(done, budget, {"energy": self._latest()})
        if done < budget:
            self._produce(budget, done, progress)
        return self._estimate(budget)

    def _adapt(self, sweeps: int) -> int:
        """Adapt the move size for `sweeps` sweeps, record the energy, and return the sweeps done in all."""
        ensemble = self._require_ensemble()
        begin = time.perf_counter()
        equilibration = self._sampler.equilibrate(ensemble, sweeps=sweeps)
        self._wall_time += time.perf_counter() - begin
        self._pair_evaluations += equilibration.pair_evaluations
        done = int(ensemble.step) - self._start
        self._append(np.array([done], dtype=np.int64), np.array(to_host(ensemble.energy))[None, :])
        return done

    def _produce(self, budget: int, done: int, progress: Progress | None) -> None:
        ensemble = self._require_ensemble()

        def relay(sweeps: int, total: int, info: Mapping[str, Any]) -> None:
            if progress is not None:
                progress(done + sweeps, budget, info)

        begin = time.perf_counter()
        record = self._sampler.run(ensemble, sweeps=budget - done, record_every=self._options.record_every, progress=relay)
        self._wall_time += time.perf_counter() - begin
        self._pair_evaluations += record.pair_evaluations
        self._append(record.sweeps - self._start, record.energy)
        attempts = float(record.displacement_attempts.sum())
        swaps, swapped = float(record.swap_attempts.sum()), float(record.swap_accepts.sum())
        self._acceptance = {
            "displacement": float(record.displacement_accepts.sum()) / attempts if attempts else None,
            "swap": swapped / swaps if swaps else None,
        }

    def _estimate(self, budget: int) -> Estimate:
        trace = self.trace()
        window = trace.energy[trace.sweeps > self._options.discard * budget]
        heat = window.var(axis=0) * self._system.n / self._temperature**2
        return Estimate(mean_energy=window.mean(axis=0), specific_heat=heat)

    def cost(self) -> Cost:
        """Return the share of one run in the wall time and the pair evaluations of the batch."""
        runs = len(self._require_ensemble())
        return Cost(self._wall_time / runs, self._pair_evaluations / runs)

    def trace(self) -> Trace:
        """Return the energies of all runs, every `BLOCK` sweeps while the move size adapts, then every `record_every`."""
        self._sweeps = [np.concatenate(self._sweeps)]
        self._energy = [np.concatenate(self._energy)]
        return Trace(self._sweeps[0], self._energy[0])

    def report(self) -> dict[str, Any]:
        """Return the settings, the mean move size and the acceptances of the last stretch."""
        return {
            "swap_probability": self._swap_probability,
            "target_acceptance": 0.3,
            "adaptation_sweeps": self._options.adaptation,
            "move_size": float(np.mean(to_host(self._require_ensemble().move_size))),
            "acceptance": self._acceptance,
        }

    def _append(self, sweeps: npt.NDArray[np.int64], energy: FloatArray) -> None:
        self._sweeps.append(np.asarray(sweeps, dtype=np.int64))
        self._energy.append(np.asarray(energy, dtype=np.float64) / self._system.n)

    def _latest(self) -> float:
        return float(self._energy[-1][-1].mean())

    def _require_ensemble(self) -> Ensemble:
        if self._ensemble is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        return self._ensemble


def _local(system: System, temperature: float, options: RunOptions) -> Algorithm:
    return MonteCarloAlgorithm(system, temperature, options, swap_probability=0.0)


def _swap(system: System, temperature: float, options: RunOptions) -> Algorithm:
    return MonteCarloAlgorithm(system, temperature, options, swap_probability=0.2)


_register: dict[str, AlgorithmSpec] = {
    "mc": AlgorithmSpec("mc", "local MC", "#D55E00", "o", _local),
    "swap": AlgorithmSpec("swap", "swap MC", "#0072B2", "s", _swap),
}


def register_algorithm(spec: AlgorithmSpec) -> None:
    """Add an algorithm to those that a comparison knows.

    Raises
    ------
    ValueError
        If the name is taken by another algorithm.
    """
    name = _check.string("name", spec.name)
    if _register.setdefault(name, spec) != spec:
        raise ValueError(f"name: expected a name that is not taken, got {name!r}")


def algorithm_names() -> tuple[str, ...]:
    """Return the names of all known algorithms."""
    return tuple(_register)


def get_algorithm(name: str) -> AlgorithmSpec:
    """Return the algorithm of this name; ValueError, naming the nearest, where there is none."""
    return _register[_check.choice("algorithm", name, algorithm_names())]
