"""Checks of what is not a plain chain: weights, ladders of parallel tempering, populations that are annealed. NumPy only.

Each function returns checks for `equilibration.Verdict`; the limits and where they come from are in docs/equilibration.md.

References
----------
Vehtari, Simpson, Gelman, Yao, Gabry 2024, J. Mach. Learn. Res. 25, 72 (Pareto k-hat).
Katzgraber, Trebst, Huse, Troyer 2006, J. Stat. Mech. P03018 (round trips).
Wang, Machta, Katzgraber 2015, Phys. Rev. E 92, 063307 (population sizes: families, R / rho).
Machta 2010, Phys. Rev. E 82, 026704 (variance of log Z over runs).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from glassnf import _check
from glassnf.observables.equilibration import Check, Verdict, sigma_limit
from glassnf.observables.weights import WeightSummary, weight_summary

__all__ = [
    "agreement_check",
    "anneal_checks",
    "integration_check",
    "judge_weights",
    "ladder_checks",
    "log_z_check",
    "log_z_spread_check",
    "summary_checks",
]

LEAST_WEIGHTED: Final = 100.0
"""Effective samples of weights; with fewer, the weights that are largest have not been seen."""

USELESS_K: Final = 1.0
"""k-hat from which on the weights have no mean."""

LARGEST_SHARE: Final = 0.1
"""Of all weight that one sample may have; with fewer than 50 samples five times that of equal weights."""

INTEGRATION_LIMIT: Final = 0.05
"""Error of a log weight by the steps of an integrator."""

POOR_ACCEPTANCE: Final = 0.01
"""Below which two neighbours of a ladder do not exchange."""

LEAST_TRIPS: Final = 10
"""Round trips of all ladders together."""

LEAST_POPULATION: Final = 100.0
"""Replicas over rho_t, from which on a population is in equilibrium (Wang, Machta, Katzgraber 2015)."""

COLLAPSED: Final = 10.0
"""Replicas over rho_t, below which few families carry the averages."""

LAG: Final = "families do not see a population that lags behind as a whole, compare with an anneal of twice the sweeps"
"""What no check of a population sees, as its verdict says."""

MOST_VARIANCE: Final = 0.1
"""Of log Z over runs of population annealing, by the families of one of them."""

MOST_SPREAD: Final = 0.5
"""The same over the runs of a weighted average, at most (Machta 2010)."""

UNLUCKY: Final = 0.05
"""Probability with which runs that vary more than `MOST_SPREAD` pass as if they did not."""

ENOUGH_ATTEMPTS: Final = 100
"""Exchanges of two neighbours, from which on their acceptance is judged."""

_ENOUGH_EXPECTED: Final = 100.0


# ----------------------------------------------------------------------------------------------------------------- weights


def judge_weights(log_weights: object) -> Verdict:
    """Judge weights alone: their tail, the largest, and how many samples they are worth.

    Weights say nothing of regions that no sample has reached.

    - Pareto k-hat up to `pareto_k_limit` passes; from 1 on, where the weights have no mean, it fails (Vehtari et al. 2024).
    - largest weight: up to a tenth of all weight, of fewer than 50 samples up to five times that of equal weights.
    - effective samples: 100 or more.

    Parameters
    ----------
    log_weights
        (n,) finite numbers, up to a constant.

    Raises
    ------
    TypeError, ValueError
        If they are not.

    Examples
    --------
    >>> import numpy as np
    >>> judge_weights(np.random.default_rng(1).normal(size=2_000)).status
    'equilibrated'
    """
    return Verdict.of(summary_checks(weight_summary(log_weights)))


def summary_checks(weights: WeightSummary) -> list[Check]:
    """Return the checks of `judge_weights`."""
    k, limit = weights.pareto_k, weights.pareto_k_limit
    if not math.isfinite(k):
        few = "1 weight is too few" if weights.samples == 1 else f"{weights.samples} weights are too few"
        tail = Check("Pareto k-hat", math.nan, limit, None, f"{few}, or too uneven, for a tail")
    else:
        outcome = True if k <= limit else False if k >= USELESS_K else None
        words = f"k-hat {k:.2f}" if outcome else f"k-hat {k:.2f} above {limit:.2f}: the largest weights have not been seen"
        tail = Check("Pareto k-hat", k, limit, outcome, words)
    share = max(LARGEST_SHARE, 5.0 / weights.samples)
    good = weights.largest <= share
    words = f"one sample has {weights.largest:.2g} of the weight" + ("" if good else f", more than {share:.2g}")
    largest = Check("largest weight", weights.largest, share, good or None, words)
    effective = weights.ess * weights.samples
    enough = effective >= LEAST_WEIGHTED or None
    words = f"{effective:.3g} effective sample{'' if f'{effective:.3g}' == '1' else 's'}"
    words = words if enough else f"only {words}, {LEAST_WEIGHTED:g} are needed"
    return [tail, largest, Check("effective weights", effective, LEAST_WEIGHTED, enough, words)]


def integration_check(error: float) -> Check:
    """Return whether log weights are those of the flow, and not of the steps of its integrator."""
    good = error <= INTEGRATION_LIMIT
    words = f"the integrator's error of log w is {error:.2g}"
    return Check("integration", error, INTEGRATION_LIMIT, good, words if good else f"{words}, above {INTEGRATION_LIMIT:g}")


def agreement_check(name: str, words: str, one: tuple[float, float], other: tuple[float, float]) -> Check:
    """Return whether two estimates, (value, error) each, of the same number agree.

    Parameters
    ----------
    name, words
        Of the check, and what is compared, as in ``"log Z forward and reverse"``.
    one, other
        Independent of each other.
    """
    error, limit = math.hypot(one[1], other[1]), sigma_limit()
    if not math.isfinite(error) or error == 0.0:
        return Check(name, math.nan, limit, None, f"{words} have no errors to compare them by")
    sigmas = (one[0] - other[0]) / error
    agree = abs(sigmas) <= limit
    return Check(name, sigmas, limit, agree, f"{words} {'agree' if agree else 'DISAGREE'} ({abs(sigmas):.1f} sigma)")


# ----------------------------------------------------------------------------------------------------------------- ladders


def ladder_checks(attempts: object, accepts: object, round_trips: object, expected: float) -> list[Check]:
    """Return whether the replicas of parallel tempering exchange and travel.

    - exchanges: fails where two neighbours accept less than one exchange in a hundred.
    - round trips: ten or more, in all ladders together. None at all fails where exchanges that forget the energies from round
      to round would have given a hundred.

    Parameters
    ----------
    attempts, accepts
        (M - 1,) exchanges of neighbours, all ladders.
    round_trips
        (ladders,).
    expected
        Round trips, all ladders, that replicas without a memory would have made; NaN where that is not known.
    """
    tried, accepted = (_check.int_array(name, value, (None,)) for name, value in (("attempts", attempts), ("accepts", accepts)))
    trips = int(_check.int_array("round_trips", round_trips, (None,)).sum())
    rate = np.where(tried > 0, accepted / np.maximum(tried, 1), np.nan)
    poor = (tried >= ENOUGH_ATTEMPTS) & (rate < POOR_ACCEPTANCE)
    least = float(np.nanmin(rate)) if tried.any() else math.nan
    if poor.any():
        exchanges: bool | None = False
        words = f"of {poor.sum()} pair{'s' if poor.sum() > 1 else ''} of neighbours hardly any exchange is accepted"
    elif (tried < ENOUGH_ATTEMPTS).any():
        exchanges, words = None, f"some pairs have tried fewer than {ENOUGH_ATTEMPTS} exchanges"
    else:
        exchanges, words = True, f"exchanges are accepted, {least:.2f} at least"
    checks = [Check("exchanges", least, POOR_ACCEPTANCE, exchanges, words)]
    stuck = trips == 0 and expected >= _ENOUGH_EXPECTED
    enough = False if stuck else trips >= LEAST_TRIPS or None
    words = f"{trips} round trip{'' if trips == 1 else 's'}"
    if not enough:
        words = f"only {words}, {LEAST_TRIPS} are needed" if trips else "no replica has been at both ends"
    return [*checks, Check("round trips", float(trips), float(LEAST_TRIPS), enough, words)]


# ------------------------------------------------------------------------------------------------------------- populations


def anneal_checks(population: int, rho_t: object, rho_f: float) -> list[Check]:
    """Return whether a population that was annealed is large enough.

    - families: replicas over the largest rho_t; from 100 on it passes, below 10 it fails (Wang, Machta, Katzgraber 2015, use
      100 with the entropic family size).
    - variance of log Z: rho_f over the number of replicas, up to 0.1. The bias of an average is its covariance with log Z
      (the same), so that it is below 0.3 standard deviations of the average of one run.

    Parameters
    ----------
    population
        R.
    rho_t
        (steps,) mean square family size; empty where no temperature is done.
    rho_f
        R times the variance of log Z at the target; NaN where it is not known.
    """
    size = _check.positive_int("population", population)
    rho = _check.float_array("rho_t", rho_t, (None,))
    if rho.size == 0:
        return [Check("families", math.nan, LEAST_POPULATION, None, "no temperature is done yet")]
    share = size / float(rho.max())
    outcome = True if share >= LEAST_POPULATION else False if share < COLLAPSED else None
    words = f"the population is {'only ' if outcome is None else ''}{share:.3g} times rho_t"
    words += {True: "", None: f", {LEAST_POPULATION:g} times are needed", False: ": few families carry the averages"}[outcome]
    return [Check("families", share, LEAST_POPULATION, outcome, words), log_z_check(float(rho_f) / size, MOST_VARIANCE)]


def log_z_check(variance: float, limit: float) -> Check:
    """Return whether log Z varies little enough from run to run for averages to have no bias to speak of."""
    good = variance <= limit
    words = f"the variance of log Z is {variance:.2g}" if math.isfinite(variance) else "the variance of log Z is not known"
    return Check("variance of log Z", variance, limit, good or None, words if good else f"{words}, above {limit:g}")


def log_z_spread_check(log_z: object) -> Check:
    """Return whether log Z of independent runs surely varies by less than `MOST_SPREAD`.

    Few runs may be close to each other by chance. So what counts is the upper 95% limit of the variance, by the chi-square
    distribution of normal deviates: runs whose variance is that or more pass with a probability of `UNLUCKY` at most.

    Parameters
    ----------
    log_z
        (runs,), two or more.
    """
    values = _check.float_array("log_z", log_z, (None,))
    if values.size < 2:
        raise ValueError(f"log_z: expected at least 2 runs, got {values.size}")
    found, dof = float(values.var(ddof=1)), values.size - 1
    limit = dof * found / _chi_square_quantile(UNLUCKY, dof)
    good = limit <= MOST_SPREAD
    words = f"the variance of log Z over {values.size} runs is {found:.2g}, at most {limit:.2g} (95%)"
    words += "" if good else f", which is above {MOST_SPREAD:g}"
    return Check("variance of log Z", limit, MOST_SPREAD, good or None, words)


def _chi_square_quantile(probability: float, dof: int) -> float:
    """Return the value below which a chi-square variate stays with a probability, by bisection."""
    low, high = 0.0, float(dof)  # the median is below dof
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _chi_square_below(middle, dof) > probability else (middle, high)
    return high


def _chi_square_below(value: float, dof: int) -> float:
    """Return the probability that a chi-square variate is below a value, at most about dof (the series of DLMF 8.11.4)."""
    a, x = 0.5 * dof, 0.5 * value
    if x <= 0.0:
        return 0.0
    term = total = math.exp(a * math.log(x) - x - math.lgamma(a + 1.0))
    k = 1
    while term > 1e-17 * total:
        term *= x / (a + k)
        total += term
        k += 1
    return total
