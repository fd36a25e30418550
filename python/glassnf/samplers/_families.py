"""Errors of population annealing from its families, the descendants of each replica of the start.

Replicas of one family are correlated, different families are nearly independent: errors are jackknife errors over families, to
first order ("blocked by family"). With Q a mean over the R replicas and q_r the value of a replica, family i moves Q by (1/R)
sum_{r in i} (q_r - Q), and the squared error is the sum of the squares of these influences. The same holds for log Z = sum_k
log(mean weight of step k), where a family's influence is the sum over the steps of (1/R) sum_{r in i} (tau_r - 1).

References
----------
Machta, Phys. Rev. E 82, 026704 (2010): weighted averages.
Wang, Machta, Katzgraber, Phys. Rev. E 92, 063307 (2015): rho_t, rho_s, rho_f.
Lee, Whiteley, Biometrika 105, 609 (2018): variance of log Z from the genealogy of one run.
Weigel, Barash, Shchur, Janke, Phys. Rev. E 103, 053301 (2021): errors from blocks of families.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["error_of_log_z", "error_of_mean", "influence_of_step", "sizes_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def sizes_of(families: IntArray) -> tuple[int, float, float]:
    """Return the number of families, rho_t and rho_s, see `PAResult`."""
    counts = np.bincount(families)
    counts = counts[counts > 0]
    fractions = counts / families.size
    mean_square = float((counts.astype(np.float64) ** 2).sum()) / families.size
    return int(counts.size), mean_square, families.size * math.exp(float((fractions * np.log(fractions)).sum()))


def error_of_mean(values: FloatArray, families: IntArray) -> float:
    """Return the standard error of the mean of values (R,) by family; NaN where a single family is left."""
    influence = np.bincount(families, weights=values - values.mean()) / values.size
    count = int(np.unique(families).size)
    if count < 2:
        return math.nan
    return math.sqrt(count / (count - 1) * float((influence**2).sum()))


def influence_of_step(tau: FloatArray, families: IntArray) -> FloatArray:
    """Return what each family (R,) adds to log Z in a step with expected numbers of children `tau` (R,), to first order."""
    return np.bincount(families, weights=tau - 1.0, minlength=tau.size) / tau.size


def error_of_log_z(influence: FloatArray) -> float:
    """Return the standard error of log Z from the influences (R,) of all families, summed over the steps."""
    count = influence.size
    return math.sqrt(count / (count - 1) * float((influence**2).sum()))
