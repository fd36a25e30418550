"""Whether the runs of an algorithm have reached equilibrium, in numbers and in words.

Three checks of energies, each of which fails a run set that is in equilibrium with a probability below 1e-3 (16 runs or more):

- split R-hat of the energy above `R_HAT_LIMIT`: the runs do not agree with each other, or with themselves over time
  (Gelman and Rubin, Statistical Science 7, 457 (1992); Gelman et al., Bayesian Data Analysis, 2013, section 11.4);
- the average of all runs is further than `SIGMA_LIMIT` standard errors from the reference, in energy or specific heat;
- the energy still moves away from the high-temperature start: the last quarter of the runs differs from the one before it by
  more than `SIGMA_LIMIT` standard errors.

An algorithm may add its own: parallel tempering its round trips, population annealing its families.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .algorithms import Diagnosis

__all__ = ["R_HAT_LIMIT", "SIGMA_LIMIT", "Verdict", "judge", "sigmas", "split_r_hat"]

FloatArray = npt.NDArray[np.float64]

R_HAT_LIMIT: Final = 1.05
SIGMA_LIMIT: Final = 4.0


@dataclass(frozen=True)
class Verdict:
    """The answer to "are these runs in equilibrium?".

    Attributes
    ----------
    equilibrated
        Whether all checks pass.
    r_hat
        Split R-hat of the energy over the second half of the runs; NaN where there is no trace.
    energy_excess
        Mean energy per particle less the reference, in epsilon.
    energy_sigmas, specific_heat_sigmas
        Distance of the runs, taken together, from the reference, in combined standard errors, signed.
    drift_sigmas
        Energy of the last quarter less that of the quarter before, in standard errors over the runs; NaN without a trace.
    sentence
        All this in words.
    """

    equilibrated: bool
    r_hat: float
    energy_excess: float
    energy_sigmas: float
    specific_heat_sigmas: float
    drift_sigmas: float
    sentence: str


def split_r_hat(energy: FloatArray) -> float:
    """Return split R-hat of chains, the two halves of each counting as chains of their own.

    Parameters
    ----------
    energy
        (records, chains), at least 4 records.

    Returns
    -------
    float
        1 for chains in equilibrium, larger where they disagree; infinite where chains stand still at different values.
    """
    from ..observables import split_rhat

    return float(split_rhat(energy))


def sigmas(values: FloatArray, reference: float, reference_error: float) -> float:
    """Return the distance of the mean of (K,) independent values from the reference in combined standard errors."""
    error = math.sqrt(float(values.var(ddof=1)) / len(values) + reference_error**2)
    return _deviation(float(values.mean()) - reference, error)


def _deviation(difference: float, error: float) -> float:
    if error > 0.0:
        return difference / error
    return 0.0 if difference == 0.0 else math.copysign(math.inf, difference)


def judge(
    mean_energy: FloatArray,
    specific_heat: tuple[float, float],
    reference: tuple[tuple[float, float], tuple[float, float]],
    energy: FloatArray | None,
    diagnosis: Diagnosis | None = None,
) -> Verdict:
    """Judge the final state of the K runs of one algorithm.

    Parameters
    ----------
    mean_energy
        (K,) final estimates of the runs, per particle.
    specific_heat
        (value, standard error) of all runs together, which has less of the bias of short runs than their mean.
    reference
        (value, standard error) of the mean energy and of the specific heat.
    energy
        (records, K) energy per particle along the second half of the runs, equally spaced in time, or None.
    diagnosis
        What the algorithm itself tells of its runs.
    """
    r_hat = drift = math.nan
    if energy is not None and len(energy) >= 8:
        r_hat = split_r_hat(energy)
        middle = len(energy) // 2
        drift = sigmas(energy[middle:].mean(axis=0) - energy[:middle].mean(axis=0), 0.0, 0.0)
    distance = sigmas(mean_energy, *reference[0])
    heat_distance = _deviation(specific_heat[0] - reference[1][0], math.hypot(specific_heat[1], reference[1][1]))
    excess = float(mean_energy.mean()) - reference[0][0]
    told = diagnosis if diagnosis is not None else Diagnosis()
    faults = [*_faults(r_hat, excess, distance, heat_distance, drift), *told.faults]
    if faults:
        sentence = "not equilibrated: " + "; ".join(faults)
    else:
        sentence = f"equilibrated: energy and specific heat agree with the reference within {SIGMA_LIMIT:g} sigma"
        if math.isfinite(r_hat):
            sentence += f", R-hat {r_hat:.3f}"
    sentence = "; ".join([sentence, *told.remarks])
    return Verdict(not faults, r_hat, excess, distance, heat_distance, drift, sentence)


def _faults(r_hat: float, excess: float, distance: float, heat_distance: float, drift: float) -> list[str]:
    """Put each failed check into words."""
    faults = []
    if abs(distance) > SIGMA_LIMIT:
        side = "above" if distance > 0.0 else "below"
        faults.append(f"<U>/N is {abs(excess):.4f} epsilon {side} the reference ({abs(distance):.0f} sigma)")
    if abs(heat_distance) > SIGMA_LIMIT:
        side = "above" if heat_distance > 0.0 else "below"
        faults.append(f"C_v is {abs(heat_distance):.0f} sigma {side} the reference")
    if r_hat > R_HAT_LIMIT:
        faults.append(f"R-hat {r_hat:.2f}, the runs are too short to agree with each other")
    if abs(drift) > SIGMA_LIMIT:
        faults.append(f"the energy still drifts {'down' if drift < 0.0 else 'up'} ({abs(drift):.0f} sigma)")
    return faults
