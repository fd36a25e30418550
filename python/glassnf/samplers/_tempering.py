"""The native side of parallel tempering: rounds of exchanges, Monte Carlo with exchanges, and what both count and record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check, _core, cuda
from .._arrays import Device
from .._native import native_system
from ..ensemble import Ensemble
from .explorer import Explorer
from .monte_carlo import MonteCarlo, Records

__all__ = ["Exchanges", "Recorder", "advance_monte_carlo", "exchange", "has_native_loop", "read_state"]

_COUNTED = ("attempts", "accepts", "visits", "trips", "from_hot", "from_cold")


@dataclass
class ExchangeCounts:
    """Counts of exchanges by rung, the hottest first; see PTRecord. NumPy arrays."""

    attempts: npt.NDArray[np.int64]  # (ladders, M - 1)
    accepts: npt.NDArray[np.int64]  # (ladders, M - 1)
    visits: npt.NDArray[np.int32]  # (R,)
    trips: npt.NDArray[np.int64]  # (ladders,)
    from_hot: npt.NDArray[np.int64]  # (ladders, M)
    from_cold: npt.NDArray[np.int64]  # (ladders, M)


class Exchanges:
    """Who sits where, and the counts, on the device of the ensemble.

    Parameters
    ----------
    order : (ladders, M) int32
        Which replica of the ladder sits at each rung, the hottest first.
    visits : (R,) int32
        The end of the ladder that each replica saw last.
    device : Device
    """

    def __init__(self, order: npt.NDArray[np.int32], visits: npt.NDArray[np.int32], device: Device) -> None:
        ladders, rungs = order.shape
        zeros, asarray = device.xp.zeros, device.xp.asarray
        self.rungs = rungs
        self.order: Any = asarray(order)
        self.visits: Any = asarray(visits)
        self.attempts: Any = zeros((ladders, rungs - 1), dtype=np.int64)
        self.accepts: Any = zeros((ladders, rungs - 1), dtype=np.int64)
        self.trips: Any = zeros(ladders, dtype=np.int64)
        self.from_hot: Any = zeros((ladders, rungs), dtype=np.int64)
        self.from_cold: Any = zeros((ladders, rungs), dtype=np.int64)

    def rounds(self) -> int:
        """Return the rounds of exchanges so far: after each of them the replica at the hot end has been there last."""
        return int(self.from_hot[0, 0])

    def copy(self) -> Exchanges:
        """Return the same with arrays of its own."""
        other = object.__new__(Exchanges)
        other.rungs = self.rungs
        for name in ("order", *_COUNTED):
            setattr(other, name, getattr(self, name).copy())
        return other

    def pairs_with(self, other: Exchanges) -> list[tuple[Any, Any]]:
        """Return the arrays of this one beside those of another."""
        return [(getattr(self, name), getattr(other, name)) for name in ("order", *_COUNTED)]

    def to_host(self) -> ExchangeCounts:
        """Return the counts as NumPy arrays."""
        return ExchangeCounts(*(_arrays.to_host(getattr(self, name)) for name in _COUNTED))

    def arguments(self) -> dict[str, Any]:
        """Return what native functions take."""
        return {"rungs": self.rungs, **{name: _arrays.address(getattr(self, name)) for name in ("order", *_COUNTED)}}


class Recorder:
    """Energies (records, R) by replica, orders (records, ladders, M) and maybe configurations, in host memory.

    Parameters
    ----------
    ensemble : Ensemble
        At the start of the run.
    at : (records,) int64
        After how many sweeps to record, increasing.
    ladders : int
    with_positions : bool
    """

    def __init__(self, ensemble: Ensemble, at: npt.NDArray[np.int64], ladders: int, with_positions: bool) -> None:
        replicas, n, d = ensemble.positions.shape
        self.at = at
        self.energy = np.empty((at.size, replicas))
        self.order = np.empty((at.size, ladders, replicas // ladders), dtype=np.int32)
        self.positions = np.empty((at.size, replicas, n, d)) if with_positions else None
        self.species = np.empty((at.size, replicas, n), dtype=np.int32) if with_positions else None
        self._steps = ensemble.step + at
        self._next = 0

    def next_step(self) -> int | None:
        """Return the ensemble step of the next record, None after the last."""
        return int(self._steps[self._next]) if self._next < self.at.size else None

    def record(self, ensemble: Ensemble, exchanges: Exchanges) -> None:
        """Take the next record from an ensemble, wherever it is."""
        place = self._next
        self.energy[place] = _arrays.to_host(ensemble.energy)
        self.order[place] = _arrays.to_host(exchanges.order)
        if self.positions is not None and self.species is not None:
            self.positions[place] = _arrays.to_host(ensemble.unwrapped())
            self.species[place] = _arrays.to_host(ensemble.species)
        self._next += 1

    def during(self, step: int, sweeps: int) -> tuple[Records, npt.NDArray[np.int32]]:
        """Return where the native loop puts the records of its next sweeps: those of Monte Carlo, and orders."""
        low, high = (int(place) for place in np.searchsorted(self._steps, [step, step + sweeps], side="right"))
        self._next = high
        rows = slice(low, high)
        positions = None if self.positions is None else self.positions[rows]
        species = None if self.species is None else self.species[rows]
        return Records(self._steps[rows] - step, self.energy[rows], positions, species), self.order[rows]


def exchange(ensemble: Ensemble, interval: int, exchanges: Exchanges) -> None:
    """Do the round of exchanges that belongs to ``ensemble.step``, on the device of the ensemble."""
    address, velocities = _arrays.address, ensemble.velocities
    arguments: dict[str, Any] = {
        "replicas": ensemble.replicas,
        "beta": address(ensemble.beta),
        "move_size": address(ensemble.move_size),
        "energy": address(ensemble.energy),
        "ids": address(ensemble.ids),
        "velocities": address(velocities),
        "components": ensemble.n * ensemble.system.dimension,
        "seed": ensemble.seed,
        "step": ensemble.step,
        "interval": interval,
        **exchanges.arguments(),
    }
    device = cuda.find_device(ensemble.device)
    if device.ordinal is None:
        _core.exchange(**arguments)
    else:
        _core.cuda_exchange(**arguments, device=device.ordinal, stream=_arrays.stream_of(ensemble.positions))


def has_native_loop(explorer: Explorer, ensemble: Ensemble) -> TypeGuard[MonteCarlo]:
    """Return whether exchanges are part of the native loop: for sequential Monte Carlo on the CPU."""
    if type(explorer) is not MonteCarlo or ensemble.device != "cpu":
        return False
    return not explorer.uses_checkerboard(_arrays.HOST)


def advance_monte_carlo(
    explorer: MonteCarlo, ensemble: Ensemble, sweeps: int, interval: int, exchanges: Exchanges, recorder: Recorder
) -> int:
    """Advance by Monte Carlo with exchanges in one native call, and return the pair evaluations.

    The same bits as `MonteCarlo.explore` and `exchange` by turns, without their costs per call.
    """
    counters = explorer.counters(ensemble)
    # As in MonteCarlo: the step follows the positions, wherever Ctrl-C is raised after the native call.
    before, completed = ensemble.step, np.zeros(1, dtype=np.int64)
    records, orders = recorder.during(before, sweeps)
    arguments = explorer.native_arguments(ensemble, sweeps, counters, completed, records)
    try:
        _core.parallel_tempering(
            native_system(explorer.system),
            **arguments,
            **exchanges.arguments(),
            interval=interval,
            record_order=_arrays.address(orders),
            velocities=_arrays.address(ensemble.velocities),
            threads=explorer.threads,
        )
        ensemble.step = before + int(completed[0])
    except BaseException:
        ensemble.step = before + int(completed[0])
        raise
    return int(counters.pair_evaluations.sum())


def read_state(state: Any, replicas: int, pairs: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64] | None]:
    """Check the `state` of a run: return the visits (R,), and the steps of a flow (M - 1,), None where they are not given."""
    if state is None:
        return np.zeros(replicas, dtype=np.int32), None
    given = _check.keys("state", state, required=("visits",), optional=("flow_steps",))
    visits = _check.int_array("state['visits']", given["visits"], (replicas,), low=0, high=3, dtype=np.int32)
    steps = given.get("flow_steps")
    return visits.copy(), None if steps is None else _check.int_array("state['flow_steps']", steps, (pairs,), low=0)
