"""Averages between the temperatures of a ladder, by the multistate Bennett acceptance ratio (MBAR) of pymbar.

All records of all temperatures enter one estimate of the density of states, from which <U>, C_v and log Z follow at any
temperature within the ladder. Reduced potentials are beta U; the momenta, whose part is known, stay out.

Errors are those of pymbar's asymptotic covariance, for a sample that is thinned until it is about independent. The statistical
inefficiency is the larger of two: that of the energies at a temperature, and that of the energies of the replicas as they move
along the ladder, in units of the width at each temperature: what a replica remembers comes along with it.

References
----------
Shirts, Chodera 2008, J. Chem. Phys. 129, 124105 (MBAR).
Chodera, Swope, Pitera, Seok, Dill 2007, J. Chem. Theory Comput. 3, 26 (correlation times of replicas).
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._optional import require

if TYPE_CHECKING:
    from .pt_record import PTRecord

__all__ = ["LadderReweighting", "ReweightedValues"]

FloatArray = npt.NDArray[np.float64]

_BEYOND = 1e-9  # relative distance from the ends of the ladder up to which a temperature counts as inside


@dataclass(frozen=True)
class ReweightedValues:
    """A quantity at several temperatures.

    Attributes
    ----------
    temperature, value, error : float64 arrays of the shape of the temperatures asked for
        `error` is one standard deviation.
    """

    temperature: FloatArray
    value: FloatArray
    error: FloatArray


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pymbar from logging that it found no JAX: its NumPy code is what is wanted."""
    logger = logging.getLogger("pymbar")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


class LadderReweighting:
    """MBAR over the records of parallel tempering: averages as continuous functions of temperature.

    Made by `PTRecord.mbar`; all records from `discard` on enter.

    Attributes
    ----------
    temperatures : (M,) float64, epsilon
    inefficiency : (M,) float64
        Statistical inefficiency of the records at each temperature: one in so many is independent.
    samples : (M,) int64
        Records at each temperature, all ladders, after thinning.
    """

    def __init__(self, record: PTRecord, *, discard: int = 0) -> None:
        records = record.sweeps.size
        first = _check.integer("discard", discard, 0, max(records - 1, 0))
        if records - first < 2:
            raise ValueError(f"record: expected at least 2 records of the energies, got {records - first}")
        with _quiet():
            pymbar = require("pymbar", extra="analysis", purpose="averages between temperatures")
        self.temperatures = record.temperatures.copy()
        self.n, self.dimension = record.n, record.dimension
        energy, replica = record.energy[first:], record.replica[first:]
        self.inefficiency = _inefficiencies(energy, replica)
        thinned = [energy[:: math.ceil(g), k].ravel() for k, g in enumerate(self.inefficiency)]
        self.samples = np.array([u.size for u in thinned], dtype=np.int64)
        self._energy = np.concatenate(thinned)
        beta = 1.0 / self.temperatures
        # Energies from their mean: log Z then shifts by a known amount, and the exponentials keep their digits.
        self._origin = float(self._energy.mean())
        with _quiet():
            self._mbar: Any = pymbar.MBAR(beta[:, None] * (self._energy - self._origin), self.samples)

    def __repr__(self) -> str:
        low, high = float(self.temperatures.min()), float(self.temperatures.max())
        return f"LadderReweighting(T={low:.6g}..{high:.6g}, {int(self.samples.sum())} independent records)"

    def _asked(self, temperature: npt.ArrayLike) -> FloatArray:
        asked = _check.float_array("temperature", temperature)
        low, high = float(self.temperatures.min()), float(self.temperatures.max())
        outside = (asked < low * (1.0 - _BEYOND)) | (asked > high * (1.0 + _BEYOND))
        if outside.any():
            found = float(asked[outside][0])
            raise ValueError(f"temperature: expected numbers from {low!r} to {high!r}, the ends of the ladder, got {found!r}")
        return asked

    def _moments(self, temperature: float) -> tuple[float, float, float, float]:
        """Return <U> and the variance of U, each with its error."""
        reduced = (self._energy - self._origin) / temperature
        shifted = self._energy - self._origin
        with _quiet():
            first = self._mbar.compute_multiple_expectations(shifted[None], reduced)
            mean, error = float(first["mu"][0]), float(first["sigma"][0])
            # About the mean the first moment vanishes, and with it its part in the error of the variance.
            second = self._mbar.compute_multiple_expectations(((shifted - mean) ** 2)[None], reduced)
        return mean + self._origin, error, float(second["mu"][0]), float(second["sigma"][0])

    def _each(self, temperature: npt.ArrayLike, quantity: Any) -> ReweightedValues:
        asked = self._asked(temperature)
        pairs = np.array([quantity(float(t)) for t in asked.ravel()]).reshape(*asked.shape, 2)
        return ReweightedValues(asked, pairs[..., 0], pairs[..., 1])

    def mean_energy(self, temperature: npt.ArrayLike) -> ReweightedValues:
        """Return <U> of the whole system, in epsilon.

        Parameters
        ----------
        temperature : float or array, epsilon
            Within the ladder.
        """
        return self._each(temperature, lambda t: self._moments(t)[:2])

    def specific_heat(self, temperature: npt.ArrayLike, kind: str = "configurational") -> ReweightedValues:
        """Return C_v per particle, <(U - <U>)^2> / (N T^2).

        Parameters
        ----------
        temperature : float or array, epsilon
            Within the ladder.
        kind : str
            ``"configurational"``, or ``"total"`` with d/2 of the momenta, as in `observables.specific_heat`.
        """
        momenta = 0.5 * self.dimension if _check.choice("kind", kind, ("configurational", "total")) == "total" else 0.0

        def heat(t: float) -> tuple[float, float]:
            _, _, variance, error = self._moments(t)
            return variance / (self.n * t**2) + momenta, error / (self.n * t**2)

        return self._each(temperature, heat)

    def log_z(self, temperature: npt.ArrayLike) -> ReweightedValues:
        """Return log[Z(T) / Z(T_hot)] of the configurational integrals, T_hot the hottest temperature of the ladder.

        Parameters
        ----------
        temperature : float or array, epsilon
            Within the ladder.
        """
        asked = self._asked(temperature)
        hot = float(self.temperatures.max())
        beta = 1.0 / np.append(hot, asked.ravel())
        with _quiet():
            result = self._mbar.compute_perturbed_free_energies(beta[:, None] * (self._energy - self._origin))
        value = -np.asarray(result["Delta_f"])[0, 1:] - (beta[1:] - beta[0]) * self._origin
        error = np.asarray(result["dDelta_f"])[0, 1:]
        return ReweightedValues(asked, value.reshape(asked.shape), error.reshape(asked.shape))


def _inefficiencies(energy: FloatArray, replica: npt.NDArray[np.int32]) -> FloatArray:
    """Return the statistical inefficiency (M,) of energies (records, M, ladders)."""
    # Here, because observables are a room of their own that samplers need for nothing else.
    from ..observables.statistics import autocorrelation_time

    records, m, ladders = energy.shape
    mean, width = energy.mean(axis=(0, 2)), energy.std(axis=(0, 2))
    scaled = (energy - mean[:, None]) / np.where(width > 0.0, width, 1.0)[:, None]
    along = np.empty((records, m * ladders))
    np.put_along_axis(along, replica.reshape(records, -1).astype(np.int64), scaled.reshape(records, -1), axis=1)

    def inefficiency(series: FloatArray) -> float:
        return max(1.0, 2.0 * autocorrelation_time(series).value)

    of_replicas = inefficiency(along) if along.any() else 1.0
    at_temperature = [inefficiency(energy[:, k]) if width[k] > 0.0 else 1.0 for k in range(m)]
    return np.minimum(np.maximum(at_temperature, of_replicas), records)
