"""What population annealing does to its population: reweighting, resampling, copies, and sweeps of some replicas at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .. import _arrays, _core, cuda
from .._native import default_threads
from ..ensemble import Ensemble

__all__ = [
    "Moved",
    "Reweighting",
    "bring_back",
    "copy_replicas",
    "find_step",
    "host_energy",
    "parents_of",
    "place",
    "reweight",
    "take",
]

FloatArray = npt.NDArray[np.float64]

_ALL = ("positions", "images", "species", "velocities", "beta", "energy", "ids", "move_size")
_COPIED = ("positions", "images", "species", "velocities", "energy")
_TOLERANCE = 3e-4  # of the culled fraction, relative
_MOST_GUESSES = 60
_GATHER_THREAD_BYTES = 2**22  # that are worth a thread


# ---- weights ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reweighting:
    """A population at one inverse temperature, weighted to represent another.

    Attributes
    ----------
    beta_step : float, 1/epsilon
    weights : (R,) uint64
        Relative to the largest, on a grid of integers (`resampling.hpp`).
    total : int
        Their sum.
    log_mean : float
        Log of the mean of exp(-beta_step U): the estimate of the change of log Z.
    culled : float
        Expected fraction of replicas without children, mean of max(0, 1 - tau).
    ess : float
        Effective sample size as a fraction of the population.
    """

    beta_step: float
    weights: npt.NDArray[np.uint64] = field(repr=False)
    total: int
    log_mean: float
    culled: float
    ess: float

    def tau(self) -> FloatArray:
        """Return the expected number of children of each replica, (R,)."""
        return self.weights.astype(np.float64) * (self.weights.size / self.total)


def reweight(energy: FloatArray, beta_step: float) -> Reweighting:
    """Weight replicas by exp(-beta_step U), given their energies in host memory; the same bits on every machine."""
    extreme = float(energy.min() if beta_step >= 0.0 else energy.max())
    weights = np.empty(energy.size, dtype=np.uint64)
    total, log_mean, culled, ess = _core.reweight(
        replicas=energy.size,
        energy=_arrays.address(energy),
        beta_step=beta_step,
        extreme=extreme,
        weights=_arrays.address(weights),
    )
    return Reweighting(beta_step, weights, total, log_mean - beta_step * extreme, culled, ess)


def find_step(energy: FloatArray, farthest: float, culling_fraction: float) -> Reweighting:
    """Return the step of beta, at most `farthest`, at which the expected culled fraction is `culling_fraction`.

    The culled fraction grows with the step. The root is enclosed by false position (Illinois variant, Dowell and Jarratt, BIT
    11, 168, 1971), in operations that are correctly rounded everywhere, to 3e-4 of the wanted fraction.
    """
    guess = reweight(energy, farthest)
    if guess.culled <= culling_fraction:
        return guess
    low, low_miss, high, high_miss = 0.0, -culling_fraction, farthest, guess.culled - culling_fraction
    side = 0
    for _ in range(_MOST_GUESSES):
        middle = (low * high_miss - high * low_miss) / (high_miss - low_miss)
        if not low < middle < high:
            middle = 0.5 * (low + high)
        guess = reweight(energy, middle)
        miss = guess.culled - culling_fraction
        if abs(miss) <= _TOLERANCE * culling_fraction or middle in (low, high):
            break
        if miss > 0.0:
            high, high_miss, low_miss, side = middle, miss, 0.5 * low_miss if side > 0 else low_miss, 1
        else:
            low, low_miss, high_miss, side = middle, miss, 0.5 * high_miss if side < 0 else high_miss, -1
    return guess


# ---- resampling ------------------------------------------------------------------------------------------------------------


def parents_of(reweighting: Reweighting, seed: int, step: int) -> npt.NDArray[np.int64]:
    """Return the parent (R,) of every slot by systematic resampling; replicas with children are their own parents."""
    weights = reweighting.weights
    parents = np.empty(weights.size, dtype=np.int64)
    _core.resample(
        replicas=weights.size,
        weights=_arrays.address(weights),
        seed=seed,
        step=step,
        parents=_arrays.address(parents),
    )
    return parents


@dataclass(frozen=True)
class Moved:
    """Where a flow has carried all replicas: positions (R, N, d), images (R, N, d) and energies (R,), in host memory."""

    positions: FloatArray
    images: npt.NDArray[np.int32]
    energy: FloatArray


def place(population: Ensemble, moved: Moved) -> None:
    """Put all replicas where a flow has carried them, wherever the population is; doing it again does no harm."""
    with cuda.find_device(population.device).current():
        for name in ("positions", "images", "energy"):
            array = getattr(population, name)
            array[...] = _arrays.put(getattr(moved, name), array)


def copy_replicas(population: Ensemble, parents: npt.NDArray[np.int64]) -> None:
    """Replace every replica by a copy of its parent, in place: configuration, velocities and energy; ids stay with the slots.

    Doing it again does no harm, because parents are their own parents.
    """
    place = cuda.find_device(population.device)
    arrays = [array for array in (getattr(population, name) for name in _COPIED) if array is not None]
    memory = [(_arrays.address(array), array.nbytes // parents.size) for array in arrays]
    if place.ordinal is not None:
        with place.current(), _arrays.out_of_memory("the copies of these replicas"):
            _core.cuda_gather_replicas(
                replicas=parents.size,
                parents=_arrays.address(parents),
                arrays=memory,
                device=place.ordinal,
                stream=_arrays.stream_of(population.positions),
            )
        return
    moved = sum(array.nbytes for array in arrays) * float(np.mean(parents != np.arange(parents.size)))
    threads = max(1, min(default_threads(), int(moved / _GATHER_THREAD_BYTES)))
    _core.gather_replicas(
        replicas=parents.size,
        parents=_arrays.address(parents),
        arrays=memory,
        threads=threads,
    )


def host_energy(population: Ensemble) -> FloatArray:
    """Return a copy of the energies in host memory."""
    return np.array(_arrays.to_host(population.energy))


# ---- some replicas at a time -----------------------------------------------------------------------------------------------


def take(population: Ensemble, low: int, high: int, done: npt.NDArray[np.int64], device: str) -> Ensemble:
    """Return replicas low ... high - 1 as an ensemble on a device, to be advanced and then brought back.

    Parameters
    ----------
    population : Ensemble
        Its `step` is that of replicas that have done no sweeps.
    low, high : int
        The replicas; all of them have done the same number of sweeps.
    done : (R,) int64
        Sweeps that each replica has done since.
    device : str
        Where the population is: the ensemble then shares its arrays. Or elsewhere: it is a copy.
    """
    part = object.__new__(Ensemble)
    part.__dict__.update(population.__dict__)
    with cuda.find_device(population.device).current():
        for name in _ALL:
            array = getattr(population, name)
            setattr(part, name, None if array is None else array[low:high])
    part.step = population.step + int(done[low])
    return part.to(device)


def bring_back(population: Ensemble, low: int, high: int, done: npt.NDArray[np.int64], part: Ensemble) -> None:
    """Write what an explorer did to a part into the population, and the sweeps into `done`; doing it twice does no harm."""
    with cuda.find_device(population.device).current():
        for name in _ALL:
            source, whole = getattr(part, name), getattr(population, name)
            if source is None:
                continue
            if whole is None:  # velocities that the explorer has made
                whole = _arrays.namespace(population.energy).zeros((population.replicas, *source.shape[1:]), dtype=source.dtype)
                setattr(population, name, whole)
            target = whole[low:high]
            if part.device != population.device:
                target[...] = _arrays.to_host(source)
            elif _arrays.address(source) != _arrays.address(target):
                target[...] = source
    done[low:high] = part.step - population.step
