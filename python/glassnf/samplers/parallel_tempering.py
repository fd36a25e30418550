"""Parallel tempering (replica exchange) around any explorer, several independent ladders in one batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check, cuda
from .._arrays import Device
from .._exclusive import Turn, exclusive
from ..ensemble import Ensemble
from ..flows.transport import Flow, FlowError
from ..systems import System
from . import ladder as ladders_of
from ._effective import Accuracy, Settings, check_range
from ._flow_exchange import FlowExchange, Work
from ._tempering import Exchanges, Recorder, advance_monte_carlo, has_native_loop, read_state
from .explorer import Explorer
from .monte_carlo import MonteCarlo
from .pt_record import ENOUGH_RECORDS, PTEquilibration, PTRecord, warn_of_poor_exchange
from .schedule import check_records, record_sweeps

__all__ = ["ParallelTempering"]

Progress = Callable[[int, int, dict[str, Any]], None]
FloatArray = npt.NDArray[np.float64]

_SAME = 1e-9  # relative difference up to which two inverse temperatures are the same
_CHUNK_SECONDS = 0.1
_CHUNK_SWEEPS = 500  # a native call costs some sweeps to set up; worth waiting longer than _CHUNK_SECONDS for, up to
_CHUNK_LIMIT = 1.0  # seconds
_ADAPTATION_BLOCK = 20  # sweeps, for explorers that adapt in blocks, as MonteCarlo does
_DIAGNOSTIC_RECORDS = 100  # of energies in a run that records less, to judge the ladder by
_ROUNDS = (
    1 / 16,
    1 / 16,
    1 / 8,
    1 / 4,
    1 / 2,
)  # shares of the sweeps of `equilibrate`; the ladder changes after all but the last


class ParallelTempering:
    """Replicas of one system at a ladder of temperatures, which they exchange.

    Between exchanges the explorer moves all replicas, each at its own temperature. After the sweep that makes
    ``ensemble.step`` a multiple of `sweeps_per_exchange`, neighbours in temperature exchange with probability
    min(1, exp[(beta_i - beta_j) (U_i - U_j)]): pairs (0, 1), (2, 3), ... and (1, 2), (3, 4), ... by turns, counted from the
    hottest (deterministic even-odd scheme, non-reversible; Syed, Bouchard-Cote, Deligiannidis, Doucet, J. R. Stat. Soc. B
    84, 321, 2022). Replicas exchange ``beta`` and ``move_size``, never configurations; velocities are scaled by
    sqrt(beta_old / beta_new).

    A run is a function of the ensemble and the settings: it does not depend on threads, nor on how it is cut into calls, and a
    ladder does the same alone and among others. Explorers must leave the Boltzmann distribution invariant at every temperature.

    Parameters
    ----------
    system : System
    temperatures : (M,) floats, epsilon
        At least two, positive and distinct, all increasing or all decreasing.
    explorer : Explorer, optional
        `MonteCarlo`, `MolecularDynamics` or another. Default: ``MonteCarlo(system)``, with swaps if there are several species.
    ladders : int
        Independent ladders in one ensemble, of M * ladders replicas. Ladder l has the replicas l M ... (l + 1) M - 1.
    sweeps_per_exchange : int
        Sweeps (of molecular dynamics: time steps) from one round of exchanges to the next.

    flow : Flow, optional
        Assists exchanges: neighbours propose the configurations that the flow makes of theirs at each other's temperature, and
        are accepted with the log Jacobians of its maps beside their energies (`docs/parallel_tempering.md`). All temperatures
        are sampled exactly, whatever the flow, which must not change during a run.
    flow_every : int
        Of so many pairs of rounds of exchanges, an even and an odd one, the first has the flow.
    flow_tolerance : float
        Largest error of the log weight of a proposal, by the size of the integrator's steps and by the way there and back.
        Measured at the start of a run, on the present configurations; the steps are doubled until it is met.
    flow_position_tolerance : float, sigma
        Largest distance of a particle from where it was, after the way there and back.
    flow_max_steps : int
        Steps of the integrator between two temperatures beyond which the flow is refused.

    Attributes
    ----------
    temperatures : (M,) float64, epsilon
        The ladder; changed by `equilibrate` only.
    flow_steps : (M - 1,) int64 or None
        Steps of the flow's integrator by pair of neighbours, from the first run on the ladder. A run without `state` may raise
        them.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.
    """

    def __init__(
        self,
        system: System,
        temperatures: npt.ArrayLike,
        explorer: Explorer | None = None,
        ladders: int = 1,
        sweeps_per_exchange: int = 10,
        *,
        flow: Flow | None = None,
        flow_every: int = 1,
        flow_tolerance: float = 0.01,
        flow_position_tolerance: float = 1e-3,
        flow_max_steps: int = 128,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self._turn = Turn("sampler")  # its ladder adapts
        self.system = system
        self.temperatures = ladders_of.check_temperatures(temperatures)
        self.ladders = _check.positive_int("ladders", ladders)
        self.sweeps_per_exchange = _check.integer("sweeps_per_exchange", sweeps_per_exchange, 1, 2**32)
        if explorer is None:
            explorer = MonteCarlo(system, swap_probability=0.2 if system.n_species > 1 else 0.0)
        if not isinstance(explorer, Explorer):
            raise TypeError(f"explorer: expected a sampler such as MonteCarlo, got {type(explorer).__name__}")
        if explorer.system != system:
            raise ValueError(f"explorer: expected a sampler of the system {system!r}, got one of {explorer.system!r}")
        self.explorer = explorer
        self.flow_every = _check.integer("flow_every", flow_every, 1, 2**32)
        accuracy = Accuracy.of(flow_tolerance, flow_position_tolerance, flow_max_steps)
        self._flow: Settings | None = None
        if flow is not None:
            hot, cold = float(self.temperatures.max()), float(self.temperatures.min())
            checked = check_range(flow, system, hot, cold, "the ladder")
            self._flow = Settings(checked, system, accuracy, getattr(explorer, "threads", None))
        self.flow_steps: npt.NDArray[np.int64] | None = None
        self._pace = 0.0  # seconds per replica-sweep of the last native call, to size the next; never changes results

    @exclusive("self", briefly=True)
    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __repr__(self) -> str:
        hot, cold = float(self.temperatures.max()), float(self.temperatures.min())
        return (
            f"ParallelTempering({self.system!r}, {self.temperatures.size} temperatures from {hot:.6g} to {cold:.6g}, "
            f"explorer={self.explorer!r}, ladders={self.ladders}, sweeps_per_exchange={self.sweeps_per_exchange}"
            f"{'' if self._flow is None else f', flow={self._flow.flow!r}'})"
        )

    @property
    def replicas(self) -> int:
        """Number of replicas of all ladders."""
        return int(self.temperatures.size) * self.ladders

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on the trajectories, as numbers and strings."""
        return {
            "sampler": "parallel_tempering",
            "temperatures": self.temperatures.tolist(),
            "ladders": self.ladders,
            "sweeps_per_exchange": self.sweeps_per_exchange,
            **({} if self._flow is None else {"flow": {**self._flow.describe(), "every": self.flow_every}}),
            **self.explorer.describe(),
        }

    # ------------------------------------------------------------------------------------------------------------- ensembles

    def random(self, seed: int, device: str = "cpu") -> Ensemble:
        """Return random replicas without overlaps, at the temperatures of the ladders; see `Ensemble.random`."""
        return Ensemble.random(self.system, self.replicas, np.tile(self.temperatures, self.ladders), seed, device)

    def start(self, ensemble: Ensemble) -> Ensemble:
        """Return a copy of an ensemble of `replicas` replicas, at the temperatures of the ladders in their order."""
        self._check_ensemble(ensemble)
        copy = ensemble.copy()
        copy.beta[...] = _put(np.tile(1.0 / self.temperatures, self.ladders), copy.beta)
        return copy

    def check(self, ensemble: Ensemble) -> None:
        """Raise an error unless an ensemble has the system, the number of replicas, and the temperatures of the ladders."""
        self._check_ensemble(ensemble)
        self._order(ensemble)

    def _check_ensemble(self, ensemble: object) -> None:
        if not isinstance(ensemble, Ensemble):
            raise TypeError(f"ensemble: expected an Ensemble, got {type(ensemble).__name__}")
        if ensemble.system != self.system:
            raise ValueError(f"ensemble: expected one of the sampler's system {self.system!r}, got {ensemble.system!r}")
        if ensemble.replicas != self.replicas:
            wanted = f"{self.replicas} replicas ({self.temperatures.size} temperatures, {self.ladders} ladders)"
            raise ValueError(f"ensemble: expected {wanted}, got {ensemble.replicas}")

    def _order(self, ensemble: Ensemble) -> npt.NDArray[np.int32]:
        """Return which replica of each ladder sits at each rung (ladders, M), the hottest first, after checking that all do."""
        beta = _arrays.to_host(ensemble.beta).reshape(self.ladders, -1)
        order = np.argsort(beta, axis=1, kind="stable")
        wanted = np.sort(1.0 / self.temperatures)
        wrong = np.abs(np.take_along_axis(beta, order, axis=1) - wanted) > _SAME * wanted
        if wrong.any():
            ladder, rung = _check.first_place(wrong)
            found = float(beta[ladder, order[ladder, rung]])
            raise ValueError(
                f"beta: expected every temperature of the ladder once in each ladder (start() sets them), got {found!r} in "
                f"place of {float(wanted[rung])!r} in ladder {ladder}"
            )
        return order.astype(np.int32)

    def _prepare(self, ensemble: Ensemble, sweeps: int) -> tuple[int, npt.NDArray[np.int32]]:
        self._check_ensemble(ensemble)
        ensemble.validate()
        order = self._order(ensemble)
        return self.explorer.prepare(ensemble, sweeps), order

    # ------------------------------------------------------------------------------------------------------------------- run

    @exclusive("self", "ensemble")
    def run(
        self,
        ensemble: Ensemble,
        sweeps: int,
        *,
        record_every: int | None = None,
        record_at: npt.ArrayLike | None = None,
        record_positions: bool = False,
        progress: Progress | None = None,
        state: dict[str, npt.NDArray[Any]] | None = None,
    ) -> PTRecord:
        """Advance the ensemble in place and record; ladder and move sizes stay as they are.

        Parameters
        ----------
        ensemble : Ensemble
            Of `replicas` replicas, in each ladder one at each temperature in any order, such as `random` or `start` make.
        sweeps : int
            Not negative.
        record_every : int, optional
            Record after every so many sweeps.
        record_at : (records,) integers, optional
            Record after these sweeps of the run (1 ... sweeps, increasing).
        record_positions : bool
            Also record unwrapped positions and species.
        progress : callable, optional
            ``progress(done, total, info)`` about ten times a second; `info` has the temperatures of the ends, acceptances and
            round trips. A KeyboardInterrupt is raised between native calls and leaves the ensemble valid: going on gives the
            configurations and exchanges of an uninterrupted run, bit for bit. But there is no record of the interrupted call:
            its energies, its counts of exchanges and round trips, and which end each replica saw last in it, are lost.
        state : dict, optional
            ``record.state`` of the run that ended where this one begins: which end of the ladder each replica saw last, and the
            steps of the flow, which are then neither checked nor changed, for the bits of an uninterrupted run.

        Warns
        -----
        PoorExchangeWarning
            If a pair of neighbours practically never exchanged.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above or the ensemble does not fit; nothing has moved then.
        FlowError
            If the flow is not as exact as wanted, before anything has moved; or if it fails to carry a configuration: the
            ensemble is then valid, after the sweep whose exchanges failed.
        glassnf.cuda.CudaError
            If the ensemble is on a CUDA device that has not the memory.
        """
        _check.callback("progress", progress)
        total, order = self._prepare(ensemble, sweeps)
        at = record_sweeps(total, record_every, record_at)
        check_records(at.size, ensemble, int(_check.boolean("record_positions", record_positions)))
        visits, steps = read_state(state, self.replicas, self.temperatures.size - 1)
        device = cuda.find_device(ensemble.device)
        with device.current(), _arrays.out_of_memory("parallel tempering of this ensemble"):
            work = Work(Exchanges(order, visits, device), flow=self._new_flow_exchange())
            return self._run(ensemble, total, at, record_positions, progress, work, steps)

    def _run(
        self,
        ensemble: Ensemble,
        total: int,
        at: npt.NDArray[np.int64],
        record_positions: bool,
        progress: Progress | None,
        work: Work,
        flow_steps: npt.NDArray[np.int64] | None,
    ) -> PTRecord:
        start, first_step = time.perf_counter(), ensemble.step
        self._fix_flow_steps(ensemble, work, flow_steps)
        # A run that records little is judged by energies of its own.
        every = total // _DIAGNOSTIC_RECORDS
        spare = at.size < _DIAGNOSTIC_RECORDS and not record_positions and every > 0
        schedule = np.union1d(at, np.arange(every, total + 1, every)) if spare else at
        recorder = Recorder(ensemble, schedule, self.ladders, record_positions)
        done = 0
        while done < total:
            count = min(self._chunk(ensemble), total - done)
            self._advance(ensemble, count, work, recorder)
            done += count
            if progress is not None:
                progress(done, total, self._info(ensemble, work.exchanges))
        exchanges = work.exchanges.to_host()
        kept = np.isin(recorder.at, at)
        energy, replica = self._by_temperature(recorder.energy, recorder.order)
        record = PTRecord(
            temperatures=self.temperatures.copy(),
            sweeps=first_step + at,
            energy=energy[kept],
            replica=replica[kept],
            attempts=self._in_given_order(exchanges.attempts.T),
            accepts=self._in_given_order(exchanges.accepts.T),
            rounds=int(exchanges.from_hot[0, 0]),
            round_trips=exchanges.trips,
            from_hot=self._in_given_order(exchanges.from_hot.T),
            from_cold=self._in_given_order(exchanges.from_cold.T),
            n=self.system.n,
            dimension=self.system.dimension,
            pair_evaluations=work.pair_evaluations,
            wall_time=time.perf_counter() - start,
            state={"visits": exchanges.visits, **({} if self.flow_steps is None else {"flow_steps": self.flow_steps.copy()})},
            positions=recorder.positions,
            species=recorder.species,
            transport=None if work.flow is None else work.flow.record(work.explorer_time, self._cold_first),
        )
        warn_of_poor_exchange(record, energy, advise=self._flow is None)
        return record

    @property
    def _cold_first(self) -> bool:
        return bool(self.temperatures[0] < self.temperatures[-1])

    def _in_given_order(self, by_rung: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rungs are counted from the hottest; turn them round where the ladder is given from the coldest."""
        return np.ascontiguousarray(by_rung[::-1] if self._cold_first else by_rung)

    def _by_temperature(self, energy: FloatArray, order: npt.NDArray[np.int32]) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        """From energies (records, R) by replica and orders (records, ladders, M) to (records, M, ladders) by temperature."""
        m = self.temperatures.size
        first = (m * np.arange(self.ladders, dtype=np.int32))[:, None]
        who = np.swapaxes(order + first, 1, 2)
        if self._cold_first:
            who = who[:, ::-1]
        who = np.ascontiguousarray(who)
        rows = np.arange(energy.shape[0])[:, None, None]
        return energy[rows, who], who

    # ---------------------------------------------------------------------------------------------------------- equilibration

    @exclusive("self", "ensemble")
    def equilibrate(
        self, ensemble: Ensemble, sweeps: int, *, adapt_ladder: bool = True, progress: Progress | None = None
    ) -> PTEquilibration:
        """Advance the ensemble, adapt what the explorer adapts and, if wanted, the ladder to equal rejection rates.

        In five rounds of growing length (1/16, 1/16, 1/8, 1/4 and 1/2 of the sweeps). In the first half of a round the explorer
        adapts its move sizes; then one move size per temperature, the geometric mean over the ladders, is kept, and the second
        half runs with it. After each round but the last the ladder is placed anew between the same ends, so that the barrier
        measured in the round grows equally in all intervals (Syed et al. 2022, algorithm 2), and each replica stays at its
        rung. In the end ``self.temperatures``, ``ensemble.beta`` and ``ensemble.move_size`` hold the frozen ladder. With a flow
        the barrier is that of the exchanges that it assists, measured by the log weights of proposals; it is integrated with
        its own number of steps then, which `run` checks.

        Parameters
        ----------
        ensemble : Ensemble
            As for `run`; advanced in place.
        sweeps : int
            Not negative; at least some 1,000 to measure a barrier by.
        adapt_ladder : bool
            Whether the ladder may change.
        progress : callable, optional
            As for `run`.

        Raises
        ------
        TypeError, ValueError
            As for `run`.
        """
        _check.callback("progress", progress)
        total, order = self._prepare(ensemble, sweeps)
        _check.boolean("adapt_ladder", adapt_ladder)
        device = cuda.find_device(ensemble.device)
        with device.current(), _arrays.out_of_memory("parallel tempering of this ensemble"):
            return self._equilibrate(ensemble, total, order, adapt_ladder, progress, device)

    def _equilibrate(
        self,
        ensemble: Ensemble,
        total: int,
        order: npt.NDArray[np.int32],
        adapt_ladder: bool,
        progress: Progress | None,
        device: Device,
    ) -> PTEquilibration:
        start = time.perf_counter()
        work = Work(Exchanges(order, np.zeros(self.replicas, dtype=np.int32), device))
        history, self.flow_steps = [self.temperatures.copy()], None
        energy = np.empty((0, self.temperatures.size, self.ladders))
        ends = np.rint(np.cumsum(_ROUNDS) * total).astype(np.int64).tolist()
        done = 0
        for number, end in enumerate(ends):
            adaptive = (end - done) // 2 // _ADAPTATION_BLOCK * _ADAPTATION_BLOCK
            done = self._adapt_moves(ensemble, done, adaptive, total, work, progress)
            self._share_move_sizes(ensemble, work.exchanges)
            work.flow = self._new_flow_exchange()
            energy, done = self._measure(ensemble, done, end - done, total, work, progress)
            enough = energy.shape[0] * self.ladders >= ENOUGH_RECORDS
            if adapt_ladder and enough and number + 1 < len(ends):
                increments = ladders_of.barrier_increments(self.temperatures, energy)
                self._place_ladder(ensemble, work, ladders_of.equal_ladder(self.temperatures, increments))
                history.append(self.temperatures.copy())
        rates = np.full(self.temperatures.size - 1, np.nan)
        if energy.shape[0] * self.ladders >= ENOUGH_RECORDS:
            rates = ladders_of.rejection_rates(self.temperatures, energy)
        barrier = float(rates.sum())
        return PTEquilibration(
            sweeps=total,
            temperatures=self.temperatures.copy(),
            move_size=self._at_rungs(ensemble.move_size, work.exchanges)[0],
            rejection=rates,
            barrier=barrier,
            recommended_temperatures=ladders_of.recommended_temperatures(barrier) if np.isfinite(barrier) else 0,
            history=np.array(history),
            pair_evaluations=work.pair_evaluations,
            wall_time=time.perf_counter() - start,
        )

    def _adapt_moves(
        self, ensemble: Ensemble, done: int, sweeps: int, total: int, work: Work, progress: Progress | None
    ) -> int:
        """Let the explorer adapt, with exchanges as often as its blocks allow."""
        interval = -(-self.sweeps_per_exchange // _ADAPTATION_BLOCK) * _ADAPTATION_BLOCK
        end = done + sweeps
        while done < end:
            count = min(interval - ensemble.step % interval, end - done)
            self._piece(ensemble, count, work, interval, self.explorer.adapt)
            done += count
            if progress is not None:
                progress(done, total, self._info(ensemble, work.exchanges))
        return done

    def _measure(
        self, ensemble: Ensemble, done: int, sweeps: int, total: int, work: Work, progress: Progress | None
    ) -> tuple[FloatArray, int]:
        """Advance as in production and return energies by temperature, the first fifth left out.

        With a flow they are effective ones, by pair: (records, M - 1, 2, ladders).
        """
        every = max(self.sweeps_per_exchange, sweeps // (4 * _DIAGNOSTIC_RECORDS), 1)
        at = np.arange(every, sweeps + 1, every, dtype=np.int64)
        recorder = Recorder(ensemble, at, self.ladders, False)
        begin, end = done, done + sweeps
        effective: list[FloatArray] = []
        while done < end:
            count = min(self._chunk(ensemble), end - done)
            if work.flow is not None and len(effective) < at.size:
                count = min(count, begin + int(at[len(effective)]) - done)
            self._advance(ensemble, count, work, recorder)
            done += count
            if work.flow is not None and len(effective) < at.size and done == begin + at[len(effective)]:
                effective.append(work.flow.effective(ensemble, work.exchanges))
            if progress is not None:
                progress(done, total, self._info(ensemble, work.exchanges))
        energy, _ = self._by_temperature(recorder.energy, recorder.order)
        if effective:
            by_pair = np.array(effective)
            energy = by_pair[:, ::-1, ::-1] if self._cold_first else by_pair
        return energy[energy.shape[0] // 5 :], done

    def _at_rungs(self, field: Any, exchanges: Exchanges) -> FloatArray:
        """Return a field (R,) as (ladders, M) in the order of the temperatures."""
        order = _arrays.to_host(exchanges.order)
        by_rung = np.take_along_axis(_arrays.to_host(field).reshape(self.ladders, -1), order.astype(np.int64), axis=1)
        return by_rung[:, ::-1] if self._cold_first else by_rung

    def _set_at_rungs(self, field: Any, exchanges: Exchanges, values: FloatArray) -> None:
        """Set a field (R,) from values (M,) in the order of the temperatures, the same in all ladders."""
        order = _arrays.to_host(exchanges.order).astype(np.int64)
        new = np.empty(order.shape)
        np.put_along_axis(new, order, np.broadcast_to(values[::-1] if self._cold_first else values, order.shape), axis=1)
        field[...] = _put(new.ravel(), field)

    def _share_move_sizes(self, ensemble: Ensemble, exchanges: Exchanges) -> None:
        sizes = self._at_rungs(ensemble.move_size, exchanges)
        if self.ladders > 1:
            self._set_at_rungs(ensemble.move_size, exchanges, np.exp(np.log(sizes).mean(axis=0)))

    def _place_ladder(self, ensemble: Ensemble, work: Work, new: FloatArray) -> None:
        """Move every replica to the new temperature of its rung, with the move size interpolated between the old ones."""
        exchanges, work.flow = work.exchanges, None  # which is of the old ladder
        sizes = np.log(self._at_rungs(ensemble.move_size, exchanges)[0])
        up = slice(None) if self._cold_first else slice(None, None, -1)
        move_size = np.exp(np.interp(np.log(new), np.log(self.temperatures[up]), sizes[up]))
        old_beta = ensemble.beta.copy()
        self._set_at_rungs(ensemble.beta, exchanges, 1.0 / new)
        self._set_at_rungs(ensemble.move_size, exchanges, move_size)
        self.temperatures = new
        if ensemble.velocities is not None:
            ensemble.velocities *= ((old_beta / ensemble.beta) ** 0.5)[:, None, None]

    # --------------------------------------------------------------------------------------------------------------- the flow

    def _new_flow_exchange(self) -> FlowExchange | None:
        if self._flow is None:
            return None
        return FlowExchange(self._flow, self.temperatures, self.sweeps_per_exchange, self.flow_every, self.ladders)

    def _fix_flow_steps(self, ensemble: Ensemble, work: Work, given: npt.NDArray[np.int64] | None) -> None:
        """Take the steps given, or find how many it takes for the flow to be as exact as wanted, before production."""
        if self._flow is None:
            return
        flow = work.flow = work.flow or self._new_flow_exchange()
        assert flow is not None
        turn = slice(None, None, -1) if self._cold_first else slice(None)
        if given is not None:
            flow.steps[:] = given[turn]
        else:
            least = None if self.flow_steps is None else self.flow_steps[turn]
            flow.choose_steps(ensemble, work.exchanges, least=least)
        self.flow_steps = flow.steps[turn].copy()

    # -------------------------------------------------------------------------------------------------------------- internals

    def _chunk(self, ensemble: Ensemble) -> int:
        """Sweeps until the caller may look again: about 0.1 s, longer for many replicas or large systems."""
        if self._pace == 0.0:
            return 1 if self.system.n > 10_000 else 10
        sweep = self._pace * ensemble.replicas
        seconds = min(max(_CHUNK_SECONDS, _CHUNK_SWEEPS * sweep), _CHUNK_LIMIT)
        return max(1, min(1_000_000, int(seconds / sweep)))

    def _advance(self, ensemble: Ensemble, sweeps: int, work: Work, recorder: Recorder) -> None:
        """Advance by so many sweeps, with exchanges and records."""
        start = time.perf_counter()
        if work.flow is None and has_native_loop(self.explorer, ensemble):
            work.pair_evaluations += advance_monte_carlo(
                self.explorer, ensemble, sweeps, self.sweeps_per_exchange, work.exchanges, recorder
            )
            work.rounds = work.exchanges.rounds()
        else:
            self._advance_by_pieces(ensemble, sweeps, work, recorder)
        self._pace = (time.perf_counter() - start) / (sweeps * ensemble.replicas)

    def _advance_by_pieces(self, ensemble: Ensemble, sweeps: int, work: Work, recorder: Recorder) -> None:
        """Do the same with any explorer: up to the next exchange or record at a time."""
        interval, end = self.sweeps_per_exchange, ensemble.step + sweeps
        while ensemble.step < end:
            if work.flow is not None and self._advance_to_flow(ensemble, end, work, recorder):
                continue
            count = min(interval - ensemble.step % interval, end - ensemble.step)
            due = recorder.next_step()
            if due is not None:
                count = min(count, due - ensemble.step)
            self._piece(ensemble, count, work, interval, self.explorer.explore)
            if due == ensemble.step:
                recorder.record(ensemble, work.exchanges)

    def _advance_to_flow(self, ensemble: Ensemble, end: int, work: Work, recorder: Recorder) -> bool:
        """Do the rounds before the next one with the flow in the native loop; False if there are none."""
        assert work.flow is not None
        sweeps = min(end, work.flow.plain_until(ensemble.step)) - ensemble.step
        if sweeps == 0 or not has_native_loop(self.explorer, ensemble):
            return False
        start = time.perf_counter()
        work.pair_evaluations += advance_monte_carlo(
            self.explorer, ensemble, sweeps, self.sweeps_per_exchange, work.exchanges, recorder
        )
        work.rounds = work.exchanges.rounds()
        work.explorer_time += time.perf_counter() - start
        return True

    def _piece(
        self, ensemble: Ensemble, sweeps: int, work: Work, interval: int, advance: Callable[[Ensemble, int], int]
    ) -> None:
        """Advance without leaving out the exchange that belongs to the last sweep, whenever Ctrl-C comes."""
        end, rounds, start = ensemble.step + sweeps, work.rounds, time.perf_counter()
        try:
            work.pair_evaluations += advance(ensemble, sweeps)
            work.explorer_time += time.perf_counter() - start
            if end % interval == 0:
                work.exchange(ensemble, interval)
                work.rounds += 1
        except FlowError:
            raise
        except BaseException:
            if work.flow is not None:
                work.flow.settle()
            if ensemble.step == end and end % interval == 0 and work.exchanges.rounds() == rounds:
                work.exchange(ensemble, interval)
            raise

    def _info(self, ensemble: Ensemble, exchanges: Exchanges) -> dict[str, Any]:
        attempts = _arrays.to_host(exchanges.attempts).sum(axis=0)
        accepts = _arrays.to_host(exchanges.accepts).sum(axis=0)
        tried = attempts > 0
        acceptance = accepts[tried] / attempts[tried]
        return {
            "energy_per_particle": float(ensemble.energy.mean()) / self.system.n,
            "hottest": float(self.temperatures.max()),
            "coldest": float(self.temperatures.min()),
            "acceptance": float(acceptance.mean()) if acceptance.size else float("nan"),
            "lowest_acceptance": float(acceptance.min()) if acceptance.size else float("nan"),
            "round_trips": int(_arrays.to_host(exchanges.trips).sum()),
        }


def _put(values: FloatArray, like: Any) -> Any:
    return _arrays.put(values, like)
