"""Averages of the potential energy: mean, specific heat, pressure, and reweighting to a neighbouring temperature.

Energies are potential energies of whole systems, in units of epsilon, as (records,) or (records, R); k_B = 1. Errors account
for the autocorrelation of the records. This module needs NumPy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glassnf import _check
from glassnf.observables._gamma import gamma_method
from glassnf.observables._inputs import LARGEST, FloatArray, box_sides, same_shape, series_2d
from glassnf.observables.estimate import Estimate
from glassnf.observables.resampling import block_length, jackknife_error, to_blocks
from glassnf.observables.statistics import estimate_mean, estimate_mean_per_replica

__all__ = [
    "Reweighting",
    "mean_energy",
    "mean_energy_per_replica",
    "pressure_from_virial",
    "reweight",
    "specific_heat",
    "specific_heat_per_replica",
]


@dataclass(frozen=True, eq=False)
class Reweighting:
    """Samples at one inverse temperature, weighted to represent another.

    Attributes
    ----------
    weights
        (records, R), non-negative, sum 1.
    ess
        Kish's effective number of samples, 1 / sum w^2. It does not count autocorrelation, and a small one is itself too high.
    ess_fraction
        ess / number of samples.
    mean
        Weighted mean of the observable (of the energy by default), per system.
    log_z_ratio
        log Z(new_beta) / Z(beta) of the configurational partition functions.
    """

    weights: FloatArray
    ess: float
    ess_fraction: float
    mean: Estimate
    log_z_ratio: Estimate


def mean_energy(energy: object, n: int, *, method: str = "auto") -> Estimate:
    """Return the mean potential energy per particle, all replicas pooled.

    Parameters
    ----------
    energy
        (records,) or (records, R) energies of whole systems at one common temperature.
    n
        Number of particles of one system.
    method
        How the error is found: "auto", "gamma", "blocking" or "replicas", see `estimate_mean`. "auto" is the larger of the
        errors by "gamma" and "replicas" from 8 replicas on, and "gamma" with fewer; the `method` of the result says which.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    series = series_2d("energy", energy)
    if series.size < 2:
        raise ValueError(f"energy: expected at least 2 values, got {series.size}")
    return estimate_mean(series, method=method).scaled(1.0 / _check.positive_int("n", n))


def mean_energy_per_replica(energy: object, n: int, *, method: str = "gamma") -> tuple[Estimate, ...]:
    """Return the mean potential energy per particle of each replica alone; the replicas may differ in temperature."""
    series = series_2d("energy", energy)
    if series.shape[0] < 2:
        raise ValueError(f"energy: expected at least 2 records, got {series.shape[0]}")
    factor = 1.0 / _check.positive_int("n", n)
    return tuple(estimate.scaled(factor) for estimate in estimate_mean_per_replica(series, method=method))


# ---------------------------------------------------------------------------------------------------------- specific heat


def _blocks(x: FloatArray, tau: float) -> FloatArray:
    units = to_blocks(x, block_length(tau, *x.shape[:2]))
    if len(units) < 2:
        raise ValueError(f"energy: expected at least 2 records in all, got {len(units)}")
    return units


def _variance(x: FloatArray) -> Estimate:
    """Variance of all values of a series, corrected for bias of order 1/n, with its blocked jackknife error.

    The bias is minus the variance of the mean. That of the blocks, which may leave records out, is scaled to all records.
    """
    if x.size < 2:
        raise ValueError(f"energy: expected at least 2 values, got {x.size}")
    centred = x - x.mean()
    gamma = gamma_method(centred**2)
    units = _blocks(centred, max(gamma.tau, gamma_method(x).tau))
    m, length = units.shape
    first, second = units.sum(axis=1), (units**2).sum(axis=1)
    rest = (m - 1) * length
    deleted = (second.sum() - second) / rest - ((first.sum() - first) / rest) ** 2
    variance_of_mean = (first / length).var(ddof=1) / m * (m * length / x.size)
    value = float((centred**2).mean() + variance_of_mean)
    return Estimate(value, jackknife_error(deleted), gamma.tau, gamma.ess, x.size, "jackknife")


def _heat(x: FloatArray, temperature: float, n: int, dimension: int, kind: str) -> Estimate:
    ideal = 0.5 * dimension if kind == "total" else 0.0
    return _variance(x).scaled(1.0 / (n * temperature**2), ideal)


def _heat_arguments(temperature: float, n: int, dimension: int, kind: str) -> tuple[float, int, int, str]:
    d = _check.positive_int("dimension", dimension)
    if d not in (2, 3):
        raise ValueError(f"dimension: expected 2 or 3, got {d}")
    kind = _check.choice("kind", kind, ("configurational", "total"))
    return _check.magnitude("temperature", temperature), _check.positive_int("n", n), d, kind


def specific_heat(energy: object, temperature: float, n: int, dimension: int, kind: str = "configurational") -> Estimate:
    """Return the specific heat at constant volume, per particle in units of k_B, from energy fluctuations.

    The configurational part is (<U^2> - <U>^2) / (N T^2), all replicas pooled about their common mean; "total" adds the ideal
    part d/2 of N particles with d N velocity components. The averages are over all records. The error is a jackknife over
    blocks that are long against the autocorrelation time of U and of (U - <U>)^2. The value is corrected for the bias of a
    variance of correlated records: the squared error of <U>, from the same blocks, is added to <U^2> - <U>^2. Blocks are of
    equal length; records that fill none, the first ones, are left out of the error and the correction only.

    Parameters
    ----------
    energy
        (records,) or (records, R) potential energies of whole systems, all at `temperature`.
    temperature
        The common temperature, in units of epsilon.
    n
        Number of particles of one system.
    dimension
        2 or 3.
    kind
        "configurational" or "total".

    Returns
    -------
    Estimate
        `tau` and `ess` are those of (U - <U>)^2. With fewer than about 100 effective samples the error is itself uncertain.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    series = series_2d("energy", energy)
    return _heat(series, *_heat_arguments(temperature, n, dimension, kind))


def specific_heat_per_replica(
    energy: object, temperature: object, n: int, dimension: int, kind: str = "configurational"
) -> tuple[Estimate, ...]:
    """Return the specific heat of each replica alone, about its own mean.

    Parameters
    ----------
    energy, n, dimension, kind
        As for `specific_heat`.
    temperature
        One temperature, or (R,) one for each replica.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    series = series_2d("energy", energy)
    replicas = series.shape[1]
    temperatures = _check.float_array("temperature", temperature)
    if temperatures.shape not in ((), (replicas,)):
        raise ValueError(f"temperature: expected a number or shape {(replicas,)}, got shape {temperatures.shape}")
    each = np.broadcast_to(temperatures, (replicas,)).tolist()
    arguments = [_heat_arguments(t, n, dimension, kind) for t in each]
    return tuple(_heat(series[:, r : r + 1], *arguments[r]) for r in range(replicas))


# ------------------------------------------------------------------------------------------------------------- reweighting


def reweight(energy: object, beta: float, new_beta: float, observable: object = None) -> Reweighting:
    """Reweight samples from one inverse temperature to another, by the single-histogram method.

    Weights are proportional to exp(-(new_beta - beta) U), normalised to sum 1, so that <O> = sum w O, and log
    Z(new_beta)/Z(beta) = log of the mean of exp(-(new_beta - beta) U). Errors are from a blocked jackknife that accounts for
    autocorrelation. They are honest only while `ess` is large: where a handful of samples carry the weight, nothing that was
    measured can tell how far off the result is.

    Parameters
    ----------
    energy
        (records,) or (records, R) potential energies of whole systems, sampled at `beta`.
    beta, new_beta
        Inverse temperatures in units of 1/epsilon.
    observable
        What to average, of the shape of `energy`; the energy itself by default.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.

    References
    ----------
    Ferrenberg, Swendsen 1988, Phys. Rev. Lett. 61, 2635; Kish 1965, Survey Sampling, section 11.7.
    """
    u = series_2d("energy", energy)
    if u.size < 2:
        raise ValueError(f"energy: expected at least 2 values, got {u.size}")
    step = _check.number_in("new_beta", new_beta, -LARGEST, LARGEST) - _check.number_in("beta", beta, -LARGEST, LARGEST)
    o = u if observable is None else same_shape("observable", observable, u)
    exponent = -step * u
    top = float(exponent.max())
    boltzmann = np.exp(exponent - top)
    weights = boltzmann / boltzmann.sum()
    mean = float(np.sum(weights * o))
    ess = 1.0 / float(np.sum(weights**2))

    influence = gamma_method(weights * (o - mean))
    normaliser = gamma_method(boltzmann)
    units = _blocks(np.stack([boltzmann, boltzmann * (o - mean)], axis=2), max(influence.tau, normaliser.tau))
    sums = units.sum(axis=1)
    shift_error, log_error = _leave_one_out_errors(sums)
    log_z = top + math.log(float(boltzmann.mean()))
    return Reweighting(
        weights=weights,
        ess=ess,
        ess_fraction=ess / u.size,
        mean=Estimate(mean, shift_error, influence.tau, influence.ess, u.size, "reweighting"),
        log_z_ratio=Estimate(log_z, log_error, normaliser.tau, normaliser.ess, u.size, "reweighting"),
    )


def _leave_one_out_errors(sums: FloatArray) -> tuple[float, float]:
    """Jackknife errors of sum(w o)/sum(w) and of log sum(w) from the block sums (blocks, 2) of (w, w o).

    Infinite where one block carries all the weight.
    """
    total = sums.sum(axis=0)
    rest = total - sums
    if rest[:, 0].min() <= 1e-12 * total[0]:
        return math.inf, math.inf
    return jackknife_error(rest[:, 1] / rest[:, 0]), jackknife_error(np.log(rest[:, 0]))


def pressure_from_virial(virial: object, n: int, box: object, temperature: object) -> FloatArray:
    """Return the pressure P = (N T + tr W / d) / V of each configuration.

    Parameters
    ----------
    virial
        (..., d, d) virial tensors W_ab = sum over pairs of r_a F_b (both from one particle of the pair to the other), in units
        of epsilon.
    n
        Number of particles.
    box
        (d,) sides of the box.
    temperature
        One temperature, or an array that broadcasts against the leading axes of `virial`.

    Returns
    -------
    numpy.ndarray
        (...,) pressures in units of epsilon / sigma^d.

    Raises
    ------
    TypeError, ValueError
        On a bad argument.
    """
    sides = box_sides("box", box)
    d = sides.size
    tensor = _check.float_array("virial", virial)
    if tensor.ndim < 2 or tensor.shape[-2:] != (d, d):
        raise ValueError(f"virial: expected shape (..., {d}, {d}), got shape {tensor.shape}")
    temperatures = _check.float_array("temperature", temperature)
    if not (temperatures > 0.0).all():
        raise ValueError(f"temperature: expected positive temperatures, got {temperatures.min():g}")
    lead = tensor.shape[:-2]
    try:
        each = np.broadcast_to(temperatures, lead)
    except ValueError:
        raise ValueError(f"temperature: expected a shape that broadcasts to {lead}, got shape {temperatures.shape}") from None
    with np.errstate(over="ignore", invalid="ignore"):
        trace = np.trace(tensor, axis1=-2, axis2=-1)
        pressure = np.asarray((_check.positive_int("n", n) * each + trace / d) / np.prod(sides), dtype=np.float64)
    if not np.isfinite(pressure).all():
        raise ValueError("virial: expected tensors and temperatures with a finite pressure, got one that overflows")
    return pressure
