"""Parallel tempering: records ``sweep`` (records,), ``energy`` and ``replica`` (records, M, ladders), by temperature.

Three quarters of the equilibration adapt the ladder and the move sizes, in pieces that grow up to some thousand sweeps. A
piece is done as a whole: a run that stops in the middle of one does it again when it is resumed, with the same result. In the
last quarter the replicas forget the old ladders; it goes on from any sweep, as production does. An equilibration too short for
that is one piece that adapts. The state in the file holds the ladder, and which end of it each replica saw last.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .._chain import Turn
from .._errors import CommandError
from .._options import Choices
from .._sample_options import engine_of, given_by, resolve_engine, twice
from .base import (
    MARKS,
    FloatArray,
    Runner,
    averages,
    counted,
    lengths,
    make_engine,
    mark,
    number_table,
    plain_table,
    shown,
    told,
    verdict_rows,
)
from .flow_file import assisting_flow, flow_parameters
from .monte_carlo import due_records
from .starts import choose_starts, from_cold, start_replicas

if TYPE_CHECKING:
    from rich.table import Table

    from ...ensemble import Ensemble
    from ...io.runfile import RunFile
    from ...observables import Verdict
    from ...samplers import PTRecord
    from ...systems import System

__all__ = ["ParallelTemperingRunner"]

LADDERS: Final = 8
SHORTEST_PIECE: Final = 400
"""Sweeps of a piece of the equilibration that adapts; of dynamics, with its short steps, at least `PIECE_ROUNDS` exchanges."""

PIECE_ROUNDS: Final = 10
LONGEST_PIECE: Final = 8
"""In units of the shortest one."""


class _HandBack(Exception):
    """Raised inside a sampler, between two pieces of its work, to end a turn."""


class ParallelTemperingRunner(Runner):
    """Independent ladders of replicas that exchange temperatures."""

    def __init__(self, run: RunFile, threads: int | None, device: str) -> None:
        from ...samplers import ParallelTempering
        from ...samplers._tempering import read_state

        super().__init__(run, threads, device)
        ladders = int(self.parameters["ladders"])
        self._sampler = ParallelTempering(
            self.system,
            temperatures=run.state.get("temperatures", self.parameters["temperatures"]),
            explorer=make_engine(self.parameters, self.system, threads),
            ladders=ladders,
            sweeps_per_exchange=self.parameters["sweeps_per_exchange"],
            flow=assisting_flow(self.parameters, self.system),
        )
        self._sampler.check(run.ensemble)
        self._state: dict[str, Any] = {name: run.state[name] for name in ("visits", "flow_steps") if name in run.state}
        self._equilibration = int(self.parameters["equilibration"])
        self._total = self._equilibration + int(self.parameters["sweeps"])
        if self._state:
            nowhere = np.zeros(self._sampler.replicas, dtype=np.int32)
            read_state({"visits": nowhere, **self._state}, self._sampler.replicas, self._sampler.temperatures.size - 1)
        self._check_file(len(self.parameters["temperatures"]) * ladders, self._records_due(self._equilibration))

    @staticmethod
    def choose(choices: Choices, system: System) -> dict[str, Any]:
        """Return the ladder, explorer, number of ladders, and lengths.

        Raises
        ------
        CommandError
            If options do not go together.
        """
        from ...samplers.guesses import suggested_ladder

        temperature, given = choices["temperature"], choices["temperatures"]
        if given is not None and temperature is not None and temperature != given[0]:
            raise CommandError(
                f"--temperature: expected the lowest of --temperatures, {given[0]:g}, or no such option, got {temperature:g}"
            )
        flow, hottest = flow_parameters(choices, system)
        ladder = given
        if ladder is None:
            ladder = suggested_ladder(system.n, temperature, min(hottest, twice("--temperature", temperature)))
        explorer = engine_of("pt", choices["explorer"])
        engine = resolve_engine(choices, explorer, system)
        if engine.get("thermostat") == "nve":
            raise CommandError("--thermostat: expected langevin or rescaling in parallel tempering, got nve")
        return {
            "temperature": ladder[0],
            "temperatures": list(ladder),
            "fixed_ladder": choices["fixed-ladder"],
            "ladders": given_by(choices, "ladders", LADDERS),
            **choose_starts(choices, given_by(choices, "ladders", LADDERS), "ladder"),
            "explorer": explorer,
            **engine,
            **flow,
            "sweeps_per_exchange": given_by(choices, "sweeps-per-exchange", 100 if explorer == "md" else 10),
            **lengths(choices, "sweeps", 10_000, 100 if explorer == "md" else 10),
        }

    @staticmethod
    def start(parameters: dict[str, Any], system: System, threads: int | None, turn: Turn) -> Ensemble:
        """Return random starts at the temperatures of the ladders, half of these annealed if that was asked for."""
        return start_replicas(parameters, system, parameters["temperatures"], parameters["ladders"], threads, turn)

    @property
    def done(self) -> bool:
        """Whether all sweeps are done."""
        return int(self.ensemble.step) >= self._total

    @property
    def progress(self) -> str:
        """How many of the sweeps are done, equilibration included."""
        return f"{int(self.ensemble.step)} of {self._total} sweeps"

    def state(self) -> dict[str, Any]:
        """Return the ladder, which end each replica saw last, and the steps of the flow."""
        return {"temperatures": np.array(self._sampler.temperatures), **self._state}

    # ---- the run -----------------------------------------------------------------------------------------------------------

    def _advance(self, turn: Turn) -> None:
        from ...samplers import PoorExchangeWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PoorExchangeWarning)  # of single chunks; the summary judges the whole run
            step, begin = int(self.ensemble.step), time.perf_counter()
            end = self._piece(step)
            if end is not None:
                self._adapt(turn, step, end)
            elif step < self._equilibration:
                sweeps = min(self.pace.chunk(), self._equilibration - step)
                record = self._run(sweeps, progress=self._relay(turn, "equilibration"))
                self._state = {name: value for name, value in record.state.items() if name != "visits"}
            else:
                self._produce(turn, min(self.pace.chunk(), self._total - step))
            self.pace.measure(int(self.ensemble.step) - step, time.perf_counter() - begin)

    def _piece(self, step: int) -> int | None:
        """Return where the piece that adapts and begins at a step ends; None where nothing adapts any more."""
        shortest = max(SHORTEST_PIECE, PIECE_ROUNDS * int(self.parameters["sweeps_per_exchange"]))
        return next((end for end in pieces(self._equilibration, shortest) if end > step), None)

    def _adapt(self, turn: Turn, step: int, end: int) -> None:
        """Do a piece of the equilibration, or leave everything as it was if a signal comes."""
        work, ladder = self.ensemble.copy(), np.array(self._sampler.temperatures)

        def relay(done: int, total: int, info: dict[str, Any]) -> None:
            turn.show("equilibration", step + done, self._equilibration, self._note(info, 0))
            if turn.stop.number is not None:
                raise _HandBack

        try:
            self._sampler.equilibrate(work, end - step, adapt_ladder=not self.parameters["fixed_ladder"], progress=relay)
        except BaseException as error:
            self._sampler.temperatures = ladder
            if not isinstance(error, _HandBack):
                raise
            return
        self.ensemble = work

    def _produce(self, turn: Turn, sweeps: int) -> None:
        done = int(self.ensemble.step) - self._equilibration
        due = due_records(done, sweeps, self.parameters["record_every"])
        record = self._run(sweeps, record_at=due, progress=self._relay(turn, "production"))
        self._state = record.state
        self.run.append({"sweep": record.sweeps, "energy": record.energy, "replica": record.replica}, _counts(record))

    def _run(self, sweeps: int, **options: Any) -> PTRecord:
        """Advance with the state of the run so far, so that it does not matter how a run is cut into turns."""
        nowhere = np.zeros(len(self.ensemble), dtype=np.int32)
        state = {"visits": nowhere, **self._state} if self._state else None
        return self._sampler.run(self.ensemble, sweeps, state=state, **options)

    def _relay(self, turn: Turn, stage: str) -> Callable[[int, int, dict[str, Any]], None]:
        before = int(np.sum(self.run.counters.get("round_trips", 0)))
        first = 0 if stage == "equilibration" else self._equilibration
        total = self._equilibration if stage == "equilibration" else self._total - self._equilibration

        def relay(done: int, of: int, info: dict[str, Any]) -> None:
            turn.show(stage, int(self.ensemble.step) - first, total, self._note(info, before))

        return relay

    def _note(self, info: dict[str, Any], before: int) -> str:
        """Return the remark behind the bar: sweeps per second, exchange acceptance, round trips."""
        parts = self.rate_note("sweeps", len(self.ensemble))
        if info["acceptance"] == info["acceptance"]:
            parts.append(f"exch. acc {info['acceptance']:.2f}")
        return ", ".join([*parts, f"{before + info['round_trips']} round trips"])

    # ---- the results -------------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Return averages by temperature, exchanges, round trips, flow, barrier, and speed."""
        from ...observables.outer_checks import ENOUGH_ATTEMPTS, POOR_ACCEPTANCE

        counters = self.run.counters
        temperatures = np.array(self._sampler.temperatures)
        m, ladders = len(temperatures), int(self.parameters["ladders"])
        energy = self.run.records.get("energy", np.empty((0, m, ladders)))
        acceptance = _ratio(counters.get("accepts", np.zeros((m - 1, 1))), counters.get("attempts", np.zeros((m - 1, 1))))
        cold, hot = counters.get("from_cold", np.zeros((m, 1))), counters.get("from_hot", np.zeros((m, 1)))
        flow = _ratio(cold, cold + hot)
        whole, each = self._verdicts(energy, temperatures)
        by_temperature = [
            {"temperature": float(t), **averages(energy[:, k], self.system, float(t)), **told(each[k]), "flow": flow[k]}
            | {"acceptance_to_next": acceptance[k] if k + 1 < m else None}
            for k, t in enumerate(temperatures)
        ]
        barrier = None if None in acceptance else float(sum(1.0 - value for value in acceptance if value is not None))
        trips = counters.get("round_trips")
        seconds = self.pace.seconds
        tried = np.sum(counters.get("attempts", np.zeros((m - 1, 1))), axis=1) >= ENOUGH_ATTEMPTS
        poor = [k for k, value in enumerate(acceptance) if value is not None and value < POOR_ACCEPTANCE and tried[k]]
        lowest = by_temperature[int(np.argmin(temperatures))]
        return {
            **{name: lowest[name] for name in ("mean_energy", "specific_heat", "r_hat")},
            **told(whole),
            "temperatures": by_temperature,
            "round_trips": None if trips is None else int(trips.sum()),
            "round_trips_by_ladder": None if trips is None else trips.tolist(),
            "barrier": barrier,
            "recommended_temperatures": None if barrier is None else max(2, round(2.0 * barrier) + 1),
            "poor_exchanges": [[float(temperatures[k]), float(temperatures[k + 1])] for k in poor],
            "moves_per_second": self.pace.amount * self.system.n * m * ladders / seconds if seconds else None,
        }

    def _verdicts(self, energy: FloatArray, temperatures: FloatArray) -> tuple[Verdict, list[Verdict]]:
        """Return the verdict on the whole, and that on each temperature."""
        from ...samplers.verdicts import ladder

        counters, pairs, ladders = self.run.counters, temperatures.size - 1, int(self.parameters["ladders"])
        attempts, accepts = (
            np.sum(counters.get(name, np.zeros((pairs, 1), dtype=np.int64)), axis=1) for name in ("attempts", "accepts")
        )
        trips = counters.get("round_trips", np.zeros(ladders, dtype=np.int64))
        return ladder(energy, temperatures, attempts, accepts, trips, from_cold(self.parameters, ladders))

    def tables(self, result: dict[str, Any]) -> list[Table]:
        """Return the table of the temperatures, and one of the ladder as a whole."""
        parameters, trips = self.parameters, result["round_trips"]
        title = (
            f"{parameters['system']}, N = {parameters['n']}, pt ({parameters['explorer']}):\n"
            f"{counted(parameters['ladders'], 'ladder')} of {counted(len(result['temperatures']), 'temperature')} x "
            f"{counted(parameters['sweeps'], 'sweep')}"
        )
        whole = plain_table("The ladder")
        if trips is not None:
            text = f"{trips} in {counted(parameters['ladders'], 'ladder')}"
            whole.add_row(
                "round trips", text if trips else f"{text}: NO replica has been at both ends", style=None if trips else "red"
            )
        if result["barrier"] is not None:
            advice = f"{result['barrier']:.2f}; most round trips with {result['recommended_temperatures']} temperatures"
            whole.add_row("communication barrier", advice)
        for low, high in result["poor_exchanges"]:
            whole.add_row("NO EXCHANGE", f"between T = {low:g} and {high:g}: use more temperatures", style="red")
        verdict_rows(whole, result)
        whole.add_row("file", result["output"])
        return [self._temperatures(title, result["temperatures"]), whole]

    def _temperatures(self, title: str, rows: list[dict[str, Any]]) -> Table:
        from ...observables.equilibration import shown_r_hat

        table = number_table(title, ("T", "<U>/N", "C_v/N", "acceptance to next", "flow", "R-hat"))
        for row in rows:
            optional = [row["acceptance_to_next"], row["flow"]]
            numbers = ["-" if value is None else f"{value:.{digits}f}" for value, digits in zip(optional, (3, 2), strict=True)]
            numbers.append("-" if row["r_hat"] is None else shown_r_hat(row["r_hat"]))
            values = [shown(row[name], mark=mark(row)) for name in ("mean_energy", "specific_heat")]
            table.add_row(f"{row['temperature']:.4f}", *values, *numbers)
        table.caption = MARKS
        return table


def pieces(equilibration: int, shortest: int) -> list[int]:
    """Return where the pieces end that adapt: each as long as all before it, but neither too short nor too long."""
    adapting = 3 * equilibration // 4
    if adapting < shortest:
        return [equilibration] if equilibration else []
    doubling = [adapting]
    while doubling[0] // 2 >= shortest:
        doubling.insert(0, doubling[0] // 2)
    ends, begin = [], 0
    for end in doubling:
        parts = -(-(end - begin) // (LONGEST_PIECE * shortest))
        ends += [begin + (end - begin) * part // parts for part in range(1, parts + 1)]
        begin = end
    return ends


def _counts(record: PTRecord) -> dict[str, Any]:
    names = ("attempts", "accepts", "round_trips", "from_hot", "from_cold", "pair_evaluations")
    return {name: getattr(record, name) for name in names} | {"wall_time": float(record.wall_time)}


def _ratio(part: Any, whole: Any) -> list[float | None]:
    """Return part / whole of each row, summed over the ladders; None where there is nothing to divide by."""
    pairs = zip(np.sum(part, axis=1).tolist(), np.sum(whole, axis=1).tolist(), strict=True)
    return [a / b if b else None for a, b in pairs]
