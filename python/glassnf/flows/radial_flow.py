"""Flows along fields of radial functions and messages, by the native kernels."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from ..systems import System
from . import _native
from .message_field import MessageField
from .tables import RadialTables
from .transport import FlowError, Transport, check_betas, steps_between

if TYPE_CHECKING:
    from .report import TrainingReport

__all__ = ["RadialFlow", "check_layers"]

FloatArray = npt.NDArray[np.float64]

_CACHED_WAYS = 64  # tables of ways from one inverse temperature to another that a flow keeps
_MOST_COORDINATES = 2048  # of a configuration, with more than one layer of messages: the kernels keep rows of Jacobians

_lock = threading.Lock()  # of all caches of tables


def _renew_lock() -> None:
    """In a forked process, whose parent may have had a thread that held the lock and does not exist here."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def check_layers(name: str, system: System, layers: int) -> None:
    """Raise ValueError if a configuration is too large for so many layers of messages."""
    if layers > 1 and system.n * system.dimension > _MOST_COORDINATES:
        raise ValueError(
            f"{name}: expected at most one layer of messages for more than {_MOST_COORDINATES // system.dimension} particles, "
            f"got {layers} for {system.n}"
        )


class RadialFlow:
    """A flow dx/dbeta = v(x, beta) along a `MessageField`, integrated by classical Runge-Kutta steps of fourth order.

    Parameters
    ----------
    system : System
    field : MessageField
    hot, cold : float, epsilon
        The range of temperatures in which the field was trained.
    steps : int
        Default number of steps over the whole range.
    report : TrainingReport, optional
        How it was trained.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the field does not fit into half of the box.
    FlowError
        If all coefficients of the field are zero: such a flow has not been trained, and `IdentityFlow` says so by name.
    """

    def __init__(
        self, system: System, field: MessageField, hot: float, cold: float, steps: int, report: TrainingReport | None = None
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        if not isinstance(field, MessageField):
            raise TypeError(f"field: expected a MessageField, got {type(field).__name__}")
        if field.n_species != system.n_species:
            raise ValueError(f"field: expected one of {system.n_species} species, got {field.n_species}")
        check_layers("field", system, field.layers)
        field.pair_basis.check_box("field", system)
        field.message_basis.check_box("field", system)
        self.hot = _check.positive_float("hot", hot)
        self.cold = _check.positive_float("cold", cold)
        if not self.cold < self.hot:
            raise ValueError(f"cold: expected a temperature below hot = {self.hot}, got {self.cold}")
        if not field.pair.any() and not field.message.any():
            raise FlowError("the field of this flow is zero everywhere: it has not been trained")
        self.system = system
        self.field = field
        self.steps = _check.positive_int("steps", steps)
        self.report = report
        self._tables: OrderedDict[tuple[float, float, int], RadialTables] = OrderedDict()

    def __repr__(self) -> str:
        return (
            f"RadialFlow({self.system!r}, T = {self.hot:.6g} to {self.cold:.6g}, {self.field.layers} layers of messages, "
            f"{self.steps} steps)"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": OrderedDict()}  # tables are made again where they are needed

    def _tables_of(self, beta_from: float, beta_to: float, steps: int) -> RadialTables:
        # The way back has the same tables in reverse, to the last bit, whichever way was asked for first.
        key = (beta_from, beta_to, steps)
        with _lock:
            found = self._tables.get(key)
            if found is None:
                low, high = min(beta_from, beta_to), max(beta_from, beta_to)
                found = self.field.tables(np.linspace(low, high, 2 * steps + 1))
                if beta_from > beta_to:
                    found = found.reversed()
                self._tables[key] = found
                if len(self._tables) > _CACHED_WAYS:
                    self._tables.popitem(last=False)
            self._tables.move_to_end(key)
            return found

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
        """Carry a batch from one inverse temperature to another, either way; see `Flow.transport`."""
        check_betas(self, beta_from, beta_to)
        count = steps_between(self, beta_from, beta_to) if steps is None else _check.positive_int("steps", steps)
        tables = self._tables_of(float(beta_from), float(beta_to), count)
        return _native.trajectory(
            self.system, positions, species, tables, (float(beta_to) - float(beta_from)) / count, threads=threads
        )

    def velocity_and_divergence(
        self, positions: FloatArray, species: npt.NDArray[np.int32], beta: float, *, threads: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the field and its divergence at one inverse temperature.

        Parameters
        ----------
        positions : (R, N, d) float64, sigma
        species : (R, N) int32
        beta : float, 1/epsilon
            Within the trained range.

        Returns
        -------
        velocity : (R, N, d), sigma epsilon
        divergence : (R,), epsilon
        """
        check_betas(self, beta, names=("beta",))
        velocity, divergence = _native.velocity_and_divergence(
            self.system, positions, species, self.field.tables([float(beta)]), threads=threads
        )
        return velocity, divergence

    def for_system(self, system: System) -> RadialFlow:
        """Return the same field for another number of particles or another box of the same liquid.

        The field is a sum over neighbours within a fixed range, so that what it learnt from a small system applies to a large
        one at the same density. The potential must be the same.

        Raises
        ------
        ValueError
            If the potential or the dimension differs, or the box is too small.
        """
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        if system.potential != self.system.potential or system.dimension != self.system.dimension:
            raise ValueError(
                f"system: expected the potential and the dimension that the flow was trained for, {self.system!r}, got "
                f"{system!r}"
            )
        return RadialFlow(system, self.field, self.hot, self.cold, self.steps, self.report)

    def without_messages(self) -> RadialFlow:
        """Return the flow along the pair field that training found first: cheaper, and not as good."""
        field = self.field
        while field.layers:
            field = field.below()
        return RadialFlow(self.system, field, self.hot, self.cold, self.steps, None)

    @property
    def hash(self) -> str:
        """SHA-256 of system, range, steps and coefficients, 64 hexadecimal digits."""
        digest = hashlib.sha256(self.system.hash.encode())
        for basis in (self.field.pair_basis, self.field.message_basis):
            digest.update(np.array([basis.inner, basis.outer, basis.intervals], dtype="<f8").tobytes())
        basis_of_beta = self.field.temperature_basis
        numbers = [self.hot, self.cold, basis_of_beta.beta_hot, basis_of_beta.beta_cold, basis_of_beta.size, self.steps]
        digest.update(np.array(numbers, dtype="<f8").tobytes())
        for array in (self.field.pair, self.field.message):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what decides on its results, as numbers and strings."""
        return {
            "flow": "radial",
            "hot": self.hot,
            "cold": self.cold,
            "steps": self.steps,
            "layers": self.field.layers,
            "hash": self.hash,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the flow to a safetensors file, in one step; see `glassnf.flows.load`."""
        from .storage import save

        save(path, self)
