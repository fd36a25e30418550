"""What samplers know of a flow: a map of configurations from one inverse temperature to another, with its Jacobian."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .. import _check
from ..systems import System

__all__ = ["Flow", "FlowError", "IdentityFlow", "Transport", "check_betas", "log_weights_of", "steps_between"]

FloatArray = npt.NDArray[np.float64]


class FlowError(RuntimeError):
    """A flow could not carry its configurations: the field or the result is not finite, or the integration is too coarse.

    Attributes
    ----------
    replicas : tuple of ints
        Indices, in the batch, of configurations that failed.
    """

    def __init__(self, message: str, replicas: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.replicas = replicas


@dataclass(frozen=True)
class Transport:
    """Configurations after a flow.

    Attributes
    ----------
    positions : (R, N, d) float64, sigma
        Wrapped into the box.
    images : (R, N, d) int32
        Box crossings on the way, to be added to those of the start.
    log_jacobian : (R,) float64
        log |det dx_1/dx_0|, the integral of the divergence along the path.
    steps : int
        Steps of the integrator; 0 if nothing was integrated.
    """

    positions: FloatArray
    images: npt.NDArray[np.int32]
    log_jacobian: FloatArray
    steps: int


@runtime_checkable
class Flow(Protocol):
    """A field dx/dbeta = v(x, beta) on configurations of one system, integrated with fixed steps.

    Attributes
    ----------
    system : System
        Species counts and box decide; each configuration may have its species in an order of its own.
    hot, cold : float, epsilon
        Ends of the range of temperatures in which the flow is trained.
    steps : int
        Default number of steps over the whole range; shorter ways take proportionally fewer, at least two.
    """

    system: System
    hot: float
    cold: float
    steps: int

    def transport(
        self,
        positions: FloatArray,
        species: npt.NDArray[np.int32],
        beta_from: float,
        beta_to: float,
        *,
        steps: int | None = None,
        threads: int | None = None,
    ) -> Transport:
        """Carry a batch from one inverse temperature to another, either way.

        Parameters
        ----------
        positions : (R, N, d) float64, sigma
        species : (R, N) int32
        beta_from, beta_to : float, 1/epsilon
            Within the trained range.
        steps : int, optional
            Steps of the integrator for this way. Default: in proportion to the default of the flow.
        threads : int, optional
            CPU threads; never changes the result.

        Raises
        ------
        ValueError
            If an argument does not fit the flow, a temperature outside its range among them.
        FlowError
            If a position or a Jacobian is not finite.
        """

    def describe(self) -> dict[str, Any]:
        """Return what decides on its results, as numbers and strings, a hash of its weights among them."""


_SAME = 1e-9  # relative difference up to which two inverse temperatures are the same


def check_betas(flow: Flow, *betas: float, names: tuple[str, ...] = ("beta_from", "beta_to")) -> None:
    """Raise ValueError unless all inverse temperatures lie in the trained range of a flow."""
    for name, beta in zip(names, betas, strict=True):
        beta = _check.positive_float(name, beta)
        if not (1.0 / flow.hot) * (1.0 - _SAME) <= beta <= (1.0 / flow.cold) * (1.0 + _SAME):
            raise ValueError(
                f"{name}: expected a temperature between {flow.cold:.6g} and {flow.hot:.6g}, where the flow is trained, "
                f"got {1.0 / beta:.6g}"
            )


def log_weights_of(
    before: FloatArray, after: FloatArray, log_jacobian: FloatArray, beta_from: float, beta_to: float
) -> FloatArray:
    """Return log w (R,) from the energies before and after; for a flow that does nothing those of plain reweighting."""
    return -(beta_to - beta_from) * before - beta_to * (after - before) + log_jacobian


def steps_between(flow: Flow, beta_from: float, beta_to: float) -> int:
    """Return the default number of steps of the integrator from one inverse temperature to another."""
    share = abs(beta_to - beta_from) / (1.0 / flow.cold - 1.0 / flow.hot)
    return max(2, math.ceil(flow.steps * share * (1.0 - 1e-6)))


class IdentityFlow:
    """The flow that leaves every configuration where it is, whatever the temperatures: log Jacobian 0.

    With it every flow-assisted algorithm is its plain version, bit for bit.

    Parameters
    ----------
    system : System
    hot, cold : float, epsilon
        Range of temperatures it answers for; default: all.
    """

    def __init__(self, system: System, hot: float = np.inf, cold: float = 0.0) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        self.system = system
        self.hot = math.inf if isinstance(hot, float) and hot == math.inf else _check.positive_float("hot", hot)
        self.cold = _check.nonnegative_float("cold", cold)
        if not self.cold < self.hot:
            raise ValueError(f"cold: expected a temperature below hot = {self.hot}, got {self.cold}")
        self.steps = 0

    def __repr__(self) -> str:
        return f"IdentityFlow({self.system!r})"

    def transport(
        self,
        positions: FloatArray,
        species: npt.NDArray[np.int32],
        beta_from: float,
        beta_to: float,
        *,
        steps: int | None = None,
        threads: int | None = None,
    ) -> Transport:
        """Return copies of the positions, no box crossings, and zeros."""
        _check.positive_float("beta_from", beta_from)
        _check.positive_float("beta_to", beta_to)
        positions = np.array(_check.float_array("positions", positions, (None, self.system.n, self.system.dimension)))
        return Transport(positions, np.zeros(positions.shape, np.int32), np.zeros(positions.shape[0]), 0)

    def describe(self) -> dict[str, Any]:
        """Return its name."""
        return {"flow": "identity"}
