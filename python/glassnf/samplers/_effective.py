"""What parallel tempering and population annealing do with a flow: carry configurations, weigh them, and check the integration.

A configuration x of energy U in equilibrium at beta that a flow carries to y at beta' has the log weight

    log w = beta U(x) - beta' U(y) + log |det dy/dx|,

the work of the map with the sign of a log probability (targeted free energy perturbation: Jarzynski, Phys. Rev. E 65, 046122,
2002). Both algorithms know log w as (beta - beta') E, with an effective energy

    E = U(x) + [log |det dy/dx| - beta' (U(y) - U(x))] / (beta - beta'),

and then use their plain formulas with E in place of U. A flow that does nothing has E = U, bit for bit. In the limit of small
steps E is U - div v - beta v.F, whose spread is what is left of that of U: the residual of the continuity equation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..energy import energy as energy_of
from ..ensemble import wrap_positions
from ..flows.transport import Flow, FlowError
from ..systems import System
from ._carry import check_flow

__all__ = ["LOST", "Accuracy", "Carried", "MapError", "Settings", "carry", "check_range", "enough_steps", "map_error"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

LOST = 100.0
"""Nats that a log weight may be below that of the configuration left where it is; beyond, particles have come to overlap."""

_RELEVANT = 20.0  # nats below the largest log weight: what is lighter has no part in what follows
_BEYOND = 1e-9  # relative distance from the ends of a flow's range up to which a temperature counts as inside


@dataclass(frozen=True)
class Accuracy:
    """How exactly a flow must be integrated.

    Attributes
    ----------
    log_weight : float
        Largest error of a log weight, found with n and 2n steps; and, where the map must be reversible, of the sum of the log
        weights there and back.
    position : float, sigma
        Largest distance of a coordinate from where it was, after the way there and back.
    most_steps : int
        Of the integrator, on one way from temperature to temperature.
    """

    log_weight: float
    position: float
    most_steps: int

    @classmethod
    def of(cls, log_weight: object, position: object, most_steps: object) -> Accuracy:
        """Check the arguments `flow_tolerance`, `flow_position_tolerance` and `flow_max_steps`."""
        infinite = isinstance(position, float) and position == math.inf
        return cls(
            _check.positive_float("flow_tolerance", log_weight),
            math.inf if infinite else _check.positive_float("flow_position_tolerance", position),
            _check.positive_int("flow_max_steps", most_steps),
        )


@dataclass(frozen=True)
class Settings:
    """A flow that has been checked, and how it is to be used."""

    flow: Flow
    system: System
    accuracy: Accuracy
    threads: int | None

    def describe(self) -> dict[str, Any]:
        """Return what decides on results, as numbers and strings."""
        return {
            **self.flow.describe(),
            "tolerance": self.accuracy.log_weight,
            **({} if self.accuracy.position == math.inf else {"position_tolerance": self.accuracy.position}),
            "max_steps": self.accuracy.most_steps,
        }


def check_range(flow: object, system: System, hot: float, cold: float, what: str) -> Flow:
    """Return a flow that fits a system and reaches from `hot` to `cold`, the ends of `what`.

    Raises
    ------
    TypeError, ValueError
        If it is none, its species or its box are others, or its range is too short.
    """
    flow = check_flow(system, flow)
    if not (flow.hot >= hot * (1.0 - _BEYOND) and flow.cold <= cold * (1.0 + _BEYOND)):
        raise ValueError(
            f"flow: expected one for temperatures from {hot:.6g} to {cold:.6g}, the ends of {what}, got one for "
            f"{flow.hot:.6g} to {flow.cold:.6g}"
        )
    return flow


@dataclass(frozen=True)
class Carried:
    """Configurations after a flow, weighted.

    Attributes
    ----------
    positions : (R, N, d) float64, sigma
        Wrapped.
    images : (R, N, d) int32
        Box crossings on the way.
    energy : (R,) float64, epsilon
        U(y).
    effective : (R,) float64, epsilon
        E: the log weight is (beta_from - beta_to) E.
    log_jacobian : (R,) float64
    steps : int
        Of the integrator.
    """

    positions: FloatArray
    images: IntArray
    energy: FloatArray
    effective: FloatArray
    log_jacobian: FloatArray
    steps: int


def carry(
    settings: Settings,
    positions: FloatArray,
    species: IntArray,
    energy: FloatArray,
    beta_from: float,
    beta_to: float,
    *,
    steps: int | None = None,
) -> Carried:
    """Carry configurations in host memory from one inverse temperature to another in one call of the flow.

    Energies of configurations that the flow leaves where they are stay what they were, bit for bit.

    Raises
    ------
    FlowError
        If a coordinate or a Jacobian is not finite.
    """
    if beta_from == beta_to:
        nothing = np.zeros(energy.size)
        return Carried(positions.copy(), np.zeros(positions.shape, np.int32), energy.copy(), energy.copy(), nothing, 0)
    moved = settings.flow.transport(positions, species, beta_from, beta_to, steps=steps, threads=settings.threads)
    log_jacobian = _check_shape("log_jacobian", moved.log_jacobian, energy.shape)
    reached = _check_shape("positions", moved.positions, positions.shape)
    _require_finite(reached, log_jacobian, beta_from, beta_to)
    wrapped, crossings = wrap_positions(reached, settings.system.box)
    images = (crossings + moved.images).astype(np.int32)
    still = (wrapped == positions).all(axis=(1, 2))
    new = energy.copy()
    if not still.all():
        new[~still] = energy_of(settings.system, wrapped[~still], species[~still], threads=settings.threads)
    effective = energy + (log_jacobian - beta_to * (new - energy)) / (beta_from - beta_to)
    return Carried(wrapped, images, new, effective, log_jacobian, int(moved.steps))


def _check_shape(name: str, array: object, shape: tuple[int, ...]) -> FloatArray:
    return _check.float_array(f"transport: {name}", array, shape, finite=False)


def _require_finite(positions: FloatArray, log_jacobian: FloatArray, beta_from: float, beta_to: float) -> None:
    bad = ~(np.isfinite(log_jacobian) & np.isfinite(positions).all(axis=(1, 2)))
    if bad.any():
        which = tuple(int(k) for k in np.flatnonzero(bad))
        raise FlowError(
            f"flow: expected finite coordinates and Jacobians, got others for {len(which)} of {bad.size} configurations on the "
            f"way from T = {1.0 / beta_from:.6g} to {1.0 / beta_to:.6g} (the first: {which[0]})",
            which,
        )


@dataclass(frozen=True)
class MapError:
    """What was found wrong with a map, largest of all configurations that were tried.

    Attributes
    ----------
    steps : int
        Of the integrator; 0 if nothing was integrated.
    log_weight : float
        Difference of log weights with n and 2n steps.
    reversal : float
        Sum of the log weights there and back; 0 where that was not asked for.
    position : float, sigma
        Distance of a coordinate from where it was, after the way there and back; 0 where that was not asked for.
    """

    steps: int
    log_weight: float
    reversal: float = 0.0
    position: float = 0.0

    def within(self, accuracy: Accuracy) -> bool:
        """Whether all is as exact as wanted."""
        return max(self.log_weight, self.reversal) <= accuracy.log_weight and self.position <= accuracy.position

    def __str__(self) -> str:
        back = f", {self.reversal:.2g} in log weight and {self.position:.2g} sigma on the way back" if self.reversal else ""
        return f"{self.log_weight:.2g} in log weight{back} with {self.steps} steps"


def map_error(
    settings: Settings,
    positions: FloatArray,
    species: IntArray,
    energy: FloatArray,
    beta_from: float,
    beta_to: float,
    *,
    steps: int | None,
    reversible: bool,
) -> MapError:
    """Compare a map with itself at half the step size, and with its inverse, on the configurations given.

    Those more than 20 nats lighter than the heaviest do not count, with whatever number of steps: they are never accepted, or
    have no children.
    """
    width = beta_from - beta_to
    there = carry(settings, positions, species, energy, beta_from, beta_to, steps=steps)
    if there.steps == 0 and np.array_equal(there.positions, positions) and not there.log_jacobian.any():
        return MapError(0, 0.0)
    fine = carry(settings, positions, species, energy, beta_from, beta_to, steps=2 * max(there.steps, 1))
    heavier = np.maximum(width * there.effective, width * fine.effective)
    relevant = heavier > heavier.max() - _RELEVANT
    error = _largest(width * (there.effective - fine.effective)[relevant])
    if not reversible:
        return MapError(there.steps, error)
    back = carry(settings, there.positions, species, there.energy, beta_to, beta_from, steps=there.steps or None)
    away = back.positions - positions
    away -= settings.system.box * np.rint(away / settings.system.box)
    back_and_forth = width * (there.effective - back.effective)
    return MapError(there.steps, error, _largest(back_and_forth[relevant]), _largest(away[relevant]))


def enough_steps(
    settings: Settings,
    ways: list[tuple[FloatArray, IntArray, FloatArray, float, float]],
    *,
    steps: int | None,
    reversible: bool,
) -> MapError:
    """Return the errors at the fewest steps, of `steps` times powers of two, at which all is as exact as wanted.

    Parameters
    ----------
    settings : Settings
    ways : list of (positions, species, energy, beta_from, beta_to)
        What to carry from where to where, all with the same number of steps.
    steps : int, optional
        The fewest to try. Default: as many as the flow takes for the first way.
    reversible : bool
        Whether the way back counts.

    Returns
    -------
    MapError
        Of the last steps that were tried, `Accuracy.most_steps` at most: the caller asks whether it is ``within``.
    """
    while True:
        errors = []
        for way in ways:
            errors.append(map_error(settings, *way, steps=steps, reversible=reversible))
            steps = errors[0].steps or None
        worst = MapError(
            errors[0].steps,
            *(max(getattr(error, name) for error in errors) for name in ("log_weight", "reversal", "position")),
        )
        if worst.within(settings.accuracy) or worst.steps == 0 or 2 * worst.steps > settings.accuracy.most_steps:
            return worst
        steps = 2 * worst.steps


def _largest(values: FloatArray) -> float:
    largest = float(np.abs(values).max(initial=0.0))
    return largest if not math.isnan(largest) else math.inf
