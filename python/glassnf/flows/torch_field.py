"""Flows from any torch module: bring your own field.

A module that gives velocities becomes a `Flow` with an exact Jacobian: the divergence is the trace of the module's Jacobian,
computed by reverse-mode differentiation, N d pulls through one evaluation of the module (torch.func). A stochastic trace is not
offered: in a weight or an acceptance its noise would not average out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._batch import as_batch
from .._native import threads_of
from .._optional import require
from ..ensemble import wrap_positions
from ..systems import System
from .torch_twin import Rate, integrate
from .transport import FlowError, Transport, check_betas, steps_between

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="flow", purpose="flows made of torch modules")

__all__ = ["FieldErrors", "TorchFlow", "divergence", "field_errors"]

FloatArray = npt.NDArray[np.float64]
Tensor = Any

_AT_ONCE = 32  # configurations times directions in one vectorised pull


def divergence(
    module: Any, positions: Tensor, species: Tensor, beta: Tensor, *, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the velocities of a module and their exact divergence.

    Parameters
    ----------
    module : callable
        ``module(positions, species, beta) -> velocity``. Each configuration on its own: the velocity of one must not depend on
        the others of the batch, which `field_errors` checks.
    positions : (R, N, d) tensor, sigma
    species : (R, N) int64 tensor
    beta : scalar tensor, 1/epsilon
    chunk : int, optional
        Coordinates whose derivatives are taken side by side. Default: so many that they times the configurations make 32,
        which keeps a small network in the caches of a processor.

    Returns
    -------
    velocity (R, N, d), divergence (R,)
        Differentiable in the weights of the module.
    """
    _, n, d = positions.shape
    velocity, pull = torch.func.vjp(lambda x: module(x, species, beta), positions)[:2]
    unit = torch.eye(n * d, dtype=positions.dtype, device=positions.device).reshape(n * d, 1, n, d)

    def diagonal(direction: Tensor) -> Tensor:
        return (pull(direction.expand(velocity.shape))[0] * direction).sum((1, 2))

    at_once = max(1, _AT_ONCE // len(positions)) if chunk is None else chunk
    parts = [torch.func.vmap(diagonal)(some) for some in torch.split(unit, at_once)]
    return velocity, torch.cat(parts).sum(0)


class TorchFlow:
    """A flow made of a torch module.

    Parameters
    ----------
    system : System
    module : torch.nn.Module
        ``module(positions, species, beta) -> velocity``: positions (R, N, d), species (R, N) int64 and beta, a scalar, as
        tensors on the device of the module's weights; velocities (R, N, d) in sigma/beta, dx/dbeta. It must be twice
        continuously differentiable on the torus (no jump where the nearest image changes), the same for all permutations
        within a species, and smooth in beta. `field_errors` measures what can be measured. If it has a method
        ``velocity_and_divergence`` of the same arguments, that is trusted to give the exact divergence (R,) as well.
    hot, cold : float, epsilon
        Range of temperatures in which it is trained.
    steps : int
        Runge-Kutta steps from `hot` to `cold`.
    chunk : int, optional
        As for `divergence`.
    batch : int
        Configurations that are carried at a time.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import glassnf as gnf
    >>> from glassnf.flows import EquivariantField, TorchFlow
    >>> system = gnf.systems.ka2d(n=43)
    >>> flow = TorchFlow(system, EquivariantField(system, hot=0.5, cold=0.4), hot=0.5, cold=0.4)
    """

    def __init__(
        self,
        system: System,
        module: torch.nn.Module,
        hot: float,
        cold: float,
        *,
        steps: int = 16,
        chunk: int | None = None,
        batch: int = 64,
    ) -> None:
        if not isinstance(system, System):
            raise TypeError(f"system: expected a System, got {type(system).__name__}")
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
        self.system = system
        self.module = module
        self.hot, self.cold = temperature_range(hot, cold)
        self.steps = _check.integer("steps", steps, 2, None)
        self.chunk = None if chunk is None else _check.positive_int("chunk", chunk)
        self.batch = _check.positive_int("batch", batch)

    def __repr__(self) -> str:
        name = type(self.module).__name__
        return f"TorchFlow({self.system!r}, {name}, hot={self.hot:g}, cold={self.cold:g}, steps={self.steps})"

    def rate(self, positions: Tensor, species: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        """Return velocity (R, N, d) and exact divergence (R,) as tensors."""
        closed = getattr(self.module, "velocity_and_divergence", None)
        if closed is not None:
            velocity, trace = closed(positions, species, beta)
        else:
            velocity, trace = divergence(self.module, positions, species, beta, chunk=self.chunk)
        if velocity.shape != positions.shape or trace.shape != positions.shape[:1]:
            expected = f"{tuple(positions.shape)} and a divergence {tuple(positions.shape[:1])}"
            raise ValueError(f"module: expected velocities {expected}, got {tuple(velocity.shape)} and {tuple(trace.shape)}")
        return velocity, trace

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
        """Carry a batch from one inverse temperature to another; see `Flow.transport`. torch works on one thread."""
        check_betas(self, beta_from, beta_to)
        start, end = float(beta_from), float(beta_to)
        given = as_batch(self.system, positions, species)
        number = steps_between(self, start, end) if steps is None else _check.positive_int("steps", steps)
        threads_of(threads)
        if start == end:
            wrapped, crossed = wrap_positions(np.asarray(given.positions), self.system.box)
            return Transport(wrapped, crossed.astype(np.int32), np.zeros(len(wrapped)), 0)
        device, dtype = _place_of(self.module)
        betas = torch.linspace(start, end, 2 * number + 1, dtype=dtype, device=device)
        moved, log_jacobian = np.empty_like(given.positions), np.empty(len(given.positions))
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                for first in range(0, len(moved), self.batch):
                    part = slice(first, first + self.batch)
                    kinds = torch.tensor(np.asarray(given.species[part]), device=device).long()
                    x = torch.tensor(np.asarray(given.positions[part]), device=device).to(dtype)
                    x, gained = integrate(self._rate_at(kinds, betas), x, start, end, number)
                    moved[part], log_jacobian[part] = x.double().cpu().numpy(), gained.double().cpu().numpy()
        finally:
            torch.set_num_threads(before)
        _check_finite(moved, log_jacobian)
        wrapped, crossed = wrap_positions(moved, self.system.box)
        return Transport(wrapped, crossed.astype(np.int32), log_jacobian, number)

    def _rate_at(self, species: Tensor, betas: Tensor) -> Rate:
        return lambda stage, x: self.rate(x, species, betas[stage])

    def describe(self) -> dict[str, Any]:
        """Return the module's class, the range, the steps, and a hash of the weights."""
        digest = hashlib.sha256()
        for name, value in sorted(self.module.state_dict().items()):
            array = value.detach().cpu().numpy()
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return {
            "flow": "torch",
            "module": f"{type(self.module).__module__}.{type(self.module).__qualname__}",
            "system": self.system.hash,
            "hot": self.hot,
            "cold": self.cold,
            "steps": self.steps,
            "weights": digest.hexdigest(),
        }


def temperature_range(hot: float, cold: float) -> tuple[float, float]:
    """Return the two temperatures; TypeError or ValueError unless the second is below the first."""
    hot, cold = _check.positive_float("hot", hot), _check.positive_float("cold", cold)
    if not cold < hot:
        raise ValueError(f"cold: expected a temperature below hot = {hot:g}, got {cold:g}")
    return hot, cold


def _place_of(module: torch.nn.Module) -> tuple[Any, Any]:
    """Return device and type of the first weight; the CPU and float64 where there is none."""
    for value in (*module.parameters(), *module.buffers()):
        if value.is_floating_point():
            return value.device, value.dtype
    return torch.device("cpu"), torch.float64


def _check_finite(positions: FloatArray, log_jacobian: FloatArray) -> None:
    bad = ~(np.isfinite(positions).all((1, 2)) & np.isfinite(log_jacobian))
    if bad.any():
        failed = tuple(int(i) for i in np.flatnonzero(bad))
        raise FlowError(
            f"the field of {failed[0]} and {len(failed) - 1} more of {len(bad)} configurations is not finite", failed
        )


# ---- what a field must be ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FieldErrors:
    """By how much a field breaks what it must obey; each relative to the largest velocity seen.

    Attributes
    ----------
    translation, reflection, permutation : float
        Change of velocities under a translation of all particles, a symmetry of the box (axes of equal sides exchanged, one
        axis reversed), a permutation within the species.
    batch : float
        Change of the velocities of a configuration when it is alone.
    jump : float
        Largest jump of a velocity where the nearest image of a pair changes, at half of a side of the box.
    """

    translation: float
    reflection: float
    permutation: float
    batch: float
    jump: float

    @property
    def worst(self) -> float:
        """The largest of all."""
        return max(self.translation, self.reflection, self.permutation, self.batch, self.jump)


def field_errors(
    system: System, module: Any, positions: FloatArray, species: Any, beta: float, *, seed: int = 0
) -> FieldErrors:
    """Measure the symmetries of a field, and its continuity, on some configurations.

    Parameters
    ----------
    system : System
    module : torch.nn.Module
        As for `TorchFlow`.
    positions : (R, N, d) float64, sigma
        Two or more, so that configurations can be told apart.
    species : (R, N) int32
    beta : float, 1/epsilon
    seed : int
        Of the translation, the symmetry and the particles that are chosen.
    """
    given = as_batch(system, positions, species)
    if len(given.positions) < 2:
        raise ValueError(f"positions: expected two configurations or more, got {len(given.positions)}")
    rng = np.random.default_rng(seed)
    device, dtype = _place_of(module)
    inverse = torch.as_tensor(_check.positive_float("beta", beta), device=device, dtype=dtype)
    box = np.array(system.box)

    def field(x: FloatArray, kinds: Any) -> FloatArray:
        with torch.no_grad():
            at = torch.tensor(x, device=device).to(dtype)
            found = module(at, torch.tensor(kinds, device=device).long(), inverse)
        result: FloatArray = found.double().cpu().numpy()
        return result

    x, kinds = np.asarray(given.positions), np.asarray(given.species)
    plain = field(x, kinds)
    axes, sign = _symmetry(box, rng)
    order = np.argsort(kinds[0], kind="stable")  # of the first configuration: particles of a species side by side
    mixed = order.copy()
    for kind in range(system.n_species):
        own = np.flatnonzero(kinds[0][order] == kind)
        mixed[own] = rng.permutation(order[own])
    crossing = _at_the_seam(x, box, rng)
    sides = [field(crossing + shift, kinds) for shift in _steps_across(crossing.shape, 1e-9 * float(box.min()))]
    largest = max(float(np.abs(plain).max()), float(np.abs(sides[0]).max()), 1e-300)
    changes = {
        "translation": field(x + rng.uniform(size=box.size) * box, kinds) - plain,
        "reflection": field((x * sign)[..., axes], kinds) - (plain * sign)[..., axes],
        "permutation": field(x[:1, mixed], kinds[:1, mixed])[0] - plain[0, mixed],
        "batch": np.concatenate([field(x[k : k + 1], kinds[k : k + 1]) for k in range(len(x))]) - plain,
        "jump": sides[1] - sides[0],
    }
    return FieldErrors(**{name: float(np.abs(change).max()) / largest for name, change in changes.items()})


def _symmetry(box: FloatArray, rng: np.random.Generator) -> tuple[Any, FloatArray]:
    """Return axes in an order that keeps the box, exchanged if two sides are equal, and a sign per axis, one of them -1."""
    axes = np.arange(box.size)
    for a in range(1, box.size):
        if box[a] == box[0]:
            axes[[0, a]] = axes[[a, 0]]
            break
    sign = np.ones(box.size)
    sign[rng.integers(box.size)] = -1.0
    return axes, sign


def _at_the_seam(x: FloatArray, box: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return configurations whose first particle is half a side away from another one, along one axis."""
    moved = x.copy()
    for configuration in moved:
        other, axis = rng.integers(1, len(configuration)) if len(configuration) > 1 else 0, rng.integers(box.size)
        configuration[0] = configuration[other]
        configuration[0, axis] += 0.5 * box[axis]
    return moved


def _steps_across(shape: tuple[int, ...], step: float) -> tuple[FloatArray, FloatArray]:
    forward = np.zeros(shape)
    forward[:, 0] = step
    return -forward, forward
