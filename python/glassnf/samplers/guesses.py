"""First guesses of temperatures, before anything has been measured.

Energies are taken as normal, with a configurational specific heat of k_B per particle, near that of dense liquids. Energies at
beta then have the standard deviation sqrt(N) / beta.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from .ladder import geometric_ladder

__all__ = ["expected_steps", "suggested_ladder"]


def suggested_ladder(n: int, low: float, high: float, acceptance: float = 0.5) -> tuple[float, ...]:
    """Return geometric temperatures, ascending, between which about this part of the exchanges is accepted, or more.

    The acceptance between temperatures in the ratio exp(d) is erfc(d sqrt(N) / 2) (Kofke, J. Chem. Phys. 117, 6911, 2002).

    Parameters
    ----------
    n : int
        Number of particles.
    low, high : float, epsilon
        The ends.
    acceptance : float
        Of exchanges between neighbours, between 0 and 1.

    Returns
    -------
    (M,) tuple of float, epsilon

    Raises
    ------
    ValueError
        Unless both ends are positive and finite, the low one below the high one.
    """
    widest = -math.sqrt(2.0) * NormalDist().inv_cdf(0.5 * acceptance)  # 2 x with erfc(x) = acceptance
    count = 1 + max(1, math.ceil(_log_ratio(low, high) * math.sqrt(n) / widest))
    return tuple(geometric_ladder(low, high, count).tolist())


def expected_steps(n: int, start: float, target: float, culling_fraction: float) -> int:
    """Return about how many temperature steps population annealing takes.

    A step of beta by s standard deviations of the energy culls the fraction 2 Phi(s / 2) - 1, about 0.4 s.

    Parameters
    ----------
    n : int
        Number of particles.
    start, target : float, epsilon
    culling_fraction : float

    Raises
    ------
    ValueError
        Unless both temperatures are positive and finite, the target below the start.
    """
    step = culling_fraction * math.sqrt(2.0 * math.pi)
    return max(1, math.ceil(_log_ratio(target, start) * math.sqrt(n) / step))


def _log_ratio(low: float, high: float) -> float:
    if not 0.0 < low < high < math.inf:
        raise ValueError(f"temperatures: expected positive finite ones, low below high, got {low:g} and {high:g}")
    return math.log(high) - math.log(low)
