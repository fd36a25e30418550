"""What every algorithm of ``glassnf sample`` does: choose parameters, start, go on by turns, say what it found.

A run lives in its file (`glassnf.io.RunFile`): the ensemble and, where the algorithm has more to remember, a state beside it. A
runner is made from the file, whether the run is new or resumed, so that both go the same way.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from .._chain import Pace, Turn
from .._console import short_number
from .._errors import CommandError, cannot_write
from .._options import Choices
from .._sample_options import TARGET_ACCEPTANCE, given_by

if TYPE_CHECKING:
    from rich.table import Table

    from ...ensemble import Ensemble
    from ...io.runfile import RunFile
    from ...observables import Check, Verdict
    from ...samplers import Explorer
    from ...systems import System

__all__ = [
    "BLEW_UP",
    "MARKS",
    "Runner",
    "averages",
    "counted",
    "lengths",
    "make_engine",
    "mark",
    "number_table",
    "plain_table",
    "shown",
    "swaps",
    "told",
    "verdict_rows",
]

FloatArray = npt.NDArray[np.float64]

BLEW_UP: Final = 3
"""Exit code of a run whose dynamics blew up."""

REPLICAS: Final = 64
LEAST_RECORDS: Final = 4
"""From which averages are made."""


class Runner(ABC):
    """One run of ``glassnf sample``.

    Parameters
    ----------
    run
        Its file.
    threads
        Number of threads, or None for all.
    device
        Where to compute.

    Attributes
    ----------
    grows
        Which parameter of a finished or interrupted run may grow, to make it longer; None where none may.
    unit
        What the length of a run is counted in.
    falls_back
        Whether a run whose dynamics blows up writes the state before the turn; otherwise its file stays as it is.
    """

    grows: ClassVar[str | None] = "sweeps"
    unit: ClassVar[str] = "sweeps"
    falls_back: ClassVar[bool] = True

    def __init__(self, run: RunFile, threads: int | None, device: str) -> None:
        self.run = run
        self.parameters: dict[str, Any] = run.parameters
        self.threads = threads
        self.device = device
        self.system: System = run.ensemble.system
        self.ensemble = self._place(run.ensemble)
        self.pace = Pace()

    def _place(self, ensemble: Ensemble) -> Ensemble:
        """Return what the run advances: a copy of the ensemble in its file, on the device."""
        return ensemble.copy() if self.device == "cpu" else ensemble.to(self.device)

    def _check_file(self, replicas: int, records: int) -> None:
        """Check that ensemble and records of the file are as many as its parameters say.

        Raises
        ------
        ValueError
            If they are not: something has put together what does not belong together.
        """
        run = self.run
        if run.ensemble.replicas != replicas:
            raise ValueError(f"{run.path}: expected {replicas} replicas, as its parameters say, got {run.ensemble.replicas}")
        if run.n_records != records:
            raise ValueError(f"{run.path}: expected {records} records at step {run.ensemble.step}, got {run.n_records}")

    def _records_due(self, equilibration: int) -> int:
        """Return how many records a run has at its step, with one every so many sweeps or steps of production."""
        return max(0, int(self.run.ensemble.step) - equilibration) // int(self.parameters["record_every"])

    # ---- before the run ----------------------------------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def choose(choices: Choices, system: System) -> dict[str, Any]:
        """Return the parameters that the algorithm adds to those of every run, as JSON can hold them.

        Raises
        ------
        CommandError
            If options do not go together.
        """

    @staticmethod
    @abstractmethod
    def start(parameters: dict[str, Any], system: System, threads: int | None, turn: Turn) -> Ensemble:
        """Return the replicas from which a new run starts, in host memory.

        Parameters
        ----------
        threads
            Number of threads, or None for all; no bit depends on it.
        turn
            Where progress is shown, and whether a signal has come.

        Raises
        ------
        CommandError
            If a signal has come.
        """

    # ---- the run -----------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the run has reached its end."""

    @property
    @abstractmethod
    def progress(self) -> str:
        """How far the run is, in words, such as ``120 of 400 sweeps``."""

    @abstractmethod
    def _advance(self, turn: Turn) -> None:
        """Advance by about a turn; nothing is appended to the file unless the ensemble has moved along."""

    def state(self) -> dict[str, Any]:
        """Return what a restart needs besides the ensemble."""
        return {}

    def advance(self, turn: Turn) -> None:
        """Advance by about a turn.

        Raises
        ------
        CommandError
            If the dynamics blows up. The file then holds the state before this turn, or its latest checkpoint.
        """
        if not self._moves_by_dynamics():
            self._advance(turn)
            return
        from ...samplers import BlowUpError

        before = self.ensemble.copy() if self.falls_back else None
        try:
            self._advance(turn)
        except BlowUpError as error:
            told = f"{self.run.path} holds the last good state"
            if before is not None:
                self.ensemble = before
                try:
                    self.checkpoint()
                except (OSError, MemoryError) as failure:
                    told = f"{cannot_write(failure, self.run.path)}; {self.run.last_good()}"
            raise CommandError(f"{error}; {told}", BLEW_UP) from None

    def _moves_by_dynamics(self) -> bool:
        return "timestep" in self.parameters

    def checkpoint(self) -> None:
        """Write the run to its file."""
        self.run.checkpoint(self.ensemble, self.state())

    # ---- the results -------------------------------------------------------------------------------------------------------

    @property
    def pair_evaluations(self) -> int:
        """Distances evaluated in the production, or in the whole run where the algorithm counts that."""
        return int(self.run.counters.get("pair_evaluations", 0))

    @property
    def seconds(self) -> float:
        """Wall time of the same, all sessions together."""
        return float(self.run.counters.get("wall_time", 0.0))

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return what the algorithm found so far, for JSON and for the tables."""

    @abstractmethod
    def tables(self, result: dict[str, Any]) -> list[Table]:
        """Return the tables for the terminal, from the complete summary."""

    def rate_note(self, what: str, per_unit: int) -> list[str]:
        """Return the speed so far as a remark behind the bar: units of work times `per_unit` a second; nothing at first."""
        return [] if self.pace.rate is None else [f"{short_number(self.pace.rate * per_unit)} {what}/s"]


def lengths(choices: Choices, key: str, default: int, record_every: int) -> dict[str, Any]:
    """Return equilibration, length (`key`: sweeps or steps) and record interval, with defaults."""
    total = given_by(choices, key, default)
    equilibration = given_by(choices, "equilibration", math.ceil(total / 80) * 20)
    check_length(key, equilibration, total)
    return {
        "equilibration": equilibration,
        key: total,
        "record_every": given_by(choices, "record-every", record_every),
    }


def check_length(key: str, equilibration: int, total: int) -> None:
    """Refuse a run that is longer than steps can count; CommandError."""
    from ...ensemble import MAX_STEP

    if equilibration + total > MAX_STEP:
        most = f"at most {MAX_STEP:,} {key}, equilibration included"
        raise CommandError(f"--{key}: expected {most}, got {equilibration + total:,}")


def make_engine(parameters: dict[str, Any], system: System, threads: int | None) -> Explorer:
    """Return the sampler that moves the particles: molecular dynamics or Monte Carlo, as the parameters say."""
    if "timestep" in parameters:
        from ...samplers import MolecularDynamics

        settings = {name: parameters[name] for name in ("friction", "relaxation_time") if parameters[name] is not None}
        return MolecularDynamics(
            system,
            timestep=parameters["timestep"],
            thermostat=parameters["thermostat"],
            swap_every=parameters["swap_every"],
            threads=threads,
            **settings,
        )
    from ...samplers import MonteCarlo

    return MonteCarlo(
        system, swap_probability=parameters["swap_probability"], target_acceptance=TARGET_ACCEPTANCE, threads=threads
    )


# ---- parts of summaries and tables -----------------------------------------------------------------------------------------


def averages(
    energy: FloatArray,
    system: System,
    temperature: float,
    from_cold: npt.NDArray[np.bool_] | None = None,
    more: Sequence[Check] = (),
) -> dict[str, Any]:
    """Return <U>/N and C_v/N with errors, None where there are too few records, R-hat, and a verdict.

    Parameters
    ----------
    energy
        (records, R) potential energies.
    system
        The system.
    temperature
        In epsilon / k_B.
    from_cold
        (R,) which replicas started from below the temperature; None where all came from above.
    more
        Checks that the verdict has besides.
    """
    from ...observables import Verdict, judge_chains, mean_energy, specific_heat

    known = len(energy) >= LEAST_RECORDS
    verdict = judge_chains(energy, from_cold=from_cold)
    verdict = Verdict.of([*verdict.checks, *more]) if more else verdict
    return {
        "mean_energy": mean_energy(energy, system.n).to_dict() if known else None,
        "specific_heat": specific_heat(energy, temperature, system.n, system.dimension).to_dict() if known else None,
        "r_hat": next((check.value for check in verdict.checks if check.name == "R-hat"), None),
        **told(verdict),
    }


def told(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as results have it: ``equilibrated`` (None: cannot tell), and ``verdict`` with all checks."""
    return {"equilibrated": verdict.equilibrated, "verdict": verdict.to_dict()}


def swaps(counters: dict[str, Any]) -> dict[str, Any]:
    """Return the acceptance of swaps, overall and for each pair of species, summed over the replicas; None without swaps."""
    attempts, accepts = (np.asarray(counters.get(f"swap_{what}", 0)) for what in ("attempts", "accepts"))
    by_pair = None
    if attempts.ndim == 3:
        pairs = zip(attempts.sum(axis=0).tolist(), accepts.sum(axis=0).tolist(), strict=True)
        by_pair = [[b / a if a else None for a, b in zip(row, other, strict=True)] for row, other in pairs]
    overall = float(accepts.sum() / attempts.sum()) if attempts.sum() else None
    return {"swap_acceptance": overall, "swap_acceptance_by_pair": by_pair}


def shown(estimate: dict[str, Any] | None, unit: str = "", mark: str = "") -> str:
    """Return an estimate with its error in brackets, if that is known, a mark behind it, and its unit."""
    from ...observables.estimate import format_uncertainty

    if estimate is None:
        return "too few records"
    value, error = estimate["value"], estimate["error"]
    known = error is not None and math.isfinite(error) and error != 0.0
    number = format_uncertainty(value, error) if known else f"{value:.5g}"
    return f"{number}{mark} {unit}" if unit else f"{number}{mark}"


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, in the plural unless it is one, e.g. ``1,000 sweeps``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def plain_table(title: str) -> Table:
    """Return an empty table of names and values."""
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", show_header=False)


def number_table(title: str, headings: tuple[str, ...]) -> Table:
    """Return an empty table of numbers, without borders, so that much fits into 80 columns."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def verdict_rows(table: Table, result: dict[str, Any]) -> None:
    """Add R-hat and the verdict to a table, with what its marks mean."""
    from rich.markup import escape

    from ...observables.equilibration import shown_r_hat

    if result.get("r_hat") is not None:
        table.add_row("R-hat", shown_r_hat(result["r_hat"]))
    style = {True: None, False: "red", None: "yellow"}[result["equilibrated"]]
    sign = mark(result)
    words = escape(result["verdict"]["sentence"])
    table.add_row("equilibrium", f"{sign} {words}" if sign else words, style=style)


def mark(result: dict[str, Any]) -> str:
    """Return what stands behind the numbers of a result, or of one of its rows: ``*``, ``?`` or nothing."""
    from ...observables.equilibration import mark_of

    return mark_of(result["equilibrated"])


MARKS: Final = "*: not in equilibrium; ?: cannot tell"
