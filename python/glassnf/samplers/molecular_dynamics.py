"""Molecular dynamics: velocity Verlet, Langevin dynamics, stochastic velocity rescaling, with species swaps if wanted."""

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
from ..ensemble import MAX_STEP, Ensemble
from ..systems import System
from ._swaps import by_species, pair_thresholds, swap_weights_of
from .monte_carlo import _ratio
from .schedule import check_advance, check_explore, check_records, record_sweeps

if TYPE_CHECKING:
    from ..observables.equilibration import Verdict

__all__ = ["BlowUpError", "MDRecord", "MolecularDynamics"]

Progress = Callable[[int, int, dict[str, Any]], None]

THERMOSTATS = ("nve", "langevin", "rescaling")
_CHUNK_SECONDS = 0.1
_RECORD_BYTES = 2**28  # of a CUDA device that the records of one native call take
_MOVED = ("positions", "images", "species", "velocities", "energy")  # what a native call changes


class BlowUpError(RuntimeError):
    """A particle has become so fast that the time step cannot follow it.

    Attributes
    ----------
    step : int
        Step of the ensemble at which it was seen.
    replica : int
        Index of the replica in the ensemble; the first of several.
    """

    def __init__(self, message: str, step: int, replica: int) -> None:
        super().__init__(message)
        self.step = step
        self.replica = replica

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.step, self.replica))


@dataclass
class Counters:
    """Counts of one or several native calls, on the device of the ensemble; arrays are (R,) and (R, pairs)."""

    pair_evaluations: npt.NDArray[np.int64]
    failure: npt.NDArray[np.int64]
    swap_attempts: npt.NDArray[np.int64]
    swap_accepts: npt.NDArray[np.int64]

    @classmethod
    def zeros(cls, replicas: int, pairs: int, device: Device = _arrays.HOST) -> Counters:
        """Return counters at zero."""
        xp, width = device.xp, max(pairs, 1)
        one, two = (xp.zeros(replicas, dtype=np.int64) for _ in range(2))
        return cls(one, two, *(xp.zeros((replicas, width), dtype=np.int64) for _ in range(2)))


@dataclass
class Records:
    """The records of one native call, on the device of the ensemble; the fields are as in `MDRecord`."""

    at: npt.NDArray[np.int64]
    energy: Any
    kinetic: Any
    positions: Any
    velocities: Any
    species: Any

    FIELDS = ("energy", "kinetic", "positions", "velocities", "species")


@dataclass(frozen=True)
class MDRecord:
    """What `MolecularDynamics.run` saw: NumPy arrays, wherever the ensemble is.

    Attributes
    ----------
    steps : (records,) int64
        Ensemble step of each record.
    time : (records,) float64, tau
        Since the start of the run.
    energy, kinetic_energy : (records, R) float64, epsilon
        Potential and kinetic energy after a whole step, before the swaps that may follow it.
    beta : (R,) float64, 1/epsilon
    n, dimension : int
    swap_attempts, swap_accepts : (R, S, S) int64
        Symmetric in the two species; zero without swaps.
    pair_evaluations : int
        Distances evaluated, all replicas. With neighbour lists it varies a little with how the run was cut into native calls,
        which is a matter of time, and with the way in which neighbours are found.
    wall_time : float, s
    positions : (records, R, N, d) float64, sigma, or None
        Unwrapped.
    velocities : (records, R, N, d) float64, sigma/tau, or None
    species : (records, R, N) int32, or None
        With `positions`.
    """

    steps: npt.NDArray[np.int64]
    time: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    kinetic_energy: npt.NDArray[np.float64]
    beta: npt.NDArray[np.float64]
    n: int
    dimension: int
    swap_attempts: npt.NDArray[np.int64]
    swap_accepts: npt.NDArray[np.int64]
    pair_evaluations: int
    wall_time: float
    positions: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    velocities: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    species: npt.NDArray[np.int32] | None = field(default=None, repr=False)

    @property
    def total_energy(self) -> npt.NDArray[np.float64]:
        """Potential plus kinetic energy (records, R), in epsilon; conserved by "nve" up to the error of the time step."""
        return self.energy + self.kinetic_energy

    @property
    def swap_acceptance(self) -> npt.NDArray[np.float64]:
        """Accepted fraction of the swap trials by pair of species (R, S, S); NaN where none was tried."""
        return _ratio(self.swap_accepts, self.swap_attempts)

    @property
    def verdict(self) -> Verdict:
        """Whether the replicas are in equilibrium; of dynamics at constant energy at best nothing can be told."""
        from .verdicts import of_dynamics

        return of_dynamics(self)


class MolecularDynamics:
    """Molecular dynamics of a batch of replicas, each at its own temperature; all masses are 1.

    Velocities are ``ensemble.velocities``; where there are none, they are drawn from the Maxwell-Boltzmann distribution. Forces
    are made anew at the start of every call and after every swap. The results depend on the ensemble and the parameters only,
    bit for bit: not on threads, batching, neighbour lists, or how a run is cut into calls (`docs/molecular_dynamics.md`).

    Parameters
    ----------
    system : System
    timestep : float, tau
        The error of averages grows with its square: at 0.005, <U>/N of ka2d at T = 0.5 is off by 1e-4 with "langevin" and by
        1.4e-3 with "rescaling" (measured in docs/molecular_dynamics.md).
    thermostat : {"langevin", "rescaling", "nve"} or None
        "langevin": the BAOAB integrator (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34), whose configurations are
        canonical up to an error of order timestep squared that is small even for large steps. "rescaling": stochastic velocity
        rescaling (Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101, 2007), which disturbs the dynamics little; total
        momentum stays what it is, and is taken to be zero. "nve" or None: velocity Verlet at constant energy; the temperatures
        of the ensemble matter for drawing velocities only.
    friction : float, 1/tau
        Of Langevin dynamics.
    relaxation_time : float, tau
        Of velocity rescaling.
    swap_every : int, optional
        Time steps between Monte Carlo sweeps of N swap trials, which exchange the species of two unlike particles (hybrid
        molecular dynamics and swap Monte Carlo: Berthier, Flenner, Fullerton, Scalliet, Singh, J. Stat. Mech. 2019, 064004).
        Default: no swaps. Counted by ``ensemble.step``.
    swap_weights : (S, S) floats, optional
        As in `MonteCarlo`.
    threads : int, optional
        Of the CPU. Default: environment variable GLASSNF_THREADS, else all processors. Results do not depend on it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or swaps are asked for in a system of one species.
    """

    def __init__(
        self,
        system: System,
        timestep: float = 0.005,
        thermostat: str | None = "langevin",
        friction: float = 1.0,
        relaxation_time: float = 0.5,
        swap_every: int | None = None,
        swap_weights: npt.ArrayLike | None = None,
        threads: int | None = None,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.system = system
        self.timestep = _check.positive_float("timestep", timestep)
        self.thermostat = _check.choice("thermostat", "nve" if thermostat is None else thermostat, THERMOSTATS)
        self.friction = _check.positive_float("friction", friction)
        self.relaxation_time = _check.positive_float("relaxation_time", relaxation_time)
        self.swap_every = None if swap_every is None else _check.integer("swap_every", swap_every, 1, MAX_STEP)
        self.swap_weights = swap_weights_of(system, swap_weights)
        if self.swap_every is not None and not self.swap_weights.any():
            raise ValueError(f"swap_every: expected None in a system without unlike particles to swap, got {self.swap_every}")
        self.threads = threads_of(threads)
        self._pair_thresholds = pair_thresholds(self.swap_weights)
        self._pace = 0.0  # seconds per replica-step of the last native call, to size the next; never changes results

    def __repr__(self) -> str:
        swaps = "" if self.swap_every is None else f", swap_every={self.swap_every}"
        setting = {
            "langevin": f", friction={self.friction}",
            "rescaling": f", relaxation_time={self.relaxation_time}",
        }.get(self.thermostat, "")
        return (
            f"MolecularDynamics({self.system!r}, timestep={self.timestep}, thermostat={self.thermostat!r}{setting}{swaps}, "
            f"threads={self.threads})"
        )

    @property
    def degrees_of_freedom(self) -> int:
        """Number of velocities that are independent: twice the kinetic energy over it is the kinetic temperature.

        All d N of them in Langevin dynamics; d less where the momentum of the whole is conserved and zero.
        """
        n = self.system.n
        return self.system.dimension * (n if self.thermostat == "langevin" or n == 1 else n - 1)

    def equilibrate(self, ensemble: Ensemble, steps: int = 10_000, *, progress: Progress | None = None) -> MDRecord:
        """Advance the ensemble without recording: nothing adapts, the thermostat does the work."""
        _check.callback("progress", progress)
        return self.run(ensemble, steps, progress=progress)

    @exclusive("ensemble")
    def run(
        self,
        ensemble: Ensemble,
        steps: int,
        *,
        record_every: int | None = None,
        record_at: npt.ArrayLike | None = None,
        record_positions: bool = False,
        record_velocities: bool = False,
        progress: Progress | None = None,
    ) -> MDRecord:
        """Advance the ensemble in place by `steps` time steps and record; ``ensemble.step`` counts them.

        Parameters
        ----------
        ensemble : Ensemble
            Of the sampler's system.
        steps : int
            Not negative.
        record_every : int, optional
            Record after every so many steps.
        record_at : (records,) integers, optional
            Record after these steps of the run (1 ... steps, increasing), for instance `log_schedule`.
        record_positions, record_velocities : bool
            Also record unwrapped positions and species, or velocities.
        progress : callable, optional
            ``progress(done, total, info)`` between native calls of about 0.1 s. A KeyboardInterrupt is raised there too, and
            leaves the ensemble valid, after a whole number of steps.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above or the ensemble is not valid; nothing has moved then.
        BlowUpError
            If a particle goes more than a fifth of the cutoff in one step, has a speed above 256 sqrt(epsilon) or a force
            component above 65536 epsilon/sigma (epsilon: the largest of the system, rounded up to a power of two), or is no
            longer a number. The ensemble is then as it was before the last native call, about 0.1 s earlier.
        glassnf.cuda.CudaError
            If the ensemble is on a CUDA device that has not the memory.
        """
        _check.callback("progress", progress)
        at = record_sweeps(_check.nonnegative_int("steps", steps), record_every, record_at)
        vectors = int(_check.boolean("record_positions", record_positions))
        vectors += int(_check.boolean("record_velocities", record_velocities))
        total = self.prepare(ensemble, steps)
        check_records(at.size, ensemble, vectors)
        with self._device(ensemble):
            return self._run(ensemble, total, at, record_positions, record_velocities, progress)

    # ---------------------------------------------------------------------------------------- for outer algorithms (Explorer)

    def prepare(self, ensemble: Ensemble, sweeps: int) -> int:
        """Check an ensemble that is about to be advanced by `sweeps` time steps, and give it velocities if it has none."""
        count = check_advance(self.system, ensemble, "sweeps", sweeps)
        with cuda.find_device(ensemble.device).current():
            coldest = float(ensemble.beta.min())
        if coldest == 0.0 and (self.thermostat != "nve" or ensemble.velocities is None):
            raise ValueError("beta: expected positive numbers for molecular dynamics, got 0")
        if ensemble.velocities is None:
            ensemble.draw_velocities()
        return count

    @exclusive("ensemble")
    def explore(self, ensemble: Ensemble, sweeps: int) -> int:
        """Advance an ensemble that `prepare` has checked by `sweeps` time steps, and return the pair evaluations."""
        count = check_explore(ensemble, sweeps)
        with self._device(ensemble):
            counters = self._counters(ensemble)
            self._advance(ensemble, count, counters)
            return int(counters.pair_evaluations.sum())

    @exclusive("ensemble")
    def adapt(self, ensemble: Ensemble, sweeps: int) -> int:
        """Do the same: there is nothing to adapt."""
        return self.explore(ensemble, self.prepare(ensemble, sweeps))

    def describe(self) -> dict[str, Any]:
        """Return the settings that decide on the trajectories."""
        return {
            "explorer": "molecular_dynamics",
            "timestep": self.timestep,
            "thermostat": self.thermostat,
            "friction": self.friction,
            "relaxation_time": self.relaxation_time,
            "swap_every": self.swap_every,
            "swap_weights": self.swap_weights.tolist(),
        }

    # ------------------------------------------------------------------------------------------------------------ internals

    def _device(self, ensemble: Ensemble) -> Any:
        import contextlib

        stack = contextlib.ExitStack()
        stack.enter_context(cuda.find_device(ensemble.device).current())
        stack.enter_context(_arrays.out_of_memory("molecular dynamics of this ensemble"))
        return stack

    def _run(
        self,
        ensemble: Ensemble,
        total: int,
        at: npt.NDArray[np.int64],
        with_positions: bool,
        with_velocities: bool,
        progress: Progress | None,
    ) -> MDRecord:
        start = time.perf_counter()
        first_step = ensemble.step
        replicas, n, d = ensemble.positions.shape
        host: dict[str, npt.NDArray[Any] | None] = {
            "energy": np.empty((at.size, replicas)),
            "kinetic": np.empty((at.size, replicas)),
            "positions": np.empty((at.size, replicas, n, d)) if with_positions else None,
            "velocities": np.empty((at.size, replicas, n, d)) if with_velocities else None,
            "species": np.empty((at.size, replicas, n), dtype=np.int32) if with_positions else None,
        }
        counters = self._counters(ensemble)
        most = self._records_at_once(ensemble, host, at.size)
        done = 0
        while done < total:
            count = min(self._chunk(ensemble), total - done)
            low, high = (int(place) for place in np.searchsorted(at, [done, done + count], side="right"))
            if high - low > most:
                high, count = low + most, int(at[low + most - 1]) - done
            part = {name: None if array is None else array[low:high] for name, array in host.items()}
            self._advance_and_record(ensemble, count, counters, at[low:high] - done, part)
            done += count
            if progress is not None:
                progress(done, total, self._info(ensemble, counters))
        return MDRecord(
            steps=first_step + at,
            time=np.asarray(at * self.timestep, dtype=np.float64),
            energy=host["energy"],  # type: ignore[arg-type]
            kinetic_energy=host["kinetic"],  # type: ignore[arg-type]
            beta=_arrays.to_host(ensemble.beta.copy()),
            n=n,
            dimension=d,
            swap_attempts=by_species(_arrays.to_host(counters.swap_attempts), self.system.n_species),
            swap_accepts=by_species(_arrays.to_host(counters.swap_accepts), self.system.n_species),
            pair_evaluations=int(counters.pair_evaluations.sum()),
            wall_time=time.perf_counter() - start,
            positions=host["positions"],
            velocities=host["velocities"],
            species=host["species"],
        )

    def _counters(self, ensemble: Ensemble) -> Counters:
        return Counters.zeros(ensemble.replicas, len(self._pair_thresholds), cuda.find_device(ensemble.device))

    def _records_at_once(self, ensemble: Ensemble, host: dict[str, npt.NDArray[Any] | None], records: int) -> int:
        """Records that one native call may make: any number on the CPU, where they go straight to their place."""
        if ensemble.device == "cpu" or not records:
            return sys.maxsize
        one = sum(array.nbytes for array in host.values() if array is not None) // records
        return max(1, _RECORD_BYTES // one)

    def _chunk(self, ensemble: Ensemble) -> int:
        """Steps for the next native call: about 0.1 s."""
        if self._pace == 0.0:
            return 1 if self.system.n > 10_000 else 50
        return max(1, min(1_000_000, int(_CHUNK_SECONDS / (self._pace * ensemble.replicas))))

    def _advance_and_record(
        self,
        ensemble: Ensemble,
        steps: int,
        counters: Counters,
        at: npt.NDArray[np.int64],
        host: dict[str, npt.NDArray[Any] | None],
    ) -> None:
        """Advance, and record into arrays in host memory, by way of the device."""
        if ensemble.device == "cpu":
            self._advance(ensemble, steps, counters, Records(at, **host))
            return
        xp = cuda.find_device(ensemble.device).xp
        records = Records(
            at, **{name: None if array is None else xp.empty(array.shape, array.dtype) for name, array in host.items()}
        )
        self._advance(ensemble, steps, counters, records)
        for name, target in host.items():
            if target is not None and target.size:
                target[...] = _arrays.to_host(getattr(records, name))

    def _advance(self, ensemble: Ensemble, steps: int, counters: Counters, records: Records | None = None) -> None:
        """Advance by one native call; where a replica blows up, put the ensemble back and raise."""
        start = time.perf_counter()
        # As in Monte Carlo, Ctrl-C may be raised as the native call returns or anywhere after: the step must follow the state.
        before, completed = ensemble.step, np.zeros(1, dtype=np.int64)
        kept = {name: getattr(ensemble, name).copy() for name in _MOVED}
        try:
            self._call(ensemble, steps, counters, completed, records)
            self._settle(ensemble, before, int(completed[0]), counters, kept)
        except BaseException as error:
            if not isinstance(error, BlowUpError):
                self._settle(ensemble, before, int(completed[0]), counters, kept)
            raise
        if steps:
            self._pace = (time.perf_counter() - start) / (steps * ensemble.replicas)

    def _settle(self, ensemble: Ensemble, before: int, completed: int, counters: Counters, kept: dict[str, Any]) -> None:
        """Set the step that belongs to the state; doing it again does no harm."""
        failure = _arrays.to_host(counters.failure)
        if completed and not failure.any():
            ensemble.step = before + completed
            return
        # Also where the call failed half way, for want of memory: some replicas may have moved.
        for name, array in kept.items():
            getattr(ensemble, name)[...] = array
        ensemble.step = before
        if not failure.any():
            return
        replica = int(np.argmin(np.where(failure > 0, failure, np.iinfo(np.int64).max)))
        step = before + int(failure[replica])
        raise BlowUpError(
            f"molecular dynamics blew up at step {step} in replica {replica}: a particle moved by more than a fifth of the "
            f"cutoff within one time step of {self.timestep:g}, or is faster, or pushed harder, than the sums of kinetic "
            f"energies and forces can hold; the ensemble is back at step {before}: use a smaller timestep, or start from a "
            "configuration without overlaps",
            step,
            replica,
        )

    def _call(
        self,
        ensemble: Ensemble,
        steps: int,
        counters: Counters,
        completed: npt.NDArray[np.int64],
        records: Records | None,
    ) -> None:
        address = _arrays.address
        arguments: dict[str, Any] = {
            name: address(getattr(ensemble, name))
            for name in ("positions", "velocities", "images", "species", "beta", "energy", "ids", "move_size")
        }
        arguments |= {
            "replicas": ensemble.replicas,
            "seed": ensemble.seed,
            "step": ensemble.step,
            "steps": steps,
            "timestep": self.timestep,
            "thermostat": THERMOSTATS.index(self.thermostat),
            "friction": self.friction,
            "relaxation_time": self.relaxation_time,
            "record_at": [] if records is None else records.at.tolist(),
            "pair_evaluations": address(counters.pair_evaluations),
            "failure": address(counters.failure),
            "swap_every": self.swap_every or 0,
            "pair_thresholds": self._pair_thresholds,
            "swap_attempts": address(counters.swap_attempts),
            "swap_accepts": address(counters.swap_accepts),
            "completed": address(completed),
        }
        for name in Records.FIELDS if records is not None else ():
            arguments[f"record_{name}"] = address(getattr(records, name))
        device = cuda.find_device(ensemble.device)
        if device.ordinal is None:
            _core.molecular_dynamics(native_system(self.system), threads=self.threads, **arguments)
        else:
            stream = _arrays.stream_of(ensemble.positions)
            _core.cuda_molecular_dynamics(native_system(self.system), device=device.ordinal, stream=stream, **arguments)

    def _info(self, ensemble: Ensemble, counters: Counters) -> dict[str, Any]:
        assert ensemble.velocities is not None
        square = float((ensemble.velocities**2).sum()) / ensemble.replicas
        attempts = int(counters.swap_attempts.sum())
        info = {
            "energy_per_particle": float(ensemble.energy.mean()) / self.system.n,
            "kinetic_temperature": square / self.degrees_of_freedom,
        }
        if attempts:
            info["swap_acceptance"] = int(counters.swap_accepts.sum()) / attempts
        return info
