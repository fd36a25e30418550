"""The fields of the native kernels as torch functions: for training, as a reference, and as the opponent in benchmarks.

The formulas are those of `RadialTables`. With all vectors of a configuration in one column, a layer of messages is

    wl = bl + Al w(l-1),    bl_i = sum_j pl(d) r,

where block (i, j) of Al is E e e^T and block (i, i) is the sum over j of C e e^T. Al depends on positions, so that

    dwl/dx = Kl + Al dw(l-1)/dx,

Kl having the blocks K_ij = -d(term ij)/dr and K_ii = sum_j d(term ij)/dr of the terms of layer l at fixed w(l-1). The
divergence of the last layer needs the trace of this alone. It is a formula, not a differentiated program; tests compare the
two.

Everything is eager torch, on all pairs, and differentiable in positions and in the tables, as often as cubics allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _check
from .._optional import require
from ..systems import System
from .message_field import MessageField, species_pairs
from .tables import RadialTables

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="flow", purpose="training flows")

__all__ = ["FieldTables", "TableField", "integrate", "stage_tensors", "table_rate", "velocity", "velocity_and_divergence"]

Tensor = Any


class FieldTables(NamedTuple):
    """Radial functions of one stage as tensors; shapes as in `RadialTables`, without the axis of stages.

    Attributes
    ----------
    inner, outer : float, sigma
    pair : (L + 1, S, S, rows, 4) float64
    message_inner, message_outer : float, sigma
    messages : (L, 2, S, S, rows, 4) float64, or None
    """

    inner: float
    outer: float
    pair: Tensor
    message_inner: float = 0.0
    message_outer: float = 0.0
    messages: Tensor | None = None


class _Pairs(NamedTuple):
    """All pairs of a batch: a particle with itself is at distance `far`, where every function is zero."""

    ray: Tensor  # (R, N, N, d), x_i - x_j
    distance: Tensor  # (R, N, N)
    kinds: Tensor  # (R, N, N), a S + b


def stage_tensors(tables: RadialTables, stage: int, device: Any = None) -> FieldTables:
    """Return the functions of one stage."""
    stage = _check.integer("stage", stage, 0, tables.stages - 1)
    pair = torch.tensor(tables.pair[stage], device=device)
    messages = None if tables.messages is None else torch.tensor(tables.messages[stage], device=device)
    return FieldTables(tables.inner, tables.outer, pair, tables.message_inner, tables.message_outer, messages)


def _pairs(positions: Tensor, species: Tensor, box: Tensor, n_species: int) -> _Pairs:
    ray = positions[:, :, None, :] - positions[:, None, :, :]
    ray = ray - box * torch.round(ray.detach() / box)
    itself = torch.eye(positions.shape[1], dtype=positions.dtype, device=positions.device)
    far = 4.0 * float(box.max())
    distance = torch.sqrt((ray * ray).sum(-1) + far * far * itself)
    return _Pairs(ray, distance, species[:, :, None] * n_species + species[:, None, :])


def _lookup(table: Tensor, inner: float, outer: float, pairs: _Pairs) -> tuple[Tensor, Tensor]:
    """Return the functions (S, S, rows, 4) and their slopes at all pairs, (R, N, N) both."""
    rows = table.shape[2]
    width = (outer - inner) / (rows - 2)
    place = (pairs.distance - inner) / width
    row = torch.floor(place.detach()).clamp(-1, rows - 2)
    s = place - row
    c = table.reshape(-1, 4)[pairs.kinds * rows + row.long() + 1]
    value = c[..., 0] + s * (c[..., 1] + s * (c[..., 2] + s * c[..., 3]))
    slope = (c[..., 1] + s * (2.0 * c[..., 2] + s * 3.0 * c[..., 3])) / width
    used = (row >= 0) & (row < rows - 2)  # beyond the table s grows without bounds, and 0 * inf is not 0
    return torch.where(used, value, 0.0), torch.where(used, slope, 0.0)


def _messages(tables: FieldTables, layer: int, pairs: _Pairs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return E, E', C, C' of a layer at all pairs."""
    assert tables.messages is not None
    ends = (tables.message_inner, tables.message_outer)
    e, e_slope = _lookup(tables.messages[layer - 1, 0], *ends, pairs)
    c, c_slope = _lookup(tables.messages[layer - 1, 1], *ends, pairs)
    return e, e_slope, c, c_slope


def _along(unit: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return e . w_j and e . w_i at all pairs."""
    return torch.einsum("rija,rja->rij", unit, w), torch.einsum("rija,ria->rij", unit, w)


def velocity(tables: FieldTables, positions: Tensor, species: Tensor, box: Tensor) -> Tensor:
    """Return the velocity of every particle.

    Parameters
    ----------
    tables : FieldTables
    positions : (R, N, d) float64, sigma
        Finite; coordinates need not be wrapped.
    species : (R, N) int64
    box : (d,) float64, sigma

    Returns
    -------
    (R, N, d) float64, sigma/beta
    """
    pairs = _pairs(positions, species, box, tables.pair.shape[1])
    unit = pairs.ray / pairs.distance[..., None]
    w = torch.zeros_like(positions)
    for layer in range(tables.pair.shape[0]):
        p, _ = _lookup(tables.pair[layer], tables.inner, tables.outer, pairs)
        along = p * pairs.distance
        if layer:
            e, _, c, _ = _messages(tables, layer, pairs)
            to, of = _along(unit, w)
            along = along + e * to + c * of
        w = torch.einsum("rij,rija->ria", along, unit)
    return w


def velocity_and_divergence(tables: FieldTables, positions: Tensor, species: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Return the velocity (R, N, d) and its divergence (R,) by the closed form; arguments as for `velocity`."""
    d = positions.shape[-1]
    layers = tables.pair.shape[0] - 1
    pairs = _pairs(positions, species, box, tables.pair.shape[1])
    unit = pairs.ray / pairs.distance[..., None]
    w, jacobian = torch.zeros_like(positions), None
    for layer in range(layers + 1):
        p, slope = _lookup(tables.pair[layer], tables.inner, tables.outer, pairs)
        along, across = p * pairs.distance, p  # the term is along * e; its derivative across e is across * (1 - e e^T)
        gradient = (p + slope * pairs.distance)[..., None] * unit  # of `along`
        block = None
        if layer:
            e, e_slope, c, c_slope = _messages(tables, layer, pairs)
            to, of = _along(unit, w)
            message = e * to + c * of
            along, across = along + message, across + message / pairs.distance
            sideways = e[..., None] * (w[:, None, :, :] - to[..., None] * unit)
            sideways = sideways + c[..., None] * (w[:, :, None, :] - of[..., None] * unit)
            gradient = gradient + (e_slope * to + c_slope * of)[..., None] * unit + sideways / pairs.distance[..., None]
            block = _message_blocks(e, c, unit)
        w = torch.einsum("rij,rija->ria", along, unit)
        if layer == layers:
            divergence = (torch.einsum("rija,rija->rij", gradient, unit) + (d - 1) * across).sum((1, 2))
            if block is not None:
                divergence = divergence + torch.einsum("rxy,ryx->r", block, jacobian)
            return w, divergence
        local = _local_blocks(gradient, across, unit)
        jacobian = local if block is None else local + block @ jacobian
    raise AssertionError("unreachable")


def _message_blocks(e: Tensor, c: Tensor, unit: Tensor) -> Tensor:
    """Return Al, (R, N d, N d)."""
    replicas, n, _, d = unit.shape
    outer = unit[..., :, None] * unit[..., None, :]
    blocks = e[..., None, None] * outer
    own = torch.einsum("rij,rijab->riab", c, outer)
    blocks = blocks + torch.eye(n, dtype=e.dtype, device=e.device)[None, :, :, None, None] * own[:, :, None]
    return blocks.permute(0, 1, 3, 2, 4).reshape(replicas, n * d, n * d)


def _local_blocks(gradient: Tensor, across: Tensor, unit: Tensor) -> Tensor:
    """Return Kl, (R, N d, N d)."""
    replicas, n, _, d = unit.shape
    identity = torch.eye(d, dtype=unit.dtype, device=unit.device)
    k = unit[..., :, None] * gradient[..., None, :]
    k = k + across[..., None, None] * (identity - unit[..., :, None] * unit[..., None, :])
    itself = torch.eye(n, dtype=unit.dtype, device=unit.device)[None, :, :, None, None]
    k = k * (1.0 - itself)
    blocks = itself * k.sum(2)[:, :, None] - k
    return blocks.permute(0, 1, 3, 2, 4).reshape(replicas, n * d, n * d)


Rate = Callable[[int, Tensor], tuple[Tensor, Tensor]]


def integrate(rate: Rate, positions: Tensor, beta_from: float, beta_to: float, steps: int) -> tuple[Tensor, Tensor]:
    """Integrate positions and log-Jacobian with the classical Runge-Kutta method of fourth order.

    Parameters
    ----------
    rate : callable
        ``rate(k, x)`` gives velocity (R, N, d) and divergence (R,) at stage k = 0 .. 2 steps, where beta is beta_from + k
        (beta_to - beta_from) / (2 steps).
    positions : (R, N, d)
    beta_from, beta_to : float, 1/epsilon
    steps : int

    Returns
    -------
    positions (R, N, d), not wrapped, and log-Jacobian (R,)
    """
    h = (beta_to - beta_from) / steps
    x, log_jacobian = positions, torch.zeros(positions.shape[0], dtype=positions.dtype, device=positions.device)
    for step in range(steps):
        k1, d1 = rate(2 * step, x)
        k2, d2 = rate(2 * step + 1, x + 0.5 * h * k1)
        k3, d3 = rate(2 * step + 1, x + 0.5 * h * k2)
        k4, d4 = rate(2 * step + 2, x + h * k3)
        x = x + h / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)
        log_jacobian = log_jacobian + h / 6.0 * (d1 + 2.0 * (d2 + d3) + d4)
    return x, log_jacobian


def table_rate(stages: Sequence[FieldTables], species: Tensor, box: Tensor) -> Rate:
    """Return the rate of `integrate` for tables at its stages."""
    return lambda k, x: velocity_and_divergence(stages[k], x, species, box)


# ---- fields with weights -------------------------------------------------------------------------------------------------


class TableField(torch.nn.Module):
    """A `MessageField` as a torch module, whose coefficients are its weights: what polishing trains.

    Parameters
    ----------
    system : System
        Its box.
    field : MessageField
        Where the weights start.

    Attributes
    ----------
    pair : (L + 1, T, P, size) parameter
    message : (L, T, 2, P, size) parameter
        As in `MessageField`.
    """

    def __init__(self, system: System, field: MessageField) -> None:
        super().__init__()
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        if not isinstance(field, MessageField):
            raise TypeError(f"field: expected a MessageField, got {type(field).__name__}")
        if field.n_species != system.n_species:
            raise ValueError(f"field: expected one of {system.n_species} species, got {field.n_species}")
        field.pair_basis.check_box("field", system)
        field.message_basis.check_box("field", system)
        self._start = field
        self.pair = torch.nn.Parameter(torch.tensor(field.pair))
        self.message = torch.nn.Parameter(torch.tensor(field.message))
        square = np.empty((field.n_species, field.n_species), dtype=np.int64)
        for index, (a, b) in enumerate(species_pairs(field.n_species)):
            square[a, b] = square[b, a] = index
        constants = {
            "square": square,
            "box": np.array(system.box),
            "pair_table": field.pair_basis.table(np.eye(field.pair_basis.size)),
            "message_table": field.message_basis.table(np.eye(field.message_basis.size)),
        }
        for name, value in constants.items():
            self.register_buffer(f"_{name}", torch.tensor(value), persistent=False)

    def field(self) -> MessageField:
        """Return the field with the weights as they are now, for `RadialFlow` and the native kernels."""
        start = self._start
        pair, message = (weight.detach().double().cpu().numpy().copy() for weight in (self.pair, self.message))
        return MessageField(start.n_species, start.pair_basis, start.message_basis, start.temperature_basis, pair, message)

    def in_beta(self, beta: Tensor | float) -> Tensor:
        """Return the functions of beta, (T,); see `TemperatureBasis`."""
        basis = self._start.temperature_basis
        inverse = torch.as_tensor(beta, dtype=self.pair.dtype, device=self.pair.device)
        middle = 0.5 * math.log(basis.beta_hot * basis.beta_cold)
        z = 2.0 * (torch.log(inverse) - middle) / math.log(basis.beta_cold / basis.beta_hot)
        values = [torch.ones_like(z), z]
        while len(values) < basis.size:
            values.append(2.0 * z * values[-1] - values[-2])
        return torch.stack(values[: basis.size]) / inverse

    def tables(self, beta: Tensor | float) -> FieldTables:
        """Return the radial functions at one inverse temperature, differentiable in the weights."""
        start, weights = self._start, self.in_beta(beta)
        square: Any = self._square
        pair = torch.einsum("t,ltpk,krc->lprc", weights, self.pair, self._pair_table)[:, square]
        if not start.layers:
            return FieldTables(start.pair_basis.inner, start.pair_basis.outer, pair)
        message = torch.einsum("t,ltmpk,krc->lmprc", weights, self.message, self._message_table)[:, :, square]
        ranges = (start.message_basis.inner, start.message_basis.outer)
        return FieldTables(start.pair_basis.inner, start.pair_basis.outer, pair, *ranges, message)

    def forward(self, positions: Tensor, species: Tensor, beta: Tensor | float) -> Tensor:
        """Return the velocity (R, N, d)."""
        return velocity(self.tables(beta), positions, species, self._box)

    def velocity_and_divergence(self, positions: Tensor, species: Tensor, beta: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the velocity (R, N, d) and the divergence (R,), by the closed form."""
        return velocity_and_divergence(self.tables(beta), positions, species, self._box)
