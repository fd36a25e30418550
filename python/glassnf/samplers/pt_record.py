"""What parallel tempering reports: energies by temperature and by replica, exchanges, round trips, the barrier."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from . import ladder

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict
    from .reweighting import LadderReweighting

__all__ = ["ENOUGH_RECORDS", "FlowExchanges", "PTEquilibration", "PTRecord", "PoorExchangeWarning", "warn_of_poor_exchange"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ENOUGH_RECORDS = 10
"""Energies of a temperature, all ladders, from which a barrier may be measured."""

_ENOUGH_ATTEMPTS = 100  # of a pair before it is judged
_POOR_ACCEPTANCE = 0.01
_SAME = 1e-9  # relative difference up to which two temperatures are the same


class PoorExchangeWarning(UserWarning):
    """Two neighbours of a ladder practically never exchange."""


@dataclass(frozen=True)
class FlowExchanges:
    """What a run saw of its flow; pair k is that of the temperatures k and k + 1.

    Attributes
    ----------
    attempts, accepts : (M - 1, ladders) int64
        Exchanges that the flow assisted; they are among those of the record.
    log_weight, log_weight_deviation : (M - 1, 2) float64
        Mean and standard deviation of the log weights of the proposals from k to k + 1, and from k + 1 to k: minus the work of
        the map. The two means have a sum below zero, which a better flow brings nearer to it.
    lost : (M - 1, 2) float64
        Fraction of the proposals that are left out of these, because particles overlap: more than 100 nats below the log weight
        of the configuration left where it was.
    steps : (M - 1,) int64
        Of the integrator; 0 where nothing was integrated.
    error : (M - 1,) float64
        Largest error of a log weight that was found at the start, see `ParallelTempering`; NaN in a run that goes on.
    time, explorer_time : float, s
        Spent with the flow and its exchanges, and by the explorer.
    """

    attempts: IntArray
    accepts: IntArray
    log_weight: FloatArray
    log_weight_deviation: FloatArray
    lost: FloatArray
    steps: IntArray
    error: FloatArray
    time: float
    explorer_time: float

    @property
    def acceptance(self) -> FloatArray:
        """Accepted fraction of the assisted exchanges of each pair (M - 1,), all ladders; NaN where none was tried."""
        attempts, accepts = self.attempts.sum(axis=1), self.accepts.sum(axis=1)
        return np.where(attempts > 0, accepts / np.maximum(attempts, 1), np.nan)


@dataclass(frozen=True)
class PTRecord:
    """What `ParallelTempering.run` saw: NumPy arrays, wherever the ensemble is.

    M temperatures, in the order in which the ladder was given; R = M * ladders replicas, of which ladder l has those from
    l M to (l + 1) M - 1. Records of a step are made after its exchanges.

    Attributes
    ----------
    temperatures : (M,) float64, epsilon
    sweeps : (records,) int64
        Ensemble step of each record.
    energy : (records, M, ladders) float64, epsilon
        By temperature.
    replica : (records, M, ladders) int32
        Index in the ensemble of the replica that was at the temperature.
    attempts, accepts : (M - 1, ladders) int64
        Exchanges of the temperatures k and k + 1.
    rounds : int
        Rounds of exchanges; each attempts every second pair.
    round_trips : (ladders,) int64
        From the hottest temperature to the coldest and back, completed in this run.
    from_hot, from_cold : (M, ladders) int64
        Rounds after which the replica at the temperature had last been at the hot or the cold end.
    n, dimension : int
    pair_evaluations : int
        Distances evaluated, all replicas.
    wall_time : float, s
    state : dict of arrays
        What a run that goes on needs to count its first round trips, ``{"visits": (R,) int32}``; with a flow also the steps of
        its integrator, ``"flow_steps"``, (M - 1,) int64.
    positions : (records, R, N, d) float64, sigma, or None
        Unwrapped, by replica; see `replica`.
    species : (records, R, N) int32, or None
    transport : FlowExchanges, or None
        What a flow did.
    """

    temperatures: FloatArray
    sweeps: IntArray
    energy: FloatArray
    replica: npt.NDArray[np.int32]
    attempts: IntArray
    accepts: IntArray
    rounds: int
    round_trips: IntArray
    from_hot: IntArray = field(repr=False)
    from_cold: IntArray = field(repr=False)
    n: int
    dimension: int
    pair_evaluations: int
    wall_time: float
    state: dict[str, npt.NDArray[Any]] = field(repr=False)
    positions: FloatArray | None = field(default=None, repr=False)
    species: npt.NDArray[np.int32] | None = field(default=None, repr=False)
    transport: FlowExchanges | None = field(default=None, repr=False)

    @property
    def ladders(self) -> int:
        """Number of independent ladders."""
        return int(self.attempts.shape[1])

    @property
    def beta(self) -> FloatArray:
        """Inverse temperatures (M,), 1/epsilon."""
        return np.asarray(1.0 / self.temperatures)

    def place(self, temperature: float) -> int:
        """Return the index of a temperature of the ladder; ValueError if it is none."""
        wanted = _check.positive_float("temperature", temperature)
        near = int(np.argmin(np.abs(self.temperatures - wanted)))
        if abs(self.temperatures[near] - wanted) > _SAME * wanted:
            known = ", ".join(f"{t:g}" for t in self.temperatures)
            raise ValueError(f"temperature: expected one of the ladder, {known} (between them: mbar()), got {wanted!r}")
        return near

    def energy_at(self, temperature: float) -> FloatArray:
        """Return the energies (records, ladders) at a temperature of the ladder."""
        return np.asarray(self.energy[:, self.place(temperature)])

    def replica_energy(self) -> FloatArray:
        """Return the energies (records, R) by replica, whose temperature changes."""
        by_replica = np.empty((self.sweeps.size, self.temperatures.size * self.ladders))
        np.put_along_axis(by_replica, self._flat(self.replica), self._flat(self.energy), axis=1)
        return by_replica

    def positions_at(self, temperature: float) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        """Return positions (records, ladders, N, d) and species (records, ladders, N) at a temperature of the ladder."""
        if self.positions is None or self.species is None:
            raise ValueError("positions: expected a run with record_positions=True, got one without")
        who = self.replica[:, self.place(temperature)]
        rows = np.arange(self.sweeps.size)[:, None]
        return self.positions[rows, who], self.species[rows, who]

    def _flat(self, by_temperature: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return by_temperature.reshape(self.sweeps.size, -1)

    @property
    def acceptance(self) -> FloatArray:
        """Accepted fraction of the exchanges of each pair of neighbours (M - 1,), all ladders; NaN where none was tried."""
        attempts, accepts = self.attempts.sum(axis=1), self.accepts.sum(axis=1)
        return np.where(attempts > 0, accepts / np.maximum(attempts, 1), np.nan)

    @property
    def total_round_trips(self) -> int:
        """Round trips of all ladders."""
        return int(self.round_trips.sum())

    @property
    def flow(self) -> FloatArray:
        """Of the replicas at each temperature that have seen an end, the fraction that last saw the cold one (M,).

        1 at the cold end, 0 at the hot one, and between the ends a straight line where nothing slows the replicas down
        (Katzgraber, Trebst, Huse, Troyer, J. Stat. Mech. P03018, 2006, whose f(T) is 1 - flow).
        """
        cold, hot = self.from_cold.sum(axis=1), self.from_hot.sum(axis=1)
        return np.where(cold + hot > 0, cold / np.maximum(cold + hot, 1), np.nan)

    @property
    def barrier(self) -> float:
        """The communication barrier, sum of the rejection rates of all pairs; NaN where one was not tried."""
        return float((1.0 - self.acceptance).sum())

    @property
    def local_barrier(self) -> FloatArray:
        """Density of the barrier in beta at each temperature (M,), epsilon, from the recorded energies; NaN without two.

        That of plain exchanges, whether or not there was a flow.
        """
        if self.sweeps.size * self.ladders < 2:
            return np.full(self.temperatures.size, np.nan)
        return ladder.local_barrier(self.energy)

    @property
    def recommended_temperatures(self) -> int:
        """Number of temperatures that gives the most round trips for the work, 2 barrier + 1; 0 if the barrier is not known."""
        return ladder.recommended_temperatures(self.barrier) if np.isfinite(self.barrier) else 0

    @property
    def round_trip_rate_limit(self) -> float:
        """Round trips per round of exchanges and ladder if replicas forgot their energies between two rounds."""
        acceptance = self.acceptance
        return ladder.round_trip_rate(1.0 - acceptance) if np.isfinite(acceptance).all() else float("nan")

    def mbar(self, *, discard: int = 0) -> LadderReweighting:
        """Combine the records of all temperatures: <U>, C_v and log Z as functions of temperature (needs pymbar).

        Parameters
        ----------
        discard : int
            Records to leave out at the start.
        """
        from .reweighting import LadderReweighting

        return LadderReweighting(self, discard=discard)

    @property
    def verdict(self) -> Verdict:
        """Whether all temperatures are in equilibrium, and replicas travel; see docs/equilibration.md."""
        from .verdicts import of_ladder

        return of_ladder(self)


@dataclass(frozen=True)
class PTEquilibration:
    """What `ParallelTempering.equilibrate` did.

    Attributes
    ----------
    sweeps : int
    temperatures : (M,) float64, epsilon
        The ladder, frozen from now on.
    move_size : (M,) float64, sigma
        Frozen move sizes by temperature.
    rejection : (M - 1,) float64
        Rejection rates of the last round, on the frozen ladder; NaN where the round was too short.
    barrier : float
        Their sum.
    recommended_temperatures : int
        2 barrier + 1; 0 if the barrier is not known.
    history : (ladders tried, M) float64, epsilon
        All ladders, from the one given to the last.
    pair_evaluations : int
        Distances evaluated, all replicas.
    wall_time : float, s
    """

    sweeps: int
    temperatures: FloatArray
    move_size: FloatArray
    rejection: FloatArray
    barrier: float
    recommended_temperatures: int
    history: FloatArray = field(repr=False)
    pair_evaluations: int
    wall_time: float


def warn_of_poor_exchange(record: PTRecord, energy: FloatArray, *, advise: bool) -> None:
    """Warn the caller of the caller's caller if a pair of neighbours practically never exchanged.

    Parameters
    ----------
    record : PTRecord
    energy : (records, M, ladders) float64, epsilon
        What a better ladder may be found from.
    advise : bool
        Whether to propose one.
    """
    attempts = record.attempts.sum(axis=1)
    poor = (attempts >= _ENOUGH_ATTEMPTS) & (record.accepts.sum(axis=1) < _POOR_ACCEPTANCE * attempts)
    if not poor.any():
        return
    t, acceptance = record.temperatures, record.acceptance
    pairs = ", ".join(f"{acceptance[k]:.2g} between T = {t[k]:g} and {t[k + 1]:g}" for k in np.flatnonzero(poor))
    advice = ""
    if advise and energy.shape[0] * record.ladders >= ENOUGH_RECORDS:
        increments = ladder.barrier_increments(t, energy)
        count = ladder.recommended_temperatures(float(increments.sum()))
        suggested = ladder.equal_ladder(t, increments, max(count, t.size))
        advice = f"; from the measured energies: {suggested.size} temperatures, " + ", ".join(f"{x:.4g}" for x in suggested)
    warnings.warn(
        f"temperatures: expected neighbours that exchange, got an acceptance of {pairs}{advice}",
        PoorExchangeWarning,
        stacklevel=5,
    )
