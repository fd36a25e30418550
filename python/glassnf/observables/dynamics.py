"""Correlation functions in time: displacements, self-intermediate scattering, overlaps, relaxation times.

Positions are unwrapped, (records, R, N, d), recorded at `times` (records,): any unit (sweeps, or tau for molecular dynamics),
strictly increasing, spaced linearly or not. `origins` says which records are time origins:

- None, linear times: every record (averages over all pairs of records with equal lag), by FFT where the function allows it; the
  overlaps, which do not, take at most 10 origins.
- None, any other times (e.g. logarithmic): the first record only.
- a number m, linear times only: m records, evenly spaced over the whole series.

Values are averaged within each replica, then over replicas; the error is the standard error over replicas, which are
independent. Records of one replica are not, so a single replica has no error (NaN).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassnf import _check, _optional
from glassnf.observables._inputs import MAX_SPECIES, ComplexArray, FloatArray, IntArray, box_sides, species_labels, wrap
from glassnf.observables.estimate import Estimate
from glassnf.observables.structure import wave_vectors

__all__ = [
    "TimeCorrelation",
    "collective_overlap",
    "crossing_time",
    "mean_square_displacement",
    "random_overlap",
    "relaxation_time",
    "self_intermediate_scattering",
    "self_overlap",
]

_FFT_ENTRIES = 1 << 21
_OVERLAP_ORIGINS = 10
_DENSE_OVERLAP = 256


@dataclass(frozen=True, eq=False)
class TimeCorrelation:
    """A function of the time lag.

    Attributes
    ----------
    time
        (lags,) from 0.
    value
        (lags,) mean over replicas.
    error
        (lags,) standard error over replicas; NaN for one replica.
    replicas
        (lags, R) value of each replica.
    n_origins
        (lags,) time origins averaged over at each lag.
    """

    time: FloatArray
    value: FloatArray
    error: FloatArray
    replicas: FloatArray
    n_origins: IntArray


@dataclass(frozen=True, eq=False)
class _Trajectory:
    """Checked input. `weights` (records, R, N) is 1 where a particle is of the wanted species, else 0; None: all are."""

    positions: FloatArray
    times: FloatArray
    weights: FloatArray | None
    every: bool
    origins: IntArray

    def weight(self, record: int) -> FloatArray:
        shape = self.positions.shape[1:3]
        return np.ones(shape) if self.weights is None else self.weights[record]

    def correlation(self, replicas: FloatArray) -> TimeCorrelation:
        """Wrap the values (lags, R) of all replicas."""
        count = replicas.shape[1]
        spread = replicas.std(axis=1, ddof=1) / math.sqrt(count) if count > 1 else np.full(len(replicas), np.nan)
        lags = np.arange(len(self.times))
        n_origins = np.array([np.count_nonzero(self.origins + lag < len(lags)) for lag in lags], dtype=np.int64)
        return TimeCorrelation(self.times - self.times[0], replicas.mean(axis=1), spread, replicas, n_origins)


def _times(times: object, records: int) -> tuple[FloatArray, bool]:
    checked = _check.float_array("times", times, (records,))
    steps = np.diff(checked)
    if not (steps > 0.0).all():
        bad = int(np.flatnonzero(steps <= 0.0)[0])
        raise ValueError(f"times: expected strictly increasing times, got {checked[bad]:g} then {checked[bad + 1]:g}")
    linear = bool(np.allclose(steps, steps.mean(), rtol=1e-6, atol=0.0)) if records > 2 else True
    return checked, linear


def _origins(origins: int | None, records: int, linear: bool, default: int | None) -> IntArray:
    """Records that are origins; `default` is their number where the caller gave none (None: every record)."""
    if origins is not None:
        wanted = _check.positive_int("origins", origins)
        if wanted > records:
            raise ValueError(f"origins: expected at most the number of records ({records}), got {wanted}")
        if wanted > 1 and not linear:
            raise ValueError(f"origins: expected None or 1, since the times are not evenly spaced, got {wanted}")
    else:
        wanted = (records if default is None else min(default, records)) if linear else 1
    return (np.arange(wanted) * records // wanted).astype(np.int64)


def _species_weights(species: object, of: int | None, shape: tuple[int, ...]) -> FloatArray | None:
    if (species is None) != (of is None):
        given, missing = ("of", "species") if species is None else ("species", "of")
        raise ValueError(f"{missing}: expected a value where {given} is given, got None")
    if species is None or of is None:
        return None
    records, replicas, n = shape
    array = _check.int_array("species", species, low=0, high=MAX_SPECIES)
    lead = (records, replicas) if array.ndim == 3 else (replicas,)
    labels = np.broadcast_to(species_labels(array, lead, n), (records, replicas, n))
    chosen: FloatArray = np.where(labels == _check.nonnegative_int("of", of), 1.0, 0.0)
    if not (chosen.sum(axis=2) > 0).all():
        present = sorted(set(np.unique(array).tolist()))
        raise ValueError(f"of: expected a species present in every configuration (there are {present}), got {of}")
    return chosen


def _trajectory(
    positions: object,
    times: object,
    origins: int | None,
    *,
    species: object = None,
    of: int | None = None,
    subtract_drift: bool = False,
    default_origins: int | None = None,
) -> _Trajectory:
    x = _check.float_array("positions", positions, (None, None, None, None))
    if x.size == 0 or x.shape[3] not in (2, 3):
        raise ValueError(f"positions: expected a non-empty shape (records, replicas, N, 2 or 3), got shape {x.shape}")
    checked, linear = _times(times, len(x))
    chosen = _origins(origins, len(x), linear, default_origins)
    weights = _species_weights(species, of, x.shape[:3])
    x = x - x[0]
    if _check.boolean("subtract_drift", subtract_drift):
        x = x - x.mean(axis=2, keepdims=True)
    return _Trajectory(x, checked, weights, len(chosen) == len(x) and len(x) > 1, chosen)


# --------------------------------------------------------------------------------------------------------- all lags by FFT


def _lagged_products(a: ComplexArray | FloatArray, b: ComplexArray | FloatArray) -> FloatArray:
    """Sum over columns m and origins t of Re conj(a[t, m]) b[t + lag, m], for all lags; a, b (records, M)."""
    records, columns = a.shape
    size = 1 << (2 * records - 1).bit_length()
    step = max(1, _FFT_ENTRIES // size)
    product = np.zeros(size, dtype=np.complex128)
    for start in range(0, columns, step):
        part = slice(start, start + step)
        transform = np.fft.fft(b[:, part], size, axis=0)
        other = transform if b is a else np.fft.fft(a[:, part], size, axis=0)
        product += (np.conj(other) * transform).sum(axis=1)
    return np.asarray(np.fft.ifft(product).real[:records], dtype=np.float64)


def _origin_sums(values: FloatArray) -> FloatArray:
    """Sum of values[t] over the origins t that reach each lag, t + lag < records."""
    return np.asarray(np.cumsum(values)[::-1], dtype=np.float64)


def _all_lags(data: _Trajectory, one_replica: Callable[[FloatArray, FloatArray], FloatArray]) -> FloatArray:
    """Apply `one_replica(positions (records, N, d), weights (records, N)) -> (lags,)` to each replica: (lags, R)."""
    ones = np.ones((data.positions.shape[0], data.positions.shape[2]))
    columns = []
    for r in range(data.positions.shape[1]):
        w = ones if data.weights is None else data.weights[:, r]
        columns.append(one_replica(data.positions[:, r], w) / _origin_sums(w.sum(axis=1)))
    return np.stack(columns, axis=1)


def _per_origin(data: _Trajectory, kernel: Callable[[int, int], FloatArray]) -> FloatArray:
    """Average `kernel(origin, record) -> (R,)` over the chosen origins: (lags, R)."""
    records, replicas = data.positions.shape[:2]
    total, count = np.zeros((records, replicas)), np.zeros((records, 1))
    for origin in data.origins.tolist():
        for record in range(origin, records):
            total[record - origin] += kernel(origin, record)
            count[record - origin] += 1.0
    return total / count


# ----------------------------------------------------------------------------------------------------- one-particle functions


def mean_square_displacement(
    positions: object,
    times: object,
    *,
    species: object = None,
    of: int | None = None,
    origins: int | None = None,
    subtract_drift: bool = False,
) -> TimeCorrelation:
    """Return the mean-square displacement <|r_i(t0 + t) - r_i(t0)|^2>, in units of sigma^2.

    With every record an origin it takes O(records log records) by FFT (Calandrini et al. 2011), in double precision and about
    the first position of each particle (``freud.msd`` computes in single precision, which loses the small displacements of a
    supercooled liquid).

    Parameters
    ----------
    positions
        (records, R, N, d) unwrapped.
    times
        (records,) strictly increasing.
    species, of
        Average only over particles that are of species `of` at the time origin; species is (N,), (R, N) or (records, R, N).
    origins
        See the module; None, or the number of time origins.
    subtract_drift
        Measure positions from the mean position of all particles, which itself diffuses in Monte Carlo.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.

    References
    ----------
    Calandrini, Pellegrini, Calligari, Hinsen, Kneller 2011, Collection SFN 12, 201.
    """
    data = _trajectory(positions, times, origins, species=species, of=of, subtract_drift=subtract_drift)

    def by_fft(x: FloatArray, w: FloatArray) -> FloatArray:
        square = (x**2).sum(axis=2)
        weighted = (w[:, :, None] * x).reshape(len(x), -1)
        cross = _lagged_products(weighted, x.reshape(len(x), -1))
        result = _lagged_products(w, square) - 2.0 * cross + _origin_sums((w * square).sum(axis=1))
        result[0] = 0.0
        return np.maximum(result, 0.0)

    def kernel(origin: int, record: int) -> FloatArray:
        w = data.weight(origin)
        square = ((data.positions[record] - data.positions[origin]) ** 2).sum(axis=2)
        return np.asarray((w * square).sum(axis=1) / w.sum(axis=1), dtype=np.float64)

    return data.correlation(_all_lags(data, by_fft) if data.every else _per_origin(data, kernel))


def self_intermediate_scattering(
    positions: object,
    times: object,
    box: object,
    k: float,
    *,
    width: float | None = None,
    max_vectors: int | None = 32,
    species: object = None,
    of: int | None = None,
    origins: int | None = None,
    subtract_drift: bool = False,
) -> TimeCorrelation:
    """Return the self-intermediate scattering function F_s(k, t) = <cos(k . (r_i(t0 + t) - r_i(t0)))>.

    Averaged over the wave vectors of the periodic box with modulus near `k` (`wave_vectors`).

    Parameters
    ----------
    positions, times, species, of, origins, subtract_drift
        As for `mean_square_displacement`.
    box
        (d,) sides of the box.
    k
        Modulus of the wave vector in 1/sigma; for supercooled liquids usually the first peak of S(k).
    width, max_vectors
        As for `wave_vectors`: largest deviation of a modulus from `k`, and largest number of vectors.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    data = _trajectory(positions, times, origins, species=species, of=of, subtract_drift=subtract_drift)
    sides = box_sides("box", box, data.positions.shape[3])
    vectors = wave_vectors(sides, k, width=width, max_vectors=max_vectors)

    def by_fft(x: FloatArray, w: FloatArray) -> FloatArray:
        total = np.zeros(len(x))
        for vector in vectors:
            wave = np.exp(1j * (x @ vector))
            total += _lagged_products(wave if data.weights is None else w * wave, wave)
        return total / len(vectors)

    def kernel(origin: int, record: int) -> FloatArray:
        w = data.weight(origin)
        moved = data.positions[record] - data.positions[origin]
        mean = np.zeros(moved.shape[:2])
        for vector in vectors:
            mean += np.cos(moved @ vector)
        return np.asarray((w * mean).sum(axis=1) / (len(vectors) * w.sum(axis=1)), dtype=np.float64)

    return data.correlation(_all_lags(data, by_fft) if data.every else _per_origin(data, kernel))


def self_overlap(
    positions: object,
    times: object,
    *,
    a: float = 0.3,
    species: object = None,
    of: int | None = None,
    origins: int | None = None,
    subtract_drift: bool = False,
) -> TimeCorrelation:
    """Return the self overlap Q_s(t) = <theta(a - |r_i(t0 + t) - r_i(t0)|)>: the fraction of particles that moved at most `a`.

    Parameters
    ----------
    positions, times, species, of, origins, subtract_drift
        As for `mean_square_displacement`, but None takes at most 10 origins.
    a
        Distance in units of sigma.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    data = _trajectory(
        positions, times, origins, species=species, of=of, subtract_drift=subtract_drift, default_origins=_OVERLAP_ORIGINS
    )
    square = _check.magnitude("a", a) ** 2

    def kernel(origin: int, record: int) -> FloatArray:
        w = data.weight(origin)
        near = ((data.positions[record] - data.positions[origin]) ** 2).sum(axis=2) <= square
        return np.asarray((w * near).sum(axis=1) / w.sum(axis=1), dtype=np.float64)

    return data.correlation(_per_origin(data, kernel))


# ------------------------------------------------------------------------------------------------------ collective overlap


def _dense_overlap(x: FloatArray, y: FloatArray, box: FloatArray, a: float) -> FloatArray:
    """Pairs of x (R, N, d) and y (R, N, d) at most `a` apart, minimum image, for each replica: (R,)."""
    square = np.zeros((*x.shape[:2], y.shape[1]))
    for axis in range(box.size):
        difference = x[:, :, None, axis] - y[:, None, :, axis]
        difference -= box[axis] * np.round(difference / box[axis])
        square += difference**2
    return np.asarray(np.count_nonzero(square <= a * a, axis=(1, 2)), dtype=np.float64)


def _tree_overlap(x: FloatArray, y: FloatArray, box: FloatArray, a: float) -> FloatArray:
    """As `_dense_overlap`, by periodic k-d trees."""
    tree = _optional.require("scipy.spatial", extra="analysis", purpose="overlaps of large systems").cKDTree
    counts = [tree(p, boxsize=box).count_neighbors(tree(q, boxsize=box), a) for p, q in zip(x, y, strict=True)]
    return np.array(counts, dtype=np.float64)


def collective_overlap(
    positions: object, times: object, box: object, *, a: float = 0.3, origins: int | None = None
) -> TimeCorrelation:
    """Return the collective overlap Q(t) = (1/N) sum_ij theta(a - |r_i(t0 + t) - r_j(t0)|), minimum image.

    It asks whether a place is occupied at both times, by whichever particle: two particles that exchange places, as swap moves
    may be read, leave it unchanged. Q(0) = 1 as long as no two particles are within `a`, and for independent configurations
    Q tends to `random_overlap`, not to 0.

    Parameters
    ----------
    positions
        (records, R, N, d), wrapped or not.
    times
        (records,) strictly increasing.
    box
        (d,) sides of the box.
    a
        Distance in units of sigma, below half the shortest side.
    origins
        See the module; None takes at most 10 origins.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    ImportError
        For more than 256 particles, if scipy is not installed.
    """
    x = _check.float_array("positions", positions, (None, None, None, None))
    data = _trajectory(x, times, origins, default_origins=_OVERLAP_ORIGINS)
    sides = box_sides("box", box, x.shape[3])
    a = _check.magnitude("a", a)
    if a >= 0.5 * float(sides.min()):
        raise ValueError(f"a: expected less than half the shortest side ({0.5 * sides.min():g}), got {a:g}")
    n = x.shape[2]
    wrapped = wrap(x, sides)
    count = _dense_overlap if n <= _DENSE_OVERLAP else _tree_overlap

    def kernel(origin: int, record: int) -> FloatArray:
        return np.asarray(count(wrapped[record], wrapped[origin], sides, a) / n, dtype=np.float64)

    return data.correlation(_per_origin(data, kernel))


def random_overlap(n: int, box: object, a: float) -> float:
    """Return the collective overlap of independent configurations, N v(a) / V, with v(a) the volume of a ball of radius `a`."""
    sides = box_sides("box", box)
    radius = _check.magnitude("a", a)
    ball = math.pi * radius**2 if sides.size == 2 else 4.0 / 3.0 * math.pi * radius**3
    return _check.positive_int("n", n) * ball / float(np.prod(sides))


# --------------------------------------------------------------------------------------------------------- relaxation time


def _crossing(time: FloatArray, value: npt.NDArray[np.float64], level: float) -> float:
    below = np.flatnonzero(value <= level)
    if below.size == 0:
        return math.inf
    i = int(below[0])
    if i == 0 or value[i] == level:
        return float(time[i])
    fraction = (value[i - 1] - level) / (value[i - 1] - value[i])
    if time[i - 1] <= 0.0:
        return float(time[i - 1] + fraction * (time[i] - time[i - 1]))
    return float(time[i - 1] * (time[i] / time[i - 1]) ** fraction)


def crossing_time(time: object, value: object, level: float = math.exp(-1.0)) -> float:
    """Return the time at which a decaying function first reaches `level`.

    Interpolated between records linearly in the value and in log(time) (in time itself where the earlier record is at 0).

    Parameters
    ----------
    time
        (lags,) strictly increasing, not negative.
    value
        (lags,)
    level
        1/e by default.

    Returns
    -------
    float
        Infinite where the level is never reached: the time is then longer than the last lag.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    values = _check.float_array("value", value, (None,))
    if values.size == 0:
        raise ValueError("value: expected at least one record, got none")
    lags, _ = _times_of(time, values.size)
    return _crossing(lags, values, _check.finite_float("level", level))


def _times_of(time: object, records: int) -> tuple[FloatArray, bool]:
    lags = _check.float_array("time", time, (records,))
    if lags[0] < 0.0 or not (np.diff(lags) > 0.0).all():
        raise ValueError(f"time: expected strictly increasing times from 0 on, got {lags[:4].tolist()}...")
    return lags, True


def relaxation_time(correlation: TimeCorrelation, level: float = math.exp(-1.0)) -> Estimate:
    """Return the time at which a correlation function first reaches `level`, with its error.

    The time is that of the mean over replicas (`crossing_time`); its error is a jackknife over the replicas, in log(time),
    times the time. It is NaN for one replica, and infinite where the level is not reached without some replica.

    Parameters
    ----------
    correlation
        From `self_intermediate_scattering`, `self_overlap` or `collective_overlap`.
    level
        1/e by default; for the collective overlap choose one above its plateau `random_overlap`.

    Returns
    -------
    Estimate
        `value` is infinite where the level is never reached.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    if not isinstance(correlation, TimeCorrelation):
        raise TypeError(f"correlation: expected a TimeCorrelation, got {type(correlation).__name__}")
    level = _check.finite_float("level", level)
    value = _crossing(correlation.time, correlation.value, level)
    count = correlation.replicas.shape[1]
    error = math.nan
    if count > 1 and math.isfinite(value):
        rest = (correlation.replicas.sum(axis=1, keepdims=True) - correlation.replicas) / (count - 1)
        times = np.array([_crossing(correlation.time, rest[:, r], level) for r in range(count)])
        error = math.inf
        if np.isfinite(times).all():
            logs = np.log(np.maximum(times, np.finfo(np.float64).tiny))
            error = value * math.sqrt((count - 1) / count * float(np.sum((logs - logs.mean()) ** 2)))
    return Estimate(value, error, math.nan, float(count), count, "replicas")
