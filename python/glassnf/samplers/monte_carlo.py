"""Metropolis Monte Carlo, with exchanges of the species of two particles (swap Monte Carlo)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _check, _core, cuda
from .._arrays import Device
from .._exclusive import exclusive
from .._native import native_system, threads_of
from ..ensemble import Ensemble
from ..systems import System
from ._swaps import by_species, pair_thresholds, swap_weights_of
from .schedule import check_advance, check_explore, check_records, record_sweeps

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict

__all__ = ["Equilibration", "MCRecord", "MonteCarlo"]

Progress = Callable[[int, int, dict[str, Any]], None]

ADAPTATION_BLOCK = 20
"""Sweeps between changes of the move size in equilibration."""

_ADAPTATION_LIMIT = 0.5  # largest change of log(move_size) in one block
_CHUNK_SECONDS = 0.1
_CHUNK_SWEEPS = 30  # a native call costs about one sweep to set up; worth waiting longer than _CHUNK_SECONDS for, up to
_CHUNK_LIMIT = 1.0  # seconds
_RECORD_BYTES = 2**28  # of a CUDA device that the records of one native call take, before they go to the host
_CHECKERBOARD_CELLS = 4  # of one cutoff or more, along every side of the box


@dataclass
class Counters:
    """Counts of one or several native calls; arrays are (R,) and (R, pairs), on the device of the ensemble."""

    displacement_attempts: npt.NDArray[np.int64]
    displacement_accepts: npt.NDArray[np.int64]
    swap_attempts: npt.NDArray[np.int64]
    swap_accepts: npt.NDArray[np.int64]
    pair_evaluations: npt.NDArray[np.int64]

    @classmethod
    def zeros(cls, replicas: int, pairs: int, device: Device = _arrays.HOST) -> Counters:
        """Return counters at zero; on a GPU all in one piece of memory, that a single kernel clears."""
        width = max(pairs, 1)
        whole = device.xp.zeros((3 + 2 * width) * replicas, dtype=np.int64)
        attempts, accepts, evaluations = whole[: 3 * replicas].reshape(3, replicas)
        swap_attempts, swap_accepts = whole[3 * replicas :].reshape(2, replicas, width)
        return cls(attempts, accepts, swap_attempts, swap_accepts, evaluations)


@dataclass
class Records:
    """The records of one native call, on the device of the ensemble; the fields are as in `MCRecord`."""

    at: npt.NDArray[np.int64]
    energy: Any
    positions: Any
    species: Any


@dataclass(frozen=True)
class MCRecord:
    """What `MonteCarlo.run` saw: NumPy arrays, wherever the ensemble is.

    Attributes
    ----------
    sweeps : (records,) int64
        Ensemble step of each record.
    energy : (records, R) float64, epsilon
    beta : (R,) float64, 1/epsilon
    n, dimension : int
    displacement_attempts, displacement_accepts : (R,) int64
    swap_attempts, swap_accepts : (R, S, S) int64
        Symmetric in the two species.
    pair_evaluations : int
        Distances evaluated, all replicas.
    wall_time : float, s
    positions : (records, R, N, d) float64, sigma, or None
        Unwrapped.
    species : (records, R, N) int32, or None
    """

    sweeps: npt.NDArray[np.int64]
    energy: npt.NDArray[np.float64]
    beta: npt.NDArray[np.float64]
    n: int
    dimension: int
    displacement_attempts: npt.NDArray[np.int64]
    displacement_accepts: npt.NDArray[np.int64]
    swap_attempts: npt.NDArray[np.int64]
    swap_accepts: npt.NDArray[np.int64]
    pair_evaluations: int
    wall_time: float
    positions: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    species: npt.NDArray[np.int32] | None = field(default=None, repr=False)

    @property
    def displacement_acceptance(self) -> npt.NDArray[np.float64]:
        """Accepted fraction of the displacement trials (R,); NaN where none was tried."""
        return _ratio(self.displacement_accepts, self.displacement_attempts)

    @property
    def swap_acceptance(self) -> npt.NDArray[np.float64]:
        """Accepted fraction of the swap trials by pair of species (R, S, S); NaN where none was tried."""
        return _ratio(self.swap_accepts, self.swap_attempts)

    @property
    def verdict(self) -> Verdict:
        """Whether the replicas are in equilibrium, those of each temperature apart; see `observables.judge_chains`."""
        from .verdicts import chains

        return chains(self.energy, self.beta, self.sweeps)


@dataclass(frozen=True)
class Equilibration:
    """What `MonteCarlo.equilibrate` did.

    Attributes
    ----------
    sweeps : int
    displacement_acceptance : (R,) float64
        In the last whole adaptation block; NaN where there was none.
    pair_evaluations : int
        Distances evaluated, all replicas.
    wall_time : float, s
    """

    sweeps: int
    displacement_acceptance: npt.NDArray[np.float64]
    pair_evaluations: int
    wall_time: float


def _ratio(accepts: npt.NDArray[np.int64], attempts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    xp = _arrays.namespace(accepts)
    ratio: npt.NDArray[np.float64] = xp.where(attempts > 0, accepts / xp.maximum(attempts, 1), np.nan)
    return ratio


def _exp(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return e^x for |x| <= 0.5, to about rounding, by a Pade approximant.

    By operations that are correctly rounded everywhere, so that move sizes have the same bits on all machines and devices;
    functions of mathematical libraries have not.
    """
    square = x * x
    even = 665280.0 + square * (75600.0 + square * (840.0 + square))
    odd = x * (332640.0 + square * (10080.0 + square * 42.0))
    return (even + odd) / (even - odd)


class MonteCarlo:
    """Metropolis Monte Carlo of a batch of replicas, each at its own temperature.

    A sweep is N trial moves. A trial displaces one particle, chosen uniformly, by a vector uniform in the cube of half-width
    ``ensemble.move_size``; or, with `swap_probability`, exchanges the species of two unlike particles (Grigera and Parisi,
    Phys. Rev. E 63, 045102, 2001; Ninarello, Berthier, Coslovich, Phys. Rev. X 7, 021039, 2017). Either is accepted with
    probability min(1, exp(-beta dU)) (Metropolis et al. 1953). The random numbers depend on the seed of the ensemble, the id of
    the replica and the sweep only: results do not depend on threads, batching, or how a run is cut into pieces.

    Parameters
    ----------
    system : System
    swap_probability : float
        Fraction of swap trials, 0 to 1; 0 is local Monte Carlo.
    swap_weights : (S, S) floats, optional
        Relative frequency of swap trials by pair of species, symmetric, not negative; the diagonal is ignored. Default: every
        unlike pair of particles equally often.
    target_acceptance : float
        Acceptance that `equilibrate` steers the displacements to, between 0 and 1.
    threads : int, optional
        Of the CPU. Default: environment variable GLASSNF_THREADS, else all processors. Results do not depend on it.
    checkerboard : bool, optional
        Whether the trials of a sweep go over the box in the pattern of a checkerboard, of cells that do not interact and whose
        place is new every time, so that one large replica keeps many threads busy (Anderson, Jankowski, Grubb, Engel, Glotzer,
        J. Comput. Phys. 254, 27, 2013). Another order of trials, hence other random numbers and trajectories, but the same
        distribution. The box must hold four cutoffs along every side. Default: not on the CPU; on a CUDA device above 4096
        particles, where the box is large enough.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or swaps are asked for in a system of one species.
    """

    def __init__(
        self,
        system: System,
        swap_probability: float = 0.2,
        swap_weights: npt.ArrayLike | None = None,
        target_acceptance: float = 0.3,
        threads: int | None = None,
        checkerboard: bool | None = None,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.system = system
        self.swap_probability = _check.probability("swap_probability", swap_probability)
        self.target_acceptance = _check.probability("target_acceptance", target_acceptance)
        if not 0.0 < self.target_acceptance < 1.0:
            raise ValueError(f"target_acceptance: expected a number between 0 and 1, got {target_acceptance}")
        self.threads = threads_of(threads)
        self.checkerboard = None if checkerboard is None else _check.boolean("checkerboard", checkerboard)
        if self.checkerboard and not _has_cells(system):
            cutoff, sides = system.cutoff_distance, ", ".join(f"{side:g}" for side in system.box)
            raise ValueError(f"checkerboard: expected a box of at least four cutoffs of {cutoff:g} on every side, got {sides}")
        self.swap_weights = swap_weights_of(system, swap_weights)
        self._swap_threshold = round(self.swap_probability * 2**32)
        if self.swap_probability > 0.0 and not self.swap_weights.any():
            raise ValueError(
                f"swap_probability: expected 0 in a system without unlike particles to swap, got {self.swap_probability}"
            )
        self._pair_thresholds = pair_thresholds(self.swap_weights)
        self._pace = 0.0  # seconds per replica-sweep of the last native call, to size the next; never changes results

    def __repr__(self) -> str:
        checkerboard = "" if self.checkerboard is None else f", checkerboard={self.checkerboard}"
        return (
            f"MonteCarlo({self.system!r}, swap_probability={self.swap_probability}, "
            f"target_acceptance={self.target_acceptance}, threads={self.threads}{checkerboard})"
        )

    @exclusive("ensemble")
    def equilibrate(self, ensemble: Ensemble, sweeps: int = 2_000, *, progress: Progress | None = None) -> Equilibration:
        """Advance the ensemble and adapt ``ensemble.move_size`` to the target acceptance. Only here does the move size change.

        Every 20 sweeps, counted by ``ensemble.step``, log(move_size) of each replica moves by the difference of measured and
        target acceptance. Cutting the sweeps into several calls at multiples of 20 gives the same bits.

        Parameters
        ----------
        ensemble : Ensemble
            Of the sampler's system; advanced in place.
        sweeps : int
            Not negative.
        progress : callable, optional
            ``progress(done, total, info)`` after every block. A KeyboardInterrupt is raised between blocks, and leaves the
            ensemble valid and its move size adapted: going on gives the bits of an uninterrupted run.

        Raises
        ------
        TypeError, ValueError
            If the ensemble does not fit the sampler or is not valid.
        glassnf.cuda.CudaError
            If it is on a CUDA device that has not the memory.
        """
        _check.callback("progress", progress)
        total = self.prepare(ensemble, sweeps)
        with cuda.find_device(ensemble.device).current(), _arrays.out_of_memory("Monte Carlo of this ensemble"):
            return self._equilibrate(ensemble, total, progress)

    def _equilibrate(self, ensemble: Ensemble, total: int, progress: Progress | None) -> Equilibration:
        start = time.perf_counter()
        done, pair_evaluations = 0, np.int64(0)
        last: Counters | None = None
        while done < total:
            count = min(ADAPTATION_BLOCK - ensemble.step % ADAPTATION_BLOCK, total - done)
            block = self.counters(ensemble)
            if count == ADAPTATION_BLOCK:
                self._advance_and_adapt(ensemble, block)
                last = block
            else:
                self._advance(ensemble, count, block)
            done += count
            pair_evaluations = pair_evaluations + block.pair_evaluations.sum()
            if progress is not None:
                progress(done, total, self._info(ensemble, block))
        if last is None:
            acceptance = np.full(ensemble.replicas, np.nan)
        else:
            acceptance = _arrays.to_host(_ratio(last.displacement_accepts, last.displacement_attempts))
        return Equilibration(total, acceptance, int(pair_evaluations), time.perf_counter() - start)

    @exclusive("ensemble")
    def run(
        self,
        ensemble: Ensemble,
        sweeps: int,
        *,
        record_every: int | None = None,
        record_at: npt.ArrayLike | None = None,
        record_positions: bool = False,
        progress: Progress | None = None,
    ) -> MCRecord:
        """Advance the ensemble in place and record; the move size stays as it is.

        Parameters
        ----------
        ensemble : Ensemble
            Of the sampler's system.
        sweeps : int
            Not negative.
        record_every : int, optional
            Record after every so many sweeps.
        record_at : (records,) integers, optional
            Record after these sweeps of the run (1 ... sweeps, increasing), for instance `log_schedule`.
        record_positions : bool
            Also record unwrapped positions and species.
        progress : callable, optional
            ``progress(done, total, info)`` between native calls of about 0.1 s. A KeyboardInterrupt is raised there too, and
            leaves the ensemble valid, after a whole number of sweeps.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above or the ensemble is not valid; nothing has moved then.
        glassnf.cuda.CudaError
            If the ensemble is on a CUDA device that has not the memory.
        """
        _check.callback("progress", progress)
        total = self.prepare(ensemble, sweeps)
        at = record_sweeps(total, record_every, record_at)
        check_records(at.size, ensemble, int(_check.boolean("record_positions", record_positions)))
        with cuda.find_device(ensemble.device).current(), _arrays.out_of_memory("Monte Carlo of this ensemble"):
            return self._run(ensemble, total, at, record_positions, progress)

    def _run(
        self,
        ensemble: Ensemble,
        total: int,
        at: npt.NDArray[np.int64],
        record_positions: bool,
        progress: Progress | None,
    ) -> MCRecord:
        start = time.perf_counter()
        first_step = ensemble.step
        replicas, n, d = ensemble.positions.shape
        energy = np.empty((at.size, replicas))
        positions = np.empty((at.size, replicas, n, d)) if record_positions else None
        species = np.empty((at.size, replicas, n), dtype=np.int32) if record_positions else None
        counters = self.counters(ensemble)
        done = 0
        while done < total:
            count = min(self._chunk(ensemble), total - done)
            low, high = (int(place) for place in np.searchsorted(at, [done, done + count], side="right"))
            most = self._records_at_once(ensemble, record_positions)
            if high - low > most:
                high, count = low + most, int(at[low + most - 1]) - done
            host = (energy[low:high], *(None if array is None else array[low:high] for array in (positions, species)))
            self._advance_and_record(ensemble, count, counters, at[low:high] - done, host)
            done += count
            if progress is not None:
                progress(done, total, self._info(ensemble, counters))
        return MCRecord(
            sweeps=first_step + at,
            energy=energy,
            beta=_arrays.to_host(ensemble.beta.copy()),
            n=n,
            dimension=d,
            displacement_attempts=_arrays.to_host(counters.displacement_attempts),
            displacement_accepts=_arrays.to_host(counters.displacement_accepts),
            swap_attempts=by_species(_arrays.to_host(counters.swap_attempts), self.system.n_species),
            swap_accepts=by_species(_arrays.to_host(counters.swap_accepts), self.system.n_species),
            pair_evaluations=int(counters.pair_evaluations.sum()),
            wall_time=time.perf_counter() - start,
            positions=positions,
            species=species,
        )

    # ---------------------------------------------------------------------------------------- for outer algorithms (Explorer)

    @exclusive("ensemble")
    def explore(self, ensemble: Ensemble, sweeps: int, counters: Counters | None = None) -> int:
        """Advance an ensemble that `prepare` has checked, with frozen move sizes, and return the pair evaluations.

        `counters`, of `new_counters`, are added to; they are complete if ``ensemble.step`` has advanced, whatever ended the
        call.
        """
        count = check_explore(ensemble, sweeps)
        with cuda.find_device(ensemble.device).current(), _arrays.out_of_memory("Monte Carlo of this ensemble"):
            counters = self.counters(ensemble) if counters is None else counters
            self._advance(ensemble, count, counters)
            return int(counters.pair_evaluations.sum())

    def new_counters(self, ensemble: Ensemble) -> Counters:
        """Return counters at zero for `explore`, where the ensemble is."""
        with cuda.find_device(ensemble.device).current(), _arrays.out_of_memory("Monte Carlo of this ensemble"):
            return self.counters(ensemble)

    @exclusive("ensemble")
    def adapt(self, ensemble: Ensemble, sweeps: int) -> int:
        """Advance an ensemble, adapting its move sizes, and return the pair evaluations; see `equilibrate`."""
        return self.equilibrate(ensemble, sweeps).pair_evaluations

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on the trajectories."""
        return {
            "explorer": "monte_carlo",
            "swap_probability": self.swap_probability,
            "swap_weights": self.swap_weights.tolist(),
            "target_acceptance": self.target_acceptance,
            "checkerboard": self.checkerboard,
        }

    def prepare(self, ensemble: Ensemble, sweeps: int) -> int:
        """Check an ensemble that is about to be advanced by `sweeps`, and return `sweeps`."""
        count = check_advance(self.system, ensemble, "sweeps", sweeps)
        widest = 0.5 * float(self.system.box.min())
        with cuda.find_device(ensemble.device).current():
            largest = float(ensemble.move_size.max())
        if largest > widest:
            raise ValueError(f"move_size: expected at most half the box, {widest}, got {largest}")
        return count

    # ------------------------------------------------------------------------------------------------------------ internals

    def counters(self, ensemble: Ensemble) -> Counters:
        """Return counters at zero for the replicas of an ensemble."""
        return Counters.zeros(ensemble.replicas, len(self._pair_thresholds), cuda.find_device(ensemble.device))

    def _records_at_once(self, ensemble: Ensemble, with_positions: bool) -> int:
        """Records that one native call may make: any number on the CPU, where they go straight to their place."""
        if ensemble.device == "cpu":
            return sys.maxsize
        one = ensemble.energy.nbytes
        if with_positions:
            one += ensemble.positions.nbytes + ensemble.species.nbytes
        return max(1, _RECORD_BYTES // int(one))

    def _advance_and_record(
        self,
        ensemble: Ensemble,
        sweeps: int,
        counters: Counters,
        at: npt.NDArray[np.int64],
        host: tuple[npt.NDArray[Any] | None, ...],
    ) -> None:
        """Advance, and record into arrays in host memory (energy, positions or None, species or None), by way of the device."""
        if ensemble.device == "cpu":
            self._advance(ensemble, sweeps, counters, Records(at, *host))
            return
        xp = cuda.find_device(ensemble.device).xp
        records = Records(at, *(None if array is None else xp.empty(array.shape, array.dtype) for array in host))
        self._advance(ensemble, sweeps, counters, records)
        for target, source in zip(host, (records.energy, records.positions, records.species), strict=True):
            if target is not None and target.size:
                target[...] = _arrays.to_host(source)

    def _chunk(self, ensemble: Ensemble) -> int:
        """Sweeps for the next native call: about 0.1 s, longer for large systems."""
        if self._pace == 0.0:
            return 1 if self.system.n > 10_000 else 10
        sweep = self._pace * ensemble.replicas
        seconds = min(max(_CHUNK_SECONDS, _CHUNK_SWEEPS * sweep), _CHUNK_LIMIT)
        return max(1, min(1_000_000, int(seconds / sweep)))

    def _advance(
        self,
        ensemble: Ensemble,
        sweeps: int,
        counters: Counters,
        records: Records | None = None,
    ) -> None:
        start = time.perf_counter()
        # Ctrl-C during the native call is raised as it returns, or anywhere after: the step must follow the positions all the
        # same. It is set from what it was before, so that setting it again does no harm.
        before, completed = ensemble.step, np.zeros(1, dtype=np.int64)
        try:
            self._call(ensemble, sweeps, counters, completed, records)
            ensemble.step = before + int(completed[0])
        except BaseException:
            ensemble.step = before + int(completed[0])
            raise
        if sweeps:
            self._pace = (time.perf_counter() - start) / (sweeps * ensemble.replicas)

    def native_arguments(
        self,
        ensemble: Ensemble,
        sweeps: int,
        counters: Counters,
        completed: npt.NDArray[np.int64],
        records: Records | None,
    ) -> dict[str, Any]:
        """Return what the native functions of Monte Carlo take, wherever the ensemble is."""
        address = _arrays.address
        return {
            "replicas": ensemble.replicas,
            "positions": address(ensemble.positions),
            "images": address(ensemble.images),
            "species": address(ensemble.species),
            "beta": address(ensemble.beta),
            "energy": address(ensemble.energy),
            "ids": address(ensemble.ids),
            "move_size": address(ensemble.move_size),
            "seed": ensemble.seed,
            "step": ensemble.step,
            "sweeps": sweeps,
            "swap_threshold": self._swap_threshold,
            "pair_thresholds": self._pair_thresholds,
            "record_at": [] if records is None else records.at.tolist(),
            "record_energy": 0 if records is None else address(records.energy),
            "record_positions": 0 if records is None else address(records.positions),
            "record_species": 0 if records is None else address(records.species),
            "displacement_attempts": address(counters.displacement_attempts),
            "displacement_accepts": address(counters.displacement_accepts),
            "swap_attempts": address(counters.swap_attempts),
            "swap_accepts": address(counters.swap_accepts),
            "pair_evaluations": address(counters.pair_evaluations),
            "completed": address(completed),
            "checkerboard": self.uses_checkerboard(cuda.find_device(ensemble.device)),
        }

    def _call(
        self,
        ensemble: Ensemble,
        sweeps: int,
        counters: Counters,
        completed: npt.NDArray[np.int64],
        records: Records | None,
    ) -> None:
        arguments = self.native_arguments(ensemble, sweeps, counters, completed, records)
        native, device = native_system(self.system), cuda.find_device(ensemble.device)
        if device.ordinal is None:
            _core.monte_carlo(native, **arguments, threads=self.threads)
        else:
            stream = _arrays.stream_of(ensemble.positions)
            _core.cuda_monte_carlo(native, **arguments, device=device.ordinal, stream=stream)

    def uses_checkerboard(self, device: Device) -> bool:
        """Return whether sweeps go in the pattern of a checkerboard on a device."""
        if self.checkerboard is not None:
            return self.checkerboard
        if device.ordinal is None or self.system.n <= _core.cuda_sequential_limit(native_system(self.system)):
            return False
        return _has_cells(self.system)

    def _advance_and_adapt(self, ensemble: Ensemble, block: Counters) -> None:
        """Advance by an adaptation block and change the move size, both or neither, whenever Ctrl-C comes."""
        step, move_size = ensemble.step, ensemble.move_size.copy()
        try:
            self._advance(ensemble, ADAPTATION_BLOCK, block)
            self._adapt(ensemble, move_size, block)
        except BaseException:
            if ensemble.step > step:
                self._adapt(ensemble, move_size, block)
            raise

    def _adapt(self, ensemble: Ensemble, move_size: npt.NDArray[np.float64], block: Counters) -> None:
        """Set the move size that follows `move_size` after a block; doing it again does no harm."""
        xp = _arrays.namespace(move_size)
        acceptance = _ratio(block.displacement_accepts, block.displacement_attempts)
        change = xp.clip(xp.nan_to_num(acceptance - self.target_acceptance), -_ADAPTATION_LIMIT, _ADAPTATION_LIMIT)
        widest = 0.5 * float(self.system.box.min())
        ensemble.move_size[...] = xp.minimum(move_size * _exp(change), widest)

    def _info(self, ensemble: Ensemble, counters: Counters) -> dict[str, Any]:
        return {
            "energy_per_particle": float(ensemble.energy.mean()) / self.system.n,
            "displacement_acceptance": _overall(counters.displacement_accepts, counters.displacement_attempts),
            "swap_acceptance": _overall(counters.swap_accepts, counters.swap_attempts),
        }


def _has_cells(system: System) -> bool:
    """Whether the box has room for a checkerboard."""
    # As the kernels count: a side of exactly four cutoffs may hold a hair less through rounding.
    return float(system.box.min()) / (system.cutoff_distance * (1.0 + 1e-12)) >= _CHECKERBOARD_CELLS


def _overall(accepts: npt.NDArray[np.int64], attempts: npt.NDArray[np.int64]) -> float:
    tried = int(attempts.sum())
    return int(accepts.sum()) / tried if tried else float("nan")
