"""Local and swap Monte Carlo: records ``sweep`` (records,), counted from the start, and ``energy`` (records, R)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .._chain import Turn
from .._options import Choices
from .._sample_options import TARGET_ACCEPTANCE, given_by, resolve_engine
from .base import REPLICAS, Runner, averages, counted, lengths, make_engine, mark, plain_table, shown, swaps, verdict_rows
from .starts import choose_starts, from_cold, start_replicas

if TYPE_CHECKING:
    from rich.table import Table

    from ...ensemble import Ensemble
    from ...io.runfile import RunFile
    from ...samplers import MonteCarlo
    from ...systems import System

__all__ = ["ADAPTATION_BLOCK", "MonteCarloRunner"]

ADAPTATION_BLOCK: Final = 20
"""Sweeps between two adaptations of the move size. Chunks of the equilibration are multiples of it, so that a restart repeats
the same adaptations."""


class MonteCarloRunner(Runner):
    """Independent replicas at one temperature, by Monte Carlo."""

    def __init__(self, run: RunFile, threads: int | None, device: str) -> None:
        super().__init__(run, threads, device)
        self._sampler: MonteCarlo = make_engine(self.parameters, self.system, threads)  # type: ignore[assignment]
        self._equilibration = int(self.parameters["equilibration"])
        self._total = self._equilibration + int(self.parameters["sweeps"])
        self._check_file(int(self.parameters["replicas"]), self._records_due(self._equilibration))

    @staticmethod
    def choose(choices: Choices, system: System) -> dict[str, Any]:
        """Return swap probability, number of replicas, and lengths."""
        return {
            **resolve_engine(choices, choices["algorithm"], system),
            "replicas": given_by(choices, "replicas", REPLICAS),
            **choose_starts(choices, given_by(choices, "replicas", REPLICAS), "replica"),
            **lengths(choices, "sweeps", 10_000, 10),
            "target_acceptance": TARGET_ACCEPTANCE,
        }

    @staticmethod
    def start(parameters: dict[str, Any], system: System, threads: int | None, turn: Turn) -> Ensemble:
        """Return random starts, half of them annealed if that was asked for."""
        return start_replicas(parameters, system, [parameters["temperature"]], parameters["replicas"], threads, turn)

    @property
    def done(self) -> bool:
        """Whether all sweeps are done."""
        return int(self.ensemble.step) >= self._total

    @property
    def progress(self) -> str:
        """How many of the sweeps are done, equilibration included."""
        return f"{int(self.ensemble.step)} of {self._total} sweeps"

    def _advance(self, turn: Turn) -> None:
        step, begin = int(self.ensemble.step), time.perf_counter()
        if step < self._equilibration:
            sweeps = min(self.pace.chunk(ADAPTATION_BLOCK), self._equilibration - step)
            self._sampler.equilibrate(self.ensemble, sweeps=sweeps, progress=self._relay(turn, "equilibration"))
        else:
            self._produce(min(self.pace.chunk(), self._total - step), self._relay(turn, "production"))
        self.pace.measure(int(self.ensemble.step) - step, time.perf_counter() - begin)

    def _produce(self, sweeps: int, relay: Callable[[int, int, dict[str, Any]], None]) -> None:
        due = due_records(int(self.ensemble.step) - self._equilibration, sweeps, self.parameters["record_every"])
        record = self._sampler.run(self.ensemble, sweeps=sweeps, record_at=due, progress=relay)
        self.run.append(
            {"sweep": record.sweeps, "energy": record.energy},
            {
                "displacement_attempts": record.displacement_attempts,
                "displacement_accepts": record.displacement_accepts,
                "swap_attempts": record.swap_attempts,
                "swap_accepts": record.swap_accepts,
                "pair_evaluations": record.pair_evaluations,
                "wall_time": float(record.wall_time),
            },
        )

    def _relay(self, turn: Turn, stage: str) -> Callable[[int, int, dict[str, Any]], None]:
        before = 0 if stage == "equilibration" else self._equilibration
        total = self._equilibration if stage == "equilibration" else self._total - self._equilibration

        def relay(done: int, of: int, info: dict[str, Any]) -> None:
            turn.show(stage, int(self.ensemble.step) - before, total, self._note(info))

        return relay

    def _note(self, info: dict[str, Any]) -> str:
        """Return the remark behind the bar: trial moves per second, mean energy, acceptances."""
        acceptance = f"acc {info['displacement_acceptance']:.2f}"
        if self._sampler.swap_probability > 0.0:
            acceptance += f", swap {info['swap_acceptance']:.3f}"
        speed = self.rate_note("moves", self.ensemble.n * len(self.ensemble))
        return ", ".join([*speed, f"<U>/N {info['energy_per_particle']:.3f}", acceptance])

    def summary(self) -> dict[str, Any]:
        """Return averages, acceptances and speed."""
        counters, replicas = self.run.counters, self.parameters["replicas"]
        moves, accepted = (np.sum(counters.get(f"displacement_{what}", 0)) for what in ("attempts", "accepts"))
        seconds = self.pace.seconds
        return {
            **averages(
                self.run.records.get("energy", np.empty((0, replicas))),
                self.system,
                float(self.parameters["temperature"]),
                from_cold(self.parameters, replicas),
            ),
            "displacement_acceptance": float(accepted / moves) if moves else None,
            **swaps(counters),
            "move_size": float(np.mean(self.run.ensemble.move_size)),
            "moves_per_second": self.pace.amount * self.system.n * replicas / seconds if seconds else None,
        }

    def tables(self, result: dict[str, Any]) -> list[Table]:
        """Return one table of averages and acceptances."""
        from .._console import short_number

        parameters = self.parameters
        table = plain_table(
            f"{parameters['system']}, N = {parameters['n']}, T = {parameters['temperature']:g}, {parameters['algorithm']}: "
            f"{counted(parameters['replicas'], 'replica')} x {counted(parameters['sweeps'], 'sweep')}"
        )
        table.add_row("<U>/N", shown(result["mean_energy"], "epsilon", mark(result)))
        table.add_row("C_v/N, configurational", shown(result["specific_heat"], "k_B", mark(result)))
        for label, key in (
            ("acceptance of displacements", "displacement_acceptance"),
            ("acceptance of swaps", "swap_acceptance"),
        ):
            if result[key] is not None:
                table.add_row(label, f"{result[key]:.3g}")
        if result["moves_per_second"] is not None:
            table.add_row("trial moves per second", short_number(result["moves_per_second"]))
        verdict_rows(table, result)
        table.add_row("file", result["output"])
        return [table]


def due_records(done: int, count: int, every: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return when to record in the next `count` sweeps or steps, after `done`, if it is every so many from the beginning."""
    return np.arange((done // every + 1) * every, done + count + 1, every, dtype=np.int64) - done
