<<<<<<< HEAD
"""What parallel tempering and population annealing do with a flow: carry configurations, weigh them, and check the integration.

A configuration x of energy U in equilibrium at beta that a flow carries to y at beta' has the log weight

    log w = beta U(x) - beta' U(y) + log |det dy/dx|,

the work of the map with the sign of a log probability (targeted free energy perturbation: Jarzynski, Phys. Rev. E 65, 046122,
2002). Both algorithms know log w as (beta - beta') E, with an effective energy

    E = U(x) + [log |det dy/dx| - beta' (U(y) - U(x))] / (beta - beta'),

and then use their plain formulas with E in place of U. A flow that does nothing has E = U, bit for bit. In the limit of small
steps E is U - div v - beta v.F, whose spread is what is left of that of U: the residual of the continuity equation.
=======
"""Configurations carried by a flow, with their log weights, and the check that the integration is fine enough for them.

The log weight of a configuration x_0 carried from beta_h to x_1 at beta_c is

    log w = -beta_c U(x_1) + beta_h U(x_0) + log |det dx_1/dx_0|
          = -(beta_c - beta_h) U(x_0) - beta_c [U(x_1) - U(x_0)] + log |det dx_1/dx_0|,

in the second form, which is that of plain reweighting, to the bit, where the flow does nothing.

A flow is integrated with n steps, and its Jacobian is the integral of a divergence: both approach the exact ones as n grows.
The difference of log w between n and 2n steps measures what is missing. It is taken over configurations spread evenly over the
batch, and over the heaviest ones, on which averages depend most. Those more than 20 nats lighter than the heaviest do not
count: their weight, below 2e-9 of the largest, is nothing with either number of steps.
>>>>>>> main
"""

from __future__ import annotations

<<<<<<< HEAD
import math
from dataclasses import dataclass
from typing import Any
=======
import time
from collections.abc import Callable
from dataclasses import dataclass, field
>>>>>>> main

import numpy as np
import numpy.typing as npt

from .. import _check
<<<<<<< HEAD
from ..energy import energy as energy_of
from ..ensemble import wrap_positions
from ..flows.transport import Flow, FlowError
from ..systems import System

__all__ = ["Accuracy", "Carried", "MapError", "Settings", "carry", "check_range", "enough_steps", "map_error"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

=======
from ..energy import energy
from ..flows.transport import Flow, FlowError, Transport
from ..systems import System

__all__ = ["Batch", "Carried", "Integration", "carry", "check_flow", "check_temperature", "log_weights_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BLOCK = 1024  # configurations between two chances to stop and to report
_RELEVANT = 20.0  # nats below the heaviest
>>>>>>> main
_BEYOND = 1e-9  # relative distance from the ends of a flow's range up to which a temperature counts as inside


@dataclass(frozen=True)
<<<<<<< HEAD
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
        return cls(
            _check.positive_float("flow_tolerance", log_weight),
            math.inf if position == math.inf else _check.positive_float("flow_position_tolerance", position),
            _check.positive_int("flow_max_steps", most_steps),
=======
class Integration:
    """How flows are integrated and checked.

    Attributes
    ----------
    steps : int or None
        To begin with; None: those of the flow.
    tolerance : float
        Largest difference of log w between n and 2n steps.
    max_steps : int
        Steps are doubled up to this number.
    check_samples : int
        How many configurations of a batch are integrated with 2n steps too; and a quarter of it of the heaviest. 0: no check.
    threads : int or None
    """

    steps: int | None
    tolerance: float
    max_steps: int
    check_samples: int
    threads: int | None

    @classmethod
    def checked(
        cls, steps: object, tolerance: object, max_steps: object, check_samples: object, threads: int | None
    ) -> Integration:
        """Return it from arguments of a user's."""
        most = _check.positive_int("max_steps", max_steps)
        return cls(
            None if steps is None else _check.integer("steps", steps, 1, most),
            _check.positive_float("tolerance", tolerance),
            most,
            _check.positive_int("check_samples", check_samples),
            threads,
>>>>>>> main
        )


@dataclass(frozen=True)
<<<<<<< HEAD
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
        If it is none, belongs to another system, or its range is too short.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow: expected a flow such as flows.load returns, got {type(flow).__name__}")
    if flow.system != system:
        raise ValueError(f"flow: expected one of {system!r}, got one of {flow.system!r}")
    if not (flow.hot >= hot * (1.0 - _BEYOND) and flow.cold <= cold * (1.0 + _BEYOND)):
        raise ValueError(
            f"flow: expected one for temperatures from {hot:.6g} to {cold:.6g}, the ends of {what}, got one for "
            f"{flow.hot:.6g} to {flow.cold:.6g}"
        )
    return flow
=======
class Batch:
    """Configurations of a system in host memory: (R, N, d) positions and images, (R, N) species, (R,) energies."""

    positions: FloatArray = field(repr=False)
    images: npt.NDArray[np.int32] = field(repr=False)
    species: npt.NDArray[np.int32] = field(repr=False)
    energy: FloatArray = field(repr=False)

    @property
    def size(self) -> int:
        return int(self.energy.size)

    def part(self, index: slice | IntArray) -> Batch:
        return Batch(self.positions[index], self.images[index], self.species[index], self.energy[index])
>>>>>>> main


@dataclass(frozen=True)
class Carried:
<<<<<<< HEAD
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
=======
    """A batch after a flow.

    Attributes
    ----------
    batch : Batch
    log_weights : (R,) float64
    log_jacobian : (R,) float64
    steps : int
        Of the integrator; 0 if nothing was integrated.
    integration_error : float
        Largest difference of log w between these and twice as many steps that was found.
    checked : int
        Number of configurations on which.
    pair_evaluations : int
        Distances, four fields a step, and energies.
    wall_time : float, s
    """

    batch: Batch
    log_weights: FloatArray
    log_jacobian: FloatArray
    steps: int
    integration_error: float
    checked: int
    pair_evaluations: int
    wall_time: float


def check_flow(system: System, flow: object) -> Flow:
    """Return a flow that fits the system: TypeError or ValueError otherwise."""
    if not isinstance(flow, Flow):
        raise TypeError(f"flow: expected a flow such as glassnf.flows.IdentityFlow, got {type(flow).__name__}")
    if flow.system.composition != system.composition or not np.array_equal(flow.system.box, system.box):
        raise ValueError(f"flow: expected one of {system!r}, got one of {flow.system!r}")
    return flow


def check_temperature(name: str, value: object, flow: Flow) -> float:
    """Return a temperature within the range of a flow: TypeError or ValueError otherwise."""
    temperature = _check.positive_float(name, value)
    if not flow.cold * (1.0 - _BEYOND) <= temperature <= flow.hot * (1.0 + _BEYOND):
        raise ValueError(
            f"{name}: expected a temperature from {flow.cold:g} to {flow.hot:g}, the range of the flow, got {temperature:g}"
        )
    return temperature


def log_weights_of(
    before: FloatArray, after: FloatArray, log_jacobian: FloatArray, beta_from: float, beta_to: float
) -> FloatArray:
    """Return log w (R,) from the energies before and after; for a flow that does nothing those of plain reweighting."""
    return -(beta_to - beta_from) * before - beta_to * (after - before) + log_jacobian


class _Carrier:
    """One batch on its way between two inverse temperatures."""

    def __init__(
        self,
        system: System,
        flow: Flow,
        start: Batch,
        betas: tuple[float, float],
        integration: Integration,
        tell: Callable[[float], None] | None,
    ) -> None:
        self.system, self.flow, self.start, self.betas = system, flow, start, betas
        self.integration, self.tell = integration, tell
        self.pairs = 0

    def transport(self, index: slice | IntArray, steps: int | None) -> tuple[Transport, FloatArray, FloatArray]:
        """Carry a part of the batch and return it with its energies and log weights."""
        part = self.start.part(index)
        moved = self.flow.transport(part.positions, part.species, *self.betas, steps=steps, threads=self.integration.threads)
        bad = ~(np.isfinite(moved.positions).all(axis=(1, 2)) & np.isfinite(moved.log_jacobian))
        if bad.any():
            places = np.arange(self.start.size)[index][bad]
            raise FlowError(
                f"flow: expected finite positions and Jacobians, got others for {places.size} of {bad.size} configurations, "
                f"number {places[0]} the first of them",
                tuple(int(place) for place in places),
            )
        after = np.asarray(energy(self.system, moved.positions, part.species, threads=self.integration.threads))
        n = self.system.n
        self.pairs += part.size * (4 * moved.steps + 1) * (n * (n - 1) // 2)
        return moved, after, log_weights_of(part.energy, after, moved.log_jacobian, *self.betas)

    def whole(self, steps: int | None) -> tuple[Transport, FloatArray, FloatArray]:
        """Carry all, block by block."""
        parts = []
        for low in range(0, self.start.size, _BLOCK):
            parts.append(self.transport(slice(low, low + _BLOCK), steps))
            if self.tell is not None:
                self.tell(min(1.0, (low + _BLOCK) / self.start.size))
        moved = [part[0] for part in parts]
        joined = Transport(
            np.concatenate([one.positions for one in moved]),
            np.concatenate([one.images for one in moved]),
            np.concatenate([one.log_jacobian for one in moved]),
            moved[0].steps,
        )
        return joined, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])

    def settle(self, subset: IntArray) -> tuple[int | None, float]:
        """Return steps that are enough for a part of the batch, and the error that is left."""
        moved, _, coarse = self.transport(subset, self.integration.steps)
        steps = moved.steps
        if steps == 0:
            return self.integration.steps, 0.0
        while True:
            fine = self.transport(subset, 2 * steps)[2]
            error = _difference(coarse, fine, float(fine.max()))
            if error <= self.integration.tolerance:
                return steps, error
            steps, coarse = self.more_steps(steps, error), fine

    def more_steps(self, steps: int, error: float) -> int:
        """Return twice the steps, or refuse."""
        if 2 * steps > self.integration.max_steps:
            hot, cold = (1.0 / beta for beta in self.betas)
            raise FlowError(
                f"flow: expected log weights that {steps} and {2 * steps} steps agree on to {self.integration.tolerance:g} "
                f"from temperature {hot:.6g} to {cold:.6g}, got a difference of {error:.3g}, and more than max_steps = "
                f"{self.integration.max_steps} are not allowed. Use more, shorter temperature steps, or a smoother flow"
            )
        return 2 * steps


def _difference(coarse: FloatArray, fine: FloatArray, heaviest: float) -> float:
    """Return the largest difference of log weights that are not negligible beside the heaviest."""
    relevant = np.maximum(coarse, fine) > heaviest - _RELEVANT
    return float(np.abs(coarse - fine)[relevant].max(initial=0.0))


def carry(
    system: System,
    flow: Flow,
    start: Batch,
    beta_from: float,
    beta_to: float,
    integration: Integration,
    tell: Callable[[float], None] | None = None,
) -> Carried:
    """Carry a batch with as many steps as its log weights need.

    Parameters
    ----------
    system : System
    flow : Flow
    start : Batch
    beta_from, beta_to : float, 1/epsilon
    integration : Integration
    tell : callable, optional
        Hears the part done, from 0 to 1.
>>>>>>> main

    Raises
    ------
    FlowError
<<<<<<< HEAD
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
    """Compare a map with itself at half the step size, and with its inverse, on the configurations given."""
    width = beta_from - beta_to
    there = carry(settings, positions, species, energy, beta_from, beta_to, steps=steps)
    if there.steps == 0 and np.array_equal(there.positions, positions) and not there.log_jacobian.any():
        return MapError(0, 0.0)
    fine = carry(settings, positions, species, energy, beta_from, beta_to, steps=2 * max(there.steps, 1))
    error = _largest(width * (there.effective - fine.effective))
    if not reversible:
        return MapError(there.steps, error)
    back = carry(settings, there.positions, species, there.energy, beta_to, beta_from, steps=there.steps or None)
    away = back.positions - positions
    away -= settings.system.box * np.rint(away / settings.system.box)
    return MapError(there.steps, error, _largest(width * (there.effective - back.effective)), _largest(away))


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
=======
        If a result is not finite, or the integration error is above the tolerance with the most steps allowed.
    """
    clock = time.perf_counter()
    carrier = _Carrier(system, flow, start, (beta_from, beta_to), integration, tell)
    subset = np.linspace(0, start.size - 1, min(integration.check_samples, start.size)).astype(np.int64)
    steps, error = carrier.settle(subset) if subset.size else (integration.steps, 0.0)
    heavy = np.empty(0, dtype=np.int64)
    while True:
        moved, after, log_w = carrier.whole(steps)
        if moved.steps == 0 or subset.size == 0:
            break
        heavy = np.setdiff1d(np.argsort(-log_w, kind="stable")[: max(1, subset.size // 4)], subset)
        if heavy.size == 0:
            break
        found = _difference(log_w[heavy], carrier.transport(heavy, 2 * moved.steps)[2], float(log_w.max()))
        if found <= integration.tolerance:
            error = max(error, found)
            break
        steps = carrier.more_steps(moved.steps, found)
    return Carried(
        Batch(moved.positions, start.images + moved.images, start.species, after),
        log_w,
        moved.log_jacobian,
        moved.steps,
        error,
        int(subset.size + heavy.size) if moved.steps > 0 else 0,
        carrier.pairs,
        time.perf_counter() - clock,
    )
>>>>>>> main
