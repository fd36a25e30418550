"""The potential energy as a differentiable torch function.

Two operators are registered with torch: ``glassnf::energy`` and ``glassnf::energy_forces``. Both have fake kernels (so that
torch.compile and torch.export trace them without a break), batching rules (torch.vmap), and autograd formulas: the gradient of
the energy is minus the force (the pair force is derived in ``potentials.hpp``). The arithmetic is that of `glassnf.energy`, bit
for bit.

Box and potential travel as tensors (`SystemTensors`), so that a compiled function serves every system of the same shapes. It
takes a `System` for a constant, and is compiled again for another one, only where it is the first to compute with that system.

Tensors are float64, on the CPU or on a CUDA device; the values that describe the system may stay on the CPU, where reading them
waits for nothing. On a GPU the kernels run on torch's current stream. The energy can be differentiated once, by torch.autograd;
a second derivative is refused. The transforms torch.func.grad, jacrev and jvp refuse custom operators of any kind.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, _check, _core, cuda
from ._batch import checked_on_gpu, host_species, wrapped
from ._native import threads_of
from ._optional import require
from .energy import PRECISIONS, run_kernels
from .systems import System

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", extra="flow", purpose="differentiable energies")

__all__ = ["SystemTensors", "energy", "system_tensors"]

_ARGUMENTS = (
    "(Tensor positions, Tensor species, Tensor box, Tensor cutoff, Tensor coefficients, SymInt kind, SymInt exponent, "
    "SymInt threads=0, bool mixed=False)"
)
_DEVICES = ("cpu", "cuda")
_CONSTANTS = ("species", "box", "cutoff", "coefficients")
_DEFAULT_THREADS = 0  # the default of the operators: they ask for the default number when they run, not while they are traced


class SystemTensors(NamedTuple):
    """A system as tensors.

    Attributes
    ----------
    species : (N,) int32
        Default species of the particles.
    box : (d,) float64, sigma
    cutoff : () float64, sigma
        The largest cutoff distance.
    coefficients : (S, S, 6) float64
        See `glassnf.systems.PairPotential.coefficients`.
    kind, exponent : int
        Form of the pair potential. These two are constants of a compiled function.
    """

    species: torch.Tensor
    box: torch.Tensor
    cutoff: torch.Tensor
    coefficients: torch.Tensor
    kind: int
    exponent: int


# Tensors are cached in the instance dictionary of the immutable system, like its cached properties: there tracing compilers
# find them as inputs of the graph. A system first seen while a function is traced has them under another name, because
# tracing may start over and must then find what it found before.
_TENSORS = "_torch_tensors"
_TRACED_TENSORS = "_traced_torch_tensors"


def _attach_tensors(system: System, attribute: str) -> bool:
    if not hasattr(system, attribute):
        potential = system.potential
        tensors = SystemTensors(
            species=torch.from_numpy(system.species.copy()),
            box=torch.from_numpy(system.box.copy()),
            cutoff=torch.tensor(system.cutoff_distance, dtype=torch.float64),
            coefficients=torch.from_numpy(np.array(potential.coefficients(), dtype=np.float64)),
            kind=potential.kind_code,
            exponent=potential.exponent,
        )
        object.__setattr__(system, attribute, tensors)
    return True


# A tracing compiler calls this instead of tracing into it, and then takes the system for a constant.
torch.compiler.assume_constant_result(_attach_tensors)  # type: ignore[no-untyped-call]


def system_tensors(system: System | SystemTensors) -> SystemTensors:
    """Return the tensors that stand for a system; made once per object, shared, not to be changed in place.

    Raises
    ------
    TypeError
        If `system` is neither a System nor such tensors.
    """
    if isinstance(system, SystemTensors):
        return system
    if not isinstance(system, System):
        raise TypeError(f"system: expected a System or SystemTensors, got {type(system).__name__}")
    if hasattr(system, _TENSORS):
        attribute = _TENSORS
    else:
        attribute = _TRACED_TENSORS if torch.compiler.is_compiling() else _TENSORS
        _attach_tensors(system, attribute)
    tensors: SystemTensors = getattr(system, attribute)
    return tensors


def energy(
    system: System | SystemTensors,
    positions: torch.Tensor,
    species: Any = None,
    *,
    threads: int | None = None,
    precision: str = "float64",
) -> torch.Tensor:
    """Potential energy of each configuration, differentiable once in the positions.

    Parameters
    ----------
    system : System or SystemTensors
    positions : (R, N, d) or (N, d) float64 tensor on the CPU or a CUDA device, sigma
        Finite; coordinates need not be wrapped.
    species : (R, N) or (N,) integers, optional
        Tensor or array on the same device, or a list. Default: the order of ``system.species``.
    threads : int, optional
        Of the CPU, for the energy and its gradient. Default: environment variable GLASSNF_THREADS, else all processors.
    precision : {"float64", "mixed"}
        As in `glassnf.energy`; mixed on a CUDA device only.

    Returns
    -------
    (R,) float64, or a scalar for one configuration, epsilon
        The gradient is minus the force.

    Raises
    ------
    TypeError, ValueError
        If a shape, type, device or value is not as above.
    glassnf.cuda.CudaError
        If the tensors are on a CUDA device and it cannot be used, or its memory is full.
    NotImplementedError
        From a backward pass through the gradient: second derivatives are not available.
    """
    constants = system_tensors(system)
    n, d = constants.species.shape[0], constants.box.shape[0]
    _check_positions(positions, n, d)
    batch = positions if positions.dim() == 3 else positions.unsqueeze(0)
    if species is None:
        kinds = constants.species.to(positions.device).expand(batch.shape[0], n)
    else:
        kinds = _species_tensor(species, batch.shape[0], n, positions.device)
    count = _DEFAULT_THREADS if threads is None else threads_of(threads)
    arguments = (batch, kinds, *constants[1:], count, _is_mixed(precision, positions))
    if positions.requires_grad and torch.is_grad_enabled():
        result: torch.Tensor = _energy_forces_op(*arguments)[0]  # one pass for the energy now and the gradient later
    else:
        result = _energy_op(*arguments)
    return result if positions.dim() == 3 else result[0]


def _check_positions(positions: Any, n: int, d: int) -> None:
    if not isinstance(positions, torch.Tensor):
        raise TypeError(f"positions: expected a tensor, got {type(positions).__name__}")
    if positions.dtype != torch.float64:
        raise TypeError(f"positions: expected a tensor of type torch.float64, got {positions.dtype}")
    if positions.device.type not in _DEVICES:
        raise ValueError(f"positions: expected a tensor on the CPU or a CUDA device, got one on {positions.device}")
    if positions.dim() not in (2, 3) or positions.shape[-2] != n or positions.shape[-1] != d:
        raise ValueError(f"positions: expected shape (R, {n}, {d}) or ({n}, {d}), got {tuple(positions.shape)}")


def _is_mixed(precision: str, positions: torch.Tensor) -> bool:
    mixed = _check.choice("precision", precision, PRECISIONS) == "mixed"
    if mixed and positions.device.type == "cpu":
        raise ValueError("precision: expected 'float64' for arrays on the CPU, got 'mixed', which only CUDA devices have")
    return mixed


def _species_tensor(species: Any, replicas: int, n: int, device: torch.device) -> torch.Tensor:
    if isinstance(species, torch.Tensor):
        kinds = species
    else:  # lists go to the device of the positions; arrays are where they are
        try:
            kinds = torch.as_tensor(species, device=device if isinstance(species, (list, tuple)) else None)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise TypeError(
                f"species: expected integers, got {_check.describe(species)} ({_check.printable(str(error), 200)})"
            ) from None
    if kinds.is_floating_point() or kinds.is_complex() or kinds.dtype == torch.bool:
        raise TypeError(f"species: expected integers, got a tensor of type {kinds.dtype}")
    if kinds.device != device:
        raise ValueError(f"species: expected a tensor on {device}, where the positions are, got one on {kinds.device}")
    if kinds.dim() not in (1, 2) or kinds.shape[-1] != n or (kinds.dim() == 2 and kinds.shape[0] != replicas):
        raise ValueError(f"species: expected shape ({replicas}, {n}) or ({n},), got {tuple(kinds.shape)}")
    return kinds.expand(replicas, n)


# ---- what the operators compute ----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=128)
def _native(n: int, box: bytes, cutoff: float, kind: int, exponent: int, table: bytes) -> _core.System:
    """Check the values that describe a system and return it as the kernels see it."""
    coefficients = np.frombuffer(table, dtype=np.float64).reshape(-1, 6)
    if not (np.isfinite(coefficients).all() and (coefficients[:, :3] > 0.0).all()):
        raise ValueError("coefficients: expected finite numbers, and positive 1/sigma^2, prefactor and squared cutoff")
    largest = math.sqrt(float((coefficients[:, 2] / coefficients[:, 0]).max()))
    if not largest * (1.0 - 1e-12) <= cutoff < math.inf:
        raise ValueError(f"cutoff: expected at least the largest cutoff distance of the coefficients, {largest}, got {cutoff}")
    # The largest epsilon sets the energy quantum of Monte Carlo, which energies do not use.
    return _core.System(
        n=n,
        box=np.frombuffer(box, dtype=np.float64).tolist(),
        cutoff=cutoff,
        kind=kind,
        exponent=exponent,
        species_count=math.isqrt(len(coefficients)),
        coefficients=coefficients.ravel().tolist(),
        largest_epsilon=1.0,
    )


def _check_operands(
    positions: torch.Tensor, species: torch.Tensor, box: torch.Tensor, cutoff: torch.Tensor, coefficients: torch.Tensor
) -> None:
    """Check what both the kernels and the fake kernels rely on: types and shapes, not values."""
    for name, tensor in (("positions", positions), ("box", box), ("cutoff", cutoff), ("coefficients", coefficients)):
        if tensor.dtype != torch.float64:
            raise TypeError(f"{name}: expected a tensor of type torch.float64, got {tensor.dtype}")
    if species.is_floating_point() or species.is_complex() or species.dtype == torch.bool:
        raise TypeError(f"species: expected integers, got a tensor of type {species.dtype}")
    if species.device != positions.device:
        raise ValueError(
            f"species: expected a tensor on {positions.device}, where the positions are, got one on {species.device}"
        )
    if box.dim() != 1 or positions.dim() != 3 or positions.shape[2] != box.shape[0]:
        raise ValueError(
            f"positions: expected shape (R, N, d) for a box (d,), got {tuple(positions.shape)}, {tuple(box.shape)}"
        )
    if species.dim() != 2 or species.shape[0] != positions.shape[0] or species.shape[1] != positions.shape[1]:
        raise ValueError(f"species: expected shape {tuple(positions.shape[:2])}, got {tuple(species.shape)}")
    if coefficients.dim() != 3 or coefficients.shape[0] != coefficients.shape[1] or coefficients.shape[2] != 6:
        raise ValueError(f"coefficients: expected shape (S, S, 6), got {tuple(coefficients.shape)}")
    if cutoff.dim() != 0:
        raise ValueError(f"cutoff: expected a scalar, got shape {tuple(cutoff.shape)}")


def _evaluate(
    positions: torch.Tensor,
    species: torch.Tensor,
    box: torch.Tensor,
    cutoff: torch.Tensor,
    coefficients: torch.Tensor,
    kind: int,
    exponent: int,
    threads: int = _DEFAULT_THREADS,
    mixed: bool = False,
    *,
    forces: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the kernels: energies (R,), and forces (R, N, d) into `forces` if given."""
    _check_operands(positions, species, box, cutoff, coefficients)
    replicas, n, _ = positions.shape
    result = positions.new_empty(replicas)
    if replicas == 0:
        return result
    sides, table, count = _arrays.to_host(box), _arrays.to_host(coefficients), coefficients.shape[0]
    native = _native(n, sides.tobytes(), cutoff.item(), kind, exponent, table.tobytes())
    threads = threads_of(None if threads == _DEFAULT_THREADS else threads)
    coordinates: Any = positions.detach()
    kinds: Any
    if _arrays.on_gpu(coordinates):
        cuda.require("positions")
        with _arrays.out_of_memory("these configurations"):
            coordinates, kinds = checked_on_gpu(coordinates.contiguous(), species, sides, count)
    else:
        kinds = host_species(_arrays.to_host(species), replicas, n, count)
        coordinates = wrapped(np.ascontiguousarray(coordinates.numpy()), sides)
    run_kernels(native, coordinates, kinds, result, forces, None, threads=threads, mixed=mixed)
    return result


@torch.library.custom_op("glassnf::energy", mutates_args=(), device_types=_DEVICES, schema=f"{_ARGUMENTS} -> Tensor")
def _energy_op(*operands: Any) -> torch.Tensor:
    """Energies (R,)."""
    return _evaluate(*operands)


@torch.library.custom_op(
    "glassnf::energy_forces", mutates_args=(), device_types=_DEVICES, schema=f"{_ARGUMENTS} -> (Tensor, Tensor)"
)
def _energy_forces_op(*operands: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies (R,) and forces (R, N, d)."""
    forces = operands[0].new_empty(operands[0].shape)
    return _evaluate(*operands, forces=forces), forces


# ---- shapes for tracing compilers --------------------------------------------------------------------------------------------


@_energy_op.register_fake
def _energy_fake(*operands: Any) -> torch.Tensor:
    positions: torch.Tensor = operands[0]
    _check_operands(*operands[:5])
    return positions.new_empty(positions.shape[0])


@_energy_forces_op.register_fake
def _energy_forces_fake(*operands: Any) -> tuple[torch.Tensor, torch.Tensor]:
    positions: torch.Tensor = operands[0]
    return _energy_fake(*operands), positions.new_empty(positions.shape)


# ---- derivatives -------------------------------------------------------------------------------------------------------------


def _refuse_constants(ctx: Any) -> None:
    for name, needed in zip(_CONSTANTS, ctx.needs_input_grad[1:5], strict=True):
        if needed:
            raise NotImplementedError(f"{name}: expected a tensor without requires_grad: only positions can be differentiated")


def _gradients(ctx: Any, positions: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    """One gradient for each operand; only positions have one."""
    return (positions, *(None,) * (len(ctx.needs_input_grad) - 1))


def _energy_setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.form = inputs[5:]


def _energy_backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    _refuse_constants(ctx)
    forces = _energy_forces_op(*ctx.saved_tensors, *ctx.form)[1]
    return _gradients(ctx, -gradient[:, None, None] * forces)


def _energy_forces_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.set_materialize_grads(False)


def _energy_forces_backward(
    ctx: Any, energy_gradient: torch.Tensor | None, forces_gradient: torch.Tensor | None
) -> tuple[torch.Tensor | None, ...]:
    _refuse_constants(ctx)
    if forces_gradient is not None:
        raise NotImplementedError("forces: cannot be differentiated: glassnf has no second derivatives of the energy")
    if energy_gradient is None:
        return _gradients(ctx, None)
    (forces,) = ctx.saved_tensors
    return _gradients(ctx, -energy_gradient[:, None, None] * forces)


_energy_op.register_autograd(_energy_backward, setup_context=_energy_setup)
_energy_forces_op.register_autograd(_energy_forces_backward, setup_context=_energy_forces_setup)


# ---- batching rules: the mapped axis joins the replicas ----------------------------------------------------------------------


def _fold(info: Any, in_dims: tuple[int | None, ...], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments with the mapped axis of positions and species folded into the first one."""
    for name, place in zip(_CONSTANTS[1:], in_dims[2:5], strict=True):
        if place is not None:
            raise NotImplementedError(f"{name}: expected the same for all: only positions and species can be mapped over")
    folded = []
    for value, place in zip(arguments[:2], in_dims[:2], strict=True):
        mapped = value.expand(info.batch_size, *value.shape) if place is None else value.movedim(place, 0)
        folded.append(mapped.reshape(-1, *mapped.shape[2:]))
    return (*folded, *arguments[2:])


@_energy_op.register_vmap
def _energy_vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[torch.Tensor, int]:
    result = _energy_op(*_fold(info, in_dims, arguments))
    return result.reshape(info.batch_size, -1), 0


@_energy_forces_op.register_vmap
def _energy_forces_vmap(
    info: Any, in_dims: tuple[int | None, ...], *arguments: Any
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[int, int]]:
    folded = _fold(info, in_dims, arguments)
    result, forces = _energy_forces_op(*folded)
    shape = (info.batch_size, result.shape[0] // info.batch_size)
    return (result.reshape(shape), forces.reshape(*shape, *forces.shape[1:])), (0, 0)
