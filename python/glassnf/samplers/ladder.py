"""Ladders of temperatures for parallel tempering: checks, rejection rates, the barrier, ladders of equal rejection.

Rungs are ordered as the temperatures are given. The rejection rate between neighbours is

    r_k = 1 - <min(1, exp[(beta_k - beta_{k+1}) (U_k - U_{k+1})])>,

and the communication barrier Lambda between two temperatures the limit of sum r_k for dense ladders. Its density in beta is
half the mean absolute difference of two independent energies at the same temperature.

References
----------
Syed, Bouchard-Cote, Deligiannidis, Doucet 2022, "Non-reversible parallel tempering: a scalable highly parallel MCMC scheme",
J. R. Stat. Soc. B 84, 321.
Fritsch, Carlson 1980, SIAM J. Numer. Anal. 17, 238 (monotone cubic interpolation).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check

__all__ = [
    "barrier_increments",
    "check_temperatures",
    "equal_ladder",
    "geometric_ladder",
    "local_barrier",
    "recommended_temperatures",
    "rejection_rates",
    "round_trip_rate",
]

FloatArray = npt.NDArray[np.float64]

_CLOSE = 1e-8  # temperatures that differ relatively by less are the same
_SATURATED = 0.9  # rejection rates above say little about the barrier
_POINTS = 200  # per interval, of the barrier between the rungs


def check_temperatures(temperatures: object) -> FloatArray:
    """Return a ladder as a (M,) array after checks.

    Raises
    ------
    TypeError, ValueError
        Unless there are two or more positive finite numbers that increase or decrease throughout.
    """
    ladder = _check.float_array("temperatures", temperatures, (None,)).copy()
    if ladder.size == 0:
        raise ValueError("temperatures: expected at least two temperatures, got an empty ladder")
    if ladder.size == 1:
        raise ValueError(f"temperatures: expected at least two temperatures, got a single one, {float(ladder[0])!r}")
    if not (ladder > 0.0).all():
        (place,) = _check.first_place(~(ladder > 0.0))
        raise ValueError(f"temperatures: expected positive numbers, got {float(ladder[place])!r} at index {place}")
    with np.errstate(over="ignore"):
        beta = 1.0 / ladder
    if not np.isfinite(beta).all():
        raise ValueError(f"temperatures: expected numbers with a finite inverse, got {float(ladder.min())!r}")
    ordered = np.sort(ladder)
    twice = ordered[:-1][np.diff(ordered) <= _CLOSE * ordered[1:]]
    if twice.size:
        raise ValueError(f"temperatures: expected distinct temperatures, got {float(twice[0])!r} more than once")
    steps = np.diff(ladder)
    if not ((steps > 0.0).all() or (steps < 0.0).all()):
        wrong = steps < 0.0 if steps[0] > 0.0 else steps > 0.0
        (place,) = _check.first_place(wrong)
        a, b = float(ladder[place]), float(ladder[place + 1])
        raise ValueError(
            f"temperatures: expected an increasing or a decreasing ladder, got {a!r} before {b!r} at index {place}"
        )
    return ladder


def geometric_ladder(first: float, last: float, count: int) -> FloatArray:
    """Return temperatures at equal ratios: a ladder to start from, which `ParallelTempering.equilibrate` can improve.

    Equal ratios give equal rejection rates where the specific heat does not depend on temperature.

    Parameters
    ----------
    first, last : float, epsilon
        The ends, positive and different; both belong to the ladder.
    count : int
        Number of temperatures, at least 2.

    Returns
    -------
    (count,) float64, epsilon
    """
    first, last = _check.positive_float("first", first), _check.positive_float("last", last)
    rungs = _check.integer("count", count, 2)
    _check.fits_memory("count", count, 4 * rungs, "temperatures")
    ladder = np.geomspace(first, last, rungs)
    ladder[0], ladder[-1] = first, last
    return check_temperatures(ladder)


def rejection_rates(temperatures: FloatArray, energy: FloatArray) -> FloatArray:
    """Estimate the rejection rates between neighbours by comparing every energy of one with every energy of the other.

    As if the replicas were independent; far less noisy than counts of exchanges, above all where nearly none is accepted.

    Parameters
    ----------
    temperatures : (M,) float64, epsilon
    energy : (records, M, ladders) or (records, M - 1, 2, ladders) float64, epsilon
        By temperature; or by pair of neighbours, the one of index k first: effective energies of exchanges that a flow assists.

    Returns
    -------
    (M - 1,) float64
    """
    beta, pairs = 1.0 / temperatures, _pairs_of(energy)
    rates = np.empty(beta.size - 1)
    for k in range(rates.size):
        cold, hot = (0, 1) if beta[k] > beta[k + 1] else (1, 0)
        rates[k] = 1.0 - _acceptance(abs(beta[k] - beta[k + 1]), pairs[:, k, cold].ravel(), pairs[:, k, hot].ravel())
    return rates


def _pairs_of(energy: FloatArray) -> FloatArray:
    """Return energies by pair of neighbours, (records, M - 1, 2, ladders)."""
    return energy if energy.ndim == 4 else np.stack([energy[:, :-1], energy[:, 1:]], axis=2)


def _acceptance(difference: float, cold: FloatArray, hot: FloatArray) -> float:
    """Mean of min(1, exp[difference (a - b)]) over all a of `cold` and b of `hot`, in the time that it takes to sort them."""
    ordered = np.sort(hot)
    below = np.searchsorted(ordered, cold, side="right")  # these are accepted anyway
    tails = np.append(np.logaddexp.accumulate(-difference * ordered[::-1])[::-1], -np.inf)
    return float((below + np.exp(difference * cold + tails[below])).mean()) / hot.size


def local_barrier(energy: FloatArray) -> FloatArray:
    """Return the density of the barrier in beta at each temperature, half the mean absolute difference of two energies.

    Parameters
    ----------
    energy : (records, M, ladders) float64, epsilon
        At least two energies of each temperature.

    Returns
    -------
    (M,) float64, epsilon
        Syed et al. 2022, eq. 10.
    """
    density = np.empty(energy.shape[1])
    for k in range(density.size):
        x = np.sort(energy[:, k].ravel())
        weights = 2.0 * np.arange(x.size) - (x.size - 1)
        density[k] = (weights @ x) / (x.size * (x.size - 1.0))
    return density


def barrier_increments(temperatures: FloatArray, energy: FloatArray) -> FloatArray:
    """Return the part of the barrier in each interval of the ladder, (M - 1,).

    The rejection rate, which is what is to be equal; where it is nearly 1 the integral of the local barrier, which goes on
    growing. Energies are as in `rejection_rates`.
    """
    rates, pairs = rejection_rates(temperatures, energy), _pairs_of(energy)
    width = np.abs(np.diff(1.0 / temperatures))
    integral = 0.5 * (local_barrier(pairs[:, :, 1]) + local_barrier(pairs[:, :, 0])) * width
    return np.where(rates > _SATURATED, np.maximum(rates, integral), rates)


def recommended_temperatures(barrier: float) -> int:
    """Return the number of temperatures that gives the most round trips for its work, 2 Lambda + 1 (Syed et al. 2022)."""
    return max(2, round(2.0 * barrier) + 1)


def round_trip_rate(rejections: npt.ArrayLike) -> float:
    """Return the round trips per round of exchanges in one ladder, 1 / (2 + 2 sum_k r_k / (1 - r_k)).

    Of the deterministic even-odd scheme, if energies are independent from round to round (Syed et al. 2022, corollary 1): an
    upper bound for an explorer that has a memory.
    """
    r = np.asarray(rejections, dtype=np.float64)
    if (r >= 1.0).any():
        return 0.0
    return float(1.0 / (2.0 + 2.0 * (r / (1.0 - r)).sum()))


def _slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """Slopes at the nodes that keep a cubic interpolation of increasing numbers increasing (Fritsch, Carlson)."""
    h, secant = np.diff(x), np.diff(y) / np.diff(x)
    slopes = np.empty_like(x)
    slopes[[0, -1]] = secant[[0, -1]]
    if x.size > 2:
        left, right = 2.0 * h[1:] + h[:-1], h[1:] + 2.0 * h[:-1]
        slopes[1:-1] = (left + right) / (left / secant[:-1] + right / secant[1:])
    return slopes


def _monotone(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return many points (x, y) of a smooth increasing curve through increasing nodes."""
    slopes = _slopes(x, y)
    t = np.linspace(0.0, 1.0, _POINTS, endpoint=False)
    h = np.diff(x)[:, None]
    cubic = (
        (1.0 + 2.0 * t) * (1.0 - t) ** 2 * y[:-1, None]
        + t * (1.0 - t) ** 2 * h * slopes[:-1, None]
        + t**2 * (3.0 - 2.0 * t) * y[1:, None]
        + t**2 * (t - 1.0) * h * slopes[1:, None]
    )
    fine = np.append((x[:-1, None] + t * h).ravel(), x[-1])
    return fine, np.maximum.accumulate(np.append(cubic.ravel(), y[-1]))


def equal_ladder(temperatures: FloatArray, increments: npt.ArrayLike, count: int | None = None) -> FloatArray:
    """Return a ladder with the same ends in whose intervals the barrier grows by the same amount.

    Parameters
    ----------
    temperatures : (M,) float64, epsilon
    increments : (M - 1,) floats, not negative
        Growth of the barrier in each interval, such as measured rejection rates.
    count : int, optional
        Number of temperatures of the new ladder. Default M.

    Returns
    -------
    (count,) float64, epsilon
    """
    grow: Any = np.maximum(np.asarray(increments, dtype=np.float64), 1e-6)
    beta = 1.0 / temperatures
    flip = beta[0] > beta[-1]
    if flip:
        beta, grow = beta[::-1], grow[::-1]
    fine, barrier = _monotone(beta, np.append(0.0, np.cumsum(grow)))
    wanted = np.linspace(0.0, barrier[-1], temperatures.size if count is None else count)
    new = np.interp(wanted, barrier, fine)
    ladder = 1.0 / (new[::-1] if flip else new)
    ladder[[0, -1]] = temperatures[[0, -1]]
    return check_temperatures(ladder)
