"""Averages of correlated time series: autocorrelation times, effective sample sizes, convergence.

A series is an array (records,) or (records, R): R independent replicas recorded at equal intervals of (Monte Carlo) time.
Times are in records. The integrated autocorrelation time is

    tau = 1/2 + sum_{t >= 1} rho(t),

so that the variance of the mean of n records is 2 tau var / n, and tau = 1/2 for independent records. This module needs NumPy
only.

References
----------
Sokal 1997, "Monte Carlo methods in statistical mechanics", in Functional Integration (Plenum), p. 131.
Wolff 2004, Comput. Phys. Commun. 156, 143 (the gamma method).
Chodera 2016, J. Chem. Theory Comput. 12, 1799.
Vehtari, Gelman, Simpson, Carpenter, Buerkner 2021, Bayesian Analysis 16, 667.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from glassnf import _check
from glassnf.observables._gamma import WINDOW, autocovariance, gamma_method
from glassnf.observables._inputs import FloatArray, series_2d
from glassnf.observables.estimate import Estimate
from glassnf.observables.resampling import blocking

__all__ = [
    "AutocorrelationTime",
    "Equilibration",
    "autocorrelation",
    "autocorrelation_time",
    "autocorrelation_time_per_replica",
    "effective_sample_size",
    "equilibration_start",
    "estimate_mean",
    "estimate_mean_per_replica",
    "split_rhat",
]


AUTO_REPLICAS = 8
"""Replicas from which on the spread of their means enters the default error of a mean."""


@dataclass(frozen=True)
class AutocorrelationTime:
    """Integrated autocorrelation time of a series.

    Attributes
    ----------
    value, error
        tau and its standard deviation, in records.
    window
        Largest lag that was summed, in records.
    ess
        Effective number of independent samples, n_samples / (2 tau).
    n_records, n_replicas
        Shape of the series.
    converged
        Whether the window closed (lag >= c tau) and every replica has at least 20 tau records. If not, tau is likely too small.
    """

    value: float
    error: float
    window: int
    ess: float
    n_records: int
    n_replicas: int
    converged: bool

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Equilibration:
    """Where a series stops to depend on its start.

    Attributes
    ----------
    start
        First record to keep.
    tau
        Integrated autocorrelation time of the kept records.
    ess
        Effective number of independent samples among them.
    """

    start: int
    tau: float
    ess: float


def _time(x: FloatArray, c: float) -> AutocorrelationTime:
    g = gamma_method(x, c)
    converged = g.closed and x.shape[0] >= 20.0 * g.tau
    return AutocorrelationTime(g.tau, g.tau_error, g.window, g.ess, x.shape[0], x.shape[1], converged)


def autocorrelation(series: object, max_lag: int | None = None) -> FloatArray:
    """Return the normalised autocorrelation function, pooled over the replicas about their common mean.

    Parameters
    ----------
    series
        (records,) or (records, R).
    max_lag
        Largest lag wanted; by default all.

    Returns
    -------
    numpy.ndarray
        (min(max_lag + 1, records),), 1 at lag 0. Lags near the length of the series are noise.

    Raises
    ------
    TypeError, ValueError
        On a bad series, or one that is constant.
    """
    x = series_2d("series", series)
    lags = x.shape[0] if max_lag is None else min(_check.nonnegative_int("max_lag", max_lag) + 1, x.shape[0])
    deviation = x - x.mean()
    scale = float(np.abs(deviation).max())
    if scale == 0.0 or x.max() == x.min():
        raise ValueError(f"series: expected one that varies, got the constant {x[0, 0]:g}")
    covariance = autocovariance(deviation / scale)
    return np.asarray(covariance[:lags] / covariance[0], dtype=np.float64)


def autocorrelation_time(series: object, *, c: float = WINDOW) -> AutocorrelationTime:
    """Return the integrated autocorrelation time of a series, its replicas pooled.

    The autocovariances of all replicas are averaged, about the mean of all replicas, by FFT. Replicas that disagree, because
    each is stuck in a region of its own, therefore raise tau, up to records / 2: one independent sample per replica.

    Parameters
    ----------
    series
        (records,) or (records, R).
    c
        The sum runs to the smallest lag W >= c tau(W). 5 suits correlations that decay as one exponential; more for slower
        tails.

    Returns
    -------
    AutocorrelationTime
        In records, with tau = 1/2 for independent records. A constant series gives records / 2, `converged` False.

    Raises
    ------
    TypeError, ValueError
        On a bad series or `c`.

    References
    ----------
    Sokal 1997, section 3; Wolff 2004, eqs. 31, 42, 49.

    Examples
    --------
    >>> import numpy as np
    >>> tau = autocorrelation_time(np.random.default_rng(1).normal(size=(10_000, 4)))
    >>> abs(tau.value - 0.5) < 0.05
    True
    """
    return _time(series_2d("series", series), _check.positive_float("c", c))


def autocorrelation_time_per_replica(series: object, *, c: float = WINDOW) -> tuple[AutocorrelationTime, ...]:
    """Return the integrated autocorrelation time of each replica alone, about its own mean. See `autocorrelation_time`."""
    x = series_2d("series", series)
    c = _check.positive_float("c", c)
    return tuple(_time(column, c) for column in _columns(x))


def _columns(x: FloatArray) -> list[FloatArray]:
    return [x[:, r : r + 1] for r in range(x.shape[1])]


def effective_sample_size(series: object, *, c: float = WINDOW) -> float:
    """Return the effective number of independent samples in all replicas together, records * R / (2 tau).

    Parameters and errors as for `autocorrelation_time`.
    """
    return autocorrelation_time(series, c=c).ess


def _mean(x: FloatArray, method: str) -> Estimate:
    if x.size < 2:
        raise ValueError(f"series: expected at least 2 values, got {x.size}")
    if method == "auto":
        gamma = _mean(x, "gamma")
        if x.shape[1] < AUTO_REPLICAS:
            return gamma
        spread = _mean(x, "replicas")
        return spread if spread.error > gamma.error else gamma
    value = float(x.mean())
    if method == "gamma":
        g = gamma_method(x)
        return Estimate(value, g.error, g.tau, g.ess, x.size, method)
    if method == "blocking":
        return blocking(x).estimate
    if x.shape[1] < 2:
        raise ValueError("series: expected at least 2 replicas for method 'replicas', got 1")
    error = float(x.mean(axis=0).std(ddof=1)) / math.sqrt(x.shape[1])
    variance = float(x.var(ddof=1))
    ess = variance / error**2 if error > 0.0 else float(x.shape[1])
    return Estimate(value, error, x.size / (2.0 * ess), ess, x.size, method)


def estimate_mean(series: object, *, method: str = "auto") -> Estimate:
    """Return the mean of a series with an error bar that accounts for autocorrelation.

    The gamma method misses a slow mode of small amplitude: its window closes on the fast ones. The spread of the replica means
    sees every mode, but is itself uncertain by 1/sqrt(2 (R - 1)) of its value. The default takes the larger of the two, so
    where no slow mode hides, errors are too large by about 9% at 8 replicas and 3% at 64 on average.

    Parameters
    ----------
    series
        (records,) or (records, R), at least 2 values.
    method
        "auto": the larger of the errors by "gamma" and by "replicas" from 8 replicas on, with fewer "gamma". "gamma": from the
        pooled integrated autocorrelation time (`autocorrelation_time`). "blocking": from blocks long enough to be independent
        (`blocking`). "replicas": from the spread of the replica means, which assumes nothing about the correlation in time and
        needs at least 2, better 20, replicas.

    Returns
    -------
    Estimate
        Its `method` is the one that gave the error; "auto" becomes "gamma" or "replicas". `tau` and `ess` belong to that error.

    Raises
    ------
    TypeError, ValueError
        On a bad series or method.

    Examples
    --------
    >>> print(estimate_mean([1.0, 3.0, 2.0, 2.0, 1.0, 3.0, 3.0, 1.0]).value)
    2.0
    """
    x = series_2d("series", series)
    return _mean(x, _check.choice("method", method, ("auto", "gamma", "blocking", "replicas")))


def estimate_mean_per_replica(series: object, *, method: str = "gamma") -> tuple[Estimate, ...]:
    """Return the mean of each replica alone, with its error; method "gamma" or "blocking". See `estimate_mean`.

    Neither sees a mode slower than the replica; only the spread between replicas does.
    """
    x = series_2d("series", series)
    method = _check.choice("method", method, ("gamma", "blocking"))
    return tuple(_mean(column, method) for column in _columns(x))


# ------------------------------------------------------------------------------------------------------------ convergence


def _normal_scores(x: FloatArray) -> FloatArray:
    """Rank-normalise all entries together (Vehtari et al. 2021, eq. 14): ties get their mean rank."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    quantile = NormalDist().inv_cdf
    scores = np.array([quantile((rank - 0.375) / (x.size + 0.25)) for rank in ranks.tolist()])
    return np.asarray(scores[inverse.reshape(x.shape)], dtype=np.float64)


def _rhat(chains: FloatArray) -> float:
    n = chains.shape[0]
    within = float(chains.var(axis=0, ddof=1).mean())
    between = float(chains.mean(axis=0).var(ddof=1))
    if within == 0.0:
        return 1.0 if between == 0.0 else math.inf
    return math.sqrt((n - 1) / n + between / within)


def split_rhat(series: object, *, rank_normalised: bool = False) -> float:
    """Return the split R-hat: how much wider all half-replicas together are than one half-replica alone.

    Each replica is cut in two halves, so that a drift shows even in a single replica. Values above 1.01 mean that the replicas
    do not yet sample one distribution.

    Parameters
    ----------
    series
        (records,) or (records, R), at least 4 records; of an odd number the middle one is left out.
    rank_normalised
        Use ranks, robust against heavy tails, and return the larger of the R-hats of the ranks and of the ranks of the distance
        from the median (which sees a difference in width).

    Returns
    -------
    float
        R-hat, at least sqrt((n-1)/n); infinite where every half is constant but they differ.

    Raises
    ------
    TypeError, ValueError
        On a bad series.

    References
    ----------
    Vehtari et al. 2021, eqs. 1-4, 14.
    """
    x = series_2d("series", series)
    n = x.shape[0]
    if n < 4:
        raise ValueError(f"series: expected at least 4 records, got {n}")
    half = n // 2
    chains = np.concatenate([x[:half], x[n - half :]], axis=1)
    if not _check.boolean("rank_normalised", rank_normalised):
        return _rhat(chains)
    folded = np.abs(chains - np.median(chains))
    return max(_rhat(_normal_scores(chains)), _rhat(_normal_scores(folded)))


def equilibration_start(series: object, *, candidates: int = 40, c: float = WINDOW) -> Equilibration:
    """Return the first record to keep: the one that maximises the effective number of samples in the rest.

    Dropping too little keeps a drift, which looks like a long autocorrelation time; dropping too much wastes samples. The best
    start balances the two (Chodera 2016). It finds no drift slower than the whole series: check `split_rhat` as well.

    Parameters
    ----------
    series
        (records,) or (records, R), from the very start of the simulation; at least 4 records.
    candidates
        Number of starts tried, evenly spaced over the first 90% of the records.
    c
        Window factor of `autocorrelation_time`.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    x = series_2d("series", series)
    n = x.shape[0]
    if n < 4:
        raise ValueError(f"series: expected at least 4 records, got {n}")
    tries = _check.integer("candidates", candidates, 1, 2**20)
    c = _check.positive_float("c", c)
    starts = np.unique(np.linspace(0, 0.9 * n, tries, endpoint=False).astype(int))
    best = Equilibration(0, math.nan, -math.inf)
    for start in starts.tolist():
        g = gamma_method(x[start:], c)
        if g.ess > best.ess:
            best = Equilibration(start, g.tau, g.ess)
    return best
