"""A flow: hot replicas that are carried to the cold temperature every so many sweeps.

Records: ``sweep`` (records,), counted from the start, ``base_energy`` (records, R) of the hot replicas, and of the carried
configurations ``energy`` and ``log_weight`` (records, R), ``positions`` (records, R, N, d), wrapped, and ``species`` (records,
R, N). Averages of the carried configurations must be weighted with exp(log_weight). The ensemble in the file are the hot
replicas.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .._chain import Turn
from .._errors import CommandError, user_input
from .._options import Choices
from .._sample_options import engine_of, given_by, resolve_engine
from .base import REPLICAS, Runner, averages, counted, make_engine, mark, plain_table, shown, told, verdict_rows
from .flow_file import load_flow
from .monte_carlo import ADAPTATION_BLOCK
from .starts import random_replicas

if TYPE_CHECKING:
    from rich.table import Table

    from ...ensemble import Ensemble
    from ...io.runfile import RunFile
    from ...observables import Verdict, WeightSummary
    from ...samplers._carry import Carried
    from ...systems import System

__all__ = ["FlowRunner"]

SWEEPS: Final = 10_000
EQUILIBRATION: Final = 4_000
SPACING: Final = 50
TOLERANCE: Final = 0.01
MAX_STEPS: Final = 1024
CHECKED: Final = 8
"""Configurations of a record that are integrated with twice the steps, and a quarter of it of the heaviest."""


class FlowRunner(Runner):
    """Independent replicas at the hot temperature, whose records a flow carries to the cold one."""

    def __init__(self, run: RunFile, threads: int | None, device: str) -> None:
        from ...samplers._carry import Integration

        super().__init__(run, threads, device)
        parameters = self.parameters
        self._flow = load_flow(parameters["flow"], self.system)
        self._engine = make_engine(parameters, self.system, threads)
        self._equilibration = int(parameters["equilibration"])
        self._total = self._equilibration + int(parameters["sweeps"])
        self._check_file(int(parameters["replicas"]), self._records_due(self._equilibration))
        self._steps = int(run.state.get("steps", 0))
        self._error = float(run.state.get("integration_error", 0.0))
        self._integration = Integration.checked(None, TOLERANCE, MAX_STEPS, CHECKED, threads)

    @staticmethod
    def choose(choices: Choices, system: System) -> dict[str, Any]:
        """Return flow, hot temperature, number of replicas, what moves them, and lengths.

        Raises
        ------
        CommandError
            If there is no flow, or the temperatures are not in its range.
        """
        from ...samplers._carry import check_temperature

        if choices["flow"] is None:
            raise CommandError("--flow: expected the file of a trained flow with --algorithm nf, got none")
        flow = load_flow(choices["flow"], system)
        with user_input():
            cold = check_temperature("--temperature", choices["temperature"], flow)
            hot = check_temperature("--start", given_by(choices, "start", flow.hot), flow)
        if not cold < hot:
            raise CommandError(f"--temperature: expected one below the hot one, {hot:g}, got {cold:g}")
        explorer = engine_of("nf", choices["explorer"])
        engine = resolve_engine(choices, explorer, system)
        if engine.get("thermostat") == "nve":
            raise CommandError("--thermostat: expected langevin or rescaling for the samples of a flow, got nve")
        return {
            "start": hot,
            "flow": choices["flow"],
            "flow_is": flow.describe(),
            "explorer": explorer,
            **engine,
            "replicas": given_by(choices, "replicas", REPLICAS),
            "equilibration": given_by(choices, "equilibration", EQUILIBRATION),
            "sweeps": given_by(choices, "sweeps", SWEEPS),
            "record_every": given_by(choices, "record-every", SPACING),
        }

    @staticmethod
    def start(parameters: dict[str, Any], system: System, threads: int | None, turn: Turn) -> Ensemble:
        """Return random starts at the hot temperature."""
        return random_replicas(system, parameters["start"], parameters["seed"], turn, replicas=parameters["replicas"])

    @property
    def done(self) -> bool:
        """Whether all sweeps are done."""
        return int(self.ensemble.step) >= self._total

    @property
    def progress(self) -> str:
        """How many of the sweeps are done, equilibration included."""
        return f"{int(self.ensemble.step)} of {self._total} sweeps"

    def state(self) -> dict[str, Any]:
        """Return the steps of the integrator, which may have grown, and the largest error found."""
        return {"steps": self._steps, "integration_error": self._error}

    def _advance(self, turn: Turn) -> None:
        step, begin = int(self.ensemble.step), time.perf_counter()
        if step < self._equilibration:
            sweeps = min(self.pace.chunk(ADAPTATION_BLOCK), self._equilibration - step)
            self._engine.prepare(self.ensemble, sweeps)
            self._engine.adapt(self.ensemble, sweeps)
            turn.show("equilibration", int(self.ensemble.step), self._equilibration, self._note())
        else:
            while True:
                self._produce(time.perf_counter())
                turn.show("production", int(self.ensemble.step) - self._equilibration, self.parameters["sweeps"], self._note())
                if self.done or turn.over:
                    break
        self.pace.measure(int(self.ensemble.step) - step, time.perf_counter() - begin)

    def _produce(self, begin: float) -> None:
        """Go to the next record, and carry it."""
        every, done = int(self.parameters["record_every"]), int(self.ensemble.step) - self._equilibration
        sweeps = min(every - done % every, self._total - int(self.ensemble.step))
        self._engine.prepare(self.ensemble, sweeps)
        pairs = self._engine.explore(self.ensemble, sweeps)
        if (done + sweeps) % every:
            self.run.append({}, {"pair_evaluations": pairs, "wall_time": time.perf_counter() - begin})
            return
        carried, before = self._carry()
        self._steps, self._error = carried.steps, max(self._error, carried.integration_error)
        self.run.append(
            {
                "sweep": np.array([self.ensemble.step], dtype=np.int64),
                "base_energy": before[None],
                "energy": carried.batch.energy[None],
                "log_weight": carried.log_weights[None],
                "positions": carried.batch.positions[None],
                "species": carried.batch.species[None],
            },
            {"pair_evaluations": pairs + carried.pair_evaluations, "wall_time": time.perf_counter() - begin},
        )

    def _carry(self) -> tuple[Carried, Any]:
        """Carry the replicas as they are; return that, and their energies."""
        from dataclasses import replace

        from ...flows import FlowError
        from ...samplers._carry import Batch, carry

        hot = self.ensemble.to("cpu")
        hot.update_energy()
        start = Batch(hot.positions, hot.images, hot.species, hot.energy)
        betas = (1.0 / float(self.parameters["start"]), 1.0 / float(self.parameters["temperature"]))
        try:
            rule = replace(self._integration, steps=self._steps or None)
            return carry(self.system, self._flow, start, *betas, rule), hot.energy
        except FlowError as error:
            raise CommandError(f"{error}; {self.run.path} holds the latest checkpoint") from None

    def _note(self) -> str:
        """Return the remark behind the bar: trial moves per second, mean energy of the hot replicas, their number."""
        energy = float(np.mean(np.asarray(self.ensemble.to("cpu").energy))) / self.system.n
        return ", ".join([*self.rate_note("moves", self.ensemble.n * len(self.ensemble)), f"hot <U>/N {energy:.3f}"])

    # ---- the results -------------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Return weighted averages at the cold temperature, log Z, and how far the weights can be trusted."""
        from ...observables.weights import log_z_of_weights, weight_summary, weighted_energy

        records, hot, cold = self.run.records, float(self.parameters["start"]), float(self.parameters["temperature"])
        replicas = self.parameters["replicas"]
        base = averages(records.get("base_energy", np.empty((0, replicas))), self.system, hot)
        result: dict[str, Any] = {"hot": hot, "steps": self._steps, "integration_error": self._error, "r_hat": base["r_hat"]}
        energy = np.asarray(records.get("energy", np.empty((0, replicas))))
        if energy.size < 2:
            names = ("mean_energy", "specific_heat", "log_z", "samples", "ess", "largest_weight", "pareto_k", "pareto_k_limit")
            told_of = {name: base[name] for name in ("equilibrated", "verdict")}
            return {**result, **dict.fromkeys(names), "dominated": None, **told_of}
        log_w = np.asarray(records["log_weight"]).ravel()
        groups = np.tile(np.arange(replicas), len(energy))
        found, (log_z, error) = (
            weighted_energy(energy.ravel(), log_w, 1.0 / cold, self.system.n, groups),
            log_z_of_weights(log_w, groups),
        )
        weights = weight_summary(log_w)
        n = self.system.n

        def estimate(value: float, spread: float) -> dict[str, float | None]:
            return {"value": value, "error": spread if math.isfinite(spread) else None}

        dominated = weights.largest > max(0.1, 5.0 / weights.samples)
        return {
            **result,
            "mean_energy": estimate(found.mean / n, found.mean_error / n),
            "specific_heat": estimate(found.specific_heat, found.specific_heat_error),
            "log_z": estimate(log_z, error),
            "samples": weights.samples,
            "ess": weights.ess,
            "largest_weight": weights.largest,
            "pareto_k": weights.pareto_k if math.isfinite(weights.pareto_k) else None,
            "pareto_k_limit": weights.pareto_k_limit,
            "dominated": dominated,
            **told(self._verdict(base, weights)),
        }

    def _verdict(self, base: dict[str, Any], weights: WeightSummary) -> Verdict:
        """Judge the hot replicas as chains, the weights, and the integrator."""
        from ...observables import Check, Verdict
        from ...observables.outer_checks import integration_check, summary_checks

        words = f"hot replicas {base['verdict']['sentence']}"
        chains = Check("hot replicas", math.nan, math.nan, base["equilibrated"], words)
        return Verdict.of([chains, *summary_checks(weights), integration_check(self._error)])

    def tables(self, result: dict[str, Any]) -> list[Table]:
        """Return one table of averages and weights."""
        p = self.parameters
        table = plain_table(
            f"{p['system']}, N = {p['n']}, T = {p['start']:g} to {p['temperature']:g}, nf ({p['explorer']}): "
            f"{counted(p['replicas'], 'replica')} x {counted(p['sweeps'], 'sweep')}"
        )
        table.add_row("<U>/N", shown(result["mean_energy"], "epsilon", mark(result)))
        table.add_row("C_v/N, configurational", shown(result["specific_heat"], "k_B", mark(result)))
        table.add_row("log Z, relative to the hot one", shown(result["log_z"], mark=mark(result)))
        if result["ess"] is not None:
            table.add_row("effective samples", f"{result['ess'] * result['samples']:.3g} of {result['samples']:,}")
            text = f"{result['largest_weight']:.2g}"
            if result["dominated"]:
                text += ": ONE SAMPLE dominates; use a smaller step, a better flow, or more samples"
            table.add_row("largest weight", text, style="red" if result["dominated"] else None)
            if result["pareto_k"] is not None:
                heavy = result["pareto_k"] > result["pareto_k_limit"]
                limit = f"{result['pareto_k']:.2f}, limit {result['pareto_k_limit']:.2f}"
                table.add_row("Pareto k-hat of the weights", limit, style="red" if heavy else None)
            table.add_row("integration", f"{result['steps']} steps, error {result['integration_error']:.2g}")
        verdict_rows(table, result)
        table.add_row("file", result["output"])
        return [table]
