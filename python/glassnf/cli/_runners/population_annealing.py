"""Population annealing: one record per temperature, with ``energy`` (records, R) after its sweeps.

The anneal goes on from any place, in the middle of a temperature step too: its state is beside the ensemble in the file, except
for the energies, which are the records.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from .._chain import Turn
from .._errors import CommandError
from .._options import Choices
from .._sample_options import engine_of, given_by, resolve_engine, twice
from .base import Runner, counted, make_engine, mark, number_table, plain_table, shown, told, verdict_rows
from .flow_file import assisting_flow, flow_parameters
from .starts import random_replicas

if TYPE_CHECKING:
    from rich.table import Table

    from ...ensemble import Ensemble
    from ...io.runfile import RunFile
    from ...observables import Verdict
    from ...samplers import PAResult
    from ...systems import System

__all__ = ["PopulationAnnealingRunner"]

POPULATION: Final = 1000
RECORDS: Final = ("log_z", "log_z_error", "ess", "culled", "families", "rho_t", "mean_energy", "mean_energy_error")
HEATS: Final = ("specific_heat", "specific_heat_error", "acceptance", "move_size")
ROWS_SHOWN: Final = 12
LESS_NEEDED: Final = ("ESS", "acc")
"""Columns of the table that are left out, one after the other, where the terminal is too narrow for all."""

FEWEST_FAMILIES: Final = 3
"""That say anything about an error."""


class _HandBack(Exception):
    """Raised inside a sampler, between two pieces of its work, to end a turn."""


class PopulationAnnealingRunner(Runner):
    """One population, annealed from a high temperature to the target."""

    grows: ClassVar[str | None] = None
    falls_back: ClassVar[bool] = False  # in the middle of a piece the anneal is not in a state to be written

    def __init__(self, run: RunFile, threads: int | None, device: str) -> None:
        from ... import cuda
        from ...samplers import Anneal, PopulationAnnealing

        super().__init__(run, threads, device)
        parameters = self.parameters
        self._sampler = PopulationAnnealing(
            self.system,
            start=parameters["start"],
            target=parameters["temperature"],
            explorer=make_engine(parameters, self.system, threads),
            sweeps_per_step=parameters["sweeps_per_step"],
            culling_fraction=parameters["culling_fraction"],
            equilibration_sweeps=parameters["equilibration"],
            block=parameters["block"],
            flow=assisting_flow(parameters, self.system),
        )
        if run.state:
            energies = run.records.get("energy", np.empty((0, parameters["population"])))
            state = {**run.state, "energies": energies}
            population = super()._place(run.ensemble) if self._sampler.block is None else run.ensemble.copy()
            self._anneal = Anneal.from_state(population, self._sampler.describe(), state, cuda.find_device(device).name)
        else:
            self._anneal = self._sampler.begin(run.ensemble, device=device)  # which copies it to where it is to be
        self.ensemble = self._anneal.population
        self._written = len(self._anneal.rows)
        self._check_file(int(parameters["population"]), self._written)

    def _place(self, ensemble: Ensemble) -> Ensemble:
        """Return the ensemble as it is: the sampler knows whether the population belongs on the device or in host memory."""
        return ensemble

    @staticmethod
    def choose(choices: Choices, system: System) -> dict[str, Any]:
        """Return start temperature, population, explorer and schedule.

        Raises
        ------
        CommandError
            If the start is not above the target, or options do not go together.
        """
        target = choices["temperature"]
        flow, hottest = flow_parameters(choices, system)
        start = choices["start"] if choices["start"] is not None else min(hottest, twice("--temperature", target))
        if start <= target:
            raise CommandError(f"--start: expected a temperature above the target -T, {target:g}, got {start:g}")
        fraction = given_by(choices, "culling-fraction", 0.1)
        if not 0.0 < fraction < 1.0:
            raise CommandError(f"--culling-fraction: expected a number between 0 and 1, got {fraction:g}")
        explorer = engine_of("pa", choices["explorer"])
        engine = resolve_engine(choices, explorer, system)
        if engine.get("thermostat") == "nve":
            raise CommandError("--thermostat: expected langevin or rescaling in population annealing, got nve")
        return {
            "start": start,
            "population": given_by(choices, "population", POPULATION),
            "explorer": explorer,
            **engine,
            **flow,
            "sweeps_per_step": given_by(choices, "sweeps-per-step", 100),
            "culling_fraction": fraction,
            "equilibration": given_by(choices, "equilibration", 1000),
            "block": choices["block"],
        }

    @staticmethod
    def start(parameters: dict[str, Any], system: System, threads: int | None, turn: Turn) -> Ensemble:
        """Return random starts at the start temperature."""
        return random_replicas(system, parameters["start"], parameters["seed"], turn, replicas=parameters["population"])

    @property
    def done(self) -> bool:
        """Whether the target has been reached and measured."""
        return self._anneal.finished

    @property
    def progress(self) -> str:
        """Where the anneal is."""
        done = self._anneal.stage.equilibrated + int(self._anneal.done.min())
        of = self._sampler.equilibration_sweeps
        if self._anneal.stage.equilibrated < of:
            return f"{done} of {of} sweeps of equilibration"
        return f"{len(self._anneal.rows)} temperatures, at T = {self._anneal.temperature:.4g}"

    def state(self) -> dict[str, Any]:
        """Return the state of the anneal, without the energies, which are the records."""
        state = self._anneal.to_state()
        del state["energies"]
        return state

    def checkpoint(self) -> None:
        """Write the run to its file, with the records of all finished temperatures."""
        self._record()
        state = self.state()
        self.ensemble = self._anneal.population
        self.run.checkpoint(self.ensemble, state)

    def _advance(self, turn: Turn) -> None:
        from ...samplers import PopulationCollapseWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PopulationCollapseWarning)  # the summary says so
            begin = time.perf_counter()
            try:
                while not (self.done or turn.over):
                    self._sampler.advance(self._anneal, progress=self._relay(turn))
            except _HandBack:
                pass
            self.pace.measure(0, time.perf_counter() - begin)

    def _relay(self, turn: Turn) -> Callable[[int, int, dict[str, Any]], None]:
        def relay(done: int, total: int, info: dict[str, Any]) -> None:
            if info["stage"] == "equilibration":
                sweeps = self._anneal.stage.equilibrated + info["sweeps"]
                turn.show("equilibration", sweeps, self._sampler.equilibration_sweeps, self._note(info))
            else:
                turn.show("annealing", done, total, self._note(info))
            if turn.over and not self._anneal.finished:
                raise _HandBack

        return relay

    def _note(self, info: dict[str, Any]) -> str:
        """Return the remark behind the bar: temperature, mean energy, and acceptance or families and their mean square size."""
        parts = [f"T {info['temperature']:.3f}", f"<U>/N {info['energy_per_particle']:.3f}"]
        if info["stage"] != "equilibration":
            parts += [f"{info['families']} families", f"rho_t {info['rho_t']:.2g}"]
        elif info["acceptance"] == info["acceptance"]:
            parts.append(f"acc {info['acceptance']:.2f}")
        return ", ".join(parts)

    def _record(self) -> None:
        """Append one record for each temperature that is finished and not in the file yet."""
        self._anneal.settle()
        new = self._anneal.rows[self._written :]
        if not new:
            return
        columns = {name: np.array([getattr(row, name) for row in new]) for name in (*RECORDS, *HEATS)}
        energy = np.array(self._anneal.energies[self._written :])
        self.run.append({"temperature": np.array([1.0 / row.beta for row in new]), **columns, "energy": energy})
        self._written = len(self._anneal.rows)

    # ---- the results -------------------------------------------------------------------------------------------------------

    @property
    def pair_evaluations(self) -> int:
        """Distances evaluated so far, equilibration included."""
        return int(self._anneal.counts[2])

    @property
    def seconds(self) -> float:
        """Wall time of the same, all sessions together."""
        return float(self._anneal.wall_time)

    def summary(self) -> dict[str, Any]:
        """Return what is known at the last temperature reached, and a row for each temperature."""
        records = self.run.records
        steps = [self._step(records, place) for place in range(len(records.get("log_z", ())))]
        last = steps[-1] if steps else {}
        worst = max((step["rho_t"] for step in steps), default=None)
        result: PAResult | None = self._sampler.finish(self._anneal) if self.done else None
        collapsed = result.collapsed if result is not None else None
        return {
            "temperature": last.get("temperature"),
            "mean_energy": last.get("mean_energy"),
            "specific_heat": last.get("specific_heat"),
            "log_z": last.get("log_z"),
            "families": last.get("families"),
            "rho_t": last.get("rho_t"),
            "largest_rho_t": worst,
            "collapsed": collapsed,
            **told(self._verdict()),
            "steps": steps,
        }

    def _verdict(self) -> Verdict:
        """Judge the anneal as far as it has come; nothing can be told at best before it has reached the target."""
        from ...observables import Check, Verdict
        from ...observables.outer_checks import LAG, anneal_checks

        records, population = self.run.records, self.parameters["population"]
        error = float(records["log_z_error"][-1]) if len(records.get("log_z_error", ())) else math.nan
        checks = anneal_checks(population, records.get("rho_t", np.empty(0)), population * error**2)
        if not self.done:
            checks.append(Check("target", math.nan, math.nan, None, "the target has not been reached"))
        return Verdict.of(checks, LAG)

    def _step(self, records: dict[str, Any], place: int) -> dict[str, Any]:
        families = int(records["families"][place])

        def estimate(name: str, scale: float = 1.0) -> dict[str, float | None]:
            value, error = float(records[name][place]), float(records[f"{name}_error"][place])
            known = name == "log_z" or families >= FEWEST_FAMILIES
            return {"value": value / scale, "error": error / scale if known else None}

        return {
            "temperature": float(records["temperature"][place]),
            "mean_energy": estimate("mean_energy", self.system.n),
            "specific_heat": estimate("specific_heat"),
            "log_z": estimate("log_z"),
            "ess": float(records["ess"][place]),
            "culled": float(records["culled"][place]),
            "families": families,
            "rho_t": float(records["rho_t"][place]),
            "acceptance": float(records["acceptance"][place]),
        }

    def tables(self, result: dict[str, Any]) -> list[Table]:
        """Return the table of the temperatures, thinned where there are many, and that of the results at the target."""
        parameters = self.parameters
        title = (
            f"{parameters['system']}, N = {parameters['n']}, T = {parameters['start']:g} to {parameters['temperature']:g}, "
            f"pa ({parameters['explorer']}):\n{counted(parameters['population'], 'replica')}, "
            f"{counted(len(result['steps']), 'temperature')}"
        )
        table = plain_table("At the target")
        table.add_row("<U>/N", shown(result["mean_energy"], "epsilon", mark(result)))
        table.add_row("C_v/N, configurational", shown(result["specific_heat"], "k_B", mark(result)))
        table.add_row("log Z, relative to the start", shown(result["log_z"], mark=mark(result)))
        style = "red" if result["collapsed"] else None
        limit = f"{result['rho_t']:.3g} of {parameters['population']}" if result["rho_t"] is not None else "-"
        if result["collapsed"]:
            limit += ": FEW FAMILIES carry the averages; use a larger population or more sweeps"
        table.add_row("rho_t, mean square family size", limit, style=style)
        verdict_rows(table, result)
        table.add_row("file", result["output"])
        return [self._temperatures(title, result["steps"]), table]

    def _temperatures(self, title: str, steps: list[dict[str, Any]]) -> Table:
        from .._console import fits

        columns: dict[str, list[str]] = {}
        for place in thinned(len(steps), ROWS_SHOWN):
            for heading, text in _cells(steps[place]).items():
                columns.setdefault(heading, []).append(text)
        for left_out in range(len(LESS_NEEDED) + 1):
            headings = tuple(heading for heading in columns if heading not in LESS_NEEDED[:left_out])
            table = number_table(title, headings)
            for row in zip(*(columns[heading] for heading in headings), strict=True):
                table.add_row(*row)
            if fits(table):
                break
        return table


def _cells(step: dict[str, Any]) -> dict[str, str]:
    """Return a row of the table, by heading."""
    return {
        "T": f"{step['temperature']:.4f}",
        "<U>/N": shown(step["mean_energy"]),
        "C_v/N": shown(step["specific_heat"]),
        "log Z": shown(step["log_z"]),
        "ESS": f"{step['ess']:.3f}",
        "families": str(step["families"]),
        "rho_t": f"{step['rho_t']:.3g}",
        "acc": f"{step['acceptance']:.2f}" if step["acceptance"] == step["acceptance"] else "-",
    }


def thinned(count: int, most: int) -> list[int]:
    """Return at most `most` places out of `count`, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})
