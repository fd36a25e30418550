"""Which algorithm has the smallest error at equal cost, and between which of them the runs do not decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .analysis import CONFIDENCE, ErrorCurve, FloatArray

__all__ = ["Rank", "error_at", "rank"]


@dataclass(frozen=True)
class Rank:
    """The place of one algorithm.

    Attributes
    ----------
    name
        Name of the algorithm.
    error, low, high
        Its error at `cost` and the 95% interval of that, in the unit of the observable; NaN where its smallest budget has cost
        more.
    cost
        The cost at which errors are compared.
    rank
        1 plus the number of algorithms whose error is smaller; without an error, 1 plus the number of those that have one.
    ties
        Names of the algorithms whose order with this one the runs do not settle, at 95%; without an error, all others.
    """

    name: str
    error: float
    low: float
    high: float
    cost: float
    rank: int
    ties: tuple[str, ...]


def error_at(cost: FloatArray, error: FloatArray, at: float) -> FloatArray:
    """Return the error of a curve at a cost, interpolated in the logarithms.

    Parameters
    ----------
    cost
        (B,) cost of one run, strictly ascending.
    error
        (..., B) errors.
    at
        The cost.

    Returns
    -------
    ndarray
        (...) NaN where `at` lies outside the curve.
    """
    if not cost[0] <= at <= cost[-1]:
        return np.full(error.shape[:-1], np.nan)
    right = int(np.searchsorted(cost, at, side="left"))
    if cost[right] == at:
        return np.asarray(error[..., right], dtype=np.float64)
    part = math.log(at / cost[right - 1]) / math.log(cost[right] / cost[right - 1])
    before, after = error[..., right - 1], error[..., right]
    with np.errstate(divide="ignore"):  # an error of nothing is the end of all logarithms
        return np.asarray(np.exp((1.0 - part) * np.log(before) + part * np.log(after)), dtype=np.float64)


def rank(curves: Mapping[str, ErrorCurve]) -> tuple[Rank, ...]:
    """Rank algorithms by their errors at the least of their final costs.

    Every algorithm stops at a cost of its own, and has an error at all lower ones down to its smallest budget. One whose
    smallest budget has cost more than another's largest has no error there; it comes last, and its order with all others is
    not settled. That of two algorithms with errors is settled where one has the smaller error in more than 97.5% of the
    resampled sets of runs.

    Parameters
    ----------
    curves
        Error curves of one observable against one kind of cost, by name, all with the same `reference_seed`; empty where there
        is nothing to rank.

    Returns
    -------
    tuple of Rank
        The best first; algorithms that have no error at that cost last.
    """
    if not curves:
        return ()
    cost = min(float(curve.cost[-1]) for curve in curves.values())
    errors = {name: float(error_at(curve.cost, curve.error, cost)) for name, curve in curves.items()}
    samples = {name: error_at(curve.cost, curve.resampled, cost) for name, curve in curves.items()}
    order = sorted(curves, key=lambda name: (math.isnan(errors[name]), errors[name]))
    known = [errors[name] for name in order if not math.isnan(errors[name])]
    ranks = []
    for name in order:
        place = 1 + sum(other < errors[name] for other in known) if not math.isnan(errors[name]) else 1 + len(known)
        ties = tuple(other for other in order if other != name and not _settled(samples[name], samples[other]))
        low, high = _interval(samples[name], errors[name])
        ranks.append(Rank(name, errors[name], low, high, cost, place, ties))
    return tuple(ranks)


def _interval(samples: FloatArray, error: float) -> tuple[float, float]:
    if math.isnan(error):
        return math.nan, math.nan
    tail = 0.5 * (1.0 - CONFIDENCE)
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return min(float(low), error), max(float(high), error)


def _settled(first: FloatArray, second: FloatArray) -> bool:
    """Return whether one of two sets of resampled errors is smaller in nearly all pairs; never where there are no errors."""
    count = min(len(first), len(second))
    smaller, larger = np.mean(first[:count] < second[:count]), np.mean(first[:count] > second[:count])
    return bool(max(smaller, larger) > 0.5 * (1.0 + CONFIDENCE))
