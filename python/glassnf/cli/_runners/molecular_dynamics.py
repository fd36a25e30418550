"""Molecular dynamics: records ``step`` (records,), counted from the start, ``energy`` and ``kinetic_energy`` (records, R)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._chain import Turn
from .._options import Choices
from .._sample_options import FRICTION, given_by, resolve_engine
from .base import (
    REPLICAS,
    FloatArray,
    Runner,
    averages,
    counted,
    lengths,
    make_engine,
    mark,
    plain_table,
    shown,
    swaps,
    told,
    verdict_rows,
)
from .monte_carlo import MonteCarloRunner, due_records
from .starts import choose_starts, from_cold

if TYPE_CHECKING:
    from rich.table import Table

    from ...ensemble import Ensemble
    from ...io.runfile import RunFile
    from ...samplers import MolecularDynamics
    from ...systems import System

__all__ = ["MolecularDynamicsRunner"]


class MolecularDynamicsRunner(Runner):
    """Independent replicas by molecular dynamics. Without a thermostat, equilibration is by Langevin dynamics all the same."""

    grows = "steps"
    unit = "time steps"

    def __init__(self, run: RunFile, threads: int | None, device: str) -> None:
        super().__init__(run, threads, device)
        self._sampler: MolecularDynamics = make_engine(self.parameters, self.system, threads)  # type: ignore[assignment]
        self._equilibrator = self._sampler
        if self._conserves_energy:
            langevin = {**self.parameters, "thermostat": "langevin", "friction": FRICTION}
            self._equilibrator = make_engine(langevin, self.system, threads)  # type: ignore[assignment]
        self._equilibration = int(self.parameters["equilibration"])
        self._total = self._equilibration + int(self.parameters["steps"])
        self._check_file(int(self.parameters["replicas"]), self._records_due(self._equilibration))

    @staticmethod
    def choose(choices: Choices, system: System) -> dict[str, Any]:
        """Return integrator, thermostat, number of replicas, and lengths."""
        return {
            **resolve_engine(choices, "md", system),
            "replicas": given_by(choices, "replicas", REPLICAS),
            **choose_starts(choices, given_by(choices, "replicas", REPLICAS), "replica"),
            **lengths(choices, "steps", 100_000, 100),
        }

    @staticmethod
    def start(parameters: dict[str, Any], system: System, threads: int | None, turn: Turn) -> Ensemble:
        """Return random starts, half of them annealed if that was asked for."""
        return MonteCarloRunner.start(parameters, system, threads, turn)

    @property
    def done(self) -> bool:
        """Whether all time steps are done."""
        return int(self.ensemble.step) >= self._total

    @property
    def progress(self) -> str:
        """How many of the time steps are done, equilibration included."""
        return f"{int(self.ensemble.step)} of {self._total} time steps"

    @property
    def _conserves_energy(self) -> bool:
        return bool(self.parameters["thermostat"] == "nve")

    def _sampler_of(self, stage: str) -> MolecularDynamics:
        return self._equilibrator if stage == "equilibration" else self._sampler

    def _advance(self, turn: Turn) -> None:
        step, begin = int(self.ensemble.step), time.perf_counter()
        if step < self._equilibration:
            steps = min(self.pace.chunk(), self._equilibration - step)
            self._equilibrator.run(self.ensemble, steps=steps, progress=self._relay(turn, "equilibration"))
        else:
            steps = min(self.pace.chunk(), self._total - step)
            self._produce(steps, self._relay(turn, "production"))
        self.pace.measure(int(self.ensemble.step) - step, time.perf_counter() - begin)

    def _produce(self, steps: int, relay: Callable[[int, int, dict[str, Any]], None]) -> None:
        due = due_records(int(self.ensemble.step) - self._equilibration, steps, self.parameters["record_every"])
        record = self._sampler.run(self.ensemble, steps=steps, record_at=due, progress=relay)
        counters: dict[str, Any] = {"pair_evaluations": record.pair_evaluations, "wall_time": float(record.wall_time)}
        if self.parameters["swap_every"] is not None:
            counters |= {"swap_attempts": record.swap_attempts, "swap_accepts": record.swap_accepts}
        self.run.append(
            {"step": record.steps, "energy": record.energy, "kinetic_energy": record.kinetic_energy},
            counters,
        )

    def _relay(self, turn: Turn, stage: str) -> Callable[[int, int, dict[str, Any]], None]:
        before = 0 if stage == "equilibration" else self._equilibration
        total = self._equilibration if stage == "equilibration" else self._total - self._equilibration

        def relay(done: int, of: int, info: dict[str, Any]) -> None:
            turn.show(stage, int(self.ensemble.step) - before, total, self._note(stage))

        return relay

    def _note(self, stage: str) -> str:
        """Return the remark behind the bar: steps per second, mean energy, and temperature or drift of the total energy."""
        potential, kinetic = energies_now(self.ensemble)
        parts = [
            *self.rate_note("steps", len(self.ensemble)),
            f"<U>/N {potential.mean() / self.system.n:.3f}",
            f"T_kin {2.0 * kinetic.mean() / self._sampler_of(stage).degrees_of_freedom:.3f}",
        ]
        records = self.run.records
        if stage == "production" and self._conserves_energy and len(records.get("energy", ())):
            first = records["energy"][0] + records["kinetic_energy"][0]
            parts.append(f"drift/N {(potential + kinetic - first).mean() / self.system.n:+.1e}")
        return ", ".join(parts)

    def summary(self) -> dict[str, Any]:
        """Return averages, kinetic temperature, drift of the total energy, acceptance of swaps, and speed."""
        from ...samplers.verdicts import conserved, conserving, kinetic_check

        records, replicas = self.run.records, self.parameters["replicas"]
        energy = records.get("energy", np.empty((0, replicas)))
        kinetic = records.get("kinetic_energy", np.empty((0, replicas)))
        cold = from_cold(self.parameters, replicas)
        temperature, system = float(self.parameters["temperature"]), self.system
        beta = np.full(replicas, 1.0 / temperature)
        known = [kinetic_check(kinetic, beta, system.n, system.dimension)] if len(kinetic) else []
        found = averages(energy, system, temperature, cold, known)
        # Fluctuations of U at constant energy say something else, and replicas never agree. A thermostat may be too weak, too.
        if self._conserves_energy or conserved(energy, kinetic):
            found |= {"specific_heat": None, "r_hat": None, **told(conserving(energy))}
        seconds = self.pace.seconds
        return {
            **found,
            "kinetic_temperature": self._kinetic_temperature(kinetic),
            "energy_drift": self._drift(energy + kinetic) if self._conserves_energy else None,
            **swaps(self.run.counters),
            "steps_per_second": self.pace.amount * replicas / seconds if seconds else None,
        }

    def _kinetic_temperature(self, kinetic: FloatArray) -> dict[str, Any] | None:
        from ...observables import mean_energy

        if len(kinetic) < 4:
            return None
        estimate: dict[str, Any] = mean_energy(2.0 * kinetic, self._sampler.degrees_of_freedom).to_dict()
        return estimate

    def _drift(self, total: FloatArray) -> float | None:
        """Return the drift of the total energy per particle and unit of time, by least squares, mean over the replicas."""
        if len(total) < 2:
            return None
        times = self.run.records["step"] * float(self.parameters["timestep"])
        slope = np.polyfit(times - times.mean(), total - total.mean(axis=0), 1)[0]
        return float(slope.mean()) / self.system.n

    def tables(self, result: dict[str, Any]) -> list[Table]:
        """Return one table of averages."""
        from .._console import short_number

        parameters = self.parameters
        table = plain_table(
            f"{parameters['system']}, N = {parameters['n']}, T = {parameters['temperature']:g}, "
            f"md ({parameters['thermostat']}): "
            f"{counted(parameters['replicas'], 'replica')} x {counted(parameters['steps'], 'step')} "
            f"of {parameters['timestep']:g}"
        )
        table.add_row("<U>/N", shown(result["mean_energy"], "epsilon", mark(result)))
        if not self._conserves_energy:
            table.add_row("C_v/N, configurational", shown(result["specific_heat"], "k_B", mark(result)))
        table.add_row("kinetic temperature", shown(result["kinetic_temperature"], "epsilon / k_B"))
        if result["energy_drift"] is not None:
            table.add_row("drift of the total energy", f"{result['energy_drift']:+.1e} epsilon per particle and tau")
        if result["swap_acceptance"] is not None:
            table.add_row("acceptance of swaps", f"{result['swap_acceptance']:.3g}")
        if result["steps_per_second"] is not None:
            table.add_row("replica-steps per second", short_number(result["steps_per_second"]))
        verdict_rows(table, result)
        table.add_row("file", result["output"])
        return [table]


def energies_now(ensemble: Ensemble) -> tuple[FloatArray, FloatArray]:
    """Return the potential and the kinetic energy (R,) of an ensemble, in host memory."""
    from ..._arrays import to_host

    potential = np.array(to_host(ensemble.energy))
    if ensemble.velocities is None:
        return potential, np.full_like(potential, np.nan)
    return potential, 0.5 * np.square(to_host(ensemble.velocities)).sum(axis=(1, 2))
