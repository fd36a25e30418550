"""Configurations carried by a flow, with their log weights, and the check that the integration is fine enough for them.

The log weight of a configuration x_0 carried from beta_h to x_1 at beta_c is

    log w = -beta_c U(x_1) + beta_h U(x_0) + log |det dx_1/dx_0|
          = -(beta_c - beta_h) U(x_0) - beta_c [U(x_1) - U(x_0)] + log |det dx_1/dx_0|,

in the second form, which is that of plain reweighting, to the bit, where the flow does nothing.

A flow is integrated with n steps, and its Jacobian is the integral of a divergence: both approach the exact ones as n grows.
The difference of log w between n and 2n steps measures what is missing. It is taken over configurations spread evenly over the
batch, and over the heaviest ones, on which averages depend most. Those more than 20 nats lighter than the heaviest do not
count: their weight, below 2e-9 of the largest, is nothing with either number of steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .. import _check
from ..energy import energy
from ..flows.transport import Flow, FlowError, Transport, log_weights_of
from ..systems import System

__all__ = ["Batch", "Carried", "Integration", "carry", "check_flow", "check_temperature"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BLOCK = 1024  # configurations between two chances to stop and to report
_RELEVANT = 20.0  # nats below the heaviest
_BEYOND = 1e-9  # relative distance from the ends of a flow's range up to which a temperature counts as inside


@dataclass(frozen=True)
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
        )


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Carried:
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

    Raises
    ------
    FlowError
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
