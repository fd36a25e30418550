"""Whether the runs of an algorithm have reached equilibrium, in numbers and in words.

The rules are those of `glassnf.observables.judge_chains` where they concern the energies along the second half of the runs
(R-hat, drift), with one more that a comparison alone can have: the average of all runs is held against the reference, in energy
and in specific heat. A deviation of more than `SIGMA_LIMIT` standard errors fails; agreement counts only where the error of
the energy is small against its fluctuations. So length in autocorrelation times is not asked for here: an average that is
right, to an accuracy that would show if it were wrong, is better evidence. An algorithm may add faults and doubts of its own:
parallel tempering its round trips, population annealing its families, flows their weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..observables import equilibration as core
from ..observables.equilibration import CANNOT_TELL, EQUILIBRATED, NOT_EQUILIBRATED, R_HAT_LIMIT, Check
from .algorithms import Diagnosis

__all__ = ["R_HAT_LIMIT", "SIGMA_LIMIT", "Check", "Verdict", "judge", "sigmas", "split_r_hat", "status_of"]

FloatArray = npt.NDArray[np.float64]

SIGMA_LIMIT: Final = 4.0
RESOLUTION: Final = 0.1
"""Standard error of <U>/N in units of the fluctuation of one configuration, up to which agreement means something."""


@dataclass(frozen=True)
class Verdict:
    """The answer to "are these runs in equilibrium?".

    Attributes
    ----------
    equilibrated
        Whether all checks pass; None where none fails and some decide nothing.
    r_hat
        Rank-normalised split R-hat of the energy over the second half of the runs; NaN where there is no trace.
    energy_excess
        Mean energy per particle less the reference, in epsilon.
    energy_sigmas, specific_heat_sigmas
        Distance of the runs, taken together, from the reference, in combined standard errors, signed.
    drift_sigmas
        Largest change of the energy over the second half of the runs, in standard errors over the runs; NaN without a trace.
    checks
        What it rests on.
    sentence
        All this in words.
    """

    equilibrated: bool | None
    r_hat: float
    energy_excess: float
    energy_sigmas: float
    specific_heat_sigmas: float
    drift_sigmas: float
    checks: tuple[Check, ...]
    sentence: str

    @property
    def status(self) -> str:
        """``"equilibrated"``, ``"not equilibrated"`` or ``"cannot tell"``."""
        return status_of(self.equilibrated)


def status_of(equilibrated: bool | None) -> str:
    """Return the words for a verdict."""
    return CANNOT_TELL if equilibrated is None else EQUILIBRATED if equilibrated else NOT_EQUILIBRATED


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
    fluctuation: float | None = None,
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
    fluctuation
        Standard deviation of the energy per particle of a configuration in equilibrium; None where it is not known.
    """
    distance = sigmas(mean_energy, *reference[0])
    heat_distance = _deviation(specific_heat[0] - reference[1][0], math.hypot(specific_heat[1], reference[1][1]))
    excess = float(mean_energy.mean()) - reference[0][0]
    error = math.sqrt(float(mean_energy.var(ddof=1)) / len(mean_energy) + reference[0][1] ** 2)
    told = diagnosis if diagnosis is not None else Diagnosis()
    checks = [*_of_reference(excess, distance, heat_distance), *_of_trace(energy)]
    if fluctuation is not None:
        checks.append(_resolution(error, fluctuation))
    for outcome, words in ((False, told.faults), (None, told.doubts)):
        checks += [Check("diagnosis", math.nan, math.nan, outcome, said) for said in words]
    found = core.Verdict.of(checks)
    of = {check.name: check.value for check in checks}
    r_hat, drift = of.get("R-hat", math.nan), of.get("drift", math.nan)
    sentence = found.sentence
    if found.equilibrated:
        sentence = f"equilibrated: energy and specific heat agree with the reference within {SIGMA_LIMIT:g} sigma"
        if math.isfinite(r_hat):
            sentence += f", R-hat {r_hat:.3f}"
    unsaid = told.doubts if found.equilibrated is False else ()
    sentence = "; ".join([sentence, *unsaid, *told.remarks])
    return Verdict(found.equilibrated, r_hat, excess, distance, heat_distance, drift, tuple(checks), sentence)


def _of_reference(excess: float, distance: float, heat_distance: float) -> list[Check]:
    """Return whether the averages are those of the reference."""
    side = "above" if distance > 0.0 else "below"
    words = f"<U>/N is {abs(excess):.4f} epsilon {side} the reference ({abs(distance):.0f} sigma)"
    checks = [Check("reference energy", distance, SIGMA_LIMIT, abs(distance) <= SIGMA_LIMIT, words)]
    side = "above" if heat_distance > 0.0 else "below"
    words = f"C_v is {abs(heat_distance):.0f} sigma {side} the reference"
    return [*checks, Check("reference specific heat", heat_distance, SIGMA_LIMIT, abs(heat_distance) <= SIGMA_LIMIT, words)]


def _of_trace(energy: FloatArray | None) -> list[Check]:
    """Return whether the runs agree with each other and do not drift; nothing where there are no energies along them."""
    if energy is None:
        return []
    if len(energy) < core.LEAST_RECORDS:
        words = f"only {len(energy)} records of the second half of the runs, {core.LEAST_RECORDS} are needed"
        return [Check("records", float(len(energy)), float(core.LEAST_RECORDS), None, words)]
    return [core.r_hat_check(energy), core.drift_check([energy])]


def _resolution(error: float, fluctuation: float) -> Check:
    """Return whether the error of the energy is small enough for an agreement with the reference to mean anything."""
    share = error / fluctuation if fluctuation > 0.0 else math.inf
    good = share <= RESOLUTION
    words = f"the error of <U>/N is {share:.2g} of its fluctuation"
    words += "" if good else ", too large to tell it from the reference"
    return Check("resolution", share, RESOLUTION, good or None, words)
