"""Errors from blocks of a time series: blocking analysis, jackknife and bootstrap. Needs NumPy only.

References
----------
Flyvbjerg, Petersen 1989, J. Chem. Phys. 91, 461.
Jonsson 2018, Phys. Rev. E 98, 043304 (automated blocking).
Kunsch 1989, Ann. Stat. 17, 1217 (jackknife and bootstrap of blocks).
Lee, Needs, Towler et al. 2011, Phys. Rev. E 83, 066706 (length of a block).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glassnf import _check
from glassnf.observables._gamma import gamma_method
from glassnf.observables._inputs import FloatArray, IntArray, series_2d
from glassnf.observables.estimate import Estimate

__all__ = ["Blocking", "Bootstrap", "Statistic", "blocking", "bootstrap", "jackknife"]

Statistic = Callable[[FloatArray], float]
"""Maps samples (n,), or (n, K) for K observables, to a number."""

_NORMAL_99 = 2.3263478740408408
_MIN_BLOCKS = 16
_MAX_BLOCKS = 256


@dataclass(frozen=True, eq=False)
class Blocking:
    """Blocking analysis of a series.

    Attributes
    ----------
    estimate
        The mean with the error at the chosen level.
    sizes
        (levels,) records per block: 1, 2, 4, ...
    errors, error_errors
        (levels,) error of the mean if the blocks of that level were independent, and its own standard deviation.
    level
        Index of the chosen level.
    converged
        Whether blocks of that level pass the test for independence. If not, the error is that of the longest blocks, likely too
        small.
    """

    estimate: Estimate
    sizes: IntArray
    errors: FloatArray
    error_errors: FloatArray
    level: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Bootstrap of a statistic.

    Attributes
    ----------
    estimate
        The statistic of all samples, with the standard deviation over the resamples as its error.
    low, high
        Percentile interval at `confidence`.
    confidence
        Probability inside the interval.
    replicates
        (resamples,) the statistic of each resample.
    """

    estimate: Estimate
    low: float
    high: float
    confidence: float
    replicates: FloatArray


def _chi_square_99(dof: int) -> float:
    """99% quantile of chi-square, by Wilson and Hilferty (error below 1%)."""
    a = 2.0 / (9.0 * dof)
    return dof * (1.0 - a + _NORMAL_99 * math.sqrt(a)) ** 3


def _first_independent_level(tests: list[float]) -> int | None:
    """First level from which on the summed tests stay below the 99% quantile of chi-square (Jonsson 2018)."""
    for level in range(len(tests)):
        if sum(tests[level:]) < _chi_square_99(len(tests) - level):
            return level
    return None


def blocking(series: object) -> Blocking:
    """Return the mean of a series with the error from independent blocks, their length chosen automatically.

    Neighbouring blocks are averaged in pairs again and again (Flyvbjerg and Petersen). The level is the first from which on no
    correlation between neighbouring blocks is significant at 1%, by the test of Jonsson 2018 with its own degrees of freedom
    (one per remaining level). Replicas are blocked apart and compared with their common mean; the last level has one block per
    replica. Where the number of blocks is odd, the earliest is dropped from the level above.

    Parameters
    ----------
    series
        (records,) or (records, R), at least 2 values.

    Raises
    ------
    TypeError, ValueError
        On a bad series.
    """
    x = series_2d("series", series)
    if x.size < 2:
        raise ValueError(f"series: expected at least 2 values, got {x.size}")
    blocks, errors, relative, tests = x - x.mean(), [], [], []
    scale = 0.0 if x.max() == x.min() else float(np.abs(blocks).max())
    blocks = blocks / scale if scale > 0.0 else np.zeros_like(x)
    while blocks.size >= 2:
        deviation = blocks - blocks.mean()
        variance = float(np.mean(deviation**2))
        errors.append(scale * math.sqrt(variance / (blocks.size - 1)))
        relative.append(1.0 / math.sqrt(2.0 * (blocks.size - 1)))
        if len(blocks) < 2:
            break
        pairs = deviation[:-1] * deviation[1:]
        correlation = float(pairs.mean()) / variance if variance > 0.0 else 0.0
        tests.append(pairs.size * (correlation + 1.0 / blocks.size) ** 2)
        even = blocks[len(blocks) % 2 :]
        blocks = 0.5 * (even[::2] + even[1::2])
    found = None if scale == 0.0 else _first_independent_level(tests)
    level = len(errors) - 1 if found is None else found
    error, naive = errors[level], errors[0]
    tau = 0.5 * (error / naive) ** 2 if naive > 0.0 else max(len(x) / 2.0, 0.5)
    tau = max(tau, 0.5 / math.log10(max(x.size, 10)))
    estimate = Estimate(float(x.mean()), error, tau, x.size / (2.0 * tau), x.size, "blocking")
    sizes = (2 ** np.arange(len(errors))).astype(np.int64)
    return Blocking(estimate, sizes, np.array(errors), np.array(errors) * np.array(relative), level, found is not None)


# ------------------------------------------------------------------------------------------------------------------ blocks


def block_length(tau: float, records: int, replicas: int) -> int:
    """Length of a block that balances bias and noise of its error, B^3 = 2 n (2 tau)^2 (Lee et al. 2011).

    It is kept short enough for at least 16 blocks in all, where there are as many samples, and long enough for about 256
    blocks at most, where there are not more replicas.
    """
    total = records * replicas
    length = math.ceil(math.pow(2.0 * total * (2.0 * tau) ** 2, 1.0 / 3.0))
    length = max(length, math.ceil(total / _MAX_BLOCKS))
    longest = records // math.ceil(_MIN_BLOCKS / replicas)
    return max(1, min(length, longest))


def to_blocks(x: FloatArray, length: int) -> FloatArray:
    """Cut (records, R, ...) into blocks of `length` records of one replica, the last ones: (blocks, length, ...)."""
    per_replica = x.shape[0] // length
    kept = x[x.shape[0] - per_replica * length :]
    split = kept.reshape(per_replica, length, x.shape[1], *x.shape[2:])
    moved = np.moveaxis(split, 2, 1)
    return np.ascontiguousarray(moved.reshape(per_replica * x.shape[1], length, *x.shape[2:]))


def jackknife_error(deleted: FloatArray) -> float:
    """Standard error from the estimates with one block deleted each."""
    m = deleted.size
    return math.sqrt((m - 1) / m * float(np.sum((deleted - deleted.mean()) ** 2)))


def _samples_3d(samples: object) -> tuple[FloatArray, bool]:
    array = _check.float_array("samples", samples)
    if array.ndim == 3 and array.size > 0:
        return array, True
    return series_2d("samples", array)[:, :, None], False


def _units(samples: object, block_size: int | str) -> tuple[FloatArray, float, bool]:
    """Return the blocks (units, length, K), the largest tau of the K observables, and whether K is an axis of the input."""
    x, several = _samples_3d(samples)
    records, replicas = x.shape[:2]
    tau = max(gamma_method(x[:, :, k]).tau for k in range(x.shape[2]))
    if isinstance(block_size, str):
        kind = _check.choice("block_size", block_size, ("auto", "replica"))
        length = records if kind == "replica" else block_length(tau, records, replicas)
    else:
        length = _check.positive_int("block_size", block_size)
    units = to_blocks(x, length) if length <= records else x[:0]
    if len(units) < 2:
        raise ValueError(
            f"block_size: expected one that cuts {records} records x {replicas} replicas into 2 blocks, got {block_size!r}"
        )
    return units, tau, several


def _pool(units: FloatArray, several: bool) -> FloatArray:
    flat = units.reshape(-1, units.shape[2])
    return flat if several else flat[:, 0]


def jackknife(samples: object, statistic: Statistic, *, block_size: int | str = "auto") -> Estimate:
    """Return a statistic of correlated samples with its jackknife error, corrected for bias of order 1/n.

    Parameters
    ----------
    samples
        (records,), (records, R) or (records, R, K) for K observables.
    statistic
        Function of all samples pooled, (n,) or (n, K), that returns a number, e.g. ``numpy.var``.
    block_size
        Records per block: "auto" (from the longest autocorrelation time of the K observables), "replica" (each replica is one
        block) or a number. Records that fill no block are dropped from the start.

    Raises
    ------
    TypeError, ValueError
        On bad samples, or fewer than 2 blocks.

    References
    ----------
    Kunsch 1989.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(3).normal(size=(2_000, 8))
    >>> print(abs(jackknife(x, np.var).deviation(1.0)) < 4)
    True
    """
    if not callable(statistic):
        raise TypeError(f"statistic: expected a function, got {_check.describe(statistic)}")
    units, tau, several = _units(samples, block_size)
    full = float(statistic(_pool(units, several)))
    keep = np.ones(len(units), dtype=bool)
    deleted = np.empty(len(units))
    for i in range(len(units)):
        keep[i] = False
        deleted[i] = statistic(_pool(units[keep], several))
        keep[i] = True
    value = len(units) * full - (len(units) - 1) * float(deleted.mean())
    n = units.shape[0] * units.shape[1]
    return Estimate(value, jackknife_error(deleted), tau, n / (2.0 * tau), n, "jackknife")


def bootstrap(
    samples: object,
    statistic: Statistic,
    *,
    seed: int,
    resamples: int = 1000,
    block_size: int | str = "auto",
    confidence: float = 0.95,
) -> Bootstrap:
    """Return a statistic of correlated samples with its bootstrap error and percentile interval.

    Whole blocks are drawn with replacement, so that correlations within a block survive.

    Parameters
    ----------
    samples, statistic, block_size
        As for `jackknife`.
    seed
        Non-negative seed of the draws; equal seeds give equal results.
    resamples
        Number of resamples.
    confidence
        Probability inside the interval, in (0, 1).

    Raises
    ------
    TypeError, ValueError
        On bad arguments.
    """
    units, tau, several = _units(samples, block_size)
    _check.fits_memory("resamples", resamples, _check.positive_int("resamples", resamples), "resamples")
    if not callable(statistic):
        raise TypeError(f"statistic: expected a function, got {_check.describe(statistic)}")
    rng = np.random.default_rng(_check.nonnegative_int("seed", seed))
    count = _check.positive_int("resamples", resamples)
    inside = _check.probability("confidence", confidence)
    if not 0.0 < inside < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {inside:g}")
    full = float(statistic(_pool(units, several)))
    replicates = np.empty(count)
    for i in range(count):
        replicates[i] = statistic(_pool(units[rng.integers(len(units), size=len(units))], several))
    error = float(replicates.std(ddof=1)) if count > 1 else math.nan
    low, high = np.quantile(replicates, [(1.0 - inside) / 2.0, (1.0 + inside) / 2.0]).tolist()
    n = units.shape[0] * units.shape[1]
    estimate = Estimate(full, error, tau, n / (2.0 * tau), n, "bootstrap")
    return Bootstrap(estimate, low, high, inside, replicates)
