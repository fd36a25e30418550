"""Algorithms whose runs are chains: molecular dynamics and Monte Carlo, with energies along the way."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from .._arrays import to_host
from .algorithms import BLOCK, Cost, Estimate, FloatArray, Progress, RunOptions, Trace, settings_of
from .explorers import import_early, longest_timestep

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..systems import System

__all__ = [
    "ChainAlgorithm",
    "MolecularDynamicsAlgorithm",
    "MonteCarloAlgorithm",
    "SwapMonteCarloAlgorithm",
    "local_candidates",
    "molecular_dynamics_candidates",
    "swap_candidates",
]


class ChainAlgorithm(ABC):
    """K runs with a trace of energies, from which means and fluctuations are taken.

    Parameters
    ----------
    system
        The system.
    temperature
        Temperature of the runs, in epsilon / k_B.
    options
        Threads, adaptation, records, burn-in.
    """

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        self._system = system
        self._temperature = temperature
        self._options = options
        self._ensemble: Ensemble | None = None
        self._runs = 0
        self._start = 0
        self._sweeps: list[npt.NDArray[np.int64]] = []
        self._energy: list[FloatArray] = []
        self._wall_time = 0.0
        self._pair_evaluations = 0

    def prepare(self, ensemble: Ensemble) -> None:
        """Take the starting configurations and set the temperature of the runs."""
        import_early()
        self._runs = len(ensemble)
        self._append(np.zeros(1, dtype=np.int64), np.array(to_host(ensemble.energy))[None, :])
        self._ensemble = self._begin(ensemble)
        self._start = int(self._ensemble.step)

    def _begin(self, ensemble: Ensemble) -> Ensemble:
        """Return the replicas of all runs, made from the starting configurations."""
        own = ensemble.copy()
        own.beta[:] = 1.0 / self._temperature
        return own

    def advance(self, budget: int, progress: Progress | None = None) -> Estimate:
        """Bring every run to `budget` sweeps and return means and fluctuations over the part that is not discarded."""
        done = self._done()
        if budget <= done:
            raise ValueError(f"budget: expected more than the {done} sweeps already done, got {budget}")
        begin = time.perf_counter()
        self._advance(budget, progress)
        self._wall_time += time.perf_counter() - begin
        return self._estimate(budget)

    @abstractmethod
    def _advance(self, budget: int, progress: Progress | None) -> None:
        """Bring every run to `budget` sweeps, recording energies and adding up pair evaluations."""

    def _done(self) -> int:
        """Return the sweeps of one run so far."""
        return int(self._require_ensemble().step) - self._start

    def _estimate(self, budget: int) -> Estimate:
        trace = self.trace()
        window = trace.energy[trace.sweeps > self._options.discard * budget]
        heat = window.var(axis=0) * self._system.n / self._temperature**2
        return Estimate(mean_energy=window.mean(axis=0), specific_heat=heat)

    def cost(self) -> Cost:
        """Return the share of one run in the wall time and the pair evaluations of the batch."""
        self._require_ensemble()
        return Cost(self._wall_time / self._runs, self._pair_evaluations / self._runs)

    def trace(self) -> Trace:
        """Return the energies of all runs at the temperature of interest."""
        self._sweeps = [np.concatenate(self._sweeps)]
        self._energy = [np.concatenate(self._energy)]
        return Trace(self._sweeps[0], self._energy[0])

    def _append(self, sweeps: npt.NDArray[np.int64], energy: FloatArray) -> None:
        """Record potential energies (records, K) of whole systems."""
        self._sweeps.append(np.asarray(sweeps, dtype=np.int64))
        self._energy.append(np.asarray(energy, dtype=np.float64) / self._system.n)

    def _require_ensemble(self) -> Ensemble:
        if self._ensemble is None:
            raise RuntimeError("prepare: expected to be called before the runs advance")
        return self._ensemble


def relay(progress: Progress | None, done: int, budget: int) -> Progress:
    """Return a listener for a sampler's call that began after `done` sweeps."""

    def tell(sweeps: int, total: int, info: Mapping[str, Any]) -> None:
        if progress is not None:
            progress(done + sweeps, budget, info)

    return tell


class MonteCarloAlgorithm(ChainAlgorithm):
    """Metropolis Monte Carlo in the form a comparison wants; settings: the acceptance to which the move size adapts."""

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"target_acceptance": 0.3}

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        from ..samplers import MonteCarlo

        super().__init__(system, temperature, options)
        settings = settings_of(options, self.DEFAULTS)
        self._sampler = MonteCarlo(
            system,
            swap_probability=settings.get("swap_probability", 0.0),
            target_acceptance=settings["target_acceptance"],
            threads=options.threads,
        )
        self._acceptance: dict[str, Any] = {}

    def _advance(self, budget: int, progress: Progress | None) -> None:
        done = self._done()
        while done < min(budget, self._options.adaptation):
            done = self._adapt(min(BLOCK, budget - done))
            if progress is not None:
                progress(done, budget, {"energy": float(self._energy[-1][-1].mean())})
        if done < budget:
            self._produce(budget, done, progress)

    def _adapt(self, sweeps: int) -> int:
        """Adapt the move size for `sweeps` sweeps, record the energy, and return the sweeps done in all."""
        ensemble = self._require_ensemble()
        self._pair_evaluations += self._sampler.equilibrate(ensemble, sweeps=sweeps).pair_evaluations
        done = self._done()
        self._append(np.array([done], dtype=np.int64), np.array(to_host(ensemble.energy))[None, :])
        return done

    def _produce(self, budget: int, done: int, progress: Progress | None) -> None:
        record = self._sampler.run(
            self._require_ensemble(),
            sweeps=budget - done,
            record_every=self._options.record_every,
            progress=relay(progress, done, budget),
        )
        self._pair_evaluations += record.pair_evaluations
        self._append(record.sweeps - self._start, record.energy)
        attempts = float(record.displacement_attempts.sum())
        swaps, swapped = float(record.swap_attempts.sum()), float(record.swap_accepts.sum())
        self._acceptance = {
            "displacement": float(record.displacement_accepts.sum()) / attempts if attempts else None,
            "swap": swapped / swaps if swaps else None,
        }

    def report(self) -> dict[str, Any]:
        """Return the settings, the mean move size and the acceptances of the last stretch."""
        return {
            "swap_probability": self._sampler.swap_probability,
            "target_acceptance": self._sampler.target_acceptance,
            "adaptation_sweeps": self._options.adaptation,
            "move_size": float(np.mean(to_host(self._require_ensemble().move_size))),
            "acceptance": self._acceptance,
        }


class SwapMonteCarloAlgorithm(MonteCarloAlgorithm):
    """The same with swap moves; settings: their share among the trial moves too."""

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"swap_probability": 0.2, "target_acceptance": 0.3}


class MolecularDynamicsAlgorithm(ChainAlgorithm):
    """Molecular dynamics at constant temperature; a sweep is a time step.

    Settings: the time step (tau; None for the longest that `longest_timestep` allows), the thermostat, and
    what belongs to it, friction (1/tau) or relaxation time (tau).
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {"timestep": None, "thermostat": "langevin", "friction": 1.0}

    def __init__(self, system: System, temperature: float, options: RunOptions) -> None:
        from ..samplers import MolecularDynamics

        super().__init__(system, temperature, options)
        self._settings = settings_of(options, self.DEFAULTS, ("relaxation_time",))
        if self._settings["timestep"] is None:
            self._settings["timestep"] = longest_timestep(temperature)
        if self._settings["thermostat"] != "langevin":
            del self._settings["friction"]
        self._sampler = MolecularDynamics(system, threads=options.threads, **self._settings)

    def _advance(self, budget: int, progress: Progress | None) -> None:
        done = self._done()
        record = self._sampler.run(
            self._require_ensemble(),
            steps=budget - done,
            record_every=self._options.record_every,
            progress=relay(progress, done, budget),
        )
        self._pair_evaluations += record.pair_evaluations
        self._append(record.steps - self._start, record.energy)
        self._kinetic = float(record.kinetic_energy.mean())

    def report(self) -> dict[str, Any]:
        """Return the settings, and the kinetic temperature of the last stretch."""
        degrees = self._system.n * self._system.dimension
        return {**self._settings, "kinetic_temperature": 2.0 * self._kinetic / degrees}


def molecular_dynamics_candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return frictions of Langevin dynamics with the longest time step, and velocity rescaling with a shorter one.

    Both time steps shift <U>/N of ka2d by less than 1e-3 (docs/molecular_dynamics.md).
    """
    longest = longest_timestep(temperature)
    return (
        *({"timestep": longest, "thermostat": "langevin", "friction": friction} for friction in (1.0, 3.0, 0.3)),
        {"timestep": 0.4 * longest, "thermostat": "rescaling", "relaxation_time": 0.5},
    )


def local_candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return target acceptances, which decide on the move size."""
    return tuple({"target_acceptance": acceptance} for acceptance in (0.3, 0.2, 0.4))


def swap_candidates(
    system: System, temperature: float, start_temperature: float, options: RunOptions
) -> Sequence[Mapping[str, Any]]:
    """Return shares of swap moves with target acceptances of the others."""
    pairs = ((0.2, 0.3), (0.2, 0.2), (0.1, 0.3), (0.3, 0.3), (0.5, 0.3))
    return tuple({"swap_probability": swap, "target_acceptance": acceptance} for swap, acceptance in pairs)
